"""What a run reads, object by object, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.contract import layout
from connectors.contract.held import InputObject
from connectors.contract.storage import Entry, NotFoundError, Storage, open_storage


def inputs_of(job: Storage, folders: Iterable[str], batch: Storage, files: Iterable[Entry]) -> list[InputObject]:
    """Everything a run reads, as it is now.

    Args:
        folders: The prefixes of the job folder that are read, each with its "/" at the end.
        files: The batch's files, as a listing of `batch` has them.
    """
    config = InputObject(root=job.root, key=layout.CONFIG, mark=_config_mark(job))
    own = [entry for folder in folders for entry in job.list(folder)]
    return [config, *objects_of(job, own), *objects_of(batch, files)]


def changed_since(inputs: Iterable[InputObject]) -> Iterator[str]:
    """The addresses of those that are gone, or are not what they were."""
    marks: dict[tuple[str, str], dict[str, str]] = {}
    for one in inputs:
        folder = one.key.rpartition("/")[0]
        if (one.root, folder) not in marks:
            marks[one.root, folder] = _marks(open_storage(one.root), folder)
        if marks[one.root, folder].get(one.key) != one.mark:
            yield f"{one.root}/{one.key}"


def objects_of(storage: Storage, entries: Iterable[Entry]) -> Iterator[InputObject]:
    """Some objects, as a listing of their storage has them."""
    return (InputObject(root=storage.root, key=entry.key, mark=entry.mark) for entry in entries)


def _marks(storage: Storage, folder: str) -> dict[str, str]:
    """What the objects of a folder are now. At the top of a job folder only its settings are of interest."""
    if folder:
        return {entry.key: entry.mark for entry in storage.list(f"{folder}/")}
    config = {layout.CONFIG: _config_mark(storage)}
    return config if config[layout.CONFIG] else {entry.key: entry.mark for entry in storage.list()}


def _config_mark(storage: Storage) -> str:
    """The tag of config.json: a listing of the whole job folder, with all its output, would say no more."""
    try:
        return storage.get(layout.CONFIG).tag
    except NotFoundError:
        return ""
