"""Numbers as pictures. Each stands beside a text that says the same, and is hidden from those who listen."""

from __future__ import annotations

from collections.abc import Sequence

from glue_jobs.report.markup import Markup, tag

_SLOTS, _HEIGHT, _WIDTH, _GAP = 14, 40, 10, 2
_LEAST = 1.5


def meter(part: float, whole: float) -> Markup:
    """How much of a whole, as a bar."""
    share = min(100.0, max(0.0, 100 * part / whole)) if whole > 0 else 0.0
    return tag("span", tag("span", class_="fill", style=f"width:{share:.1f}%"), class_="bar", aria_hidden="true")


def bars(values: Sequence[tuple[float, bool]]) -> Markup:
    """A row of bars, oldest first; the last one stands out.

    Args:
        values: Height, and whether it came true: what did not is drawn as an outline.
    """
    slots, most = max(_SLOTS, len(values)), max((value for value, _ in values), default=0)
    drawn = [
        _bar(place, max(0.0, value / most) if most > 0 else 0.0, is_true, is_last=place == len(values) - 1)
        for place, (value, is_true) in enumerate(values)
    ]
    box = f"0 0 {slots * _WIDTH} {_HEIGHT}"
    return tag("svg", drawn, class_="bars", viewBox=box, preserveAspectRatio="none", aria_hidden="true")


def _bar(slot: int, share: float, is_true: bool, *, is_last: bool) -> Markup:
    height = max(_LEAST, share * (_HEIGHT - 2)) if share else 0.5
    names = ["run", *(["now"] if is_last else []), *([] if is_true else ["open"])]
    left, top = slot * _WIDTH + _GAP // 2, f"{_HEIGHT - 1 - height:.1f}"
    return tag("rect", class_=" ".join(names), x=left, y=top, width=_WIDTH - _GAP, height=f"{height:.1f}")
