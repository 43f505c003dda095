"""Whether two contenders wrote the same records: a hash over all of them that no order changes."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

_BYTES = 16


@dataclass(frozen=True)
class Digest:
    """What some files hold: how many records, and their hash."""

    records: int
    hash: str


def digest(files: Iterable[Path]) -> Digest:
    """The digest of the records in some files of gzipped JSON Lines.

    What a record changed is left out: only ours says it, and it follows from the lists of two days.
    """
    count = total = 0
    for path in files:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                count += 1
                total += _hash(line)
    return Digest(count, f"{total % (1 << 8 * _BYTES):0{2 * _BYTES}x}")


def _hash(line: bytes) -> int:
    record = orjson.loads(line)
    record.pop("changed", None)
    plain = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.blake2b(plain, digest_size=_BYTES).digest(), "big")
