"""Wipe: everyone is to lose every attribute we ever wrote. Always waits for a yes. Needs no Spark."""

from __future__ import annotations

from connectors.contract import layout
from connectors.contract.held import GuardReading, Held, hold
from connectors.contract.manifest import PartFile, Pointer
from glue_jobs import state
from glue_jobs.decorate import clear_line
from glue_jobs.delta import a_clear
from glue_jobs.errors import OutOfDateError
from glue_jobs.proposal import JobRun, propose, tell_plan
from glue_jobs.tables import USER_ARROW, read_table
from glue_jobs.tell import TellPlan
from glue_jobs.writers import Files, PartWriter, SnapshotWriter


def wipe(run: JobRun, connector: str) -> Held:
    """Hold a commit that clears everyone the snapshot knows; `approve` publishes it.

    Raises:
        OutOfDateError: Nobody was ever told anything.
        StateError: The snapshot cannot be read.
    """
    committed = state.read_pointer(run.storage, connector)
    if committed.pointer is None or not committed.pointer.rows:
        raise OutOfDateError(f"{connector}: nobody was told anything yet")
    tell = tell_plan(run, connector, committed)
    files, users = _write(run, connector, tell, committed.pointer)
    counts = {"users": 0, "usersHeld": users, "cleared": users, "records": users}
    proposal = propose(run, connector, committed, tell, files=files, counts=counts, items=None, item_types={})
    note = f"all {users} users lose every attribute we ever wrote"
    reading = GuardReading(name="wipe", number=users, limit=0, is_breached=True, note=note)
    held = proposal.held([reading], inputs=[])
    hold(run.storage, held)
    return held


def _write(run: JobRun, connector: str, tell: TellPlan, pointer: Pointer) -> tuple[Files, int]:
    """A clear for each user, and his row of the next snapshot; a file of it for each file of the last."""
    parts = PartWriter(run.storage, lambda number: layout.part(connector, run.run_id, f"wipe-{number:05d}"))
    folder, rows, users = layout.snapshot(connector, tell.version, run.run_id), list[PartFile](), 0
    cleared = a_clear(version=tell.version, at=tell.at)
    for number, file in enumerate(pointer.snapshot):
        writer = SnapshotWriter(run.storage, f"{folder}/wipe-{number:05d}.parquet")
        for row in read_table(run.storage, file, USER_ARROW).select(["userId", "isMarked"]).to_pylist():
            parts.write(clear_line(row["userId"]))
            writer.write(row["userId"], cleared._replace(is_marked=bool(row["isMarked"])))
            users += 1
        rows += writer.close()
    return Files(parts.close(), rows, parts.digest), users
