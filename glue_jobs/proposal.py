"""What a run is to tell, and the commit it proposes: worked out of settings and state, without Spark."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors import registry
from connectors.base import ChangePolicy, SyncOptions
from connectors.contract import layout
from connectors.contract.held import GuardReading, Held, InputObject
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import PartFile, Pointer, RunManifest
from connectors.contract.storage import Storage, StorageError
from glue_jobs import state
from glue_jobs.config import JobConfig
from glue_jobs.delta import Rules
from glue_jobs.errors import UnpublishedError
from glue_jobs.shortlist import rules_of
from glue_jobs.state import Committed, Unacknowledged
from glue_jobs.tell import TellPlan
from glue_jobs.writers import Files


@dataclass(frozen=True)
class JobRun:
    """What is the same for all connectors of a run.

    Attributes:
        now: The run's time, aware.
        run_id: Its name; all connectors of a run share it.
        is_full: Whether everyone is sent once, whatever he was told.
    """

    folder: JobFolder
    storage: Storage
    config: JobConfig
    now: datetime
    run_id: str
    is_full: bool = False


@dataclass(frozen=True)
class Proposal:
    """A commit that is not made yet.

    Attributes:
        committed: What it is to replace.
    """

    committed: Committed
    pointer: Pointer
    manifest: RunManifest

    @property
    def connector(self) -> str:
        """Whose it is."""
        return self.manifest.connector

    def commit(self, storage: Storage) -> None:
        """Swap the pointer and publish the manifest, in this order.

        Raises:
            ConflictError: Another run committed since; nothing of this one is visible.
            UnpublishedError: It is committed, and nobody is told of it.
        """
        state.commit(storage, self.connector, self.committed, self.pointer)
        try:
            state.publish(storage, self.pointer.manifest, self.manifest)
        except StorageError as error:
            said = f"version {self.pointer.version} is committed and could not be published: {error}"
            raise UnpublishedError(f"{said}; the next run sends its users again") from error

    def held(self, guards: Sequence[GuardReading], inputs: Sequence[InputObject]) -> Held:
        """The same as it is kept until someone says yes or no."""
        return Held(
            connector=self.connector,
            run_id=self.manifest.run_id,
            tag=self.committed.tag,
            pointer=self.pointer,
            manifest=self.manifest,
            guards=list(guards),
            inputs=list(inputs),
            held_at=self.manifest.created_at,
        )


@dataclass(frozen=True)
class Kept:
    """What is kept for the next run, beside who was told what.

    Attributes:
        items: The table of items as this run knew them; None where there are too many to keep.
        item_types: Metadata field → the JSON types its values have.
        partitions: Into how many parts the snapshot's users fall; 0 where they stand in no such order.
    """

    items: PartFile | None = None
    item_types: Mapping[str, str] = field(default_factory=dict)
    partitions: int = 0


def tell_plan(run: JobRun, connector: str, committed: Committed) -> TellPlan:
    """What telling users has to know of a run.

    Raises:
        StateError: What became of the committed run cannot be read.
    """
    options, was = run.config.connectors[connector], committed.pointer
    policy = options.change_policy
    return TellPlan(
        version=committed.version + 1,
        at=run.now,
        settings=settings_digest(options),
        policy=policy.comparison(),
        rules=Rules(run.config.checks_delta(connector), options.on_user_removed == "clear", policy.refresh_after_days),
        lists=rules_of(run.config.recommendations),
        unacknowledged=_unacknowledged(run, committed),
        previous_settings=bytes.fromhex(was.settings) if was else b"",
        previous_policy=ChangePolicy(compare=was.compare, k=was.compare_first) if was else None,
        holdout=run.config.recommendations.holdout,
        is_full=run.is_full,
    )


def _unacknowledged(run: JobRun, committed: Committed) -> Unacknowledged:
    """Who was not confirmed; a full run does not ask, as it sends everyone."""
    if run.is_full:
        return Unacknowledged(committed.version)
    return state.unacknowledged(run.storage, committed)


def propose(
    run: JobRun,
    connector: str,
    committed: Committed,
    tell: TellPlan,
    *,
    files: Files,
    counts: Mapping[str, int],
    kept: Kept,
) -> Proposal:
    """The commit of what was written."""
    manifest = _manifest(run, connector, committed, tell, files, counts)
    return Proposal(committed, _pointer(run, connector, committed, tell, files, kept), manifest)


def _manifest(
    run: JobRun, connector: str, committed: Committed, tell: TellPlan, files: Files, counts: Mapping[str, int]
) -> RunManifest:
    options = run.config.connectors[connector]
    return RunManifest(
        job=run.folder.job,
        run_id=run.run_id,
        connector=connector,
        version=tell.version,
        previous_version=committed.version or None,
        acknowledge=options.acknowledge,
        options=options.model_dump(by_alias=True, mode="json"),
        records_per_request=registry.connector_class(connector).limits.max_records,
        counts=dict(counts),
        files=files.parts,
        retired=[name for name in _ever_written(committed) if name not in options.attribute_names()],
        digest=files.digest,
        created_at=run.now,
    )


def _pointer(run: JobRun, connector: str, committed: Committed, tell: TellPlan, files: Files, kept: Kept) -> Pointer:
    options = run.config.connectors[connector]
    return Pointer(
        version=tell.version,
        run_id=run.run_id,
        manifest=layout.manifest(connector, run.run_id),
        previous=state.newest_published(run.storage, committed),
        snapshot=files.snapshot,
        partitions=kept.partitions,
        items=kept.items,
        settings=tell.settings.hex(),
        compare=tell.policy.compare,
        compare_first=tell.policy.k,
        item_types=dict(kept.item_types),
        attributes=_once([*_ever_written(committed), *options.attribute_names(), *_marks(run.config, options)]),
    )


def _ever_written(committed: Committed) -> Sequence[str]:
    """Every attribute that a run of this job wrote so far."""
    return committed.pointer.attributes if committed.pointer else ()


def _marks(config: JobConfig, options: SyncOptions) -> list[str]:
    """The attribute that this run's holdout writes, where there is one."""
    mark = options.holdout_attribute() if config.recommendations.holdout else None
    return [mark] if mark else []


def settings_digest(options: SyncOptions) -> bytes:
    """A hash of every setting that shapes what is sent: when it differs, everyone is told anew."""
    settings = json.dumps(options.payload_settings(), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(settings.encode(), digest_size=16).digest()


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
