"""Results as a table of ratios, in markdown. Pure, but for the reading of the files."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.race import RESULTS

Row = Mapping[str, Any]


def read(folder: Path = RESULTS) -> list[Row]:
    """Every attempt of every race that was kept."""
    return [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text()).get("attempts", ())]


def medians(rows: Iterable[Row]) -> dict[tuple[str, int, str], dict[str, float]]:
    """(kind, users, contender) → the median of each figure over its rounds."""
    grouped: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["kind"], row["users"], row["name"]), []).append(row)
    return {key: _median(found) for key, found in sorted(grouped.items())}


def _median(rows: Sequence[Row]) -> dict[str, float]:
    costs = {name: statistics.median(row["cost"][name] for row in rows) for name in ("cpu_s", "wall_s", "peak_mib")}
    sizes = {name: statistics.median(row[name] for row in rows) for name in ("state_bytes", "output_bytes")}
    return {**costs, **sizes, "rounds": len(rows)}


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table: one line for each contender of each race, with its ratios to ours."""
    found = medians(rows)
    yield "| race | users | who | rounds | CPU s | x ours | wall s | x ours | peak MiB | output MB | state B/user |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for (kind, users, name), one in found.items():
        own = found.get((kind, users, "ours"))
        cpu, wall = (f"{one[figure] / own[figure]:.2f}" if own else "-" for figure in ("cpu_s", "wall_s"))
        state = f"{one['state_bytes'] / users:.1f}" if one["state_bytes"] else "-"
        output = f"{one['output_bytes'] / 1e6:.1f}" if one["output_bytes"] else "-"
        yield (
            f"| {kind} | {users:,} | {name} | {one['rounds']} | {one['cpu_s']:.1f} | {cpu} "
            f"| {one['wall_s']:.1f} | {wall} | {one['peak_mib']:.0f} | {output} | {state} |"
        )


def slopes(rows: Iterable[Row]) -> Iterator[str]:
    """CPU for each added user between two sizes of the full run, in microseconds."""
    found = medians(row for row in rows if row["kind"] == "full")
    for name in sorted({name for _, _, name in found}):
        sizes = sorted(users for _, users, who in found if who == name)
        for small, large in pairwise(sizes):
            more = found["full", large, name]["cpu_s"] - found["full", small, name]["cpu_s"]
            yield f"| {name} | {small:,} → {large:,} | {more / (large - small) * 1e6:.1f} |"


def page(rows: Sequence[Row]) -> str:
    """Both tables."""
    more = list(slopes(rows))
    head = ["", "| who | from → to | CPU us per added user |", "|---|---|---|"] if more else []
    return "\n".join([*lines(rows), *head, *more, ""])


def main() -> int:
    """Print the tables, and keep them beside the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    text = page(read(given.results))
    (given.results / "table.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
