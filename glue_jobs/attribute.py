"""Who gets which list: the lines of a batch become rows that meet at a user, then one list a user.

Everything about a user is brought together here (MEETING rows, sorted); `ranking.merge` then makes one list of
what was found, in plain Python.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name

from glue_jobs.schemas import MEETING, POSITION

_POSITION = [field.name for field in POSITION]


def users_of_lines(lines: DataFrame) -> DataFrame:
    """user_personalization: each line of the batch (BATCH_LINE) is its user's. MEETING rows."""
    kind = F.when(F.col("kind") == "good", "list").otherwise(F.col("kind"))
    return _shaped(
        lines.withColumnsRenamed({"key": "userId"}).withColumn("kind", kind).withColumn("isLine", F.lit(True))
    )


def numbered(lines: DataFrame) -> DataFrame:
    """related_items: the lines of the batch (BATCH_LINE), and `nth`: a line's place among those for its item.

    Good lines come first: one that failed or broke does not hide another that answers.
    """
    in_order = Window.partitionBy("key").orderBy(F.col("kind") != "good", *_POSITION)
    return lines.withColumn("nth", F.row_number().over(in_order))


def users_of_items(lines: DataFrame, mapping: DataFrame) -> DataFrame:
    """related_items: each user gets the lines of the items he is mapped to.

    Args:
        lines: As `numbered` gives them; an item's first line answers for it. Read twice: persist them.
        mapping: As `mapping.read_mapping` gives it.

    Returns:
        MEETING rows: one a mapping row (list, failed, broken, unmatched or mappingBroken), and one a line
        (line, duplicate, failed or broken), to be counted.
    """
    is_good = F.col("kind") == "good"
    answers = lines.where(F.col("key").isNotNull() & (F.col("nth") == 1)).select(
        F.col("key").alias("itemId"),
        F.when(is_good, "list").otherwise(F.col("kind")).alias("kind"),
        "list",
    )
    attributed = (
        mapping.join(answers, on="itemId", how="left")
        .withColumn(
            "kind", F.when(F.col("text").isNotNull(), "mappingBroken").otherwise(F.coalesce("kind", F.lit("unmatched")))
        )
        .withColumn("isLine", F.lit(False))
        .withColumnsRenamed({"itemId": "queryItemId"})
    )
    counted = F.when(is_good & (F.col("nth") > 1), "duplicate").when(is_good, "line").otherwise(F.col("kind"))
    each_line = lines.select(counted.alias("kind"), F.lit(True).alias("isLine"), "text", "reason", *_POSITION)
    return _shaped(attributed).unionByName(_shaped(each_line))


def items_not_for_users(pairs: DataFrame) -> DataFrame:
    """Items that single users do not get, to meet them there: MEETING rows, excluded or excludeBroken.

    Args:
        pairs: As `mapping.read_exclusions` gives them.
    """
    kind = F.when(F.col("text").isNotNull(), "excludeBroken").otherwise("excluded")
    return _shaped(
        pairs.withColumn("kind", kind).withColumn("isLine", F.lit(False)).withColumnsRenamed({"itemId": "queryItemId"})
    )


def unmatched_items(rows: DataFrame) -> int:
    """How many items users are mapped to that no line of the batch answers for. Reads the mapping again."""
    return rows.where(F.col("kind") == "unmatched").select("queryItemId").distinct().count()


def meet(rows: DataFrame, told: DataFrame | None, parts: int) -> DataFrame:
    """Bring what is said of a user together: all his rows in one partition, neighbours, in order.

    Args:
        rows: MEETING rows of today.
        told: USER rows of the snapshot; None where they are not brought by Spark.
        parts: The number of partitions.
    """
    if told is not None:
        snapshot = told.withColumn("kind", F.lit("told")).withColumn("isLine", F.lit(False))
        rows = rows.unionByName(_shaped(snapshot))
    return rows.repartition(parts, "userId").sortWithinPartitions("userId", F.col("rank").asc_nulls_last(), *_POSITION)


def _shaped(rows: DataFrame) -> DataFrame:
    """MEETING's columns in its order; those the rows lack are null."""
    return rows.select(
        *(
            F.col(field.name) if field.name in rows.columns else F.lit(None).cast(field.dataType).alias(field.name)
            for field in MEETING
        )
    )
