"""The records of a job folder's runs and plans: by the run's name, or by the token of whoever started it."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.layout import LayoutError
from connectors.contract.run_record import RunRecord, read_record, run_ids
from connectors.contract.storage import Storage

# The clocks of AWS are not one clock.
_APART = timedelta(minutes=1)


def record_of(storage: Storage, run_id: str | None, *, or_plan: bool = False) -> RunRecord:
    """The record of a run; without a name that of the newest one.

    Args:
        or_plan: Whether the name may also be that of a plan.

    Raises:
        UsageError: There is none, or no run can be called that.
        StorageError: It is damaged.
    """
    if run_id is None and not (run_id := next(iter(run_ids(storage)), None)):
        raise UsageError(f"{storage.root} has not run yet; run it first: recsync run {shlex.quote(storage.root)}")
    try:
        layout.time_of_run(run_id)  # before it becomes a part of a key
    except LayoutError as error:
        raise UsageError(str(error)) from error
    for key_of in (layout.run_record, layout.plan_record) if or_plan else (layout.run_record,):
        if record := read_record(storage, key_of(run_id)):
            return record
    raise UsageError(f"{storage.root} has no run {run_id}; see: recsync runs {shlex.quote(storage.root)}")


def started_with(
    storage: Storage, token: str, *, is_plan: bool, since: datetime, until: datetime | None
) -> RunRecord | None:
    """The record of the run that was started with a token; None where none is kept.

    Args:
        since: When the run was asked for, aware; only what began then or later is read.
        until: When it ended; the same start may have been asked for again after that.

    Raises:
        StorageError: A record of that time is damaged.
    """
    key_of = layout.plan_record if is_plan else layout.run_record
    for run_id in sorted(run_ids(storage, is_plan=is_plan)):
        at = layout.time_of_run(run_id)
        if since - _APART <= at and (until is None or at <= until):
            record = read_record(storage, key_of(run_id))
            if record is not None and record.token == token:
                return record
    return None
