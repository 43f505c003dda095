"""recsync explain: one user's story in one run, from the batch line to what became of his record. No Spark.

What a run decided is told by the run's own code, over what it read and what stood before it, and only where that
gives exactly what the run left. Otherwise it is said what is not known any more, and what still is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Concatenate, ParamSpec, TypeVar

from cli.ending import ending
from cli.explanation import (
    CLEARED_AGAIN,
    HELD,
    LEFT_OUT,
    LEFT_OUT_UNCLEAR,
    NEW_AFTER,
    NOT_WIPED,
    ON_WRITE,
    TRIAL,
    UNTOLD,
    VERDICTS,
    WIPED,
    AnswerLine,
    ConnectorStory,
    Explanation,
    LeftOut,
    PairLine,
    Record,
    ScoredItem,
    Told,
)
from cli.fate import FATE_NAMES, Sent, fate_of
from cli.records import record_of
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.aliases import alias, alias_key
from connectors.contract.held import newest_held
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import RunManifest
from connectors.contract.receipts import Fate
from connectors.contract.run_record import ConnectorRecord, RunRecord, read_record, run_ids
from connectors.contract.storage import Storage, StorageError, open_storage
from glue_jobs import lookup, retelling, state
from glue_jobs.config import JobConfig, load_config
from glue_jobs.delta import Told as ToldRow
from glue_jobs.delta import Verdict
from glue_jobs.errors import SyncError
from glue_jobs.inputs import config_mark
from glue_jobs.lookup import Answer, PairRow, RunFiles, UserInput
from glue_jobs.proposal import JobRun
from glue_jobs.retelling import Retold, UnknownStateError
from glue_jobs.tell import TellPlan

P = ParamSpec("P")
T = TypeVar("T")
_ALIAS = re.compile(r"u-[0-9a-f]{10}")


@dataclass(frozen=True)
class _Question:
    """Who is asked about, and what is known of the run.

    Attributes:
        name: What the user is called in the answer.
        config: The run's settings; None where they are not what they were.
    """

    folder: JobFolder
    storage: Storage
    record: RunRecord
    files: RunFiles
    user_id: str
    name: str
    config: JobConfig | None

    @property
    def is_mapped(self) -> bool:
        """Whether users get the lists of the items they are mapped to."""
        return self.folder.job_type == "related_items"

    def masked(self, text: str) -> str:
        """Somebody else's words, with the user called as he is called here."""
        return re.sub(rf"(?<!\w){re.escape(self.user_id)}(?!\w)", lambda _: self.name, text)


def explain(folder: JobFolder, user: str, run_id: str | None = None, *, show_ids: bool = False) -> Explanation:
    """One user's story in a run.

    Args:
        user: His id, or his alias.
        run_id: The run; when None the newest that decided about users, whether or not it told them yet.
        show_ids: Whether the answer may name him by his id.

    Raises:
        UsageError: There is no such run, or nobody of that alias.
        InputError: An input file is damaged.
    """
    storage = open_storage(folder.root)
    newest = _newest_that_decided(storage) if run_id is None else None
    record = newest or record_of(storage, run_id)
    files = lookup.files_of(record, storage)
    key = alias_key(storage)
    user_id = _user_of_alias(folder, storage, record, files, key, user) if _ALIAS.fullmatch(user) else user
    name = user_id if show_ids else alias(key, user_id)
    question = _Question(folder, storage, record, files, user_id, name, _settings(storage, record, files))
    found = lookup.look_up(user_id, files, is_mapped=question.is_mapped)
    return Explanation(
        folder=storage.root,
        run_id=record.run_id,
        user=name,
        started_at=record.started_at,
        message=record.message,
        is_wipe=record.is_wipe,
        changed_inputs=list(files.changed),
        mapped=[_pair(row) for row in found.mapped],
        excluded=[_pair(row) for row in found.excluded],
        answers=[_answer(one, question) for one in found.answers],
        connectors=[_story(question, one, found) for one in record.connectors],
    )


def _newest_that_decided(storage: Storage) -> RunRecord | None:
    """The newest run that left something to tell of: not one that stopped, was a trial, or was dropped."""
    records = (read_record(storage, layout.run_record(run_id)) for run_id in run_ids(storage))
    return next((record for record in records if record and _has_decided(storage, record)), None)


def _has_decided(storage: Storage, record: RunRecord) -> bool:
    return any(ending(storage, one) in ("committed", "approved", "held") for one in record.connectors)


def _settings(storage: Storage, record: RunRecord, files: RunFiles) -> JobConfig | None:
    """The run's settings; None where they are not what they were, here or in the folder that this one is a copy of."""
    mark = next((one.mark for one in record.inputs if one.key == layout.CONFIG), None)
    return None if files.changed or mark != config_mark(storage) else load_config(storage)


def _user_of_alias(
    folder: JobFolder, storage: Storage, record: RunRecord, files: RunFiles, key: bytes, wanted: str
) -> str:
    """The user of an alias, sought among all whom the run and its snapshots know.

    Raises:
        UsageError: None of them has it.
    """
    found = next(
        (user for user in _everyone(folder, storage, record, files) if wanted in (user, alias(key, user))), None
    )
    if found is None:
        raise UsageError(f"run {record.run_id} knows no user by the alias {wanted}; name the user by the id")
    return found


def _everyone(folder: JobFolder, storage: Storage, record: RunRecord, files: RunFiles) -> Iterator[str]:
    for one in record.connectors:
        manifest = _manifest(storage, one, record.run_id)
        with suppress(UnknownStateError):  # then the input may know him
            yield from retelling.users_told(storage, manifest) if manifest else ()
    yield from lookup.user_ids(files, is_mapped=folder.job_type == "related_items")


def _manifest(storage: Storage, one: ConnectorRecord, run_id: str) -> RunManifest | None:
    """What a run published for a connector, or would publish once it is approved; None for neither."""
    published = state.read_manifest(storage, layout.manifest(one.connector, run_id))
    held = None if published else newest_held(storage, one.connector)
    return held.manifest if held and held.run_id == run_id else published


def _story(question: _Question, one: ConnectorRecord, found: UserInput) -> ConnectorStory:
    """The user's story for one connector."""
    manifest, ended = _manifest(question.storage, one, question.record.run_id), ending(question.storage, one)
    if one.outcome == "trial" and manifest is not None:
        return _of_trial(question, one, manifest)
    if manifest is None:
        notes = [UNTOLD.get(ended) or one.reason or "the run left nothing that can be read"]
        return ConnectorStory(connector=one.connector, outcome=ended, version=one.version, notes=notes)
    evidence = _Evidence(question, manifest)
    why = _of_wipe(evidence) if question.record.is_wipe else _of_retold(evidence.retold(found), found, manifest)
    return ConnectorStory(
        connector=one.connector,
        outcome=ended,
        version=manifest.version,
        before=evidence.before(),
        after=_told(evidence.after, None) if evidence.after else None,
        sent=_record_of(evidence.sent, question, _fate(evidence.sent, manifest, ended)) if evidence.sent else None,
        notes=evidence.notes,
        **why,
    )


def _of_trial(question: _Question, one: ConnectorRecord, manifest: RunManifest) -> ConnectorStory:
    """A trial compares with nothing and leaves no snapshot: all there is of it is the record."""
    sent = fate_of(question.storage, manifest, question.user_id)
    record = _record_of(sent, question, _fate(sent, manifest)) if sent else None
    return ConnectorStory(connector=one.connector, outcome=one.outcome, sent=record, notes=[TRIAL])


class _Evidence:
    """What state, parts and receipts say of the user. What they cannot say any more becomes a note."""

    def __init__(self, question: _Question, manifest: RunManifest):
        self._question, self._manifest = question, manifest
        self.notes: list[str] = []
        self.sent = self._asked(fate_of, manifest, question.user_id)
        self.after = self._asked(retelling.told_by, manifest, question.user_id)
        self._was = self._asked(retelling.state_before, manifest)
        older = self._was[1] if self._was else None
        self._told = self._asked(retelling.told_by, older, question.user_id) if older else None
        self._is_whole = not self.notes

    def _asked(self, ask: Callable[Concatenate[Storage, P], T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return ask(self._question.storage, *args, **kwargs)
        except (UnknownStateError, StorageError, SyncError) as error:
            self.notes.append(str(error))
            return None

    def before(self) -> Told | None:
        """What he was told before, and what became of that."""
        if self._told is None:
            return None
        sender = self._asked(retelling.manifest_of, self._manifest.connector, self._told.sent_in)
        sent = self._asked(fate_of, sender, self._question.user_id) if sender else None
        return _told(self._told, _record_of(sent, self._question, _fate(sent, sender)) if sender and sent else None)

    def retold(self, found: UserInput) -> Retold | None:
        """The run told again; None where it cannot be, or gives something else than it left."""
        question, record = self._question, self._question.record
        if question.config is None:
            self.notes.append("why is not known any more: what the run read is not what it was")
            return None
        if not self._is_whole or self._was is None:
            return None
        at, is_full = self._manifest.created_at, record.is_full
        run = JobRun(question.folder, question.storage, question.config, at, record.run_id, is_full)
        before = retelling.Before(self._was[0], self._told)
        try:
            retold = retelling.retell(run, self._manifest.connector, question.user_id, found, question.files, before)
        except UnknownStateError as error:
            self.notes.append(f"why is not known any more: {error}")
            return None
        if self._agrees(retold):
            return retold
        self.notes.append(
            "why is not known any more: told again, the run would leave something else than it left; "
            "receipts came after it, or it is of another release"
        )
        return None

    def _agrees(self, retold: Retold) -> bool:
        line, withheld = self.sent.line if self.sent else None, _withheld(self._manifest) > 0
        return retelling.agrees(retold.telling, line=line, told=self.after, withheld=withheld)


def _withheld(manifest: RunManifest) -> int:
    return manifest.counts.get("clearsWithheld", 0)


def _of_wipe(evidence: _Evidence) -> dict[str, Any]:
    """The part of a story that a wipe tells: it asks nothing of the input, and clears whomever it knows."""
    if evidence.after is not None:
        return {"verdict": Verdict.CLEARED, "meaning": WIPED}
    return {} if evidence.notes else {"meaning": NOT_WIPED}


def _of_retold(retold: Retold | None, found: UserInput, manifest: RunManifest) -> dict[str, Any]:
    """The part of a story that only the run itself can tell; none of it where it cannot be told again."""
    if retold is None:
        return {}
    telling, answered = retold.telling, {item for one in found.meetings for item in one.item_ids or ()}
    unknown = set(retold.without_metadata)
    return {
        "verdict": telling.verdict,
        "meaning": _meaning(retold, manifest),
        "changed": list(telling.changed),
        "items": [
            ScoredItem(
                item_id=item,
                score=retold.scores.get(item),
                has_metadata=item not in unknown if retold.reads_metadata else None,
                is_unclear=item in retold.unclear,
            )
            for item in telling.items
        ],
        "from_fallback": [item for item in telling.items if item not in answered],
        "left_out": [
            LeftOut(item_id=item, reason=figure, meaning=_why_left_out(item, figure, retold))
            for item, figure in retold.left_out
        ],
    }


def _why_left_out(item_id: str, figure: str, retold: Retold) -> str:
    is_unclear = figure == "itemsWithoutMetadata" and item_id in retold.unclear
    return LEFT_OUT_UNCLEAR if is_unclear else LEFT_OUT.get(figure, figure)


def _meaning(retold: Retold, manifest: RunManifest) -> str:
    """Why, in a sentence."""
    verdict, was, plan = retold.telling.verdict, retold.telling.was, retold.plan
    if verdict is None:
        return "the input has no list for this user, and nothing was ever told"
    if verdict is Verdict.CLEARED:
        why = CLEARED_AGAIN if was is not None and was.op == "clear" else VERDICTS[verdict]
        return f"{why}; withheld, because the run met lines that it could not read" if _withheld(manifest) else why
    if verdict is Verdict.NEW and was is not None:
        return NEW_AFTER[was.op]
    if verdict is Verdict.REPEATED and was is not None:
        return _why_repeated(was, plan)
    if verdict is Verdict.CHANGED and plan.previous_settings != plan.settings:
        return "a setting that shapes what is sent is another one, so everyone is told anew"
    return VERDICTS.get(verdict, verdict)


def _why_repeated(was: ToldRow, plan: TellPlan) -> str:
    if plan.is_full:
        return "the run was a full one: everyone is told once"
    if was.rejections:
        return f"the destination refused what was sent last, {was.rejections} time(s) so far, so it is told again"
    return VERDICTS["repeated"] if not was.is_known else "performDeltaCheck is off: everyone is told in every run"


def _told(row: ToldRow, sent: Record | None) -> Told:
    known = {"fate": sent.fate, "code": sent.code, "reason": sent.reason} if sent else {}
    return Told(
        op=row.op,
        item_ids=list(row.item_ids),
        fingerprint=None if row.fingerprint is None else f"{row.fingerprint % (1 << 64):016x}",
        sent_in=row.sent_in,
        sent_at=row.sent_at,
        rejections=row.rejections,
        **known,
    )


def _fate(sent: Sent, manifest: RunManifest, outcome: str = "") -> str:
    """What became of a record; one that no receipt will ever speak of does not wait."""
    if sent.fate is Fate.OPEN and outcome == "held":
        return HELD
    return ON_WRITE if sent.fate is Fate.OPEN and manifest.acknowledge == "onWrite" else FATE_NAMES[sent.fate]


def _record_of(sent: Sent, question: _Question, fate: str) -> Record:
    """A record that was sent; it never names the user."""
    record = json.loads(sent.line)
    del record["userId"]
    return Record(
        file=sent.file,
        line=sent.number,
        fate=fate,
        code=sent.code,
        reason=question.masked(sent.reason),
        at=sent.at,
        record=record,
    )


def _pair(row: PairRow) -> PairLine:
    return PairLine(file=row.file.address, line=row.pair.line, item_id=row.pair.item_id, rank=row.pair.rank)


def _answer(one: Answer, question: _Question) -> AnswerLine:
    read = one.read
    scored = zip_longest(read.item_ids or (), read.scores or ())
    return AnswerLine(
        file=one.file.address,
        line=one.line,
        query_item_id=read.key if question.is_mapped else None,
        kind=read.kind,
        counts=one.counts,
        reason=question.masked(read.reason or "") or None,
        items=[ScoredItem(item_id=item, score=score) for item, score in scored],
    )
