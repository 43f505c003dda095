"""A copy of what a job on S3 reads, in a folder of this machine: enough to plan there, and nothing comes back.

A run has no copy: it commits where its folder lies, and the job on S3 would know nothing of what a copy committed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.console import Voice
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.receipts import read_ledger
from connectors.contract.storage import Entry, NotFoundError, Storage, at_once, open_storage
from glue_jobs import state
from glue_jobs.config import JobConfig, load_config
from glue_jobs.inference import find_batch
from glue_jobs.pairs import find_exclusions

MOST_BYTES = 2_000_000_000
# Where the copy holds what may lie outside of the job folder.
_BATCH, _EXCLUSIONS = "input/batch_of_copy", "input/exclusions_of_copy"


@dataclass(frozen=True)
class Source:
    """An object to copy.

    Attributes:
        target: Its key in the copy.
    """

    storage: Storage
    entry: Entry
    target: str


@contextmanager
def copy_of(folder: JobFolder, voice: Voice) -> Iterator[JobFolder]:
    """A job folder with everything that a plan reads; it is gone afterwards.

    Raises:
        UsageError: It would be too large.
        SyncError: The settings are wrong, there is no finished batch, or the state is damaged.
    """
    storage = open_storage(folder.root)
    config = load_config(storage)
    sources = list(sources_of(folder, storage, config))
    size_bytes = sum(source.entry.size_bytes for source in sources)
    if size_bytes > MOST_BYTES:
        raise UsageError(
            f"--local would copy {_gigabytes(size_bytes)} of {folder.root}, and at most {_gigabytes(MOST_BYTES)} are; "
            f"plan it where it lies: recsync plan {folder.root}"
        )
    voice.stage(f"copying {len(sources)} object(s), {_gigabytes(size_bytes)}, of {folder.root}")
    with tempfile.TemporaryDirectory(prefix="recsync-") as top:
        copy = JobFolder.parse(f"{top}/etl_jobs/{folder.job}")
        _copy(sources, Path(copy.root))
        _write_own(storage, config, open_storage(copy.root))
        yield copy


def sources_of(folder: JobFolder, storage: Storage, config: JobConfig) -> Iterator[Source]:
    """What a plan reads, beside the settings and the key of aliases."""
    batch, files = find_batch(config.batch_inference_path, storage)
    yield from (Source(batch, entry, f"{_BATCH}/{entry.key}") for entry in files)
    mapped = [layout.MAPPING] if folder.job_type == "related_items" else []
    for place in (layout.METADATA, *mapped):
        yield from _below(storage, place)
    if address := config.recommendations.exclude_items:
        excluded, files = find_exclusions(address, storage)
        yield from (Source(excluded, entry, f"{_EXCLUSIONS}/{entry.key}") for entry in files)
    for connector in config.connectors:
        yield from _state(storage, connector)


def _state(storage: Storage, connector: str) -> Iterator[Source]:
    """What was told before: the committed snapshot, and what became of its run."""
    pointer = state.read_pointer(storage, connector).pointer
    if pointer is None:
        return
    key = layout.pointer(connector)
    tables = {file.key for file in (*pointer.snapshot, *([pointer.items] if pointer.items else ()))}
    yield from _below(storage, f"{key.rpartition('/')[0]}/", {key, *tables})
    manifest = state.read_manifest(storage, pointer.manifest)
    if manifest is None:
        return
    yield from _below(storage, layout.receipts(connector, pointer.run_id))
    ledger = read_ledger(storage, manifest)
    parts = {file.key for file in manifest.files if not ledger.names_everyone(file.key)}
    yield from _below(storage, f"{layout.output(connector, pointer.run_id)}/", {pointer.manifest, *parts})


def _below(storage: Storage, place: str, wanted: Collection[str] | None = None) -> Iterator[Source]:
    """What lies below a prefix, or what of it is wanted."""
    for entry in storage.list(place):
        if wanted is None or entry.key in wanted:
            yield Source(storage, entry, entry.key)


def _copy(sources: list[Source], top: Path) -> None:
    for _ in at_once(lambda source: _fetch(source, top / source.target), sources):
        pass


def _fetch(source: Source, path: Path) -> None:
    """Copy one object, with the time it was written: a guard may ask for the age of the input."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.storage.open(source.entry.key) as stream, path.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    at = source.entry.modified_at.timestamp()
    os.utime(path, (at, at))


def _write_own(storage: Storage, config: JobConfig, copy: Storage) -> None:
    """The settings, with the places where the copy has what they name; and the key, so that aliases are the same."""
    raw = json.loads(storage.get(layout.CONFIG).data)
    raw["batchInferencePath"] = _BATCH
    if config.recommendations.exclude_items:
        raw["recommendations"]["excludeItems"] = _EXCLUSIONS
    copy.put(layout.CONFIG, json.dumps(raw).encode())
    with suppress(NotFoundError):  # of a job that never ran; the copy makes one
        copy.put(layout.ALIAS_KEY, storage.get(layout.ALIAS_KEY).data)


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 100_000_000 else f"{size_bytes / 1e6:.1f} MB"
