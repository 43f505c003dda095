"""What became of one user's record, by the parts and receipts of the run that sent it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.gzipped import unpacking
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Fate, Ledger, Receipt, read_receipts
from connectors.contract.records import user_of
from connectors.contract.storage import NotFoundError, Storage, StorageError

FATE_NAMES = {
    Fate.DELIVERED: "delivered",
    Fate.REJECTED: "rejected",
    Fate.SUPERSEDED: "superseded",
    Fate.DEAD_LETTERED: "deadLettered",
    Fate.OPEN: "waiting",
}


@dataclass(frozen=True)
class Sent:
    """A record in a part, and what the receipts say of it.

    Attributes:
        number: Its line in the part, from 0.
        line: The record, with its end.
        code: Why it was rejected, in our words, and `reason` in the destination's.
        at: When that was noted; None where no receipt speaks of it.
    """

    file: str
    number: int
    line: bytes
    fate: Fate = Fate.OPEN
    code: str = ""
    reason: str = ""
    at: datetime | None = None


def fate_of(storage: Storage, manifest: RunManifest, user_id: str) -> Sent | None:
    """What a run sent a user, and what became of it; None where it sent him nothing.

    Raises:
        StorageError: A part of the run is gone or damaged.
    """
    found = next((one for file in manifest.files for one in _lines_of(storage, file, user_id)), None)
    if found is None:
        return None
    said = [
        receipt
        for receipt in read_receipts(storage, manifest)
        if receipt.file == found.file and receipt.first_line <= found.number <= receipt.last_line
    ]
    return _judged(found, manifest, said)


def _lines_of(storage: Storage, file: PartFile, user_id: str) -> Iterator[Sent]:
    """A user's record in a part."""
    try:
        with storage.open(file.key) as raw, unpacking(raw) as lines:
            for number, line in enumerate(lines):
                if user_of(line) == user_id:
                    yield Sent(file.key, number, line)
    except (NotFoundError, ValueError) as error:
        raise StorageError(
            f"{storage.root}/{file.key} is gone or damaged: what it told is not known any more"
        ) from error


def _judged(found: Sent, manifest: RunManifest, said: list[Receipt]) -> Sent:
    """The record with the strongest of what is said about it."""
    fates = {fate: one for one in said for fate in [_fate(found, manifest, one)]}
    if not fates:
        return found
    fate = max(fates)
    receipt = fates[fate]
    reasons = [one for one in receipt.rejected if one.line == found.number]
    code = reasons[0].code if reasons else receipt.outcome if fate is Fate.REJECTED else ""
    reason = reasons[0].reason if reasons else ""
    return Sent(found.file, found.number, found.line, fate, code, reason, receipt.at)


def _fate(found: Sent, manifest: RunManifest, receipt: Receipt) -> Fate:
    """What one receipt says of the record."""
    return Fate(Ledger.of(manifest, [receipt]).fates[found.file][found.number])
