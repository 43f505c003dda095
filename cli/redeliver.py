"""recsync redeliver: what was published and never arrived is sent again. No Spark.

Whether a line may still be sent is not decided here: `functions.deliver` sends nothing of a run that a newer one
has replaced.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cli.delivery import CONCURRENCY
from cli.embedded import NOT_OURS, Delivery, deliver_lines
from cli.fate import FATE_NAMES
from cli.typed import UsageError
from connectors.base import Connector
from connectors.contract import layout
from connectors.contract.health import note_success
from connectors.contract.manifest import RunManifest
from connectors.contract.receipts import Fate, Ledger, read_ledger
from connectors.contract.storage import Storage
from functions.calls import Send
from functions.newest import Newest
from glue_jobs import state

# What may be sent again: nobody knows of it, or it was given up.
_AGAIN = frozenset({Fate.OPEN, Fate.DEAD_LETTERED})

# Part → its lines as (first, last), both included.
Lines: TypeAlias = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Again:
    """What of a run is to be sent again.

    Attributes:
        key: The manifest's key.
        fates: The lines by what is known of them, by name.
        left: Lines beyond the limit.
        skipped: Why none is sent; empty when some may be.
    """

    key: str
    manifest: RunManifest
    lines: Lines = field(default_factory=dict)
    fates: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    skipped: str = ""

    @property
    def count(self) -> int:
        """How many lines there are to send."""
        return _count(self.lines)


def find(storage: Storage, connectors: Sequence[str], run_id: str | None, limit: int | None) -> list[Again]:
    """What is to be sent again, connector by connector.

    Args:
        run_id: The run; each connector's newest published one when None.
        limit: At most so many lines in all.

    Raises:
        UsageError: There is no such run.
    """
    found: list[Again] = []
    for connector in connectors:
        key = _manifest_key(storage, connector, run_id)
        manifest = state.read_manifest(storage, key) if key else None
        if manifest is not None:
            rest = None if limit is None else limit - sum(one.count for one in found)
            found.append(_of_run(storage, key, manifest, rest))
    if run_id and not found:
        raise UsageError(
            f"run {run_id} has published nothing in {storage.root}; see: recsync runs {shlex.quote(storage.root)}"
        )
    return found


def _manifest_key(storage: Storage, connector: str, run_id: str | None) -> str:
    if run_id:
        return layout.manifest(connector, run_id)
    return state.newest_published(storage, state.read_pointer(storage, connector))


def _of_run(storage: Storage, key: str, manifest: RunManifest, limit: int | None) -> Again:
    """What of a run is to be sent again, and why nothing where nothing may be."""
    if manifest.acknowledge == "onWrite":
        return Again(key, manifest, skipped=NOT_OURS)
    newest = Newest().version(storage, manifest.connector)
    if newest > manifest.version:
        said = f"version {newest} has replaced it; whom it did not reach, that one tells"
        return Again(key, manifest, skipped=said)
    ledger = read_ledger(storage, manifest)
    every = {file.key: list(ledger.ranges(file.key, _AGAIN)) for file in manifest.files}
    lines = every if limit is None else _first(every, limit)
    return Again(key, manifest, lines, _fates(ledger, lines), _count(every) - _count(lines))


def _first(lines: Lines, limit: int) -> Lines:
    """The first of some lines."""
    taken: dict[str, list[tuple[int, int]]] = {}
    for file, ranges in lines.items():
        taken[file] = []
        for first, last in ranges:
            until = min(last, first + limit - 1)
            taken[file] += [(first, until)] if until >= first else []
            limit -= max(0, until - first + 1)
    return taken


def send_again(
    storage: Storage,
    again: Again,
    connector: Connector,
    send: Send,
    report: Callable[[str], None],
) -> tuple[Counter[str], list[str]]:
    """Send the lines again.

    Returns:
        What became of them: the lines by outcome, and the calls as ``requests``; and what the trouble was.
    """
    delivery = Delivery(again.manifest)
    note_success(storage, again.manifest.connector)  # a person who calls is the probe of an open circuit
    for file in again.manifest.files:
        ranges = again.lines.get(file.key)
        if ranges and not delivery.trouble:
            count = sum(last - first + 1 for first, last in ranges)
            report(f"{again.manifest.connector}: sending {count} line(s) of {file.key.rpartition('/')[2]} again")
            deliver_lines(storage, again.key, file, ranges, connector, send, delivery, concurrency=CONCURRENCY)
    counts = _fates(read_ledger(storage, again.manifest), again.lines)
    counts["requests"] = delivery.requests
    return counts, delivery.trouble


def _fates(ledger: Ledger, lines: Lines) -> Counter[str]:
    """What is known of some lines, by name."""
    return Counter(FATE_NAMES[fate] for fate in _each(ledger, lines))


def _each(ledger: Ledger, lines: Lines) -> Iterator[Fate]:
    for file, ranges in lines.items():
        for first, last in ranges:
            yield from map(Fate, ledger.fates[file][first : last + 1])


def _count(lines: Lines) -> int:
    return sum(last - first + 1 for ranges in lines.values() for first, last in ranges)
