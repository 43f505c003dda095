"""Held: a commit that waits for a yes, and the numbers for which it was held."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from connectors.contract import layout
from connectors.contract.documents import read_document
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import NotFoundError, Storage
from connectors.contract.wire import ConnectorName, RunId, VersionedModel, WireModel

# The guard that holds every wipe.
WIPE = "wipe"


class GuardReading(WireModel):
    """One guard: what it counted, and how far that may go.

    Attributes:
        name: The guard's key in config.json.
        note: What the number is made of, in words.
    """

    name: str
    number: float
    limit: float
    is_breached: bool
    note: str


class InputObject(WireModel):
    """An object that a run read.

    Attributes:
        root: The folder's address, and `key` the object's place in it.
        mark: Differs when the object does.
    """

    root: str
    key: str
    mark: str


class Held(VersionedModel):
    """A commit not made. Its parts and snapshot lie in their final place, and nothing refers to them.

    Attributes:
        tag: What the pointer has to be for the commit; None when there has to be none.
        inputs: Everything the run read.
    """

    mend: ClassVar[str] = "remove it, and run the job again"
    connector: ConnectorName
    run_id: RunId
    tag: str | None
    pointer: Pointer
    manifest: RunManifest
    guards: list[GuardReading]
    inputs: list[InputObject]
    held_at: datetime


def hold(storage: Storage, held: Held) -> None:
    """Keep a commit until someone says yes or no. It takes the place of an older one; a newer one takes its own."""
    own = layout.held(held.connector, held.run_id)
    storage.put(own, held.to_json().encode())
    others = [key for key in _keys(storage, held.connector) if key != own]
    newer = [key for key in others if _time_of(key) > _time_of(own)]
    for key in [own] if newer else others:
        storage.delete(key)


def newest_held(storage: Storage, connector: str) -> Held | None:
    """The commit of a connector that waits; None when none does."""
    for key in sorted(_keys(storage, connector), reverse=True):
        try:
            return read_document(storage, key, Held)
        except NotFoundError:  # someone decided meanwhile
            continue
    return None


def let_go(storage: Storage, connector: str, until: str | None = None) -> None:
    """Nothing of a connector is held any more.

    Args:
        until: The newest run to let go of; all of them when None.
    """
    for key in _keys(storage, connector):
        if until is None or key <= layout.held(connector, until):
            storage.delete(key)


def _time_of(key: str) -> datetime:
    """When a held run began."""
    return layout.time_of_run(layout.run_of_key(key) or "")


def _keys(storage: Storage, connector: str) -> list[str]:
    """What is held, by its keys: in order they are in the order of time, with which run ids begin."""
    listed = storage.list(layout.held_folder(connector))
    return [entry.key for entry in listed if layout.run_of_key(entry.key)]
