"""The files a writing task leaves: parts, snapshot, saved lines. Each is written whole, through Storage.

Names are unique to the attempt of the task, so a repeated attempt never touches what another wrote; the
manifest lists those of the attempts that won.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib

from connectors.contract.manifest import PartFile
from connectors.contract.storage import Storage
from glue_jobs.decorate import Piece
from glue_jobs.delta import Told
from glue_jobs.tables import ITEMS_ARROW, USER_ARROW

# One part is one invocation of enqueue, and what a retry repeats.
PART_RECORDS = 50_000
PART_BYTES = 64 * 1024 * 1024
_ROW_GROUP = 50_000
# Lines that are packed in one go.
_LINES_AT_ONCE = 20
_DIGEST_BITS = 64
# Of zlib's window, so that what comes out is a gzip file.
# Source: zlib manual, "deflateInit2": 16 more than the window's 15 bits write a gzip header, read 2026-11-22.
_GZIP_WINDOW = 16 + 15

Name = Callable[[int], str]


@dataclass(frozen=True)
class Files:
    """Parts and snapshot files that were written, and the digest of the parts' lines."""

    parts: list[PartFile] = field(default_factory=list)
    snapshot: list[PartFile] = field(default_factory=list)
    digest: str = "0"


class PartWriter:
    """Lines into gzipped parts of a good size for one invocation of enqueue."""

    def __init__(self, storage: Storage, name: Name, *, max_records: int = PART_RECORDS, max_bytes: int = PART_BYTES):
        self._storage, self._name = storage, name
        self._max_records, self._max_bytes = max_records, max_bytes
        self._files: list[PartFile] = []
        self._part: _Part | None = None
        self._sum = 0

    def write(self, line: bytes) -> None:
        """Add one line, with its end."""
        part = self._part
        if part and (part.records == self._max_records or part.size_bytes + len(line) > self._max_bytes):
            self._roll(part)
        self._part = self._part or _Part()
        self._part.write(line)
        self._sum += isal_zlib.crc32(line) << 32 | isal_zlib.adler32(line)

    def close(self) -> list[PartFile]:
        """Write what is left; all parts, in order."""
        if self._part:
            self._roll(self._part)
        return self._files

    @property
    def digest(self) -> str:
        """An order-insensitive hash of all lines: it tells accidents, no forgery."""
        return add_digests([f"{self._sum:x}"])

    def _roll(self, part: _Part) -> None:
        key = self._name(len(self._files))
        self._files.append(store(self._storage, key, part.close(), part.records))
        self._part = None


class _Part:
    """One part while it is filled. Its size is that of the lines, not compressed."""

    def __init__(self) -> None:
        self.records = self.size_bytes = 0
        self._buffer, self._waiting = io.BytesIO(), list[bytes]()
        self._gzip = isal_zlib.compressobj(1, wbits=_GZIP_WINDOW)

    def write(self, line: bytes) -> None:
        self._waiting.append(line)
        self.records += 1
        self.size_bytes += len(line)
        if len(self._waiting) == _LINES_AT_ONCE:
            self._pack()

    def close(self) -> bytes:
        self._pack()
        self._buffer.write(self._gzip.flush())
        return self._buffer.getvalue()

    def _pack(self) -> None:
        self._buffer.write(self._gzip.compress(b"".join(self._waiting)))
        self._waiting.clear()


class SnapshotWriter:
    """Users into one Parquet file of the snapshot."""

    def __init__(self, storage: Storage, key: str):
        self._storage, self._key = storage, key
        self._buffer = io.BytesIO()
        self._parquet: pq.ParquetWriter | None = None
        self._rows: list[tuple[object, ...]] = []
        self._written = 0

    def write(self, user_id: str, told: Told) -> None:
        """Add one user. None may come twice."""
        self._rows.append((user_id, *told))
        if len(self._rows) == _ROW_GROUP:
            self._flush()

    def close(self) -> list[PartFile]:
        """Write the file; nothing when there was no user."""
        self._flush()
        if self._parquet is None:
            return []
        self._parquet.close()
        return [store(self._storage, self._key, self._buffer.getvalue(), self._written)]

    def _flush(self) -> None:
        if self._rows:
            self._parquet = self._parquet or pq.ParquetWriter(self._buffer, USER_ARROW, compression="zstd")
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, USER_ARROW, strict=True)]
            self._parquet.write_table(pa.Table.from_arrays(arrays, schema=USER_ARROW))
        self._written += len(self._rows)
        self._rows = []


class LinesWriter:
    """Lines kept for a person to look at, in files of a size that memory holds."""

    def __init__(self, storage: Storage, key: str, *, max_bytes: int = PART_BYTES):
        """Begin.

        Args:
            key: Of the first file; further ones have a number before their ending.
        """
        self._storage, self._key, self._max_bytes = storage, key, max_bytes
        self._lines: list[bytes] = []
        self._size_bytes = self._files = 0

    def write(self, line: bytes) -> None:
        """Add one line, without its end."""
        self._lines.append(line)
        self._size_bytes += len(line)
        if self._size_bytes >= self._max_bytes:
            self.close()

    def set_aside(self, file: str | None, text: str | None, reason: str) -> None:
        """Add a line that cannot be read: where it stands, and why."""
        kept = {"file": file, "text": text, "reason": reason}
        self.write(json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace"))

    def close(self) -> None:
        """Write what is left; nothing when there is no line."""
        if not self._lines:
            return
        stem, dot, ending = self._key.rpartition(".")
        number = f"-{self._files:03d}" if self._files else ""
        self._storage.put(f"{stem}{number}{dot}{ending}", b"\n".join([*self._lines, b""]))
        self._files += 1
        self._lines, self._size_bytes = [], 0


def write_items(storage: Storage, key: str, pieces: Mapping[str, Piece]) -> PartFile:
    """The items as this run knows them, for the next run to compare with."""
    items = sorted(pieces.items())
    columns = [[item_id for item_id, _ in items], [piece.hashes for _, piece in items]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ITEMS_ARROW, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=ITEMS_ARROW), buffer, compression="zstd")
    return store(storage, key, buffer.getvalue(), len(items))


def store(storage: Storage, key: str, data: bytes, records: int) -> PartFile:
    """Write one file and say what it is."""
    storage.put(key, data)
    return PartFile(key=key, records=records, size_bytes=len(data), checksum=hashlib.sha256(data).hexdigest())


def add_digests(digests: list[str]) -> str:
    """The order-insensitive hash of several sets of lines together."""
    total = sum(int(digest, 16) for digest in digests) % (1 << _DIGEST_BITS)
    return f"{total:0{_DIGEST_BITS // 4}x}"
