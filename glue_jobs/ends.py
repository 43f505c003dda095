"""How a run ended: for each connector by itself, and in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.contract.held import Held
from connectors.contract.run_record import ConnectorRecord, RunRecord
from glue_jobs.errors import SyncError


@dataclass(frozen=True)
class End:
    """How it ended for one connector.

    Attributes:
        record: What is kept of it.
        held: The commit that waits for a yes, where one does.
        stopped: Why nothing of it is visible, where nothing is.
    """

    record: ConnectorRecord
    held: Held | None = None
    stopped: SyncError | None = None


@dataclass(frozen=True)
class RunResult:
    """What a run did: each connector commits, waits or stops for itself.

    Attributes:
        record: The same as it is kept.
        held: One for each connector whose commit waits for a yes.
        stopped: Connector → why nothing of it is visible.
    """

    record: RunRecord
    held: Sequence[Held] = ()
    stopped: Mapping[str, SyncError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when all committed, else that of the gravest end."""
        return self.record.exit_code


def stopped_of(ends: Sequence[End]) -> dict[str, SyncError]:
    """Connector → why nothing of it is visible."""
    return {end.record.connector: end.stopped for end in ends if end.stopped}


def result_of(record: RunRecord, ends: Sequence[End]) -> RunResult:
    """What a run did, by its record and the ends of its connectors."""
    return RunResult(record, [end.held for end in ends if end.held], stopped_of(ends))
