"""What a job folder no longer needs: runs that are older than they are kept, and never what the newest one needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from connectors.contract import layout
from connectors.contract.documents import find_document
from connectors.contract.manifest import Pointer
from connectors.contract.storage import Entry, Storage

FOLDERS = (
    *(layout.OUTPUT, "receipts/", "enqueued/", "errors/", "quarantine/"),
    *(layout.RUNS, layout.HELD, layout.STARTED),
)
# So many are removed at a time, of all folders together, within the function's timeout; the next hour goes on.
AT_MOST = 5_000


def prune(storage: Storage, before: datetime, *, at_most: int = AT_MOST) -> int:
    """Remove what runs before a time left behind; how many objects were removed.

    The manifest sorts before its parts and goes first, so nobody finds a manifest whose parts are gone.
    """
    kept = needed_runs(storage)
    entries = (entry for folder in FOLDERS for entry in storage.list(folder))
    removed = 0
    for key in islice(too_old(entries, kept, before), at_most):
        storage.delete(key)
        removed += 1
    return removed


def needed_runs(storage: Storage) -> set[str]:
    """The runs that the next one reads, and those that wait for a yes."""
    held = {run for entry in storage.list(layout.HELD) if (run := layout.run_of_key(entry.key))}
    committed = set()
    for connector in storage.folders(layout.OUTPUT):
        pointer = find_document(storage, layout.pointer(connector), Pointer)
        if pointer is None:
            continue  # nothing was committed for it yet
        # The one published before counts as well: it is the newest while the committed one is not published.
        committed |= {pointer.run_id, layout.run_of_key(pointer.previous) or pointer.run_id}
    return held | committed


def too_old(entries: Iterable[Entry], kept: set[str], before: datetime) -> Iterator[str]:
    """The keys of runs before a time that are not kept; of markers that no run has, those written before it."""
    for entry in entries:
        run = layout.run_of_key(entry.key)
        if run is None:
            is_old = entry.key.startswith(layout.STARTED) and entry.modified_at < before
        else:
            is_old = run not in kept and layout.time_of_run(run) < before
        if is_old:
            yield entry.key
