"""Facts: all that a page tells. Gathered by `filing`, put into words by the rooms beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from connectors.contract.run_record import ConnectorRecord, RunRecord
from connectors.contract.tally import Tally


@dataclass(frozen=True)
class Standing:
    """How a connector's part of a run stands by now, whatever it was when the run ended.

    Attributes:
        tally: What the receipts say; None while nothing of it is published.
        is_read_by_others: Whether someone else reads its files, so that no receipt is to come.
        waiting: The run whose commit waits for a yes, where that is what this part wrote; empty otherwise.
    """

    tally: Tally | None = None
    is_read_by_others: bool = False
    waiting: str = ""


@dataclass(frozen=True)
class Facts:
    """A run, and what surrounds it.

    Attributes:
        folder: The job folder's address.
        as_of: When the standings were read, aware.
        earlier: The records of the runs before, newest first.
        unreadable: How many records before could not be read.
        standings: By connector.
        approved: Runs that a guard held and whose commit was approved since, as (run id, connector).
    """

    record: RunRecord
    folder: str
    as_of: datetime
    earlier: Sequence[RunRecord] = ()
    unreadable: int = 0
    standings: Mapping[str, Standing] = field(default_factory=dict)
    approved: Set[tuple[str, str]] = frozenset()

    def standing(self, part: ConnectorRecord) -> Standing:
        """How a connector's part stands by now."""
        return self.standings.get(part.connector, Standing())


@dataclass(frozen=True)
class Room:
    """How much of everything a page shows.

    Attributes:
        users: Sampled users for each connector.
        items: Items of each.
        rows: Rows of a table.
        connectors: Connectors that are told in full.
    """

    users: int = 20
    items: int = 6
    rows: int = 40
    connectors: int = 12
