"""recsync plan and run for a job folder on S3: the deployed Glue job runs, and what it left is what is shown.

Glue tells of a script only whether it ended with 0. So whoever starts a run gives it a token; the run's record keeps
that, and says the rest.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cli.aws import AwsError
from cli.console import Voice
from cli.embedded import Clock
from cli.exit_codes import INTERRUPTED
from cli.glue_job import GlueJob, GlueRun
from cli.records import started_with
from cli.stack import glue_job
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.held import Held, newest_held
from connectors.contract.layout import JobFolder
from connectors.contract.run_record import RunRecord
from connectors.contract.storage import Storage, open_storage
from glue_jobs.arguments import RunArguments

_LOOK_EVERY_S = 5


class GlueRunError(Exception):
    """A run on Glue ended without anything to show."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class StillRunningError(Exception):
    """Nobody waits any more for a run that goes on; the text says how to come back to it."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Remote:
    """A job folder on S3, and the Glue job that runs it.

    Attributes:
        stack: The stack that was named; None where the bucket's tag names it.
    """

    folder: JobFolder
    job: GlueJob
    stack: str | None = None

    @property
    def storage(self) -> Storage:
        """The folder's objects."""
        return open_storage(self.folder.root)

    def attach_command(self, run_id: str, *, is_plan: bool) -> str:
        """What a person types to come back to a run."""
        named = ["--stack", self.stack] if self.stack else []
        return shlex.join(["recsync", "plan" if is_plan else "run", "--attach", run_id, *named, self.folder.root])


def find(folder: JobFolder, stack: str | None) -> Remote:
    """The Glue job that was deployed for a folder.

    Raises:
        UsageError: None is known.
        AwsError: AWS could not be asked.
    """
    return Remote(folder, GlueJob(glue_job(folder, stack)), stack)


def start(remote: Remote, asked: RunArguments, users: Sequence[str] = ()) -> str:
    """Start a run, and give Glue's id of it.

    Args:
        users: The only users that are told anything. Their ids go into the job folder; arguments can be read by
            whoever looks at the job.

    Raises:
        AwsError: Glue refused.
        StillRunningError: Broken off before it was known whether it started.
    """
    token = layout.new_run_id(datetime.now(UTC))
    asked = replace(asked, token=token, only_users=layout.only_users(token) if users else "")
    if users:
        remote.storage.put(asked.only_users, "".join(f"{user}\n" for user in users).encode(), if_absent=True)
    try:
        return remote.job.start(remote.folder, asked)
    except KeyboardInterrupt as error:
        text = f"interrupted while {remote.job.name} was asked to start; see whether it did: recsync runs"
        raise StillRunningError(f"{text} {remote.folder.root}", INTERRUPTED) from error


def result_of(remote: Remote, run_id: str, voice: Voice, *, is_plan: bool, clock: Clock | None = None) -> RunRecord:
    """Wait for a run's end, and give the record it left.

    Raises:
        UsageError: The run is another folder's, or was not started by recsync.
        GlueRunError: It left no record, or found nothing to run on.
        StillRunningError: Nobody waits any more; the run goes on.
    """
    back = remote.attach_command(run_id, is_plan=is_plan)
    try:
        run = remote.job.look(run_id)
        asked = asked_of(run, remote, is_plan=is_plan)
        run = follow(remote.job, run, voice, clock or time)
    except KeyboardInterrupt as error:
        raise StillRunningError(f"interrupted; run {run_id} goes on, come back to it: {back}", INTERRUPTED) from error
    except AwsError as error:
        raise StillRunningError(f"{error}; the run is not stopped by that, come back to it: {back}", 1) from error
    seconds = ((run.ended_at or run.started_at) - run.started_at).total_seconds()
    voice.stage(f"Glue: {run.state} after {seconds:.0f} s")
    record = started_with(remote.storage, asked.token, is_plan=is_plan, since=run.started_at, until=run.ended_at)
    if record is None:
        raise GlueRunError(_without_record(run, remote))
    if run.state != "SUCCEEDED" and not record.exit_code:
        voice.warn(f"Glue says {run.state} ({run.message}), and the run's record that all is done: it is")
    if record.message and not record.connectors:
        raise GlueRunError(record.message, record.exit_code)
    return record


def asked_of(run: GlueRun, remote: Remote, *, is_plan: bool) -> RunArguments:
    """How a run was asked for, once it is known that it is one to wait for.

    Raises:
        UsageError: It is another folder's, a plan where a run is meant or the other way round, or has no token.
    """
    if run.folder != remote.folder.root:
        raise UsageError(f"run {run.run_id} of {run.job} works on {run.folder or 'no job folder'}; name that one")
    asked = RunArguments.of_glue(run.arguments or {})
    if not asked.token:
        raise UsageError(
            f"run {run.run_id} of {run.job} was not started by recsync, so its record is not known by its token; "
            f"see: recsync runs {remote.folder.root}"
        )
    if asked.is_plan != is_plan:
        what = "a plan" if asked.is_plan else "no plan"
        command = remote.attach_command(run.run_id, is_plan=asked.is_plan)
        raise UsageError(f"run {run.run_id} of {run.job} is {what}; type: {command}")
    return asked


def follow(job: GlueJob, run: GlueRun, voice: Voice, clock: Clock) -> GlueRun:
    """Look again and again until a run has ended."""
    before_s = max(0.0, (datetime.now(UTC) - run.started_at).total_seconds()) - clock.monotonic()
    with voice.waiting() as tell:
        while not run.has_ended:
            tell(f"Glue: {run.state}", before_s + clock.monotonic())
            clock.sleep(_LOOK_EVERY_S)
            run = job.look(run.run_id)
    return run


def held_by(record: RunRecord, storage: Storage) -> list[Held]:
    """What of a run still waits for a yes."""
    waiting = [
        (one.manifest, newest_held(storage, one.connector)) for one in record.connectors if one.outcome == "held"
    ]
    return [held for manifest, held in waiting if held is not None and held.pointer.manifest == manifest]


def _without_record(run: GlueRun, remote: Remote) -> str:
    said = f": {run.message}" if run.message else ""
    return (
        f"run {run.run_id} of {run.job} ended {run.state}{said}; it left no record. "
        f"What was committed before says: recsync status {remote.folder.root}; {remote.job.logs(run.run_id)}"
    )
