"""RunRecord: what a run did and found, for people and machines. Names no user: see `aliases`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from connectors.contract import layout
from connectors.contract.documents import find_document
from connectors.contract.held import WIPE, GuardReading, InputObject
from connectors.contract.records import Item
from connectors.contract.storage import Storage
from connectors.contract.wire import ConnectorName, RunId, VersionedModel, WireModel

# trial: told to some users, and not committed.
Outcome = Literal["committed", "held", "stopped", "planned", "trial"]


class ItemCount(WireModel):
    """An item, and how many users it concerns. Of many items only the first ones are counted exactly."""

    item_id: str
    users: int


class Sample(WireModel):
    """What one user was told, or would be.

    Attributes:
        user: His alias.
        verdict: Why: new, changed, cleared and so on.
        before: The ids he was told last; None when he was never told.
        after: The items as his record holds them; None for a record without any.
        changed: The fields that differ; None when the whole record is sent, or nothing.
    """

    user: str
    verdict: str
    before: list[str] | None = None
    after: list[Item] | None = None
    changed: list[str] | None = None


class Estimate(WireModel):
    """What sending the records costs at the destination.

    Attributes:
        measured: Records it was worked out from; the rest is taken to be like them.
        minutes: At the destination's own rate limit; None where it names none.
        units: What the destination bills, by attribute; empty where it bills by nothing of the kind.
    """

    measured: int
    requests: int
    minutes: float | None = None
    units: dict[str, int] = Field(default_factory=dict)


class ConnectorRecord(WireModel):
    """A run's part for one connector.

    Attributes:
        version: The version committed, or that would be; None when it stopped before.
        tag: The pointer's tag when the run began.
        manifest: The key of what was published, or would be.
        reason: Why it stopped; empty when it did not.
        fields: Field → users of whose record it differs.
        items: The most recommended items.
        recommendations: Items in the lists of all users together; None where they were not counted.
        gained: Items that more users have than before, among those who are told something.
        lost: Items that fewer have.
        samples: Users who are told something, or would be; drawn by a hash, so that they are anybody.
        unchanged: Users who are told nothing.
    """

    connector: ConnectorName
    outcome: Outcome
    version: int | None = None
    tag: str | None = None
    manifest: str = ""
    reason: str = ""
    counts: dict[str, int] = Field(default_factory=dict)
    guards: list[GuardReading] = Field(default_factory=list)
    estimate: Estimate | None = None
    fields: dict[str, int] = Field(default_factory=dict)
    items: list[ItemCount] = Field(default_factory=list)
    recommendations: int | None = None
    gained: list[ItemCount] = Field(default_factory=list)
    lost: list[ItemCount] = Field(default_factory=list)
    samples: list[Sample] = Field(default_factory=list)
    unchanged: list[Sample] = Field(default_factory=list)


class Stage(WireModel):
    """Something a run did, and how long it took."""

    name: str
    seconds: float


class RunRecord(VersionedModel):
    """A run, whole.

    Attributes:
        token: What whoever started the run knows it by; empty where nobody asked to find it.
        exit_code: What the run ended with.
        reason: A code for why nothing could be run at all (``no_input``); empty otherwise.
        message: The same as a sentence.
        batch: The folder of batch inference that was read.
        inputs: Every object that was read.
    """

    mend: ClassVar[str] = "remove it: it only tells of that run"
    run_id: RunId
    job: str
    token: str = ""
    started_at: datetime
    finished_at: datetime
    exit_code: int
    reason: str = ""
    message: str = ""
    batch: str = ""
    is_full: bool = False
    inputs: list[InputObject] = Field(default_factory=list)
    connectors: list[ConnectorRecord] = Field(default_factory=list)
    stages: list[Stage] = Field(default_factory=list)

    @property
    def is_wipe(self) -> bool:
        """Whether it was to clear everyone. A wipe reads no batch."""
        return any(reading.name == WIPE for one in self.connectors for reading in one.guards)

    @property
    def published(self) -> list[ConnectorRecord]:
        """The connectors for which the run published something, be it that nobody is told anything."""
        return [one for one in self.connectors if one.outcome in ("committed", "trial")]

    def of(self, connector: str) -> ConnectorRecord | None:
        """A connector's part; None when it took none."""
        return next((one for one in self.connectors if one.connector == connector), None)


def write_record(storage: Storage, key: str, record: RunRecord) -> None:
    """Keep the record of a run, or of a plan."""
    storage.put(key, (record.model_dump_json(by_alias=True, indent=1) + "\n").encode())


def read_record(storage: Storage, key: str) -> RunRecord | None:
    """The record of a run, or of a plan; None when it is not there."""
    return find_document(storage, key, RunRecord)


def run_ids(storage: Storage, *, is_plan: bool = False) -> list[str]:
    """The runs that left a record, or the plans, newest first."""
    name = "plan.json" if is_plan else "run.json"
    keys = (entry.key.split("/") for entry in storage.list(layout.RUNS))
    return sorted((parts[1] for parts in keys if parts[2:] == [name] and layout.is_run_id(parts[1])), reverse=True)
