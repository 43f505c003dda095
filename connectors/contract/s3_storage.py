"""The objects below one prefix of an S3 bucket: see `storage`.

boto3 is imported inside, the one exception to "connectors know nothing of AWS".
"""

from __future__ import annotations

import functools
import io
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from connectors.contract.layout import check_key
from connectors.contract.mending import fix_of
from connectors.contract.storage import (
    AT_ONCE,
    Blob,
    ConflictError,
    Entry,
    NotFoundError,
    StorageError,
    check_prefix,
    is_hidden,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# How often a call is made that AWS cannot answer now: about 8 s of waits, 15 at the most.
TRIES = 5
_CONFLICT_TRIES = 5
_NO_BUCKET = "NoSuchBucket"
_PIECE_BYTES = 1 << 20


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
        with self._body(key) as body:
            return Blob(b"".join(iter(functools.partial(body.read, _PIECE_BYTES), b"")), body.tag)

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        return io.BufferedReader(self._body(key), buffer_size=_PIECE_BYTES)

    def _body(self, key: str) -> _BodyStream:
        get = functools.partial(self._call, "get_object", key)
        return _BodyStream(get, get(), self.uri(key))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See Storage."""
        below = f"{self.prefix}/" if self.prefix else ""
        prefix = below + (check_prefix(prefix) if prefix else "")
        with _named("list_objects_v2", f"s3://{self.bucket}/{prefix}"):
            pages = _s3().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    key = item["Key"].removeprefix(below)
                    if key and not key.endswith("/") and not is_hidden(key):
                        yield Entry(key, item["Size"], item["ETag"], item["LastModified"])

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        below = (f"{self.prefix}/" if self.prefix else "") + (check_prefix(prefix) if prefix else "")
        with _named("list_objects_v2", f"s3://{self.bucket}/{below}"):
            pages = _s3().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=below, Delimiter="/"):
                names = (item["Prefix"].removeprefix(below).rstrip("/") for item in page.get("CommonPrefixes", ()))
                yield from (name for name in names if name and not is_hidden(name))

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

    def delete(self, key: str) -> None:
        """See Storage."""
        self._call("delete_object", key)

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
                    _wait_after(attempt)
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
    """An object's body as a raw stream, so that gzip can read it piece by piece.

    One that breaks goes on where it broke, as long as the object is the same.

    Attributes:
        tag: What the object can be swapped by.
    """

    def __init__(self, get: Callable[..., Any], answer: Mapping[str, Any], address: str) -> None:
        self._get, self._address, self._at = get, address, 0
        self._body, self.tag = answer["Body"], str(answer["ETag"])

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        self._at += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        for attempt in range(TRIES - 1):
            try:
                return self._read_once(size)
            except StorageError:
                _wait_after(attempt)
                self._resume()
        return self._read_once(size)

    def _read_once(self, size: int) -> bytes:
        with _named("get_object", self._address):
            data: bytes = self._body.read(size)
            return data

    def _resume(self) -> None:
        """Ask for the rest. Raises ConflictError when it is the rest of something else by now."""
        self._body.close()
        self._body = self._get(Range=f"bytes={self._at}-", IfMatch=self.tag)["Body"]

    def close(self) -> None:
        """Give the connection back, also when the body was not read to its end."""
        self._body.close()
        super().close()


def _wait_after(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter, not a secret


@functools.cache
def _s3() -> Any:
    """One client a process: building one costs more than most calls.

    What S3 cannot answer now (503, 500, a cut connection) is tried again after backoff with full jitter.
    Source: AWS SDKs reference guide, "Retry behavior", mode standard, read 2026-11-22.
    """
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": TRIES}
    return boto3.client("s3", config=Config(retries=retries, max_pool_connections=AT_ONCE))


def _type_of(key: str) -> dict[str, str]:
    """A page is shown by a browser only under its type; nothing else is looked at."""
    return {"ContentType": "text/html; charset=utf-8"} if key.endswith(".html") else {}


def _matching(tag: str | None) -> dict[str, str]:
    """The condition of a swap. An empty tag would be no condition at all; a quoted one matches nothing."""
    return {} if tag is None else {"IfMatch": tag or '""'}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
