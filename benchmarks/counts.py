"""What a run costs in counts that no machine changes: bytes shuffled, lines read, bytes kept, requests made.

Spark keeps these figures of every stage for its web page, also when there is no page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pyspark.sql import SparkSession

Result = TypeVar("Result")


@dataclass(frozen=True)
class Counts:
    """What Spark counted over some stages."""

    shuffle_bytes: int
    lines_read: int


def counted(spark: SparkSession, work: Callable[[], Result]) -> tuple[Result, Counts]:
    """Do some work on Spark; its result, and what Spark counted meanwhile."""
    before = {stage.stageId() for stage in _stages(spark)}
    result = work()
    new = [stage for stage in _stages(spark) if stage.stageId() not in before]
    return result, Counts(sum(stage.shuffleWriteBytes() for stage in new), sum(stage.inputRecords() for stage in new))


def _stages(spark: SparkSession) -> Sequence[Any]:
    """All stages so far, once Spark has taken note of everything that happened."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    jvm, gateway = spark.sparkContext._jvm, spark.sparkContext._gateway
    if jvm is None or gateway is None:
        raise RuntimeError("Spark's Java side is gone")
    nothing, none = jvm.java.util.ArrayList(), gateway.new_array(jvm.double, 0)
    found = context.statusStore().stageList(nothing, False, False, none, nothing)
    return [found.apply(place) for place in range(found.size())]
