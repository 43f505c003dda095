"""One connector's part of a run: meet what was told before, write, commit, publish."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's own short name

from connectors.contract import layout
from connectors.contract.held import GuardReading, Held, hold, let_go, newest_held
from connectors.contract.storage import StorageError
from glue_jobs import output, recording, state
from glue_jobs.attribute import meet, unmatched_items
from glue_jobs.decorate import Catalogue
from glue_jobs.ends import End
from glue_jobs.errors import NoInputError
from glue_jobs.guards import RunNumbers, breached, read_guards
from glue_jobs.item_lines import wanted_by
from glue_jobs.items import SHELF_FROM_BYTES, Items, check_types, read_items, types_to_keep
from glue_jobs.output import WritePlan
from glue_jobs.parting import Parting, files_of_parts, parting_of
from glue_jobs.proposal import Kept, Proposal, propose, tell_plan
from glue_jobs.snapshot import read_snapshot
from glue_jobs.state import Committed
from glue_jobs.story import Story
from glue_jobs.work import Work
from glue_jobs.writers import LinesWriter, write_items


def sync_connector(this: Work, connector: str, rows: DataFrame) -> End:
    """Compare, write, and commit; or hold, plan or try, as it was asked for.

    Args:
        rows: MEETING rows of today.

    Raises:
        SyncError: Nothing of it is visible.
    """
    if this.only_users is not None:
        return _trial(this, connector, rows.where(F.col("userId").isin(list(this.only_users))))
    committed = _committed(this, connector)
    if not (this.is_plan or this.run.is_full) and (held := _held_before(this, connector, committed)):
        return End(recording.of_waiting(held), held=held)
    proposal, story = _proposal(this, connector, rows, committed, _items(this, connector, committed))
    numbers = RunNumbers(proposal.manifest.counts, committed.version == 0, this.input_age_h, story.top_item_users)
    readings = read_guards(this.run.config.guards, numbers)
    record = functools.partial(recording.connector_record, this.run, proposal, story, readings)
    if this.is_plan:
        return End(record("planned"))
    if breached(readings):
        return End(record("held"), held=_hold(this, proposal, readings))
    end = End(record("committed"))
    _commit(this, proposal)
    return end


def _trial(this: Work, connector: str, rows: DataFrame) -> End:
    """Tell some users what a first run would, and commit nothing: no snapshot, no pointer, no clear, no guard.

    The manifest takes the committed version, 0 before the first, so that whatever is committed next replaces what of
    it still waits.
    """
    run, nothing = this.run, Committed()
    version = state.read_pointer(run.storage, connector).version
    tell = tell_plan(run, connector, nothing)
    items = _items(this, connector, nothing)
    parts = _parting(this, nothing).number
    meetings = meet(rows, None, parts)
    plan = WritePlan(run.storage, connector, run.run_id, False, tell, this.alias_key, keeps_rows=False, parts=parts)
    written = output.write(meetings, plan, items.catalogue)
    files, counts = written.settled()
    asked = len(this.only_users or ())
    if not counts["users"]:
        raise NoInputError(f"none of the {asked} user(s) has a list in this input")
    counts = {**counts, **items.counts}
    proposal = propose(run, connector, nothing, tell, files=files, counts=counts, kept=Kept())
    proposal = replace(proposal, manifest=proposal.manifest.model_copy(update={"version": version}))
    state.publish(run.storage, proposal.pointer.manifest, proposal.manifest)
    this.report(f"{connector}: a trial, published for {counts['records']} of {asked} user(s); nothing is committed")
    return End(recording.connector_record(run, proposal, written.story, [], "trial"))


def _commit(this: Work, proposal: Proposal) -> None:
    proposal.commit(this.run.storage)
    try:
        let_go(this.run.storage, proposal.connector)
    except StorageError as error:  # what is held stands on what was committed before, and cannot be approved any more
        this.report(f"warning: {proposal.connector}: what a guard held before still lies there: {error}")
    manifest, sent = proposal.manifest, proposal.manifest.counts["records"]
    this.report(f"{proposal.connector}: committed and published version {manifest.version}, {sent} record(s) to send")


def _held_before(this: Work, connector: str, committed: Committed) -> Held | None:
    """The commit that waits already, where nothing changed since it was held."""
    held = newest_held(this.run.storage, connector)
    if held is None or (held.tag, held.inputs) != (committed.tag, this.inputs):
        return None
    this.report(f"{connector}: nothing changed since run {held.run_id} was held; it still waits")
    return held


def _hold(this: Work, proposal: Proposal, readings: list[GuardReading]) -> Held:
    """Keep the commit for a person to decide on."""
    held = proposal.held(readings, this.inputs)
    hold(this.run.storage, held)
    names = ", ".join(reading.name for reading in breached(readings))
    this.report(f"{proposal.connector}: held by {names}; nothing is committed")
    return held


def _items(this: Work, connector: str, committed: Committed) -> Items:
    wanted = wanted_by(this.run.config, connector)
    if wanted.asking:
        this.report(f"{connector}: reading the item metadata")
    items = read_items(
        this.run.storage,
        wanted,
        shelf_from_bytes=SHELF_FROM_BYTES,
        carry=this.spark.sparkContext.addFile,
    )
    _set_aside(this, connector, items)
    check_types(_types_before(this, committed), items.types)
    return items


def _types_before(this: Work, committed: Committed) -> Mapping[str, str]:
    """The types that metadata had by the committed run; a full run starts anew."""
    return {} if this.run.is_full or committed.pointer is None else committed.pointer.item_types


def _set_aside(this: Work, connector: str, items: Items) -> None:
    """Keep the lines of metadata that cannot be read for a person to look at."""
    aside = LinesWriter(this.run.storage, f"{layout.quarantine(this.run.run_id)}/{connector}-metadata.jsonl")
    for line in items.broken:
        aside.set_aside(*line)
    aside.close()


def _proposal(
    this: Work, connector: str, rows: DataFrame, committed: Committed, items: Items
) -> tuple[Proposal, Story]:
    """Decide about every user and write what follows; nothing of it is visible yet."""
    run, tell = this.run, tell_plan(this.run, connector, committed)
    saves, parting = run.config.save_batch_inference_errors, _parting(this, committed)
    told_there = files_of_parts(committed.pointer) if parting.is_as_before else {}
    told_elsewhere = None if parting.is_as_before else read_snapshot(this.spark, run.storage, committed)
    parts = parting.number
    plan = WritePlan(run.storage, connector, run.run_id, saves, tell, this.alias_key, parts=parts, told=told_there)
    this.report(f"{connector}: reading the batch, comparing with version {committed.version or 'none'}, writing")
    meetings = meet(rows, told_elsewhere, parts)
    written = output.write(meetings, plan, _catalogue(this, committed, items))
    files, counts = written.settled()
    _check_usable(this, counts, written.why_broken)
    unmatched = unmatched_items(rows) if counts["mappingRowsUnmatched"] else 0
    counts = {**counts, "mappingItemsUnmatched": unmatched, **items.counts}
    key = layout.items(connector, tell.version, run.run_id)
    known = None if items.is_shelved else write_items(run.storage, key, items.catalogue.pieces)
    kept = Kept(known, types_to_keep(_types_before(this, committed), items.types), parts)
    return propose(run, connector, committed, tell, files=files, counts=counts, kept=kept), written.story


def _parting(this: Work, committed: Committed) -> Parting:
    return parting_of(committed.pointer, this.size_bytes, this.spark.sparkContext.defaultParallelism)


def _committed(this: Work, connector: str) -> Committed:
    if not this.run.is_full:
        return state.read_pointer(this.run.storage, connector)
    committed, lost = state.recover(this.run.storage, connector)
    if lost:
        this.report(f"warning: {connector}: {lost}; users known only there keep what they have")
    return committed


def _catalogue(this: Work, committed: Committed, items: Items) -> Catalogue:
    """Today's items, and beside them how the committed run knew them, where both fit into memory."""
    if this.run.is_full or items.is_shelved:
        return items.catalogue
    return replace(items.catalogue, known=state.read_known_items(this.run.storage, committed))


def _check_usable(this: Work, counts: Mapping[str, int], why_broken: str) -> None:
    """A batch or a mapping without one good line says that it failed, not that everybody lost his recommendations."""
    if this.run.config.guards.allow_empty:
        return
    if counts["linesRead"] == counts["linesFailed"] + counts["linesBroken"]:
        unreadable = f"{counts['linesBroken']} unreadable" + (f" ({why_broken})" if why_broken else "")
        raise NoInputError(
            f"no usable line: {counts['linesRead']} read, {counts['linesFailed']} failed by the recommender, "
            f"{unreadable}; nothing was changed. Where that may be, set guards.allowEmpty"
        )
    rows = counts["mappingRowsRead"]
    if this.run.folder.job_type == "related_items" and rows == counts["mappingRowsBroken"]:
        raise NoInputError(
            f"no usable row of the mapping: {rows} read, {rows} unreadable; nothing was changed. "
            "Where that may be, set guards.allowEmpty"
        )
