"""Keeps the record of a run, gathers what a page tells from the job folder, and files the page beside the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from connectors.contract import layout
from connectors.contract.aliases import alias_key
from connectors.contract.documents import DamagedError
from connectors.contract.held import newest_held
from connectors.contract.run_record import ConnectorRecord, RunRecord, read_record, run_ids, write_record
from connectors.contract.storage import NotFoundError, Storage, StorageError
from connectors.contract.tally import read_tally
from connectors.contract.wire import NewerFormatError
from glue_jobs.errors import StateError
from glue_jobs.report.facts import Facts, Standing
from glue_jobs.report.page import render
from glue_jobs.state import read_manifest

# A month of nights.
_EARLIER = 29


def keep(storage: Storage, record: RunRecord, report: Callable[[str], None]) -> None:
    """Keep the record of a run and the page about it.

    The run is over by now, so a page that cannot be written spoils nothing of it.

    Args:
        report: Is told that the page could not be written.
    """
    write_record(storage, layout.run_record(record.run_id), record)
    try:
        file_report(storage, record, record.finished_at)
    except (StorageError, NewerFormatError, StateError) as error:
        report(f"warning: the report was not written: {error}; write it with recsync report")


def file_report(storage: Storage, record: RunRecord, as_of: datetime) -> str:
    """Write the page about a run, with what the receipts say by now.

    Args:
        as_of: Now, aware.

    Returns:
        The page's key.
    """
    key = layout.report(record.run_id)
    storage.put(key, render(gather(storage, record, as_of)).encode())
    return key


def gather(storage: Storage, record: RunRecord, as_of: datetime) -> Facts:
    """All that the page about a run tells."""
    before = [run_id for run_id in run_ids(storage) if run_id < record.run_id][:_EARLIER]
    earlier = list(_readable(storage, before))
    standings = {part.connector: _standing(storage, part) for part in record.connectors}
    approved = frozenset(_approved(storage, (record, *earlier)))
    return Facts(record, storage.root, as_of, earlier, len(before) - len(earlier), standings, approved)


def _readable(storage: Storage, ids: list[str]) -> Iterator[RunRecord]:
    """The records of some runs; one that is damaged, or of a newer release, is left out and counted by its absence."""
    for run_id in ids:
        try:
            record = read_record(storage, layout.run_record(run_id))
        except (DamagedError, NewerFormatError):
            continue
        if record is not None:
            yield record


def _approved(storage: Storage, runs: Iterable[RunRecord]) -> Iterator[tuple[str, str]]:
    """Held runs whose commit is published by now. One that found a commit waiting made none of its own."""
    for run in runs:
        for part in run.connectors:
            is_own = part.manifest == layout.manifest(part.connector, run.run_id)
            if part.outcome == "held" and is_own and _is_there(storage, part.manifest):
                yield run.run_id, part.connector


def _is_there(storage: Storage, key: str) -> bool:
    try:
        storage.get(key)
    except NotFoundError:
        return False
    return True


def _standing(storage: Storage, part: ConnectorRecord) -> Standing:
    """How a connector's part stands: published, waiting, or neither."""
    if part.outcome in ("planned", "stopped"):
        return Standing()
    manifest = read_manifest(storage, part.manifest)
    if manifest is not None:
        tally = read_tally(storage, manifest, alias_key(storage))
        return Standing(tally, is_read_by_others=manifest.acknowledge == "onWrite")
    held = newest_held(storage, part.connector)
    is_waiting = held is not None and held.pointer.manifest == part.manifest
    return Standing(waiting=held.run_id if held is not None and is_waiting else "")
