"""Spark's daemon of Python workers on a machine of one's own. It starts quickly, and so do the workers it forks.

Spark puts its own Python files before all others, as archives, and a large JAR beside them: nothing of them is ever
kept compiled, and they are looked through again before each task. Here the installed files are taken. And what workers
need is loaded before they are forked, once, not once for each.

Spark starts this as a module (``spark.python.daemon.module``).
"""

from __future__ import annotations

import sys

sys.path[:] = [path for path in sys.path if not path.endswith((".zip", ".jar"))]
sys.path_importer_cache.clear()

import pyarrow as pa  # noqa: E402


class _NoPandas:
    """Ends the search for pandas, and no other."""

    def find_spec(self, name: str, *_: object) -> None:
        """See importlib.abc.MetaPathFinder."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _make_an_array() -> None:
    """Arrow looks for pandas once, at the first array of Python values: half a second for what nothing here needs."""
    sys.meta_path.insert(0, _NoPandas())
    pa.array([0])
    del sys.meta_path[0]


_make_an_array()

from pyspark import daemon  # noqa: E402
from pyspark.sql.pandas.types import to_arrow_schema  # noqa: E402

from glue_jobs import inference, items, output  # noqa: E402, F401
from glue_jobs.schemas import MEETING  # noqa: E402

if __name__ == "__main__":
    to_arrow_schema(MEETING)  # so that what this loads is there
    daemon.manager()  # type: ignore[no-untyped-call]
