"""The words of an item filter's text, and how one that cannot be read is told."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

ALLOWED = (
    "comparisons (= <> != < <= > >=), AND, OR, NOT, parentheses, IN, LIKE, BETWEEN, IS NULL, + - * / %, numbers, "
    "'texts', TRUE, FALSE, NULL and field names, quoted with \" or ` where they hold more than letters, digits and _"
)


class FilterError(ValueError):
    """The text is no item filter; the message shows the place, what stands there and what may."""


class Token(NamedTuple):
    """A piece of the text. kind: number, text, name (quoted), word, sign or end."""

    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """A keyword as SQL reads it, or a sign."""
        return self.text.upper() if self.kind == "word" else self.text if self.kind == "sign" else ""


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<comment>--|/\*)
    | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")+"|`(?:[^`]|``)+`)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign><=|>=|<>|!=|[=<>+\-*/%(),])""",
    re.VERBOSE,
)
KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"})
CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
_HINTS = {
    "'": "a text that does not end; end it with '",
    '"': 'a name that is empty or does not end; end it with "',
    "`": "a name that is empty or does not end; end it with `",
    ".": 'a dot; quote a name that holds one: "a.b"',
}


def tokens_of(text: str) -> Iterator[Token]:
    """The text cut into tokens; the last one is its end.

    Raises:
        FilterError: Something in it is none.
    """
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise refused(text[at], at, _HINTS.get(text[at], "this is not understood"))
        if found.lastgroup == "comment":
            raise refused(found[0], at, "a filter has no comments")
        if found.lastgroup != "space":
            yield Token(found.lastgroup or "", found[0], at)
        at = found.end()
    yield Token("end", "", at)


def refused(text: str, at: int, why: str) -> FilterError:
    """The error that shows a place of the text and says why it cannot stand there."""
    shown = f"{text[:30]!r} at character {at + 1}" if text else "at its end"
    return FilterError(f"{shown}: {why}. A filter may hold {ALLOWED}")


def unquoted(token: Token) -> str:
    """What stands between the quotes, where a quote is written twice."""
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def number_of(token: Token) -> int | float:
    """The number a token says; a whole one keeps every digit.

    Raises:
        FilterError: It is too long or too large.
    """
    try:
        number = int(token.text) if token.text.isdecimal() else float(token.text)
    except ValueError as error:
        raise refused(token.text, token.at, "a number with too many digits") from error
    if isinstance(number, float) and math.isinf(number):
        raise refused(token.text, token.at, "a number too large")
    return number
