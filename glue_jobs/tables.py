"""The Parquet files of the state: their shapes, and how one is read back, known by its checksum."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.contract.manifest import PartFile, Pointer
from connectors.contract.storage import NotFoundError, Storage
from glue_jobs.columns import plain
from glue_jobs.delta import Op, Told
from glue_jobs.errors import StateError

_EPOCH = datetime.fromtimestamp(0, UTC)
_ROWS_AT_ONCE = 2_000

# One user of the snapshot: what the destination was last told. A null fingerprint: not known.
USER_ARROW = pa.schema(
    [
        ("userId", pa.string()),
        ("op", pa.string()),
        ("itemIds", pa.list_(pa.string())),
        ("fingerprint", pa.int64()),
        ("sentIn", pa.int32()),
        ("sentAt", pa.timestamp("us", tz="UTC")),
        ("rejections", pa.int32()),
        ("isMarked", pa.bool_()),
    ]
)

# The items as a run knew them: one hash of eight bytes a field, one after the other.
ITEMS_ARROW = pa.schema([("itemId", pa.string()), ("hashes", pa.binary())])


def read_table(storage: Storage, file: PartFile, schema: pa.Schema) -> pa.Table:
    """One Parquet file of the state, known by its checksum.

    Raises:
        StateError: It is missing, damaged, or holds another number of rows.
    """
    address = f"{storage.root}/{file.key}"
    try:
        data = storage.get(file.key).data
    except NotFoundError as error:
        raise StateError(f"{address} is missing, and the pointer needs it; {Pointer.mend}") from error
    if hashlib.sha256(data).hexdigest() != file.checksum:
        raise StateError(f"{address} is damaged: its checksum is not the one that was committed; {Pointer.mend}")
    table = pq.read_table(io.BytesIO(data), schema=schema)
    if table.num_rows != file.records:
        raise StateError(f"{address} holds {table.num_rows} rows and should hold {file.records}; {Pointer.mend}")
    return table


def users_of(table: pa.Table) -> Iterator[tuple[str, Told]]:
    """The users of a table of USER_ARROW, and what each was told."""
    for batch in table.to_batches(_ROWS_AT_ONCE):
        for user_id, *told in zip(*map(values_of, batch.columns), strict=True):
            yield user_id, told_of(*told)


def values_of(column: pa.Array) -> list[Any]:
    """The values of a column; times in microseconds since 1970."""
    return plain(column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column)


def told_of(
    op: str,
    item_ids: list[str] | None,
    fingerprint: int | None,
    sent_in: int | None,
    sent_at: int | None,
    rejections: int | None,
    is_marked: bool | None,
) -> Told:
    """A row of the snapshot, given its columns. Those that older releases did not write are null.

    Args:
        sent_at: In microseconds since 1970, UTC: as Parquet keeps a time.
    """
    return Told(
        cast(Op, op), item_ids or [], fingerprint, sent_in or 0, _time(sent_at or 0), rejections or 0, bool(is_marked)
    )


@functools.lru_cache
def _time(us: int) -> datetime:
    """Microseconds since 1970 as a time. All of a run were sent at one."""
    return _EPOCH + timedelta(microseconds=us)
