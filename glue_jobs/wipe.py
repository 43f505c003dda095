"""Wipe: everyone is to lose every attribute we ever wrote. Always waits for a yes. Needs no Spark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from connectors.contract import layout
from connectors.contract.aliases import alias_key
from connectors.contract.held import WIPE, GuardReading, hold, newest_held
from connectors.contract.manifest import PartFile, Pointer
from glue_jobs import recording, state
from glue_jobs.decorate import clear_line
from glue_jobs.delta import Verdict, a_clear
from glue_jobs.ends import End, RunResult, result_of, stopped_of
from glue_jobs.errors import OutOfDateError, SyncError
from glue_jobs.proposal import JobRun, Kept, Proposal, propose, tell_plan
from glue_jobs.recording import Stages
from glue_jobs.report.filing import keep
from glue_jobs.story import Narrator, Story, together
from glue_jobs.tables import USER_ARROW, read_table, users_of
from glue_jobs.tell import Telling, TellPlan
from glue_jobs.writers import Files, PartWriter, SnapshotWriter


def wipe(run: JobRun, connectors: Sequence[str], report: Callable[[str], None]) -> RunResult:
    """Hold, for each of some connectors, a commit that clears everyone its snapshot knows; `approve` publishes it.

    What was prepared is kept as the record of a run, with the page about it.

    Raises:
        OutOfDateError: Nobody was ever told anything.
        StateError: No snapshot can be read.
    """
    stages = Stages(report)
    ends = [_end(run, connector, stages) for connector in connectors]
    stopped = stopped_of(ends)
    if len(stopped) == len(ends):
        raise next(iter(stopped.values()))
    record = recording.run_record(run, [end.record for end in ends], stopped, stages)
    keep(run.storage, record, stages)
    return result_of(record, ends)


def _end(run: JobRun, connector: str, report: Callable[[str], None]) -> End:
    try:
        proposal, story = _proposal(run, connector, report)
    except SyncError as error:
        return End(recording.of_stopped(connector, error), stopped=error)
    if before := newest_held(run.storage, connector):
        report(f"warning: {connector}: run {before.run_id} waited for a yes, and is dropped for this one")
    readings = [_reading(proposal)]
    held = proposal.held(readings, inputs=[])
    hold(run.storage, held)
    return End(recording.connector_record(run, proposal, story, readings, "held"), held=held)


def _proposal(run: JobRun, connector: str, report: Callable[[str], None]) -> tuple[Proposal, Story]:
    """The commit, with its files written, and some of those whom it clears."""
    committed = state.read_pointer(run.storage, connector)
    if committed.pointer is None or not committed.pointer.rows:
        raise OutOfDateError(f"{connector}: nobody was told anything yet")
    report(f"{connector}: writing a clear for each of {committed.pointer.rows} user(s)")
    tell = tell_plan(replace(run, is_full=True), connector, committed)  # whatever arrived, everyone is cleared
    files, story = _write(run, connector, tell, committed.pointer)
    users = committed.pointer.rows
    counts = {"users": 0, "usersHeld": users, "cleared": users, "records": users}
    proposal = propose(run, connector, committed, tell, files=files, counts=counts, kept=Kept())
    return proposal, story


def _reading(proposal: Proposal) -> GuardReading:
    """The guard that holds every wipe."""
    users = proposal.manifest.counts["records"]
    note = f"all {users} users lose every attribute we ever wrote"
    return GuardReading(name=WIPE, number=users, limit=0, is_breached=True, note=note)


def _write(run: JobRun, connector: str, tell: TellPlan, pointer: Pointer) -> tuple[Files, Story]:
    """A clear for each user, and his row of the next snapshot; a file of it for each file of the last."""
    parts = PartWriter(run.storage, lambda number: layout.part(connector, run.run_id, f"wipe-{number:05d}"))
    folder, rows = layout.snapshot(connector, tell.version, run.run_id), list[PartFile]()
    narrator = Narrator(alias_key(run.storage), lambda items: ())
    cleared = a_clear(version=tell.version, at=tell.at)
    for number, file in enumerate(pointer.snapshot):
        writer = SnapshotWriter(run.storage, f"{folder}/wipe-{number:05d}.parquet")
        for user_id, was in users_of(read_table(run.storage, file, USER_ARROW)):
            kept = cleared._replace(is_marked=was.is_marked)
            parts.write(clear_line(user_id))
            writer.write(user_id, kept)
            narrator.note(user_id, Telling(Verdict.CLEARED, clear_line(user_id), kept, was))
        rows += writer.close()
    return Files(parts.close(), rows, parts.digest), together([narrator.report()])
