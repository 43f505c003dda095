"""The item filter: a predicate on item metadata, in SQL's words. Pure.

Only what is listed in ALLOWED can be said, since nothing else is read: there is no call, no name but a field's,
and no way to anything outside the item. Values are those of JSON, and logic has three values, as in SQL: what is
missing, null or of another type than it is compared with makes a comparison NULL, which is neither yes nor no
(docs/decisions/0005).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

Value: TypeAlias = Any  # a value of JSON
Kind: TypeAlias = Literal["number", "text", "condition"]
Metadata: TypeAlias = Mapping[str, Value]

ALLOWED = (
    "comparisons (= <> != < <= > >=), AND, OR, NOT, parentheses, IN, LIKE, BETWEEN, IS NULL, + - * / %, numbers, "
    "'texts', TRUE, FALSE, NULL and field names, quoted with \" or ` where they hold more than letters, digits and _"
)
MAX_NESTING = 50


class FilterError(ValueError):
    """The text is no item filter; the message shows the place, what stands there and what may."""


@dataclass(frozen=True)
class ItemFilter:
    """A predicate that was read.

    Attributes:
        fields: The metadata fields it names, each once.
    """

    condition: Expression
    fields: Sequence[str]

    def fits(self, metadata: Metadata) -> bool | None:
        """Whether an item fits; None where its metadata does not say."""
        return _truth(self.condition.value(metadata))


def parse(text: str) -> ItemFilter:
    """The predicate that a text says.

    Raises:
        FilterError: It says something else.
    """
    return _Parser(text).read()


# What a predicate is made of


class Expression(Protocol):
    """A part of a predicate."""

    @property
    def kind(self) -> Kind | None:
        """What its value is, unless it is NULL; None for a field, which may be anything."""

    def value(self, metadata: Metadata) -> Value:
        """Its value for an item; None is NULL."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: None = None

    def value(self, metadata: Metadata) -> Value:
        return metadata.get(self.name)


@dataclass(frozen=True, slots=True)
class _Constant:
    content: Value

    @property
    def kind(self) -> Kind | None:
        return _kind(self.content)

    def value(self, metadata: Metadata) -> Value:
        return self.content


@dataclass(frozen=True, slots=True)
class _Calculation:
    """Operators of one rank, from left to right."""

    first: Expression
    rest: Sequence[tuple[str, Expression]]
    kind: Kind = "number"

    def value(self, metadata: Metadata) -> Value:
        found = self.first.value(metadata)
        for sign, operand in self.rest:
            found = _calculated(sign, found, operand.value(metadata))
        return found


@dataclass(frozen=True, slots=True)
class _Comparison:
    left: Expression
    sign: str
    right: Expression
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        left, right = self.left.value(metadata), self.right.value(metadata)
        kind = _kind(left)
        return None if kind is None or kind != _kind(right) else _COMPARE[self.sign](left, right)


@dataclass(frozen=True, slots=True)
class _OneOf:
    """IN: the choices by kind, and what kinds there are; None stands for NULL."""

    of: Expression
    choices: frozenset[tuple[Kind | None, Value]]
    kinds: frozenset[Kind | None]
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        found = self.of.value(metadata)
        kind = _kind(found)
        if kind is None:
            return None
        return True if (kind, found) in self.choices else False if self.kinds == {kind} else None


@dataclass(frozen=True, slots=True)
class _Like:
    of: Expression
    pattern: re.Pattern[str]
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        found = self.of.value(metadata)
        return self.pattern.fullmatch(found) is not None if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class _IsNull:
    of: Expression
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        return self.of.value(metadata) is None


@dataclass(frozen=True, slots=True)
class _Not:
    of: Expression
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        truth = _truth(self.of.value(metadata))
        return None if truth is None else not truth


@dataclass(frozen=True, slots=True)
class _Junction:
    """AND (decided by a FALSE) or OR (decided by a TRUE)."""

    parts: Sequence[Expression]
    decided_by: bool
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        is_known = True
        for part in self.parts:
            truth = _truth(part.value(metadata))
            if truth is self.decided_by:
                return truth
            is_known = is_known and truth is not None
        return not self.decided_by if is_known else None


_COMPARE: Mapping[str, Callable[[Value, Value], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _kind(value: Value) -> Kind | None:
    """What a value can be compared with: its own kind. Null, lists and objects have none."""
    if isinstance(value, bool):
        return "condition"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def _truth(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None


def _calculated(sign: str, left: Value, right: Value) -> Value:
    """A number; NULL where there is none: of another kind, divided by zero, out of range."""
    if _kind(left) != "number" or _kind(right) != "number":
        return None
    try:
        found = _CALCULATE[sign](left, right)
        return found if math.isfinite(found) else None
    except (ZeroDivisionError, OverflowError):
        return None


def _remainder(left: float, right: float) -> float:
    """With the sign of what is divided, as in SQL."""
    found = abs(left) % abs(right)
    return -found if left < 0 else found


_CALCULATE: Mapping[str, Callable[[Any, Any], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": _remainder,
}


def _like(pattern: str) -> re.Pattern[str]:
    """% is any text, _ any one character, and case counts.

    Each piece between two % is found at its first place and never sought again, so no text takes long.
    """
    first, *middle = ["".join("." if char == "_" else re.escape(char) for char in part) for part in pattern.split("%")]
    last = f".*{middle.pop()}" if middle else ""
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + last, re.DOTALL)


# Reading it


class _Token(NamedTuple):
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
_KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"})
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
_HINTS = {
    "'": "a text that does not end; end it with '",
    '"': 'a name that is empty or does not end; end it with "',
    "`": "a name that is empty or does not end; end it with `",
    ".": 'a dot; quote a name that holds one: "a.b"',
}


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused(text[at], at, _HINTS.get(text[at], "this is not understood"))
        if found.lastgroup == "comment":
            raise _refused(found[0], at, "a filter has no comments")
        if found.lastgroup != "space":
            yield _Token(found.lastgroup or "", found[0], at)
        at = found.end()
    yield _Token("end", "", at)


def _refused(text: str, at: int, why: str) -> FilterError:
    shown = f"{text[:30]!r} at character {at + 1}" if text else "at its end"
    return FilterError(f"{shown}: {why}. A filter may hold {ALLOWED}")


class _Parser:
    """One reading of a text, from left to right: a method for each rank of operators, the weakest first."""

    def __init__(self, text: str):
        self._tokens = list(_tokens(text))
        self._next = self._nesting = 0
        self._fields: dict[str, None] = {}

    def read(self) -> ItemFilter:
        condition = self._condition()
        if self._token.kind != "end":
            raise self._unexpected("an operator such as AND")
        return ItemFilter(condition, tuple(self._fields))

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _takes(self, *words: str) -> str:
        """The next keyword or sign, where it is one of these; else nothing, and nothing is taken."""
        return self._take().word if self._token.word in words else ""

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise self._unexpected(word)

    def _unexpected(self, wanted: str) -> FilterError:
        token = self._token
        return _refused(token.text, token.at, f"{wanted} should stand here")

    def _condition(self) -> Expression:
        token = self._token
        return self._of_kind("condition", self._either(), token)

    def _either(self) -> Expression:
        return self._junction("OR", self._both, decided_by=True)

    def _both(self) -> Expression:
        return self._junction("AND", self._maybe_not, decided_by=False)

    def _junction(self, word: str, part: Callable[[], Expression], *, decided_by: bool) -> Expression:
        token, parts = self._token, [part()]
        while self._takes(word):
            self._of_kind("condition", parts[-1], token)
            token = self._token
            parts.append(self._of_kind("condition", part(), token))
        return _Junction(tuple(parts), decided_by) if len(parts) > 1 else parts[0]

    def _maybe_not(self) -> Expression:
        if not self._takes("NOT"):
            return self._comparison()
        token = self._token
        return _Not(self._of_kind("condition", self._deeper(self._maybe_not), token))

    def _comparison(self) -> Expression:
        token, left = self._token, self._sum()
        if sign := self._takes(*_COMPARE):
            return self._compared(left, sign, token)
        if self._takes("IS"):
            is_negated = self._takes("NOT")
            self._expect("NULL")
            return _negated(_IsNull(left), is_negated)
        is_negated = self._takes("NOT")
        if self._takes("IN"):
            return _negated(self._one_of(left), is_negated)
        if self._takes("LIKE"):
            return _negated(_Like(self._of_kind("text", left, token), _like(self._text())), is_negated)
        if self._takes("BETWEEN"):
            return _negated(self._between(left, token), is_negated)
        if is_negated:
            raise self._unexpected("IN, LIKE or BETWEEN")
        return left

    def _compared(self, left: Expression, sign: str, at: _Token) -> Expression:
        right = self._sum()
        if left.kind and right.kind and left.kind != right.kind:
            raise _refused(at.text, at.at, f"a {left.kind} is compared with a {right.kind}, which is never true")
        return _Comparison(left, sign, right)

    def _between(self, left: Expression, at: _Token) -> Expression:
        least = self._compared(left, ">=", at)
        self._expect("AND")
        return _Junction((least, self._compared(left, "<=", at)), decided_by=False)

    def _one_of(self, left: Expression) -> Expression:
        self._expect("(")
        choices = [self._choice()]
        while self._takes(","):
            choices.append(self._choice())
        self._expect(")")
        kinds = [_kind(choice) for choice in choices]
        return _OneOf(left, frozenset(zip(kinds, choices, strict=True)), frozenset(kinds))

    def _choice(self) -> Value:
        """One of the constants that IN lists."""
        is_negative = self._takes("-")
        token = self._token
        if token.kind == "number":
            number = _number(self._take())
            return -number if is_negative else number
        if not is_negative and (token.kind == "text" or token.word in _CONSTANTS):
            return self._constant(self._take())
        raise self._unexpected("a number, a 'text', TRUE, FALSE or NULL")

    def _text(self) -> str:
        if self._token.kind != "text":
            raise self._unexpected("a 'text'")
        return _unquoted(self._take())

    def _sum(self) -> Expression:
        return self._calculation(("+", "-"), self._product)

    def _product(self) -> Expression:
        return self._calculation(("*", "/", "%"), self._signed)

    def _calculation(self, signs: Sequence[str], operand: Callable[[], Expression]) -> Expression:
        token, first = self._token, operand()
        rest: list[tuple[str, Expression]] = []
        while sign := self._takes(*signs):
            self._of_kind("number", first, token)
            at = self._token
            rest.append((sign, self._of_kind("number", operand(), at)))
        return _Calculation(first, tuple(rest)) if rest else first

    def _signed(self) -> Expression:
        sign = self._takes("-", "+")
        if not sign:
            return self._primary()
        token = self._token
        return _Calculation(_Constant(0), ((sign, self._of_kind("number", self._deeper(self._signed), token)),))

    def _primary(self) -> Expression:
        token = self._token
        if self._takes("("):
            inner = self._deeper(self._either)
            self._expect(")")
            return inner
        if token.kind in ("number", "text") or token.word in _CONSTANTS:
            return _Constant(self._constant(self._take()))
        if token.kind == "name" or (token.kind == "word" and token.word not in _KEYWORDS):
            return self._field(self._take())
        raise self._unexpected("a field, a number or a 'text'")

    def _field(self, token: _Token) -> Expression:
        if self._token.word == "(":
            raise _refused(f"{token.text}(", token.at, "a filter has no functions")
        name = _unquoted(token) if token.kind == "name" else token.text
        self._fields[name] = None
        return _Field(name)

    def _constant(self, token: _Token) -> Value:
        if token.kind == "number":
            return _number(token)
        return _unquoted(token) if token.kind == "text" else _CONSTANTS[token.word]

    def _deeper(self, read: Callable[[], Expression]) -> Expression:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise _refused(self._token.text, self._token.at, f"nested more than {MAX_NESTING} deep")
        found = read()
        self._nesting -= 1
        return found

    def _of_kind(self, kind: Kind, expression: Expression, at: _Token) -> Expression:
        if expression.kind not in (None, kind):
            raise _refused(at.text, at.at, f"a {expression.kind} stands where a {kind} should")
        return expression


def _negated(expression: Expression, negation: str) -> Expression:
    return _Not(expression) if negation else expression


def _unquoted(token: _Token) -> str:
    """What stands between the quotes, where a quote is written twice."""
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def _number(token: _Token) -> int | float:
    """A whole number keeps every digit."""
    try:
        number = int(token.text) if token.text.isdecimal() else float(token.text)
    except ValueError as error:
        raise _refused(token.text, token.at, "a number with too many digits") from error
    if isinstance(number, float) and math.isinf(number):
        raise _refused(token.text, token.at, "a number too large")
    return number
