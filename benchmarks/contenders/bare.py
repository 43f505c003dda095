"""What any Spark program costs: a session, one trivial job, and the end."""

from __future__ import annotations

import os

from cli import local_spark


def run() -> int:
    """Count to ten."""
    os.environ.update(local_spark.environment(os.environ))
    from glue_jobs import glue

    spark = glue.session()
    counted = spark.range(10).count()
    spark.stop()
    return counted


if __name__ == "__main__":
    run()
