"""Users against CPU seconds of the full run, both on a logarithmic scale: one line a contender, as SVG."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.race import RESULTS
from benchmarks.table import Row, medians, read

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 120, 30, 50
# Told apart without red and green side by side. Source: Okabe and Ito, "Color Universal Design", 2008.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

Points = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class _Axis:
    """A logarithmic scale from one power of ten to another, laid over some pixels."""

    low: int
    high: int
    first_px: float
    last_px: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.first_px + share * (self.last_px - self.first_px), 1)

    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def points(rows: Iterable[Row]) -> dict[str, list[tuple[float, float]]]:
    """Contender → (users, CPU seconds), by users."""
    found: dict[str, list[tuple[float, float]]] = {}
    for (kind, users, name), one in medians(rows).items():
        if kind == "full":
            found.setdefault(name, []).append((users, one["cpu_s"]))
    return found


def svg(found: Points) -> str:
    """The plot.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not found:
        raise ValueError("no full run was measured; run: python -m benchmarks.race full")
    pairs = [pair for line in found.values() for pair in line]
    across = _axis([users for users, _ in pairs], _LEFT, _WIDTH - _RIGHT)
    up = _axis([cpu_s for _, cpu_s in pairs], _HEIGHT - _BOTTOM, _TOP)
    parts = [*_grid(across, up), *_curves(found, across, up)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
    title = "<title>CPU seconds of a full run by number of users</title>"
    ground = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    return "\n".join([f'{head} font-size="12" role="img">', title, ground, *parts, "</svg>", ""])


def _axis(values: Sequence[float], first_px: float, last_px: float) -> _Axis:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return _Axis(low, max(high, low + 1), first_px, last_px)


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    bottom, top, left, right = up.first_px, up.last_px, across.first_px, across.last_px
    for value in across.ticks():
        at = across.at(value)
        yield f'<line x1="{at}" y1="{bottom}" x2="{at}" y2="{top}" stroke="#dddddd"/>'
        yield f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{value:,.0f}</text>'
    for value in up.ticks():
        at = up.at(value)
        yield f'<line x1="{left}" y1="{at}" x2="{right}" y2="{at}" stroke="#dddddd"/>'
        yield f'<text x="{left - 8}" y="{at + 4}" text-anchor="end">{value:,g}</text>'
    yield f'<text x="{(left + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">users</text>'
    yield f'<text x="{left}" y="{top - 12}" text-anchor="middle">CPU seconds</text>'


def _curves(found: Points, across: _Axis, up: _Axis) -> Iterator[str]:
    for colour, (name, line) in zip(_COLOURS, found.items(), strict=False):
        places = [(across.at(users), up.at(cpu_s)) for users, cpu_s in line]
        joined = " ".join(f"{x},{y}" for x, y in places)
        yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
        x, y = places[-1]
        yield f'<text x="{x + 8}" y="{y + 4}" fill="{colour}">{escape(name)}</text>'


def main() -> int:
    """Draw what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    (given.results / "cpu.svg").write_text(svg(points(read(given.results))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
