"""The limit: one loop in one process. Each item is serialised once, a record is a join of bytes, igzip packs.

It checks nothing, remembers nothing and counts nothing: what is left is parsing, copying and compressing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, cast

import orjson
from isal import igzip

from benchmarks.jobs import FIELDS, METADATA, newest_batch


def run(job: Path, out: Path) -> None:
    """Write the records of a user_personalization job."""
    pieces = _pieces(job / METADATA)
    with newest_batch(job).open("rb") as lines, _packed(out / "part-0.jsonl.gz") as part:
        for line in lines:
            data = orjson.loads(line)
            items = (data["output"] or {}).get("recommendedItems")
            if items:
                listed = b",".join([pieces.get(item) or _piece({"id": item}) for item in items])
                user = orjson.dumps(data["input"]["userId"])
                part.write(b'{"userId":%b,"op":"upsert","recommendations":[%b]}\n' % (user, listed))


def _packed(path: Path) -> BinaryIO:
    return cast(BinaryIO, igzip.open(path, "wb", compresslevel=1))  # type: ignore[no-untyped-call]


def _pieces(metadata: Path) -> dict[str, bytes]:
    with metadata.open("rb") as lines:
        rows = map(orjson.loads, lines)
        return {row["id"]: _piece(row) for row in rows}


def _piece(row: dict[str, object]) -> bytes:
    piece: bytes = orjson.dumps({"itemId": row["id"], **{name: row.get(name) for name in FIELDS}})
    return piece


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
