"""What a run reads, object by object, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.contract import layout
from connectors.contract.held import InputObject
from connectors.contract.storage import Entry, NotFoundError, Storage, open_storage
from glue_jobs.errors import InputError
from glue_jobs.lines import is_text


def inputs_of(job: Storage, own: Iterable[Entry], batch: Storage, files: Iterable[Entry]) -> list[InputObject]:
    """Everything a run reads, as it is now.

    Args:
        own: What is read of the job folder beside config.json, as a listing of it has them.
        files: The batch's files, as a listing of `batch` has them.

    Raises:
        InputError: The name of one is no text.
    """
    config = InputObject(root=job.root, key=layout.CONFIG, mark=config_mark(job))
    return [config, *objects_of(job, own), *objects_of(batch, files)]


def changed_since(inputs: Iterable[InputObject]) -> Iterator[str]:
    """The addresses of those that are gone, or are not what they were."""
    marks: dict[tuple[str, str], dict[str, str]] = {}
    for one in inputs:
        place = (one.root, _place(one.key))
        if place not in marks:
            marks[place] = _marks(open_storage(one.root), place[1])
        if marks[place].get(one.key) != one.mark:
            yield f"{one.root}/{one.key}"


def objects_of(storage: Storage, entries: Iterable[Entry]) -> Iterator[InputObject]:
    """Some objects, as a listing of their storage has them.

    Raises:
        InputError: The name of one is no text, so that nothing could be written of it.
    """
    for entry in entries:
        if not is_text(entry.key):
            raise InputError(f"{storage.root} holds a file whose name is not in UTF-8: {entry.key!a}; rename it")
        yield InputObject(root=storage.root, key=entry.key, mark=entry.mark)


def _place(key: str) -> str:
    """What has to be looked at to know an object again: its folder, or of the settings the object alone."""
    return key if key == layout.CONFIG else key[: key.rfind("/") + 1]


def _marks(storage: Storage, place: str) -> dict[str, str]:
    """What the objects of a place are now."""
    if place == layout.CONFIG:
        return {place: config_mark(storage)}
    return {entry.key: entry.mark for entry in storage.list(place)}


def config_mark(storage: Storage) -> str:
    """The tag of config.json, empty where there is none.

    A listing of the whole job folder, with all its output, would say no more.
    """
    try:
        return storage.get(layout.CONFIG).tag
    except NotFoundError:
        return ""
