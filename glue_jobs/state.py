"""The committed snapshot: reading it, knowing what of it was acknowledged, committing the next one.

Committing and the baseline rule are plain Python over Storage; Spark only reads the rows.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from connectors.contract import layout
from connectors.contract import storage as stores
from connectors.contract.manifest import PartFile, Pointer, RunManifest
from connectors.contract.receipts import Fate, Ledger, read_ledger
from connectors.contract.storage import NotFoundError, Storage
from connectors.contract.wire import NewerFormatError
from glue_jobs.errors import ConflictError, StateError
from glue_jobs.schemas import USER


@dataclass(frozen=True)
class Committed:
    """What a connector's pointer said when the run began.

    Attributes:
        pointer: None before the first commit.
        tag: What to swap it by; None before the first commit.
    """

    pointer: Pointer | None = None
    tag: str | None = None

    @property
    def version(self) -> int:
        """The committed version; 0 before the first."""
        return self.pointer.version if self.pointer else 0


@dataclass(frozen=True)
class Unacknowledged:
    """Whose update of one version the destination never confirmed.

    Attributes:
        version: The version that sent them; rows sent in an older one were settled by its successors.
        everyone: Whether nobody was confirmed.
        users: Who was not, unless it is everyone.
    """

    version: int = 0
    everyone: bool = False
    users: frozenset[str] = field(default_factory=frozenset)

    def holds(self, user_id: str, sent_in: int) -> bool:
        """Whether what this user was sent last was never confirmed."""
        return sent_in == self.version and (self.everyone or user_id in self.users)


def read_pointer(storage: Storage, connector: str) -> Committed:
    """The pointer as it stands now.

    Raises:
        StateError: It is damaged, or written by a newer release.
    """
    key = layout.pointer(connector)
    try:
        blob = storage.get(key)
    except NotFoundError:
        return Committed()
    try:
        return Committed(Pointer.model_validate_json(blob.data), blob.tag)
    except (ValidationError, NewerFormatError) as error:
        raise StateError(f"{storage.root}/{key} cannot be read: {error}") from error


def read_snapshot(spark: SparkSession, storage: Storage, committed: Committed) -> DataFrame:
    """The users of the committed snapshot (USER); none before the first commit."""
    if committed.pointer is None or not committed.pointer.rows:
        return spark.createDataFrame([], USER)
    uris = [storage.uri(file.key) for file in committed.pointer.snapshot]
    return spark.read.schema(USER).parquet(*uris)


def read_manifest(storage: Storage, key: str) -> RunManifest | None:
    """A run's manifest; None when the run was never published."""
    try:
        return RunManifest.model_validate_json(storage.get(key).data)
    except NotFoundError:
        return None


def unacknowledged(storage: Storage, committed: Committed) -> Unacknowledged:
    """Who of the committed version was not confirmed by a receipt.

    A commit whose manifest is missing was never told to anyone. Parts are opened only where some of their
    lines are open, to learn whose they are.
    """
    if committed.pointer is None:
        return Unacknowledged()
    manifest = read_manifest(storage, committed.pointer.manifest)
    if manifest is None:
        return Unacknowledged(committed.version, everyone=True)
    ledger = read_ledger(storage, manifest)
    if not ledger.counts()[Fate.DELIVERED]:
        return Unacknowledged(committed.version, everyone=True)
    users = (user for file in manifest.files for user in _unconfirmed(storage, file, ledger))
    return Unacknowledged(committed.version, users=frozenset(users))


def _unconfirmed(storage: Storage, file: PartFile, ledger: Ledger) -> Iterator[str]:
    if ledger.is_acknowledged(file.key):
        return
    with storage.open(file.key) as raw, gzip.open(raw, "rb") as lines:
        for fate, line in zip(ledger.fates[file.key], lines, strict=True):
            if fate != Fate.DELIVERED:
                yield json.loads(line)["userId"]


def commit(storage: Storage, connector: str, committed: Committed, pointer: Pointer) -> None:
    """Swap the pointer. **This is the commit**; until then nothing of the run is visible.

    Raises:
        ConflictError: Another run committed since `committed` was read.
    """
    data = pointer.to_json().encode()
    try:
        if committed.tag is None:
            storage.put(layout.pointer(connector), data, if_absent=True)
        else:
            storage.put(layout.pointer(connector), data, if_match=committed.tag)
    except stores.ConflictError as error:
        raise ConflictError(
            f"another run of {storage.root} committed for {connector} while this one ran; "
            "nothing of this run will be delivered: run again"
        ) from error


def publish(storage: Storage, key: str, manifest: RunManifest) -> None:
    """Write the manifest, once. **This is the publish**: delivery starts from it."""
    storage.put(key, manifest.to_json().encode(), if_absent=True)
