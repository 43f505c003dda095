"""A run told again for one user, without Spark: the state before it, its input, and the same Teller.

What comes of it is only worth something where it is what the run left: see `agrees`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from connectors import registry
from connectors.contract import layout
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.storage import NotFoundError, Storage, at_once
from glue_jobs import state
from glue_jobs.delta import Told, Verdict
from glue_jobs.item_lines import wanted_by
from glue_jobs.lookup import RunFiles, UserInput, pieces_of
from glue_jobs.meeting import of_told
from glue_jobs.proposal import JobRun, settings_digest, tell_plan
from glue_jobs.ranking import RankedList, best_scores
from glue_jobs.shortlist import Shortlister
from glue_jobs.state import Committed
from glue_jobs.tables import ITEMS_ARROW, USER_ARROW, users_of
from glue_jobs.tell import Teller, Telling, TellPlan


class UnknownStateError(Exception):
    """What stood before or after a run is not there any more, or does not say one thing."""


@dataclass(frozen=True)
class Before:
    """What stood when a run began.

    Attributes:
        told: The user's row of the snapshot.
    """

    committed: Committed
    told: Told | None


@dataclass(frozen=True)
class Retold:
    """A run told again for one user.

    Attributes:
        left_out: What was found for him and is not in his list: (item id, the figure it counts under).
        without_metadata: Items of his list for which there is none.
        unclear: Items that were found for him and whose metadata does not say what the item filter asks.
        scores: The recommender's score of an item, where it gave one.
        reads_metadata: Whether anything asks for metadata.
    """

    plan: TellPlan
    telling: Telling
    left_out: Sequence[tuple[str, str]]
    without_metadata: Sequence[str]
    unclear: Collection[str]
    scores: dict[str, float]
    reads_metadata: bool


def state_before(storage: Storage, manifest: RunManifest) -> tuple[Committed, RunManifest | None]:
    """What was committed when a run began, and the manifest of that; nothing before the first commit.

    The pointer of that time is gone; what of it matters here follows from the manifest it published.

    Raises:
        UnknownStateError: That manifest is not there, or cannot be read by this release.
    """
    if manifest.previous_version is None:
        return Committed(), None
    found = manifest_of(storage, manifest.connector, manifest.previous_version)
    return Committed(_pointer_of(found)), found


def manifest_of(storage: Storage, connector: str, version: int) -> RunManifest:
    """What a version published.

    Raises:
        UnknownStateError: It is not there.
    """
    keys = [layout.manifest(connector, run_id) for run_id in _runs_of(storage, connector, version)]
    found = [one for key in keys if (one := state.read_manifest(storage, key)) and one.version == version]
    if len(found) != 1:
        raise UnknownStateError(f"what version {version} told is not known any more: its manifest is not there")
    return found[0]


def _runs_of(storage: Storage, connector: str, version: int) -> list[str]:
    """The runs that left a snapshot of a version, in order: one of them committed it."""
    folders = storage.folders(layout.state_folder(connector))
    return [name.removeprefix(f"{version}-") for name in folders if name.startswith(f"{version}-")]


def _pointer_of(manifest: RunManifest) -> Pointer:
    """The pointer that a run swapped in, without its files."""
    connector = manifest.connector
    try:
        options = registry.connector_class(connector).options_model.model_validate(manifest.options)
    except ValidationError as error:
        raise UnknownStateError(f"the settings of version {manifest.version} are of another release") from error
    return Pointer(
        version=manifest.version,
        run_id=manifest.run_id,
        manifest=layout.manifest(connector, manifest.run_id),
        snapshot=[],
        settings=settings_digest(options).hex(),
        compare=options.change_policy.compare,
        compare_first=options.change_policy.k,
    )


def told_by(storage: Storage, manifest: RunManifest, user_id: str) -> Told | None:
    """A user's row of the snapshot that a run left; None where it has none for him.

    Raises:
        UnknownStateError: The snapshot is gone, or it holds several rows for him.
    """

    def rows_in(key: str) -> list[Told]:
        table = _table(storage, key, schema=USER_ARROW, filters=[("userId", "=", user_id)])
        return [told for _, told in users_of(table)]

    found: list[Told] = []
    for rows in at_once(rows_in, _snapshot(storage, manifest)):
        found += [told for told in rows if told not in found]
    if len(found) > 1:
        raise UnknownStateError(f"the snapshot of version {manifest.version} holds several rows for this user")
    return found[0] if found else None


def users_told(storage: Storage, manifest: RunManifest) -> Iterator[str]:
    """Everyone in the snapshot that a run left.

    Raises:
        UnknownStateError: It is gone or damaged.
    """
    for key in _snapshot(storage, manifest):
        yield from _table(storage, key, columns=["userId"])["userId"].to_pylist()


def _table(storage: Storage, key: str, **named: Any) -> pa.Table:
    """A file of a snapshot, or what of it is wanted."""
    try:
        return pq.read_table(io.BytesIO(storage.get(key).data), **named)
    except (pa.ArrowException, OSError, NotFoundError) as error:
        raise UnknownStateError(f"{storage.root}/{key} is gone or damaged") from error


def _snapshot(storage: Storage, manifest: RunManifest) -> list[str]:
    """The files of a run's snapshot. Those of attempts that lost say the same as those that won."""
    its = manifest.connector, manifest.version, manifest.run_id
    other = layout.CLEARS if manifest.counts.get("clearsWithheld") else layout.WITHHELD
    keys = [entry.key for entry in storage.list(f"{layout.snapshot(*its)}/")]
    if not keys and manifest.counts.get("users"):
        raise UnknownStateError(f"the snapshot of version {manifest.version} is not there any more")
    return [key for key in keys if key != layout.items(*its) and not key.endswith(f"{other}.parquet")]


def retell(
    run: JobRun,
    connector: str,
    user_id: str,
    found: UserInput,
    files: RunFiles,
    before: Before,
) -> Retold:
    """Tell a user again what a run told him.

    Args:
        run: The run as it was; its settings have to be those of then.
        found: What the input says of him.

    Raises:
        StateError: What became of the version before cannot be read.
        UnknownStateError: The items as the run before knew them cannot.
    """
    wanted = wanted_by(run.config, connector)
    items = {item for one in found.meetings for item in one.item_ids or ()}.union(run.config.recommendations.fallback)
    pieces = pieces_of(items, files, wanted)
    known = _known_items(run, connector, before.committed.pointer)
    catalogue = replace(wanted.catalogue(pieces), known=known)
    plan = tell_plan(run, connector, before.committed)
    told = [of_told(user_id, before.told)] if before.told else []
    telling = Teller(plan, catalogue).tell(user_id, [*found.meetings, *told], Counter())
    unclear = frozenset(filter(catalogue.is_unclear, items))
    lacking = [item for item in telling.items if catalogue.is_read and catalogue.lacks_metadata(item)]
    unknown = [item for item in lacking if item not in unclear]
    left_out = Shortlister(plan.lists, catalogue).left_out(found.meetings)
    scores = best_scores([RankedList(one.item_ids or [], one.scores) for one in found.meetings])
    return Retold(plan, telling, left_out, unknown, unclear, scores, catalogue.is_read)


def _known_items(run: JobRun, connector: str, pointer: Pointer | None) -> dict[str, bytes] | None:
    """The items as the run before knew them; None when it kept none, or they do not count."""
    if pointer is None or run.is_full:
        return None
    key = layout.items(connector, pointer.version, pointer.run_id)
    try:
        table = _table(run.storage, key, schema=ITEMS_ARROW)
    except UnknownStateError as error:
        if isinstance(error.__cause__, NotFoundError):
            return None
        raise
    return dict(zip(table["itemId"].to_pylist(), table["hashes"].to_pylist(), strict=True))


def agrees(telling: Telling, *, line: bytes | None, told: Told | None, withheld: bool) -> bool:
    """Whether a telling is what the run left: the same record, and the same row of the snapshot.

    Args:
        line: His record, as it stands in the run's parts.
        told: His row of the run's snapshot.
        withheld: Whether the run sent no clears.
    """
    is_withheld = withheld and telling.verdict is Verdict.CLEARED
    kept = telling.was if is_withheld else telling.kept
    return (None if is_withheld else telling.line) == line and _plain(kept) == _plain(told)


def _plain(told: Told | None) -> tuple[object, ...] | None:
    if told is None:
        return None
    sent: datetime = told.sent_at
    return told.op, list(told.item_ids), told.fingerprint, told.sent_in, sent, told.rejections, told.is_marked
