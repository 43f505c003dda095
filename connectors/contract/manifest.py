"""RunManifest: what a run published. Pointer: what it committed.

The pointer is swapped first (the commit), the manifest written after it (the publish). A pointer whose
manifest is missing was committed and never told to anyone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue

from connectors.contract.wire import ConnectorName, RunId, VersionedModel, WireModel

Acknowledge = Literal["onDelivery", "onWrite"]


class PartFile(WireModel):
    """One object of a run: a part (gzipped SyncRecords) or a file of the snapshot (Parquet).

    Attributes:
        records: Lines or rows in it.
        size_bytes: Its size as stored.
        checksum: SHA-256 of the stored bytes, hexadecimal.
    """

    key: str
    records: int = Field(ge=0)
    size_bytes: int = Field(ge=0, alias="bytes")
    checksum: str


class RunManifest(VersionedModel):
    """What is the same for every record of a run, said once.

    Attributes:
        version: Counts up by one with each commit; of a trial that of the committed run, 0 before the first.
        options: The connector's settings of this run, as its options model dumps them.
        records_per_request: How many records the connector puts into one request.
        counts: The run's figures, by name.
        retired: Attributes we once wrote that an upsert no longer writes, the mark of the holdout among them.
        digest: An order-insensitive hash of all records.
    """

    mend: ClassVar[str] = "remove it: the next run sends again what it told"
    job: str
    run_id: RunId
    connector: ConnectorName
    version: int = Field(ge=0)
    previous_version: int | None = None
    acknowledge: Acknowledge
    options: dict[str, JsonValue]
    records_per_request: int = Field(ge=1)
    counts: dict[str, int]
    files: list[PartFile]
    retired: list[str] = Field(default_factory=list)
    digest: str
    created_at: datetime


class Pointer(VersionedModel):
    """The committed snapshot of one connector, and what it takes to compare with it.

    Attributes:
        manifest: The key of the manifest this commit publishes.
        previous: The key of the newest one that was published before; empty where none was.
        snapshot: The snapshot's files; together they hold one row a user.
        partitions: Into how many parts its users fall; the names of its files begin with the number of a part. 0 where
            they stand in no such order.
        items: The items as this run knew them, one hash a field; None where there are too many to keep.
        settings: A hash of every setting that shaped what was sent, hexadecimal.
        compare: How lists were compared, and `compare_first` how many of their items; None: all.
        item_types: Metadata field → the JSON types its values last had, a letter each.
        attributes: Every attribute we ever wrote, so that a clear can remove them all.
    """

    mend: ClassVar[str] = "repair it with: recsync run --full, which sends everyone once"
    version: int = Field(ge=1)
    run_id: RunId
    manifest: str
    previous: str = ""
    snapshot: list[PartFile]
    partitions: int = Field(default=0, ge=0)
    items: PartFile | None = None
    settings: str = ""
    compare: Literal["exact", "set", "topK"] = "exact"
    compare_first: int | None = None
    item_types: dict[str, str] = Field(default_factory=dict)
    attributes: list[str] = Field(default_factory=list)

    @property
    def rows(self) -> int:
        """Users the snapshot should hold."""
        return sum(file.records for file in self.snapshot)


# A message holds at most one request's records, so that a retry repeats no delivered neighbour; and of long ones as
# many as fit into this, which leaves room for a rest that is written otherwise. A larger record travels alone. Of such
# messages Lambda hands over fewer at once: as many as its payload of 6 MB holds.
# Source: AWS Lambda developer guide, "How Lambda processes records from stream and queue-based event sources",
# section "Batching behavior", read 2026-11-22.
MESSAGE_BYTES = 1_000_000


class Message(VersionedModel):
    """What enqueue sends to a connector's queue: some neighbouring lines of one part.

    Attributes:
        manifest: The manifest's full address.
        file: The part's key.
        first_line: The number of the first line in the part, from 0.
        last_line: The number of the last line, included.
        attempt: 1 at first; counts up when a message is sent back in parts.
        lines: The records themselves, as they stand in the part.
    """

    connector: ConnectorName
    manifest: str
    version: int = Field(ge=0)
    file: str
    first_line: int = Field(ge=0, alias="from")
    last_line: int = Field(ge=0, alias="to")
    attempt: int = Field(default=1, ge=1)
    lines: list[dict[str, Any]]
