"""The Parquet files of the state: their shapes, and how one is read back, known by its checksum."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.contract.manifest import PartFile
from connectors.contract.storage import NotFoundError, Storage
from glue_jobs.errors import StateError

REPAIR = "repair it with: recsync run --full, which sends everyone once"

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
        raise StateError(f"{address} is missing, and the pointer needs it; {REPAIR}") from error
    if hashlib.sha256(data).hexdigest() != file.checksum:
        raise StateError(f"{address} is damaged: its checksum is not the one that was committed; {REPAIR}")
    table = pq.read_table(io.BytesIO(data), schema=schema)
    if table.num_rows != file.records:
        raise StateError(f"{address} holds {table.num_rows} rows and should hold {file.records}; {REPAIR}")
    return table
