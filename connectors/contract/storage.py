"""The objects of one folder, on S3 or on a local disk: get, list, conditional put and delete.

Both halves offer the same compare-and-swap: `put` with `if_absent` writes once, `put` with `if_match`
replaces only what was read. A tag (S3: the ETag) stands for one content of one key.
boto3 is imported inside the S3 half, the one exception to "connectors know nothing of AWS".
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import io
import os
import random
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from connectors.contract.layout import LayoutError, check_key
from connectors.contract.mending import fix_of

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# How often a call is made that AWS cannot answer now: about 8 s of waits, 15 at the most.
TRIES = 5
_CONFLICT_TRIES = 5
_NO_BUCKET = "NoSuchBucket"


class StorageError(Exception):
    """The folder could not be read or written."""


class NotFoundError(StorageError):
    """There is no object at this key."""


class ConflictError(StorageError):
    """The condition of a put or delete did not hold: someone else was faster."""


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
        """The key's address as Spark reads it."""

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

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Remove the object; one who is gone already is no error. Raises ConflictError."""


def open_storage(address: str) -> Storage:
    """The storage of a folder: ``s3://bucket/prefix`` or a local path."""
    if address.startswith("s3://"):
        bucket, _, prefix = address[5:].rstrip("/").partition("/")
        return S3Storage(bucket, prefix)
    return LocalStorage(Path(address).expanduser().absolute())


@dataclass(frozen=True)
class LocalStorage:
    """A folder on a local disk. Names starting with "." are its own (temporary files, locks), never listed."""

    folder: Path

    @property
    def root(self) -> str:
        """See Storage."""
        return str(self.folder)

    def uri(self, key: str) -> str:
        """See Storage."""
        return f"file://{self._path(key)}"

    def get(self, key: str) -> Blob:
        """See Storage."""
        with self.open(key) as stream, _on_disk("read", self.folder / key):
            data = stream.read()
        return Blob(data, _checksum(data))

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        with _on_disk("read", self.folder / key):
            try:
                return self._path(key).open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise NotFoundError(f"{self.root}/{key} is not there") from error

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See Storage."""
        top = self._path(_check_prefix(prefix).rstrip("/")) if prefix else self.folder
        with _on_disk("listed", top):
            paths = [Path(folder, name) for folder, _, names in os.walk(top, onerror=_refuse) for name in names]
            found = sorted((path.relative_to(self.folder).as_posix(), path) for path in paths)
            entries = [_entry(key, path) for key, path in found if not _is_hidden(key)]
        yield from filter(None, entries)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See Storage. A folder with nothing in it does not count, as on S3."""
        top = self._path(_check_prefix(prefix).rstrip("/")) if prefix else self.folder
        for path in sorted(top.iterdir()) if top.is_dir() else ():
            if path.is_dir() and not _is_hidden(path.name) and next(self.list(f"{prefix}{path.name}/"), None):
                yield path.name

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """See Storage. First writes use a hard link, swaps a lock beside the file: both are atomic."""
        path = self._path(key)
        with _on_disk("written", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path, data) as temporary:
                if if_absent:
                    self._link(temporary, path)
                else:
                    with self._locked(path, if_match):
                        temporary.replace(path)
        return _checksum(data)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """See Storage."""
        path = self._path(key)
        if path.parent.is_dir():
            with _on_disk("removed", path), self._locked(path, if_match):
                path.unlink(missing_ok=True)
        elif if_match is not None:
            raise ConflictError(f"{path} is not what was read")

    def _path(self, key: str) -> Path:
        path = self.folder / check_key(key)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise LayoutError(f"key {key!r} is a link that leads out of {self.folder}")
        return path

    def _link(self, temporary: Path, path: Path) -> None:
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise ConflictError(f"{path} is there already") from error

    @contextmanager
    def _locked(self, path: Path, if_match: str | None) -> Iterator[None]:
        """Hold the file's lock while the condition is checked and the change is made."""
        if if_match is None:
            yield
            return
        with (path.parent / f".{path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.is_file() or _checksum(path.read_bytes()) != if_match:
                raise ConflictError(f"{path} is not what was read")
            yield


@contextmanager
def _on_disk(action: str, path: Path) -> Iterator[None]:
    """Tell what went wrong on the disk in the words of this room, with the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be {action}: {error.strerror or error}") from error


def _entry(key: str, path: Path) -> Entry | None:
    """A file of a listing; None for what is no file, or went away meanwhile."""
    with suppress(FileNotFoundError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            mark = f"{found.st_mtime_ns}-{found.st_size}"
            return Entry(key, found.st_size, mark, datetime.fromtimestamp(found.st_mtime, UTC))
    return None


def _refuse(error: OSError) -> None:
    """A folder that cannot be read is not an empty one; one that went away meanwhile is."""
    if not isinstance(error, FileNotFoundError):
        raise error


@dataclass(frozen=True)
class S3Storage:
    """The objects below one prefix of an S3 bucket."""

    bucket: str
    prefix: str

    @property
    def root(self) -> str:
        """See Storage."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def uri(self, key: str) -> str:
        """See Storage."""
        return f"s3://{self.bucket}/{self._key(key)}"

    def get(self, key: str) -> Blob:
        """See Storage."""
        answer = self._call("get_object", key)
        with _named("get_object", self.uri(key)):
            return Blob(answer["Body"].read(), answer["ETag"])

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        body = self._call("get_object", key)["Body"]
        return io.BufferedReader(_BodyStream(body, self.uri(key)), buffer_size=1 << 20)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See Storage."""
        below = f"{self.prefix}/" if self.prefix else ""
        prefix = below + (_check_prefix(prefix) if prefix else "")
        with _named("list_objects_v2", f"s3://{self.bucket}/{prefix}"):
            pages = _s3().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    key = item["Key"].removeprefix(below)
                    if key and not key.endswith("/") and not _is_hidden(key):
                        yield Entry(key, item["Size"], item["ETag"], item["LastModified"])

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        below = (f"{self.prefix}/" if self.prefix else "") + (_check_prefix(prefix) if prefix else "")
        with _named("list_objects_v2", f"s3://{self.bucket}/{below}"):
            pages = _s3().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=below, Delimiter="/"):
                names = (item["Prefix"].removeprefix(below).rstrip("/") for item in page.get("CommonPrefixes", ()))
                yield from (name for name in names if name and not _is_hidden(name))

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """See Storage. A put whose answer was lost is repeated, and the repeat then meets what the first one wrote."""
        condition = {"IfNoneMatch": "*"} if if_absent else _matching(if_match)
        try:
            return str(self._call("put_object", key, Body=data, **_type_of(key), **condition)["ETag"])
        except ConflictError as error:
            found = self.get(key) if _was_repeated(error.__cause__) else None
            if found is None or found.data != data:
                raise
            return found.tag

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """See Storage."""
        self._call("delete_object", key, **_matching(if_match))

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{check_key(key)}" if self.prefix else check_key(key)

    def _call(self, operation: str, key: str, **arguments: Any) -> Any:
        """One call, repeated while S3 answers 409: a race that the next try decides.

        Source: Amazon S3 User Guide, "Add preconditions to S3 operations with conditional requests".
        """
        from botocore.exceptions import ClientError

        with _named(operation, self.uri(key), is_swap="IfMatch" in arguments):
            call: Callable[..., Any] = getattr(_s3(), operation)
            for attempt in range(_CONFLICT_TRIES):
                try:
                    return call(Bucket=self.bucket, Key=self._key(key), **arguments)
                except ClientError as error:
                    if _status(error) != 409 or attempt == _CONFLICT_TRIES - 1:
                        raise
                    time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")


def check_client() -> None:
    """Refuse an S3 client that would not know how to swap an object: without that there is no commit.

    Raises:
        StorageError: boto3 is too old.
    """
    import boto3

    model = _s3().meta.service_model
    known = model.operation_model("PutObject").input_shape.members
    if not {"IfMatch", "IfNoneMatch"} <= known.keys():
        raise StorageError(
            f"boto3 {boto3.__version__} cannot write on a condition; use 1.36 or newer "
            "(on Glue: the wheels named by --additional-python-modules)"
        )


@contextmanager
def _named(operation: str, address: str, *, is_swap: bool = False) -> Iterator[None]:
    """Tell what went wrong on S3 in the words of this room, with the operation and the address."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _in_our_words(error, operation, address, is_swap=is_swap) from error
    except BotoCoreError as error:
        raise StorageError(f"{operation} of {address} failed: {error}{_fix(error, operation)}") from error


def _in_our_words(error: ClientError, operation: str, address: str, *, is_swap: bool) -> StorageError:
    """What is gone matches no tag: S3 answers 404 to a swap of it, where 412 would say the same."""
    status = _status(error)
    code = error.response.get("Error", {}).get("Code", status)
    if status in (409, 412) or (status == 404 and is_swap and code != _NO_BUCKET):
        return ConflictError(f"{address} is not what was read")
    if status == 404 and code != _NO_BUCKET:
        return NotFoundError(f"{address} is not there")
    return StorageError(f"S3 answered {code} to {operation} of {address}{_fix(error, operation)}")


_ACTIONS = {
    "get_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
}


def _fix(error: Exception, operation: str) -> str:
    """What mends an error that no repeat mends."""
    fix = fix_of(error, _ACTIONS[operation])
    return f"; {fix}" if fix else ""


def _was_repeated(error: BaseException | None) -> bool:
    """Whether an answer is that of a repeat: the first one may have been carried out."""
    response = getattr(error, "response", {})
    return int(response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0


class _BodyStream(io.RawIOBase):
    """A boto3 response body as a raw stream, so that gzip can read it piece by piece."""

    def __init__(self, body: Any, address: str) -> None:
        self._body = body
        self._address = address

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _named("get_object", self._address):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Give the connection back, also when the body was not read to its end."""
        self._body.close()
        super().close()


@functools.cache
def _s3() -> Any:
    """One client a process: building one costs more than most calls.

    What S3 cannot answer now (503, 500, a cut connection) is tried again after backoff with full jitter.
    Source: AWS SDKs reference guide, "Retry behavior", mode standard, read 2026-11-22.
    """
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": TRIES}))


def _type_of(key: str) -> dict[str, str]:
    """A page is shown by a browser only under its type; nothing else is looked at."""
    return {"ContentType": "text/html; charset=utf-8"} if key.endswith(".html") else {}


def _matching(tag: str | None) -> dict[str, str]:
    """The condition of a swap. An empty tag would be no condition at all; a quoted one matches nothing."""
    return {} if tag is None else {"IfMatch": tag or '""'}


def _is_hidden(key: str) -> bool:
    return any(part.startswith(".") for part in key.split("/"))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _check_prefix(prefix: str) -> str:
    if not prefix.endswith("/"):
        raise LayoutError(f"prefix {prefix!r} should end in '/', or it also reads its neighbours")
    check_key(prefix.removesuffix("/"))
    return prefix


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """A file beside `path` holding the data, on disk before it gets its name; gone afterwards.

    It is opened like any file, so that it may be read by those whom the umask lets.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
