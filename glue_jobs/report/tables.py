"""Tables and blocks: what every section is made of."""

from __future__ import annotations

from collections.abc import Sequence

from glue_jobs.report import words
from glue_jobs.report.markup import Child, Markup, tag


def block(title: str, *children: Child, id_: str | None = None) -> Markup:
    """A section under its own heading."""
    return tag("section", tag("h3", title, id_=id_), *children, class_="block", aria_labelledby=id_)


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Child]], *, most: int) -> Markup | None:
    """A table, with as many rows as there is room for; None without any.

    Args:
        columns: Headings. The first names its row; those that end with ``#`` hold figures.
        rows: One child a column.
    """
    if not rows:
        return None
    are_figures = [name.endswith("#") for name in columns]
    heads = [
        tag("th", name.rstrip("#"), scope="col", class_="figure" if is_figure else None)
        for name, is_figure in zip(columns, are_figures, strict=True)
    ]
    body = [_row(row, are_figures) for row in rows[:most]]
    rest = len(rows) - len(body)
    shown = tag("table", tag("caption", caption), tag("thead", tag("tr", heads)), tag("tbody", body))
    note = tag("p", f"and {words.many(rest, 'more row')}", class_="note") if rest else None
    return tag("div", shown, note, class_="wide", tabindex=0, role="group", aria_label=caption)


def _row(cells: Sequence[Child], are_figures: Sequence[bool]) -> Markup:
    classes = ["figure" if is_figure else None for is_figure in are_figures]
    first = tag("th", cells[0], scope="row", class_=classes[0])
    return tag("tr", first, [tag("td", cell, class_=name) for cell, name in zip(cells[1:], classes[1:], strict=True)])
