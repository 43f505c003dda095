"""Runs, plans and statuses as a person reads them on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.console import Voice
from cli.ending import ending_in_words
from cli.status import Status
from connectors.contract.held import GuardReading, Held
from connectors.contract.run_record import ConnectorRecord, Estimate, ItemCount, RunRecord, Sample
from glue_jobs.report.words import limit, many, measured

_SHOWN_ITEMS, _SHOWN_IDS = 5, 5
# What a plan counts, in the order a person asks.
_PLANNED = ("records", "new", "changed", "repeated", "refreshed", "cleared", "unchanged", "resting", "gone", "failed")
_PLANNED_IF_ANY = ("holdout", "holdoutUnchanged", "emptied", "clearsWithheld", "forgotten", "empty", "usersWithoutList")
# A figure of what is not sent → what it counts, and how that is said.
_UNSENT = (
    ("unchanged", "user", "told this before"),
    ("holdoutUnchanged", "user", "in the holdout, told so before"),
    ("failed", "user", "left alone, as the line failed or cannot be read"),
    ("resting", "user", "resting, refused three times"),
    ("gone", "user", "no longer in the input, left with what is there"),
    ("forgotten", "user", "no longer in the input, and the clear is confirmed"),
    ("empty", "user", "with an empty list and nothing held"),
    ("clearsWithheld", "user", "not cleared, as not every line could be read"),
    ("usersWithoutList", "user", "without a list, never told anything"),
    ("linesBroken", "line", "of the batch that cannot be read"),
    ("mappingRowsBroken", "row", "of the mapping that cannot be read"),
)


def ended(record: RunRecord, waiting: Sequence[Held], folder: str, voice: Voice) -> None:
    """How a run ended: what it committed, what waits for a yes, and what stopped.

    Args:
        waiting: What of it is held.
    """
    for one in record.published:
        synced(record.run_id, one, voice)
    for commit in waiting:
        held(commit, folder, voice)
    decided = {one.connector for one in record.connectors if one.outcome == "held"} - {one.connector for one in waiting}
    for connector in sorted(decided):
        voice.warn(f"{connector}: a guard held this run, and it was decided about since")
    stopped(record, voice)


def synced(run_id: str, one: ConnectorRecord, voice: Voice) -> None:
    """What a run published for a connector."""
    voice.table(
        f"{one.connector}: run {run_id}, version {one.version}", ["", "count"], list(map(list, one.counts.items()))
    )
    if not one.counts["records"]:
        voice.stage(f"{one.connector}: nothing to send, 0 records: {_why_nothing(one.counts)}")


def _why_nothing(counts: Mapping[str, int]) -> str:
    """Why a run sends nobody anything, by its figures."""
    others = [name for name, _, _ in _UNSENT[1:] if counts.get(name)]
    if 0 < counts.get("users", 0) == counts.get("unchanged", 0) and not others:
        return "every user was told this before"
    found = [f"{many(counts[name], noun)} {said}" for name, noun, said in _UNSENT if counts.get(name)]
    return "; ".join(found) or "no user has a list"


def held(one: Held, folder: str, voice: Voice) -> None:
    """What a guard held, and the two commands that decide about it."""
    held_numbers(one, voice)
    words = f"--connector {one.connector} --run {one.run_id} {shlex.quote(folder)}"
    voice.warn(f"{one.connector}: run {one.run_id} is held, nothing is committed; it waits for your word")
    voice.next(f"recsync approve {words}")
    voice.next(f"recsync discard {words}")


def held_numbers(one: Held, voice: Voice) -> None:
    """Why a run is held."""
    guards(f"{one.connector}: run {one.run_id}, {one.manifest.counts['records']} record(s)", one.guards, voice)


def guards(title: str, readings: Sequence[GuardReading], voice: Voice) -> None:
    """What each guard says."""
    rows = [
        [
            reading.name,
            measured(reading),
            limit(reading.name, reading.limit),
            "HOLDS" if reading.is_breached else "",
            reading.note,
        ]
        for reading in readings
    ]
    voice.table(title, ["guard", "number", "limit", "", "of"], rows)


def stopped(record: RunRecord, voice: Voice) -> None:
    """Why connectors stopped."""
    for one in _stopped(record):
        voice.fail(f"{one.connector}: {one.reason}")


def ended_data(record: RunRecord, waiting: Sequence[Held]) -> dict[str, Any]:
    """A run for a program."""
    return {
        "runs": [{"runId": record.run_id, **one.model_dump(include=_SYNCED)} for one in record.published],
        "held": [one.model_dump(by_alias=True, mode="json", include=_HELD) for one in waiting],
        "stopped": {one.connector: one.reason for one in _stopped(record)},
    }


_SYNCED = {"connector", "version", "counts", "manifest"}
_HELD = {"connector", "run_id", "guards", "held_at"}


def _stopped(record: RunRecord) -> list[ConnectorRecord]:
    return [one for one in record.connectors if one.outcome == "stopped"]


def planned(one: ConnectorRecord, voice: Voice) -> None:
    """What a run would do for one connector."""
    if one.outcome == "stopped":
        voice.warn(f"{one.connector}: cannot preview: {one.reason}")
        return
    rows = [[name, one.counts[name]] for name in _PLANNED if name in one.counts]
    rows += [[name, one.counts[name]] for name in _PLANNED_IF_ANY if one.counts.get(name)]
    voice.table(f"{one.connector}: what a run would do", ["", "users"], rows)
    if one.fields:
        fields = sorted(one.fields.items(), key=lambda pair: -pair[1])
        voice.table("Fields that differ", ["field", "users"], [list(pair) for pair in fields])
    movers("Items that more users would have", one.gained, voice)
    movers("Items that fewer users would have", one.lost, voice)
    if one.estimate and one.counts.get("records"):
        estimate(one.estimate, voice)
    if one.guards:
        guards("Guards", one.guards, voice)
    samples(one.samples, voice)


def movers(title: str, items: Sequence[ItemCount], voice: Voice) -> None:
    """The first of some items."""
    if items:
        voice.table(title, ["item", "users"], [[item.item_id, item.users] for item in items[:_SHOWN_ITEMS]])


def estimate(cost: Estimate, voice: Voice) -> None:
    """What sending costs."""
    rows: list[list[object]] = [["requests", cost.requests]]
    rows += [["minutes at the destination's rate", cost.minutes]] if cost.minutes is not None else []
    rows += [[f"billed for {name}", count] for name, count in cost.units.items()]
    voice.table(f"Cost, worked out from {cost.measured} record(s)", ["", "count"], rows)


def samples(found: Sequence[Sample], voice: Voice) -> None:
    """Some users, before and after."""
    rows = [[one.user, one.verdict, _ids(one.before), _ids(_after(one))] for one in found]
    if rows:
        voice.table("Some of the users", ["user", "why", "before", "after"], rows)


def _after(one: Sample) -> list[str] | None:
    return None if one.after is None else [str(item["itemId"]) for item in one.after]


def _ids(ids: Sequence[str] | None) -> str:
    if not ids:
        return "-"
    more = f" +{len(ids) - _SHOWN_IDS}" if len(ids) > _SHOWN_IDS else ""
    return " ".join(ids[:_SHOWN_IDS]) + more


def status(one: Status, voice: Voice) -> None:
    """How a connector of a job stands."""
    rows: list[list[object]] = [
        ["committed", f"version {one.version}, run {one.run_id}" if one.version else _committed_nothing(one)]
    ]
    rows += [["users known", one.users], *([name, count] for name, count in sorted(one.fates.items()) if count)]
    rows += [["resting", one.resting]] if one.resting else []
    rows += [["parts enqueued", f"{one.enqueued} of {one.parts}"]] if one.is_handed_over else []
    rows += [["last run", _last(one)]] if one.last else []
    voice.table(one.connector, ["", ""], rows)
    if one.trouble:
        voice.warn(f"{one.connector}: {one.trouble}")
    if not one.is_published:
        voice.warn(f"{one.connector}: run {one.run_id} was committed and never published; the next run makes it good")
    if one.held:
        voice.warn(f"{one.connector}: run {one.held.run_id} is held since {one.held.held_at:%Y-%m-%d %H:%M} UTC")
        held_numbers(one.held, voice)
    if one.health:
        voice.warn(f"{one.connector}: in trouble since {one.health.since:%Y-%m-%d %H:%M} UTC: {one.health.reason}")


def _committed_nothing(one: Status) -> str:
    return "cannot be read" if one.trouble else "nothing yet"


def _last(one: Status) -> str:
    if one.last is None:
        return ""
    if one.last.of(one.connector):
        how = ending_in_words(one.ending) or "cannot be read"
    else:
        how = one.last.message or "had no part in it"
    return f"{one.last.run_id}: {how}"


def runs(records: Sequence[RunRecord], how: Callable[[ConnectorRecord], str], voice: Voice) -> None:
    """Runs, a line a connector.

    Args:
        how: How a run ended for a connector, as is known by now.
    """
    found = [
        (record.run_id, one)
        for record in records
        for one in record.connectors or [ConnectorRecord(connector="-", outcome="stopped", reason=record.message)]
    ]
    rows = [
        [run_id, one.connector, how(one), one.counts.get("records", 0), one.counts.get("users", 0)]
        for run_id, one in found
    ]
    voice.table("Runs, newest first", ["run", "connector", "ended", "records", "users"], rows)
    if reasons := [(run_id, one.reason) for run_id, one in found if one.reason]:
        voice.facts("Why", reasons)
