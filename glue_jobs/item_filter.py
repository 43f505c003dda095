"""The item filter: a predicate on item metadata, in SQL's words. Pure.

Only what is listed in `filter_words.ALLOWED` can be said, since nothing else is read: there is no call, no name but a
field's, and no way to anything outside the item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glue_jobs.filter_words import CONSTANTS, KEYWORDS, FilterError, Token, number_of, refused, tokens_of, unquoted
from glue_jobs.predicate import (
    COMPARE,
    Calculation,
    Comparison,
    Constant,
    Expression,
    Field,
    IsNull,
    Junction,
    Kind,
    Like,
    Metadata,
    Not,
    OneOf,
    Value,
    as_truth,
    kind_of,
    like_pattern,
)

MAX_NESTING = 50


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
        return as_truth(self.condition.value(metadata))


def parse(text: str) -> ItemFilter:
    """The predicate that a text says.

    Raises:
        FilterError: It says something else.
    """
    return _Parser(text).read()


class _Parser:
    """One reading of a text, from left to right: a method for each rank of operators, the weakest first."""

    def __init__(self, text: str):
        self._tokens = list(tokens_of(text))
        self._next = self._nesting = 0
        self._fields: dict[str, None] = {}

    def read(self) -> ItemFilter:
        condition = self._condition()
        if self._token.kind != "end":
            raise self._unexpected("an operator such as AND")
        return ItemFilter(condition, tuple(self._fields))

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
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
        return refused(token.text, token.at, f"{wanted} should stand here")

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
        return Junction(tuple(parts), decided_by) if len(parts) > 1 else parts[0]

    def _maybe_not(self) -> Expression:
        if not self._takes("NOT"):
            return self._comparison()
        token = self._token
        return Not(self._of_kind("condition", self._deeper(self._maybe_not), token))

    def _comparison(self) -> Expression:
        token, left = self._token, self._sum()
        if sign := self._takes(*COMPARE):
            return self._compared(left, sign, token)
        if self._takes("IS"):
            is_negated = self._takes("NOT")
            self._expect("NULL")
            return _negated(IsNull(left), is_negated)
        is_negated = self._takes("NOT")
        if self._takes("IN"):
            return _negated(self._one_of(left), is_negated)
        if self._takes("LIKE"):
            return _negated(Like(self._of_kind("text", left, token), like_pattern(self._text())), is_negated)
        if self._takes("BETWEEN"):
            return _negated(self._between(left, token), is_negated)
        if is_negated:
            raise self._unexpected("IN, LIKE or BETWEEN")
        return left

    def _compared(self, left: Expression, sign: str, at: Token) -> Expression:
        right = self._sum()
        if left.kind and right.kind and left.kind != right.kind:
            raise refused(at.text, at.at, f"a {left.kind} is compared with a {right.kind}, which is never true")
        return Comparison(left, sign, right)

    def _between(self, left: Expression, at: Token) -> Expression:
        least = self._compared(left, ">=", at)
        self._expect("AND")
        return Junction((least, self._compared(left, "<=", at)), decided_by=False)

    def _one_of(self, left: Expression) -> Expression:
        self._expect("(")
        choices = [self._choice()]
        while self._takes(","):
            choices.append(self._choice())
        self._expect(")")
        kinds = [kind_of(choice) for choice in choices]
        return OneOf(left, frozenset(zip(kinds, choices, strict=True)), frozenset(kinds))

    def _choice(self) -> Value:
        """One of the constants that IN lists."""
        is_negative = self._takes("-")
        token = self._token
        if token.kind == "number":
            number = number_of(self._take())
            return -number if is_negative else number
        if not is_negative and (token.kind == "text" or token.word in CONSTANTS):
            return self._constant(self._take())
        raise self._unexpected("a number, a 'text', TRUE, FALSE or NULL")

    def _text(self) -> str:
        if self._token.kind != "text":
            raise self._unexpected("a 'text'")
        return unquoted(self._take())

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
        return Calculation(first, tuple(rest)) if rest else first

    def _signed(self) -> Expression:
        sign = self._takes("-", "+")
        if not sign:
            return self._primary()
        token = self._token
        return Calculation(Constant(0), ((sign, self._of_kind("number", self._deeper(self._signed), token)),))

    def _primary(self) -> Expression:
        token = self._token
        if self._takes("("):
            inner = self._deeper(self._either)
            self._expect(")")
            return inner
        if token.kind in ("number", "text") or token.word in CONSTANTS:
            return Constant(self._constant(self._take()))
        if token.kind == "name" or (token.kind == "word" and token.word not in KEYWORDS):
            return self._field(self._take())
        raise self._unexpected("a field, a number or a 'text'")

    def _field(self, token: Token) -> Expression:
        if self._token.word == "(":
            raise refused(f"{token.text}(", token.at, "a filter has no functions")
        name = unquoted(token) if token.kind == "name" else token.text
        self._fields[name] = None
        return Field(name)

    def _constant(self, token: Token) -> Value:
        if token.kind == "number":
            return number_of(token)
        return unquoted(token) if token.kind == "text" else CONSTANTS[token.word]

    def _deeper(self, read: Callable[[], Expression]) -> Expression:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise refused(self._token.text, self._token.at, f"nested more than {MAX_NESTING} deep")
        found = read()
        self._nesting -= 1
        return found

    def _of_kind(self, kind: Kind, expression: Expression, at: Token) -> Expression:
        if expression.kind not in (None, kind):
            raise refused(at.text, at.at, f"a {expression.kind} stands where a {kind} should")
        return expression


def _negated(expression: Expression, negation: str) -> Expression:
    return Not(expression) if negation else expression
