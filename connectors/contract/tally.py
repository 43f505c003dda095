"""Tally: what became of a run's records in numbers, and why some were refused. Names no user: see `aliases`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from connectors.contract.aliases import alias
from connectors.contract.manifest import RunManifest
from connectors.contract.receipts import Fate, Ledger, Receipt, Rejection, read_receipts
from connectors.contract.storage import Storage

# Refused before any call, as too large for a message: such a receipt names no single line.
TOO_LARGE = "too_large_to_send"
_EXAMPLES = 3
# A short id is looked for as a word of its own, or it would be found inside others.
_SHORT_ID = 4
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*@\S*|\S+://\S*|\S*\d{5}\S*")


@dataclass(frozen=True)
class Refusal:
    """Why some records were rejected.

    Attributes:
        code: Our short name for it.
        records: How many.
        users: The aliases of a few of them.
        reason: What was said about the first one, with every value masked; empty when nothing was.
    """

    code: str
    records: int
    users: Sequence[str] = ()
    reason: str = ""


@dataclass(frozen=True)
class Tally:
    """What became of a run's records.

    Attributes:
        fates: How many met each fate; all fates are named.
        refusals: Of those rejected: why, most records first.
    """

    fates: Mapping[Fate, int]
    refusals: Sequence[Refusal] = ()

    @property
    def records(self) -> int:
        """All records of the run."""
        return sum(self.fates.values())


def read_tally(storage: Storage, manifest: RunManifest, key: bytes) -> Tally:
    """The tally of a run, from all receipts there are.

    Args:
        key: What users are named by.
    """
    codes = _Codes(key)
    ledger = Ledger.of(manifest, codes.noted(read_receipts(storage, manifest)))
    return Tally(ledger.counts(), codes.refusals(ledger))


def masked(reason: str, user_ids: Iterable[str]) -> str:
    """A destination's prose without the values it may quote: users, texts in quotes, addresses, long numbers.

    Args:
        user_ids: Whom it may be about.
    """
    if reason.endswith("…"):  # it was cut, perhaps within a value
        reason = f"{reason.rpartition(' ')[0]} …"
    for user_id in sorted(user_ids, key=len, reverse=True):  # one may stand within another
        name = re.escape(user_id)
        whole = name if len(user_id) >= _SHORT_ID else rf"(?<!\w){name}(?!\w)"
        reason = re.sub(whole, "…", reason)
    return _VALUES.sub("…", reason)


class _Example(NamedTuple):
    """A rejected line.

    Attributes:
        told_so: Everyone of its message of whom the same was said: it may be about any of them.
    """

    file: str
    rejection: Rejection
    told_so: Sequence[str]


@dataclass
class _Codes:
    """The code of every rejected line, and a few examples of each code."""

    key: bytes
    by_line: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    examples: dict[str, list[_Example]] = field(default_factory=lambda: defaultdict(list))

    def noted(self, receipts: Iterable[Receipt]) -> Iterator[Receipt]:
        """The same receipts; what they reject is noted on the way."""
        for receipt in receipts:
            for rejection in receipt.rejected:
                self._note(receipt, rejection)
            yield receipt

    def _note(self, receipt: Receipt, rejection: Rejection) -> None:
        codes = self.by_line[receipt.file]
        is_known = rejection.line in codes
        codes[rejection.line] = rejection.code
        if not is_known and len(self.examples[rejection.code]) < _EXAMPLES:
            told_so = [one.user_id for one in receipt.rejected if one.reason == rejection.reason]
            self.examples[rejection.code].append(_Example(receipt.file, rejection, told_so))

    def refusals(self, ledger: Ledger) -> list[Refusal]:
        """What is rejected in the end: a line that was delivered by another call does not count."""
        found = Counter(
            code
            for file, codes in self.by_line.items()
            for line, code in codes.items()
            if _is_rejected(ledger, file, line)
        )
        if unnamed := ledger.counts()[Fate.REJECTED] - found.total():
            found[TOO_LARGE] += unnamed
        return [self._refusal(code, records, ledger) for code, records in found.most_common()]

    def _refusal(self, code: str, records: int, ledger: Ledger) -> Refusal:
        found = [one for one in self.examples.get(code, ()) if _is_rejected(ledger, one.file, one.rejection.line)]
        users = list(dict.fromkeys(alias(self.key, one.rejection.user_id) for one in found))
        return Refusal(code, records, users, masked(found[0].rejection.reason, found[0].told_so) if found else "")


def _is_rejected(ledger: Ledger, file: str, line: int) -> bool:
    fates = ledger.fates.get(file, b"")
    return line < len(fates) and fates[line] == Fate.REJECTED
