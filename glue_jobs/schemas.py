"""The shapes that cross between Spark and Python, said once.

Columns keep the wire's camelCase.
"""

from __future__ import annotations

from pyspark.sql import types as T  # noqa: N812 - the field's own short name

# Where a line stood: by (file, block, row) lines sort as they stand in their files. `block` is the offset
# of the split in bytes, `row` counts up within it. Of a CSV file, `block` is its place among those read with it,
# `row` the number of the line.
POSITION = [
    T.StructField("file", T.StringType()),
    T.StructField("block", T.LongType()),
    T.StructField("row", T.LongType()),
]

# One line of batch inference, read. kind: good, failed (by the recommender) or broken (unreadable); `key` is
# the id of the user or item it answers for, `list` its items and their scores (`meeting.packed_list`), `text` the
# line itself unless good.
# Source: Amazon Personalize developer guide, "Batch inference job output examples", read 2026-11-21.
BATCH_LINE = T.StructType(
    [
        T.StructField("kind", T.StringType()),
        T.StructField("key", T.StringType()),
        T.StructField("list", T.BinaryType()),
        T.StructField("text", T.StringType()),
        T.StructField("reason", T.StringType()),
        *POSITION,
    ]
)

# One pair of a user and an item, by the mapping or not to be recommended; `text` alone of a row that is broken.
PAIRS = T.StructType(
    [
        T.StructField("userId", T.StringType()),
        T.StructField("itemId", T.StringType()),
        T.StructField("rank", T.LongType()),
        T.StructField("text", T.StringType()),
        *POSITION,
    ]
)

# One user of the committed snapshot, and what the destination was last told (`meeting.packed_told`).
USER = T.StructType([T.StructField("userId", T.StringType()), T.StructField("told", T.BinaryType())])

# What meets at a user: his row of the snapshot (kind "told"), his lists of today, each a line of the batch or
# derived from one by the mapping (rank orders them), and the items he is not to get ("excluded", in queryItemId).
# kind: told, list, failed, broken, unmatched, excluded, or, for what stands for no user and is there only to be
# counted, line, duplicate, mappingBroken or excludeBroken. `isLine` marks the rows that are a line of the batch.
# `list` and `told` are packed: see `meeting`.
MEETING = T.StructType(
    [
        T.StructField("userId", T.StringType()),
        T.StructField("kind", T.StringType()),
        T.StructField("isLine", T.BooleanType()),
        T.StructField("rank", T.LongType()),
        *POSITION,
        T.StructField("queryItemId", T.StringType()),
        T.StructField("list", T.BinaryType()),
        T.StructField("told", T.BinaryType()),
        T.StructField("text", T.StringType()),
        T.StructField("reason", T.StringType()),
    ]
)

# What a writing task reports of its part: what it wrote, and its counts, as JSON.
WRITTEN = T.StructType([T.StructField("part", T.LongType()), T.StructField("json", T.StringType())])
