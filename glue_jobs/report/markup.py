"""HTML as data: every text is escaped when it becomes part of an element, so no value can become markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TypeAlias

_VOID = frozenset({"br", "meta", "img", "rect"})
# They join letters and emoji; all other unseen characters go.
_JOINERS = "\u200c\u200d"


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | int | Sequence[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """An element. Children that are no Markup are escaped, None is nothing.

    Args:
        attributes: Names as HTML writes them, with ``_`` for ``-`` and one at the end where Python needs the
            name itself. True stands for an attribute without a value, None and False for none.
    """
    given = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Some children, one after the other."""
    return Markup("".join(_flat(children)))


def clean(text: str) -> str:
    """A text without characters that nobody sees: controls, direction overrides, halves of pairs. Blanks are spaces."""
    return "".join(" " if c.isspace() else c for c in text if c.isprintable() or c.isspace() or c in _JOINERS)


def _flat(children: Sequence[Child]) -> Iterator[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, (str, int)):
            yield escape(clean(str(child)))
        elif child is not None:
            yield from _flat(child)


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(clean(str(value)))}"'
