"""Spark's daemon of Python workers, with what workers need loaded before they are forked: once, not once for each.

Spark starts it as a module (``spark.python.daemon.module``).
"""

from __future__ import annotations

import pandas  # noqa: F401 - Arrow loads it at the first array that is made of Python values
from pyspark import daemon

from glue_jobs import inference, items, output  # noqa: F401

if __name__ == "__main__":
    daemon.manager()  # type: ignore[no-untyped-call]
