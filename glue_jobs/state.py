"""The committed snapshot: reading it, knowing what of it was acknowledged, committing the next one.

Plain Python over Storage. Spark reads the rows elsewhere (`snapshot`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from connectors.contract import layout
from connectors.contract import storage as stores
from connectors.contract.documents import DamagedError, find_document, read_tagged
from connectors.contract.gzipped import unpacking
from connectors.contract.manifest import PartFile, Pointer, RunManifest
from connectors.contract.receipts import Fate, Ledger, read_ledger
from connectors.contract.records import user_of
from connectors.contract.storage import NotFoundError, Storage, at_once
from connectors.contract.wire import NewerFormatError
from glue_jobs.errors import ConflictError, StateError
from glue_jobs.tables import ITEMS_ARROW, USER_ARROW, read_table


@dataclass(frozen=True)
class Committed:
    """What a connector's pointer said when the run began.

    Attributes:
        pointer: None before the first commit.
        tag: What to swap it by; None before the first commit.
        lost_version: The committed version, where the rest of the state cannot be read.
    """

    pointer: Pointer | None = None
    tag: str | None = None
    lost_version: int = 0

    @property
    def version(self) -> int:
        """The committed version; 0 before the first."""
        return self.pointer.version if self.pointer else self.lost_version


@dataclass(frozen=True)
class Unacknowledged:
    """Whose update of one version the destination never confirmed.

    Attributes:
        version: The version that sent them; rows sent in an older one were settled by its successors.
        everyone: Whether nobody was confirmed.
        users: Who was not, unless it is everyone.
        rejected: Those of them whom the destination refused.
    """

    version: int = 0
    everyone: bool = False
    users: frozenset[str] = field(default_factory=frozenset)
    rejected: frozenset[str] = field(default_factory=frozenset)

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
        return Committed(*read_tagged(storage, key, Pointer))
    except NotFoundError:
        return Committed()
    except NewerFormatError as error:
        raise StateError(f"{storage.root}/{key}: {error}; run it with the newer release") from error
    except DamagedError as error:
        raise StateError(str(error)) from error


def recover(storage: Storage, connector: str) -> tuple[Committed, str]:
    """What `run --full` starts from: as much of the committed state as can be read.

    Returns:
        The state, and what of it is lost, in a sentence; empty when nothing is.

    Raises:
        StateError: It was written by a newer release.
    """
    try:
        committed = read_pointer(storage, connector)
    except StateError as error:
        if isinstance(error.__cause__, NewerFormatError):
            raise
        tag = storage.get(layout.pointer(connector)).tag
        return Committed(tag=tag, lost_version=_newest_version(storage, connector)), str(error)
    if committed.pointer is None:
        return committed, ""
    files = committed.pointer.snapshot
    wrong = list(at_once(functools.partial(_wrong_with, storage), files))
    whole = [file for file, lost in zip(files, wrong, strict=True) if not lost]
    pointer = committed.pointer.model_copy(update={"snapshot": whole, "items": None})
    return Committed(pointer, committed.tag), next(filter(None, wrong), "")


def _wrong_with(storage: Storage, file: PartFile) -> str:
    """Why a file of the snapshot cannot be read; empty where it can."""
    try:
        read_table(storage, file, USER_ARROW)
    except StateError as error:
        return str(error)
    return ""


def _newest_version(storage: Storage, connector: str) -> int:
    """The highest version that left a snapshot folder, so that versions go on counting up."""
    versions = (name.partition("-")[0] for name in storage.folders(layout.state_folder(connector)))
    return max((int(version) for version in versions if version.isdecimal()), default=0)


def read_known_items(storage: Storage, committed: Committed) -> dict[str, bytes] | None:
    """The items as the committed run knew them: id → one hash a field. None when it kept none.

    Raises:
        StateError: The table is missing or damaged.
    """
    file = committed.pointer.items if committed.pointer else None
    if file is None:
        return None
    table = read_table(storage, file, ITEMS_ARROW)
    return dict(zip(table["itemId"].to_pylist(), table["hashes"].to_pylist(), strict=True))


def read_manifest(storage: Storage, key: str) -> RunManifest | None:
    """A run's manifest; None when the run was never published.

    Raises:
        StateError: It is damaged.
    """
    try:
        return find_document(storage, key, RunManifest)
    except DamagedError as error:
        raise StateError(str(error)) from error


def newest_published(storage: Storage, committed: Committed) -> str:
    """The key of the newest published manifest; empty when nothing was published yet."""
    if committed.pointer is None:
        return ""
    was_published = read_manifest(storage, committed.pointer.manifest) is not None
    return committed.pointer.manifest if was_published else committed.pointer.previous


def unacknowledged(storage: Storage, committed: Committed) -> Unacknowledged:
    """Who of the committed version was not confirmed by a receipt.

    A commit whose manifest is missing was never told to anyone; one whose files someone else reads was told to all.
    Its own word counts, not today's: what it was to deliver is still owed when deliveries pass into other hands.
    Whom the destination refused, receipts name; for all others their parts are opened, to learn whose lines they are.
    """
    if committed.pointer is None:
        return Unacknowledged()
    manifest = read_manifest(storage, committed.pointer.manifest)
    if manifest is None:
        return Unacknowledged(committed.version, everyone=True)
    if manifest.acknowledge == "onWrite":
        return Unacknowledged(committed.version)
    ledger = read_ledger(storage, manifest)
    counts = ledger.counts()
    if not counts[Fate.DELIVERED] and not counts[Fate.REJECTED]:
        return Unacknowledged(committed.version, everyone=True)
    found = at_once(lambda file: list(_unconfirmed(storage, file, ledger)), manifest.files)
    users = dict(chain.from_iterable(found))
    rejected = frozenset(user for user, fate in users.items() if fate == Fate.REJECTED)
    return Unacknowledged(committed.version, users=frozenset(users), rejected=rejected)


def _unconfirmed(storage: Storage, file: PartFile, ledger: Ledger) -> Iterator[tuple[str, int]]:
    if ledger.names_everyone(file.key):
        yield from ((user_id, Fate.REJECTED) for user_id in ledger.refused_users(file.key))
        return
    try:
        with storage.open(file.key) as raw, unpacking(raw) as lines:
            for fate, line in zip(ledger.fates[file.key], lines, strict=True):
                if fate != Fate.DELIVERED:
                    yield user_of(line), fate
    except (NotFoundError, ValueError) as error:
        raise StateError(
            f"{storage.root}/{file.key} cannot be read, and not all of it was delivered; {Pointer.mend}"
        ) from error


def commit(storage: Storage, connector: str, committed: Committed, pointer: Pointer) -> None:
    """Swap the pointer. **This is the commit**; until then nothing of the run is visible.

    Raises:
        ConflictError: Another run committed since `committed` was read.
    """
    key, data, tag = layout.pointer(connector), pointer.to_json().encode(), committed.tag
    try:
        storage.put(key, data, if_absent=tag is None, if_match=tag)
    except stores.ConflictError as error:
        raise ConflictError(
            f"another run of {storage.root} committed for {connector} while this one ran; "
            "nothing of this run will be delivered: run again"
        ) from error


def publish(storage: Storage, key: str, manifest: RunManifest) -> None:
    """Write the manifest, once. **This is the publish**: delivery starts from it."""
    storage.put(key, manifest.to_json().encode(), if_absent=True)
