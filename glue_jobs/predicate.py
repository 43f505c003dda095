"""What a predicate on item metadata is made of. Pure.

Values are those of JSON, and logic has three values, as in SQL: what is missing, null or of another type than it is
compared with makes a comparison NULL, which is neither yes nor no (docs/decisions/0005).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Value: TypeAlias = Any  # a value of JSON
Kind: TypeAlias = Literal["number", "text", "condition"]
Metadata: TypeAlias = Mapping[str, Value]


class Expression(Protocol):
    """A part of a predicate."""

    @property
    def kind(self) -> Kind | None:
        """What its value is, unless it is NULL; None for a field, which may be anything."""

    def value(self, metadata: Metadata) -> Value:
        """Its value for an item; None is NULL."""


@dataclass(frozen=True, slots=True)
class Field:
    """A metadata field of the item."""

    name: str
    kind: None = None

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        return metadata.get(self.name)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, TRUE, FALSE or NULL."""

    content: Value

    @property
    def kind(self) -> Kind | None:
        """See Expression."""
        return kind_of(self.content)

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        return self.content


@dataclass(frozen=True, slots=True)
class Calculation:
    """Operators of one rank, from left to right."""

    first: Expression
    rest: Sequence[tuple[str, Expression]]
    kind: Kind = "number"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        found = self.first.value(metadata)
        for sign, operand in self.rest:
            found = _calculated(sign, found, operand.value(metadata))
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values of one kind; NULL where they are of two."""

    left: Expression
    sign: str
    right: Expression
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        left, right = self.left.value(metadata), self.right.value(metadata)
        kind = kind_of(left)
        return None if kind is None or kind != kind_of(right) else COMPARE[self.sign](left, right)


@dataclass(frozen=True, slots=True)
class OneOf:
    """IN: the choices by kind, and what kinds there are; None stands for NULL."""

    of: Expression
    choices: frozenset[tuple[Kind | None, Value]]
    kinds: frozenset[Kind | None]
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        found = self.of.value(metadata)
        kind = kind_of(found)
        if kind is None:
            return None
        return True if (kind, found) in self.choices else False if self.kinds == {kind} else None


@dataclass(frozen=True, slots=True)
class Like:
    """A text against a pattern."""

    of: Expression
    pattern: re.Pattern[str]
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        found = self.of.value(metadata)
        return self.pattern.fullmatch(found) is not None if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether there is no value."""

    of: Expression
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        return self.of.value(metadata) is None


@dataclass(frozen=True, slots=True)
class Not:
    """The other truth; NULL stays NULL."""

    of: Expression
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        truth = as_truth(self.of.value(metadata))
        return None if truth is None else not truth


@dataclass(frozen=True, slots=True)
class Junction:
    """AND (decided by a FALSE) or OR (decided by a TRUE)."""

    parts: Sequence[Expression]
    decided_by: bool
    kind: Kind = "condition"

    def value(self, metadata: Metadata) -> Value:
        """See Expression."""
        is_known = True
        for part in self.parts:
            truth = as_truth(part.value(metadata))
            if truth is self.decided_by:
                return truth
            is_known = is_known and truth is not None
        return not self.decided_by if is_known else None


COMPARE: Mapping[str, Callable[[Value, Value], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def kind_of(value: Value) -> Kind | None:
    """What a value can be compared with: its own kind. Null, lists and objects have none."""
    if isinstance(value, bool):
        return "condition"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def as_truth(value: Value) -> bool | None:
    """A truth; NULL for anything else."""
    return value if isinstance(value, bool) else None


def _calculated(sign: str, left: Value, right: Value) -> Value:
    """A number; NULL where there is none: of another kind, divided by zero, out of range."""
    if kind_of(left) != "number" or kind_of(right) != "number":
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


def like_pattern(pattern: str) -> re.Pattern[str]:
    """% is any text, _ any one character, and case counts.

    Each piece between two % is found at its first place and never sought again, so no text takes long.
    """
    first, *middle = ["".join("." if char == "_" else re.escape(char) for char in part) for part in pattern.split("%")]
    last = f".*{middle.pop()}" if middle else ""
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + last, re.DOTALL)
