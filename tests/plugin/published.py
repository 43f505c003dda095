"""A run as a job publishes it, made without Spark."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.contract import layout
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Fate, Receipt, read_ledger
from connectors.contract.storage import Storage

RUN_ID = "20261121T040000Z-3f9a2c"


@dataclass
class Published:
    """A run as a job leaves it."""

    storage: Storage
    key: str
    manifest: RunManifest

    @property
    def address(self) -> str:
        return f"{self.storage.root}/{self.key}"

    def fates(self) -> list[Fate]:
        """What the receipts say about each line, part after part."""
        ledger = read_ledger(self.storage, self.manifest)
        return [Fate(fate) for file in self.manifest.files for fate in ledger.fates[file.key]]

    def receipts(self) -> list[Receipt]:
        folder = layout.receipts(self.manifest.connector, self.manifest.run_id)
        lines = (line for entry in self.storage.list(folder) for line in self.storage.get(entry.key).data.splitlines())
        return [Receipt.model_validate_json(line) for line in lines]


def publish_run(storage: Storage, *parts: Sequence[Mapping[str, Any] | bytes], **fields: Any) -> Published:
    """Write one gzipped part for each list of records (or of raw lines), then the manifest."""
    manifest = _manifest(fields)
    files = []
    for number, records in enumerate(parts):
        lines = [record if isinstance(record, bytes) else _line(record) for record in records]
        key = layout.part(manifest.connector, manifest.run_id, f"{number:05d}-{number}-000")
        data = gzip.compress(b"".join(line + b"\n" for line in lines), 1)
        storage.put(key, data)
        checksum = hashlib.sha256(data).hexdigest()
        files.append(PartFile(key=key, records=len(lines), size_bytes=len(data), checksum=checksum))
    manifest = manifest.model_copy(update={"files": files})
    key = layout.manifest(manifest.connector, manifest.run_id)
    storage.put(key, manifest.to_json().encode(), if_absent=True)
    return Published(storage, key, manifest)


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _manifest(fields: Mapping[str, Any]) -> RunManifest:
    plain = {"job": "user_personalization/demo", "run_id": RUN_ID, "connector": "braze", "version": 1}
    plain |= {"acknowledge": "onDelivery", "options": {"attributePrefix": "recs_"}, "records_per_request": 75}
    plain |= {"counts": {}, "files": [], "digest": "0", "created_at": datetime(2026, 11, 21, 4, tzinfo=UTC)}
    return RunManifest(**(plain | fields))
