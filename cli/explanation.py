"""One user's story in one run, as data and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from cli.ending import ending_in_words
from connectors.contract.wire import WireModel

# Why a user was told something, or was not.
VERDICTS: Mapping[str, str] = {
    "new": "the destination holds nothing for this user, so the whole list is told",
    "changed": "what is to be told differs from what counts as told",
    "repeated": "nothing confirms that the destination holds what was sent last, so it is told again",
    "refreshed": "nothing has changed, but the last send is older than changePolicy.refreshAfterDays",
    "cleared": "this user left the input, and onUserRemoved is clear",
    "holdout": "this user is in the holdout and gets no recommendations",
    "holdoutUnchanged": "this user is in the holdout and was told so before",
    "unchanged": "this very content counts as told already",
    "failed": "the line that would have answered failed or cannot be read; so nothing is changed",
    "resting": "the destination refused this very content three times; it rests until it changes",
    "gone": "this user left the input and keeps what he has, because onUserRemoved is keep",
    "forgotten": "this user left the input, and the clear counts as told",
    "empty": "the list is empty, and the destination holds nothing that it would replace",
}
# The same of a user who is told his whole list, by what he was told last; of one whose clear is not confirmed.
NEW_AFTER: Mapping[str, str] = {
    "gone": "this user is back: he was left with what he had when he left the input, and is told anew",
    "clear": "the last this user was told is that he has nothing, so the whole list is told",
    "holdout": "this user leaves the holdout, so the whole list is told",
}
CLEARED_AGAIN = "nothing confirms that this user's clear arrived, so it is told again"
# Why an item that was found is not in the list, by the figure of the run that counts it.
LEFT_OUT: Mapping[str, str] = {
    "itemsMapped": "the user is mapped to it, and excludeMappedItems is on",
    "itemsBlocked": "recommendations.blockItems names it",
    "itemsExcluded": "recommendations.excludeItems has it for this user",
    "itemsBelowMinScore": "its score is below recommendations.minScore",
    "itemsFiltered": "recommendations.itemFilter leaves it out",
    "itemsWithoutMetadata": "there is no metadata for it, and onMissingMetadata is drop",
    "itemsBeyondMaxItems": "the list is cut at recommendations.maxItems",
    "usersBelowMinItems": "the list would be shorter than recommendations.minItems, so there is none",
}
# The same for one that has metadata: both count under itemsWithoutMetadata.
LEFT_OUT_UNCLEAR = "its metadata does not say what recommendations.itemFilter asks, and onMissingMetadata is drop"

# What becomes of a record that no receipt speaks of, beside waiting: its run waits, or someone else reads it.
HELD, ON_WRITE = "held", "handedOver"

# Why a wipe tells a user something, or nothing.
WIPED = "a wipe was asked for, so that everyone loses every attribute we ever wrote"
NOT_WIPED = "a wipe was asked for, and the run before knows nothing that this user was told"

TRIAL = "a trial: it told the users it was given their whole lists, compared with nothing and committed nothing"

# Why a run told nobody anything, by how it ended.
UNTOLD: Mapping[str, str] = {
    "committed": "the run was committed and never published: nobody was told anything",
    "dropped": "nobody was told anything: the run was discarded, or a newer one took its place",
    "approved": "the run left nothing of its own: the one that it waited with was approved since, and tells the rest",
}


class ScoredItem(WireModel):
    """An item, with the recommender's score where it gave one.

    Attributes:
        is_unclear: Whether its metadata does not say what the item filter asks.
    """

    item_id: str
    score: float | None = None
    has_metadata: bool | None = None
    is_unclear: bool | None = None


class AnswerLine(WireModel):
    """A line of the batch that concerns the user.

    Attributes:
        line: Its number in the file, from 1.
        query_item_id: The item it answers for; None when it was made for the user himself.
        kind: good, failed or broken.
        counts: Whether it is the one that answers; another one did otherwise.
    """

    file: str
    line: int
    query_item_id: str | None = None
    kind: str
    counts: bool
    reason: str | None = None
    items: list[ScoredItem] = Field(default_factory=list)


class PairLine(WireModel):
    """A row that maps the user to an item, or keeps one from him. `line` is its number in the file, from 1."""

    file: str
    line: int
    item_id: str
    rank: int | None = None


class LeftOut(WireModel):
    """An item that was found for the user and is not in his list. `reason` is the figure that counts it."""

    item_id: str
    reason: str
    meaning: str


class Record(WireModel):
    """A record that was sent.

    Attributes:
        line: Its line in the part, from 0.
        fate: delivered, rejected, superseded, deadLettered or waiting; held with its run; handedOver where someone else
            reads what the run wrote.
        record: What it says, without the user.
    """

    file: str
    line: int
    fate: str
    code: str = ""
    reason: str = ""
    at: datetime | None = None
    record: dict[str, Any]


class Told(WireModel):
    """What the snapshot says that the user was told.

    Attributes:
        fingerprint: Of what was sent, hexadecimal; None where nothing confirms it.
        sent_in: The version that sent it.
        fate: What became of that send; empty where it is not known any more.
    """

    op: str
    item_ids: list[str]
    fingerprint: str | None
    sent_in: int
    sent_at: datetime
    rejections: int
    fate: str = ""
    code: str = ""
    reason: str = ""


class ConnectorStory(WireModel):
    """The user's story for one connector.

    Attributes:
        outcome: How the run ended: committed, held, stopped or trial; ``approved`` or ``dropped`` for one that a guard
            held and that was decided about since.
        verdict: Why he was told something, or was not; None where it is not known any more.
        changed: The fields of his record that differ, where that is known.
        items: His list.
        from_fallback: Those of them that no answer holds.
        before: What he was told before the run; None for nothing.
        after: What he is taken to have been told, as the run's snapshot has it.
        sent: His record; None when he was sent nothing.
        notes: What cannot be told, and why.
    """

    connector: str
    outcome: str
    version: int | None = None
    verdict: str | None = None
    meaning: str = ""
    changed: list[str] = Field(default_factory=list)
    items: list[ScoredItem] = Field(default_factory=list)
    from_fallback: list[str] = Field(default_factory=list)
    left_out: list[LeftOut] = Field(default_factory=list)
    before: Told | None = None
    after: Told | None = None
    sent: Record | None = None
    notes: list[str] = Field(default_factory=list)


class Explanation(WireModel):
    """One user's story in one run.

    Attributes:
        user: His alias, or his id where it may be shown.
        folder: The job folder's address.
        is_wipe: Whether the run was to clear everyone, and read no batch.
        changed_inputs: What the run read and is not what it was.
    """

    folder: str
    run_id: str
    user: str
    started_at: datetime
    message: str = ""
    is_wipe: bool = False
    changed_inputs: list[str] = Field(default_factory=list)
    mapped: list[PairLine] = Field(default_factory=list)
    excluded: list[PairLine] = Field(default_factory=list)
    answers: list[AnswerLine] = Field(default_factory=list)
    connectors: list[ConnectorStory] = Field(default_factory=list)


Facts = list[tuple[str, str]]


def in_words(told: Explanation) -> list[tuple[str, Facts]]:
    """The story as a person reads it: what the input says, then each connector; names and what is to be said."""
    parts = [(f"{told.user} in run {told.run_id}", _of_input(told))]
    parts += [(_title(one), _facts(one)) for one in told.connectors]
    return [(title, [(name, text.replace(f"{told.folder}/", "")) for name, text in facts]) for title, facts in parts]


def _title(one: ConnectorStory) -> str:
    version = f", version {one.version}" if one.version else ""
    return f"{one.connector}: {ending_in_words(one.outcome)}{version}"


def _of_input(told: Explanation) -> Facts:
    """What the input says of the user."""
    facts = [("stopped", told.message)] if told.message else []
    facts += [("has changed", address) for address in told.changed_inputs]
    facts += [("mapped to", f"{one.item_id}{_ranked(one)}  ({_place(one)})") for one in told.mapped]
    facts += [("never gets", f"{one.item_id}  ({_place(one)})") for one in told.excluded]
    facts += [(_said(one), f"{_listed(one.items) or one.reason or 'nothing'}  ({_place(one)})") for one in told.answers]
    return facts or [("input", "none was read: this run is a wipe" if told.is_wipe else "names this user nowhere")]


def _place(one: PairLine | AnswerLine) -> str:
    return f"{one.file}, line {one.line}"


def _ranked(one: PairLine) -> str:
    return "" if one.rank is None else f", rank {one.rank}"


def _said(one: AnswerLine) -> str:
    """What a line of the batch is to the user."""
    whose = f"{one.query_item_id} " if one.query_item_id else ""
    return f"{whose}{'answered' if one.kind == 'good' and one.counts else one.kind if one.counts else 'repeated'}"


def _facts(one: ConnectorStory) -> Facts:
    """What is told of a connector."""
    before = [("before", _was(one.before) if one.before else "nothing")] if one.before or not one.notes else []
    unknown = " ".join(item.item_id for item in one.items if item.has_metadata is False)
    unclear = " ".join(item.item_id for item in one.items if item.is_unclear)
    said = {
        "list": _listed(one.items),
        "filled up": " ".join(one.from_fallback),
        "no metadata": unknown,
        "unclear": unclear and f"{unclear}: the metadata does not say what recommendations.itemFilter asks",
        "verdict": ": ".join(filter(None, (one.verdict, one.meaning))),
        "differs": ", ".join(one.changed),
    }
    return [
        *before,
        *_left_out(one.left_out),
        *((name, text) for name, text in said.items() if text),
        *(_record(one.sent) if one.sent else [("record", "none was sent")] if not one.notes else []),
        *(("note", note) for note in one.notes),
    ]


def _left_out(found: list[LeftOut]) -> Facts:
    """What is not in the list, reason by reason."""
    meanings = dict.fromkeys(one.meaning for one in found)
    return [
        ("left out", f"{' '.join(one.item_id for one in found if one.meaning == meaning)}: {meaning}")
        for meaning in meanings
    ]


def _listed(items: list[ScoredItem]) -> str:
    return " ".join(one.item_id if one.score is None else f"{one.item_id} ({one.score:g})" for one in items)


def _was(told: Told) -> str:
    """What was told before, when, and what became of it."""
    what = f"{told.op} {' '.join(told.item_ids)}".strip()
    mark = f"fingerprint {told.fingerprint}" if told.fingerprint else "nobody knows whether it arrived"
    became = ": ".join(filter(None, (told.fate, told.code, told.reason)))
    refused = f"refused {told.rejections} time(s)" if told.rejections else ""
    said = f"in version {told.sent_in}, {told.sent_at:%Y-%m-%d %H:%M} UTC"
    return "; ".join(filter(None, (f"{what}  {said}", mark, became, refused)))


def _record(sent: Record) -> Facts:
    """A record item by item, and what became of it."""
    plain = {name: value for name, value in sent.record.items() if name != "recommendations"}
    items = [json.dumps(item, ensure_ascii=False) for item in sent.record.get("recommendations", ())]
    at = f" at {sent.at:%Y-%m-%d %H:%M} UTC" if sent.at else ""
    return [
        ("record", f"{json.dumps(plain, ensure_ascii=False)}  ({sent.file}, line {sent.line})"),
        *(("", item) for item in items),
        ("became", ": ".join(filter(None, (sent.fate + at, sent.code, sent.reason)))),
    ]
