"""Which run of a connector replaces older ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from connectors.contract import layout
from connectors.contract.documents import find_document
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import Storage

# How old what a function knows of a newest run may be: see docs/explanation/delivery.md.
NEWEST_MAX_AGE_S = 10.0


class Newest:
    """The version of a connector's newest published run, which replaces older ones; read anew after `max_age_s`.

    A commit that was never published replaces nothing; what was published before it still does. A run that someone
    else reads replaces older ones too: it holds the users that they still owe.

    For one batch: the clock may stand still while a function waits to be called, and what it knew would stay young.
    """

    def __init__(self, max_age_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age_s, self._clock = max_age_s, clock
        self._read: dict[tuple[str, str], tuple[float, int]] = {}

    def version(self, storage: Storage, connector: str) -> int:
        """The version; 0 when nothing is published.

        Raises:
            StorageError: Nobody can tell: the pointer or the manifest is damaged, or cannot be read.
        """
        key, now_s = (storage.root, connector), self._clock()
        if key not in self._read or now_s - self._read[key][0] > self._max_age_s:
            self._read[key] = (now_s, _published_version(storage, connector))
        return self._read[key][1]


def _published_version(storage: Storage, connector: str) -> int:
    return next((manifest.version for _, manifest in newest_published(storage, connector)), 0)


def newest_published(storage: Storage, connector: str) -> Iterator[tuple[str, RunManifest]]:
    """The newest published runs, as (key of the manifest, manifest): the committed one, and the one before it."""
    pointer = find_document(storage, layout.pointer(connector), Pointer)
    for key in (pointer.manifest, pointer.previous) if pointer else ():
        if key and (manifest := find_document(storage, key, RunManifest)):
            yield key, manifest
