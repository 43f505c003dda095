"""What a run did → its record. Pure, but for the clock that tells how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from connectors import registry
from connectors.contract.held import GuardReading, Held
from connectors.contract.layout import JobFolder
from connectors.contract.run_record import ConnectorRecord, Outcome, RunRecord, Stage
from glue_jobs.errors import HELD, NoInputError, SyncError, gravest
from glue_jobs.estimate import estimate
from glue_jobs.proposal import JobRun, Proposal
from glue_jobs.story import Story, counted


class Stages:
    """Passes on what a run says, and knows how long each of its stages took."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report, self._began_s = report, time.monotonic()
        self._said: list[tuple[str, float]] = []

    def __call__(self, text: str) -> None:
        """A stage begins; a warning is none."""
        if not text.startswith("warning: "):
            self._said.append((text, time.monotonic()))
        self._report(text)

    def taken(self) -> list[Stage]:
        """Each stage so far, with its seconds."""
        ends = [at_s for _, at_s in [*self._said, ("", time.monotonic())]][1:]
        return [
            Stage(name=name, seconds=round(end - at_s, 2)) for (name, at_s), end in zip(self._said, ends, strict=True)
        ]

    def seconds(self) -> float:
        """How long all of it took so far."""
        return time.monotonic() - self._began_s


def connector_record(
    run: JobRun, proposal: Proposal, story: Story, readings: list[GuardReading], outcome: Outcome
) -> ConnectorRecord:
    """What was done, or would be, for one connector."""
    manifest = proposal.manifest
    connector, options = registry.connector_class(proposal.connector), run.config.connectors[proposal.connector]
    sent = manifest.counts["records"]
    return ConnectorRecord(
        connector=proposal.connector,
        outcome=outcome,
        version=manifest.version,
        tag=proposal.committed.tag,
        manifest=proposal.pointer.manifest,
        counts=manifest.counts,
        guards=readings,
        estimate=estimate(connector, options, story.records, sent, manifest.retired),
        fields=dict(story.fields),
        items=counted(story.items),
        recommendations=story.recommendations,
        gained=counted(story.gained),
        lost=counted(story.lost),
        samples=story.samples(),
        unchanged=story.unchanged_samples(),
    )


def of_waiting(held: Held) -> ConnectorRecord:
    """The part of a connector for which nothing was done, because an earlier run waits for a yes."""
    manifest = held.manifest
    reason = f"run {held.run_id} waits for a yes, and nothing has changed since"
    return ConnectorRecord(
        connector=held.connector,
        outcome="held",
        version=manifest.version,
        tag=held.tag,
        manifest=held.pointer.manifest,
        counts=manifest.counts,
        guards=held.guards,
        reason=reason,
    )


def of_stopped(connector: str, error: SyncError) -> ConnectorRecord:
    """The part of a connector for which nothing is visible."""
    return ConnectorRecord(connector=connector, outcome="stopped", reason=str(error))


def run_record(
    run: JobRun,
    connectors: Sequence[ConnectorRecord],
    stopped: Mapping[str, SyncError],
    stages: Stages,
    **found: object,
) -> RunRecord:
    """The record of a run."""
    held = [HELD for one in connectors if one.outcome == "held"]
    return _record(
        run.folder,
        run.run_id,
        run.now,
        stages,
        exit_code=gravest([*(error.exit_code for error in stopped.values()), *held]),
        reason=next((_code(error) for error in stopped.values() if _code(error)), ""),
        is_full=run.is_full,
        connectors=list(connectors),
        **found,
    )


def of_nothing(
    folder: JobFolder, run_id: str, now: datetime, stages: Stages, error: SyncError, token: str
) -> RunRecord:
    """The record of a run that found nothing to run on."""
    how = {"exit_code": error.exit_code, "reason": _code(error), "message": str(error), "token": token}
    return _record(folder, run_id, now, stages, **how)


def _record(folder: JobFolder, run_id: str, now: datetime, stages: Stages, **found: object) -> RunRecord:
    return RunRecord.model_validate(
        {
            "run_id": run_id,
            "job": folder.job,
            "started_at": now,
            "finished_at": now + timedelta(seconds=stages.seconds()),
            "stages": stages.taken(),
            **found,
        }
    )


def _code(error: SyncError) -> str:
    return "no_input" if isinstance(error, NoInputError) else ""
