"""Receipt: what became of a range of lines; and how all receipts of a run are read together.

Receipts are written by several functions at once, never overwritten, and may repeat each other. Reading
is therefore a union over lines, free of order: of two things said about a line the stronger one holds.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from connectors.contract import layout
from connectors.contract.documents import parsed
from connectors.contract.manifest import RunManifest
from connectors.contract.storage import Storage, at_once
from connectors.contract.wire import WireModel


class Rejection(WireModel):
    """A record that the destination will never take, and why."""

    line: int = Field(ge=0)
    user_id: str
    code: str
    reason: str


class Receipt(WireModel):
    """What became of the lines `first_line` to `last_line` (both included) of one part.

    In a settled range every line that is not rejected was delivered.
    """

    mend: ClassVar[str] = "remove it: what it spoke of is sent once more"
    file: str
    first_line: int = Field(ge=0, alias="from")
    last_line: int = Field(ge=0, alias="to")
    outcome: Literal["settled", "superseded", "deadLettered", "tooLarge"]
    rejected: list[Rejection] = Field(default_factory=list)
    attempt: int = Field(default=1, ge=1)
    at: datetime

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last_line < self.first_line:
            raise ValueError(f"the range runs backwards: {self.first_line} to {self.last_line}")
        if any(not self.first_line <= rejection.line <= self.last_line for rejection in self.rejected):
            raise ValueError("a rejected line lies outside the receipt's range")
        return self


class Fate(IntEnum):
    """What is known of a line. Of two, the greater holds."""

    OPEN = 0
    SUPERSEDED = 1
    DEAD_LETTERED = 2
    REJECTED = 3
    DELIVERED = 4


_FATE_OF = {
    "settled": Fate.DELIVERED,
    "superseded": Fate.SUPERSEDED,
    "deadLettered": Fate.DEAD_LETTERED,
    "tooLarge": Fate.REJECTED,
}
# A fate → what every byte of fates becomes where it is said too.
_AT_LEAST = {fate: bytes(max(other, fate) for other in range(256)) for fate in Fate}


@dataclass
class Ledger:
    """The fate of every line of a run: one byte a line, by part.

    Attributes:
        fates: Part key → one Fate a line.
        refused: Part key → line → whose record the destination refused, where a receipt names him.
    """

    fates: dict[str, bytearray] = field(default_factory=dict)
    refused: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(cls, manifest: RunManifest, receipts: Iterable[Receipt]) -> Ledger:
        """All receipts of a run, read together. Receipts of parts the manifest does not list are passed over."""
        ledger = cls({file.key: bytearray(file.records) for file in manifest.files})
        for receipt in receipts:
            ledger._note(receipt)
        return ledger

    def counts(self) -> dict[Fate, int]:
        """How many lines met each fate; all fates are named."""
        found: Counter[int] = Counter()
        for fates in self.fates.values():
            found.update(fates)
        return {fate: found[fate] for fate in Fate}

    def refused_users(self, file: str) -> list[str]:
        """Those of a part whom the destination refused, where a receipt names them."""
        fates = self.fates[file]
        return [user_id for line, user_id in self.refused[file].items() if fates[line] == Fate.REJECTED]

    def names_everyone(self, file: str) -> bool:
        """Whether `refused_users` are all whom a part did not reach: nobody has to look into it."""
        return self.fates[file].count(Fate.DELIVERED) + len(self.refused_users(file)) == len(self.fates[file])

    def open_ranges(self, file: str) -> Iterator[tuple[int, int]]:
        """The runs of lines nothing is known about, as (first, last), both included."""
        return self.ranges(file, {Fate.OPEN})

    def ranges(self, file: str, wanted: Collection[Fate]) -> Iterator[tuple[int, int]]:
        """The runs of lines that met one of some fates, as (first, last), both included."""
        start: int | None = None
        for line, fate in enumerate(self.fates[file]):
            if fate in wanted and start is None:
                start = line
            elif fate not in wanted and start is not None:
                yield start, line - 1
                start = None
        if start is not None:
            yield start, len(self.fates[file]) - 1

    def _note(self, receipt: Receipt) -> None:
        fates = self.fates.get(receipt.file)
        if fates is None:
            return
        rejected = {rejection.line: rejection.user_id for rejection in receipt.rejected}
        self.refused[receipt.file].update(rejected)
        said = slice(receipt.first_line, min(receipt.last_line + 1, len(fates)))
        refused = [(line, max(fates[line], Fate.REJECTED)) for line in rejected if line < len(fates)]
        fates[said] = fates[said].translate(_AT_LEAST[_FATE_OF[receipt.outcome]])
        for line, fate in refused:
            fates[line] = fate


def read_ledger(storage: Storage, manifest: RunManifest) -> Ledger:
    """The fate of every line of a run, from all receipts there are."""
    return Ledger.of(manifest, read_receipts(storage, manifest))


def write_receipts(storage: Storage, manifest: RunManifest, receipts: Sequence[Receipt]) -> None:
    """Keep some receipts of a run in one object, under a name that nothing else has; nothing for none."""
    if receipts:
        key = f"{layout.receipts(manifest.connector, manifest.run_id)}{uuid.uuid4().hex}.jsonl"
        storage.put(key, "".join(f"{receipt.to_json()}\n" for receipt in receipts).encode())


def read_receipts(storage: Storage, manifest: RunManifest) -> Iterator[Receipt]:
    """All receipts of a run, in no order that means anything."""
    keys = [entry.key for entry in storage.list(layout.receipts(manifest.connector, manifest.run_id))]
    for key, blob in zip(keys, at_once(storage.get, keys), strict=True):
        for line in blob.data.splitlines():
            yield parsed(line, Receipt, f"{storage.root}/{key}")
