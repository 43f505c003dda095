"""The objects of one folder, on S3 or on a local disk: get, list, conditional put, delete.

Both halves (`s3_storage`, `local_storage`) offer the same compare-and-swap: `put` with `if_absent` writes once, `put`
with `if_match` replaces only what was read. A tag (S3: the ETag) stands for one content of one key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, TypeVar

from connectors.contract.layout import LayoutError, check_key

# Calls on their way at once: S3 takes tens of milliseconds for each, however small what it gives.
AT_ONCE = 16
# Of which so many are asked for ahead of whoever takes what they give.
_AHEAD = 1_000
Thing = TypeVar("Thing")
Made = TypeVar("Made")


class StorageError(Exception):
    """The folder could not be read or written."""


class NotFoundError(StorageError):
    """There is no object at this key."""


class ConflictError(StorageError):
    """The condition of a put did not hold: someone else was faster."""


@dataclass(frozen=True)
class Blob:
    """An object's content, and the tag to swap it by."""

    data: bytes
    tag: str


@dataclass(frozen=True)
class Entry:
    """One object of a listing.

    Attributes:
        mark: Differs when the object does. Not the tag of a Blob.
        modified_at: When it was written, aware.
    """

    key: str
    size_bytes: int
    mark: str
    modified_at: datetime


class Storage(Protocol):
    """The objects below one folder. Keys are relative to it; those that leave it are refused."""

    @property
    def root(self) -> str:
        """The folder's address, without a trailing slash."""

    def uri(self, key: str) -> str:
        """The key's address, with its scheme."""

    def get(self, key: str) -> Blob:
        """The object, whole. Raises NotFoundError."""

    def open(self, key: str) -> BinaryIO:
        """The object as a stream of bytes. Raises NotFoundError."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """The objects whose key starts with the folder `prefix` (ending in "/", or empty), by key."""

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The names of the folders right below the folder `prefix`, in order; what lies in them is not listed."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write the object and give its tag. Raises ConflictError when the condition does not hold."""

    def delete(self, key: str) -> None:
        """Remove the object; one that is gone already is no error."""


# A folder's address → its storage: `open_storage`, or what stands for it.
OpenFolder: TypeAlias = Callable[[str], Storage]


def open_storage(address: str) -> Storage:
    """The storage of a folder: ``s3://bucket/prefix`` or a local path."""
    from connectors.contract.local_storage import LocalStorage
    from connectors.contract.s3_storage import S3Storage

    if address.startswith("s3://"):
        bucket, _, prefix = address[5:].rstrip("/").partition("/")
        return S3Storage(bucket, prefix)
    return LocalStorage(Path(address).expanduser().absolute())


def at_once(work: Callable[[Thing], Made], things: Iterable[Thing]) -> Iterator[Made]:
    """What some work on a storage makes of many things, in their order, several at a time.

    Up to a thousand results wait for whoever takes them: work should give small ones.
    """
    waiting = iter(things)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while some := list(islice(waiting, _AHEAD)):
            yield from pool.map(work, some)


def is_hidden(key: str) -> bool:
    """Whether a name on the key's way begins with a dot: such objects are the storage's own."""
    return any(part.startswith(".") for part in key.split("/"))


def is_hidden_input(below: str) -> bool:
    """Whether a file does not count as input: a name on its way below the input's folder begins with "_" or a dot.

    So Spark and Hadoop name markers, and what an export that crashed has left.
    """
    return any(part.startswith(("_", ".")) for part in below.split("/"))


def check_prefix(prefix: str) -> str:
    """The prefix.

    Raises:
        LayoutError: It does not end in "/", or leaves the folder.
    """
    if not prefix.endswith("/"):
        raise LayoutError(f"prefix {prefix!r} should end in '/', or it also reads its neighbours")
    check_key(prefix.removesuffix("/"))
    return prefix
