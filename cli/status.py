"""How a job stands, read from its folder alone. No Spark."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cli.delivery import after_publishing
from cli.ending import ending
from cli.fate import FATE_NAMES
from connectors.contract import layout
from connectors.contract.documents import read_document
from connectors.contract.health import Health, read_circuit
from connectors.contract.held import Held, newest_held
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.receipts import read_ledger
from connectors.contract.run_record import RunRecord, read_record, run_ids
from connectors.contract.storage import Storage, at_once
from functions.enqueue import Marker
from glue_jobs import state
from glue_jobs.delta import Verdict
from glue_jobs.errors import StateError


@dataclass
class Status:
    """One connector of a job.

    Attributes:
        version: The committed version; 0 before the first.
        since: When it was committed; None before the first.
        is_published: Whether anyone was told of the commit.
        fates: What became of its records, by outcome.
        parts: Its parts, and `enqueued` those that enqueue has handed over.
        is_handed_over: Whether enqueue is to hand them over: a stack delivers them.
        resting: Users whom that run left alone after too many refusals.
        users: Users the snapshot knows.
        held: The run that waits for a yes.
        health: The trouble the destination is in.
        last: The newest run's record.
        ending: How that run ended for this connector, as is known by now: see `cli.ending`.
        trouble: What of the state cannot be read, in a sentence.
    """

    connector: str
    version: int = 0
    run_id: str = ""
    since: datetime | None = None
    is_published: bool = True
    fates: Counter[str] = field(default_factory=Counter)
    parts: int = 0
    enqueued: int = 0
    is_handed_over: bool = False
    resting: int = 0
    users: int = 0
    held: Held | None = None
    health: Health | None = None
    last: RunRecord | None = None
    ending: str = ""
    trouble: str = ""

    def data(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "connector": self.connector,
            "version": self.version,
            "run": self.run_id,
            "since": self.since.isoformat() if self.since else None,
            "published": self.is_published,
            "records": {name: self.fates[name] for name in FATE_NAMES.values()},
            "parts": self.parts,
            "partsEnqueued": self.enqueued,
            "users": self.users,
            "resting": self.resting,
            "held": self.held.run_id if self.held else None,
            "health": self.health.reason if self.health else None,
            "lastRun": {"run": self.last.run_id, "outcome": self.ending} if self.last and self.ending else None,
            "trouble": self.trouble,
        }

    def next_command(self, folder: str) -> str:
        """What a person would type next; empty when all is well."""
        if self.trouble:
            return f"recsync run --full {shlex.quote(folder)}" if Pointer.mend in self.trouble else ""
        if self.held and self.held.run_id != self.run_id:
            return f"recsync approve --connector {self.connector} --run {self.held.run_id} {shlex.quote(folder)}"
        return after_publishing(folder) if self.fates["waiting"] else ""


def read_status(storage: Storage) -> list[Status]:
    """Every connector that has anything in a job folder, by name."""
    records = [read_record(storage, layout.run_record(run_id)) for run_id in run_ids(storage)[:1]]
    last = records[0] if records else None
    names = {name for place in (layout.OUTPUT, layout.HELD) for name in storage.folders(place)}
    names |= {one.connector for one in last.connectors} if last else set()
    return [_of_connector(storage, name, last) for name in sorted(names)]


def _of_connector(storage: Storage, connector: str, last: RunRecord | None) -> Status:
    health = read_circuit(storage, connector).health
    found = Status(connector, held=newest_held(storage, connector), health=health, last=last)
    try:
        pointer = state.read_pointer(storage, connector).pointer
        if pointer is not None:
            _add_committed(found, pointer)
        manifest = state.read_manifest(storage, pointer.manifest) if pointer else None
        found.ending = _ending(storage, connector, last) if last else ""
    except StateError as error:
        found.trouble = str(error)
        return found
    found.is_published = pointer is None or manifest is not None
    if manifest is not None:
        _add_delivery(found, storage, manifest)
    return found


def _ending(storage: Storage, connector: str, last: RunRecord) -> str:
    """How a run ended for a connector; empty where it had no part in it."""
    mine = last.of(connector)
    if mine is None:
        return "" if last.connectors else "stopped"
    return ending(storage, mine)


def _add_committed(found: Status, pointer: Pointer) -> None:
    found.version, found.run_id = pointer.version, pointer.run_id
    found.since, found.users = layout.time_of_run(pointer.run_id), pointer.rows


def _add_delivery(found: Status, storage: Storage, manifest: RunManifest) -> None:
    if manifest.acknowledge == "onDelivery":
        counts = read_ledger(storage, manifest).counts()
        found.fates = Counter({FATE_NAMES[fate]: count for fate, count in counts.items()})
        found.is_handed_over = bool(manifest.files) and storage.root.startswith("s3://")
    found.resting, found.parts = manifest.counts.get(Verdict.RESTING, 0), len(manifest.files)
    markers = (entry.key for entry in storage.list(layout.enqueued_folder(manifest.connector, manifest.run_id)))
    found.enqueued = sum(at_once(lambda key: read_document(storage, key, Marker).done, markers))
