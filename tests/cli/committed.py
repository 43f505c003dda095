"""A job whose first run was committed and published, and a second one that a guard holds; made without Spark."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.contract import layout
from connectors.contract.held import GuardReading, Held, hold
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import Pointer
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from connectors.contract.run_record import ConnectorRecord, RunRecord, write_record
from glue_jobs import state
from glue_jobs.delta import Told
from glue_jobs.writers import SnapshotWriter

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
RUN, NEXT = "20261121T040001Z-3f9a2c", "20261122T040000Z-000001"
CONFIG = {"version": 1, "batchInferencePath": "input/batch/", "connectors": {"braze": {"payloadShape": "ids"}}}


def commit(publish: Callable[..., Any], folder: Path) -> Any:
    """A job whose first run was committed, published and delivered but for one of its three records."""
    run = publish(["ann", "bob", "cleo"])
    storage = LocalStorage(folder)
    storage.put("config.json", json.dumps(CONFIG).encode())
    writer = SnapshotWriter(storage, f"{layout.snapshot('braze', 1, RUN)}/0.parquet")
    for user in ("ann", "bob", "cleo"):
        writer.write(user, Told("upsert", ["106"], 7, 1, AT))
    pointer = Pointer(version=1, run_id=RUN, manifest=run.key, snapshot=writer.close(), attributes=["itemId"])
    state.commit(storage, "braze", state.Committed(), pointer)
    refused = Rejection(line=1, user_id="bob", code="refused", reason="no")
    receipt = Receipt(
        file=run.manifest.files[0].key, first_line=0, last_line=1, outcome="settled", rejected=[refused], at=AT
    )
    write_receipts(storage, run.manifest, [receipt])
    counts = {"records": 3, "users": 3}
    done = ConnectorRecord(connector="braze", outcome="committed", version=1, manifest=run.key, counts=counts)
    write_record(
        storage,
        layout.run_record(RUN),
        RunRecord(run_id=RUN, job="demo", started_at=AT, finished_at=AT, exit_code=0, connectors=[done]),
    )
    return run


def held(job: Any, run_id: str = NEXT) -> Held:
    """Hold a second run."""
    storage, key = job.storage, layout.manifest("braze", run_id)
    tag = state.read_pointer(storage, "braze").tag
    reading = GuardReading(name="maxCleared", number=3, limit=1, is_breached=True, note="3 of 3 users lose it")
    made = Held(
        connector="braze",
        run_id=run_id,
        tag=tag,
        pointer=Pointer(version=2, run_id=run_id, manifest=key, snapshot=[]),
        manifest=job.manifest.model_copy(update={"version": 2, "run_id": run_id, "counts": {"records": 3}}),
        guards=[reading],
        inputs=[],
        held_at=AT,
    )
    hold(storage, made)
    return made
