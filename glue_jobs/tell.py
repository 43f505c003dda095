"""One user at a time: everything that is said of him → what he is told, and what is remembered.

Pure: rows in, a Telling out. The writing tasks (`output`) put it on disk; no payload is built for a user
who is not sent anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

from connectors.base import ChangePolicy
from glue_jobs.attribute import RankedList, best_scores, merge
from glue_jobs.config import Merge
from glue_jobs.decorate import Catalogue, changed_fields, clear_line, fingerprint
from glue_jobs.delta import UPSERTS, Now, Rules, Told, Verdict, baseline, decide, is_due, remember
from glue_jobs.state import Unacknowledged


class Meeting(NamedTuple):
    """One row of MEETING."""

    user_id: str | None
    kind: str
    is_line: bool
    rank: int | None
    file: str | None
    block: int | None
    row: int | None
    query_item_id: str | None
    item_ids: list[str] | None
    scores: list[float] | None
    text: str | None
    reason: str | None
    op: str | None
    fingerprint: int | None
    sent_in: int | None
    sent_at: datetime | None
    rejections: int | None


@dataclass(frozen=True)
class TellPlan:
    """What telling a user has to know of the run. Travels to the workers.

    Attributes:
        settings: A hash of every setting that shapes what is sent.
        previous_settings: The same of the committed run.
        previous_policy: How the committed run compared; None before the first.
        keeps_unknown_items: Whether items without metadata stay in a list.
        is_full: Whether everyone is sent, whatever he was told.
    """

    version: int
    at: datetime
    settings: bytes
    policy: ChangePolicy
    rules: Rules
    merge: Merge
    max_items: int | None
    unacknowledged: Unacknowledged
    previous_settings: bytes = b""
    previous_policy: ChangePolicy | None = None
    excludes_mapped_items: bool = False
    keeps_unknown_items: bool = True
    is_full: bool = False


@dataclass(frozen=True)
class Telling:
    """What comes of one user.

    Attributes:
        verdict: Why; None for a user of whom nothing is known, then or now.
        line: His record, with its end; None when nothing is sent.
        kept: His row of the next snapshot; None when there is nothing to remember.
        was: His row of the baseline: what is remembered when a clear is withheld.
        counts: Figures of the run that he adds to.
    """

    verdict: Verdict | None
    line: bytes | None = None
    kept: Told | None = None
    was: Told | None = None
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _List:
    """A user's final list.

    Attributes:
        scores: One an item, where records carry them.
    """

    item_ids: list[str]
    scores: list[float | None] | None
    query_item_ids: list[str]


def tell(user_id: str, rows: Sequence[Meeting], plan: TellPlan, catalogue: Catalogue) -> Telling:
    """What one user is told.

    Args:
        rows: Everything said of him, in the order of his items.
    """
    counts: Counter[str] = Counter()
    lists = _lists(rows, counts)
    final = _final_list(lists, rows, plan, catalogue, counts) if lists else None
    now = _now(final, plan, catalogue) if final else None
    told = next((_told(user_id, row, plan, catalogue) for row in rows if row.kind == "told"), None)
    if now is None and told is None:
        counts["usersWithoutList"] += 1
        return Telling(None, counts=counts)
    has_failed = any(row.kind in ("failed", "broken") for row in rows)
    due = told is not None and is_due(user_id, told.sent_at, plan.at, plan.rules.refresh_after_days)
    verdict = decide(now, told, plan.rules, has_failed=has_failed, is_due=due)
    counts["users"] += now is not None
    counts[verdict] += 1
    line = _line(user_id, verdict, final, told, plan, catalogue)
    kept = remember(verdict, now, told, version=plan.version, at=plan.at)
    return Telling(verdict, line, kept, told, counts)


def _lists(rows: Sequence[Meeting], counts: Counter[str]) -> list[RankedList]:
    """The user's lists in order: one a mapped item, or, of several lines made for himself, the first one."""
    found = [RankedList(row.item_ids or [], row.scores, row.query_item_id) for row in rows if row.kind == "list"]
    first: dict[str | None, RankedList] = {}
    for one in found:
        first.setdefault(one.query_item_id, one)
    counts["linesDuplicate" if None in first else "mappingDuplicates"] += len(found) - len(first)
    return list(first.values())


def _final_list(
    lists: Sequence[RankedList], rows: Sequence[Meeting], plan: TellPlan, catalogue: Catalogue, counts: Counter[str]
) -> _List:
    """The list as it is sent: merged, without what the settings leave out, cut."""
    ranked = merge(lists, plan.merge)
    if plan.excludes_mapped_items:
        mapped = {row.query_item_id for row in rows}
        ranked = _without(ranked, [item for item in ranked if item in mapped], "itemsMapped", counts)
    unknown = [item for item in ranked if catalogue.fields and not catalogue.knows(item)]
    if plan.keeps_unknown_items:
        item_ids = ranked[: plan.max_items]
        counts["itemsWithoutMetadata"] += len(set(unknown).intersection(item_ids))
    else:
        item_ids = _without(ranked, unknown, "itemsWithoutMetadata", counts)[: plan.max_items]
    best = best_scores(lists) if catalogue.scored else {}
    scores = [best.get(item) for item in item_ids] if catalogue.scored else None
    queries = [one.query_item_id for one in lists if one.query_item_id is not None]
    return _List(item_ids, scores, queries)


def _without(items: Sequence[str], left_out: Sequence[str], name: str, counts: Counter[str]) -> list[str]:
    counts[name] += len(left_out)
    return [item for item in items if item not in set(left_out)]


def _now(final: _List, plan: TellPlan, catalogue: Catalogue) -> Now:
    return Now(final.item_ids, fingerprint(final.item_ids, catalogue.hashes, plan.settings, plan.policy, final.scores))


def _told(user_id: str, row: Meeting, plan: TellPlan, catalogue: Catalogue) -> Told:
    """His row of the baseline: as it stands, or unknown where nothing confirms it."""
    sent_in, sent_at = row.sent_in or 0, row.sent_at or datetime.fromtimestamp(0, UTC)
    op = cast(Literal["upsert", "gone", "clear"], row.op)
    told = Told(op, row.item_ids or [], row.fingerprint, sent_in, sent_at, row.rejections or 0)
    is_acknowledged = not plan.is_full and not plan.unacknowledged.holds(user_id, sent_in)
    known = baseline(told, is_acknowledged=is_acknowledged)
    return (
        known
        if plan.previous_policy in (None, plan.policy)
        else _compared_anew(known, plan.previous_policy, plan, catalogue)
    )


def _compared_anew(told: Told, made_by: ChangePolicy, plan: TellPlan, catalogue: Catalogue) -> Told:
    """A row whose fingerprint was made by another policy, as today's policy would have made it.

    Where that cannot be known the fingerprint stays, and differs.
    """
    if told.op != "upsert" or not _is_known(told, plan, made_by, catalogue):
        return told
    anew = fingerprint(told.item_ids, catalogue.known_hashes, plan.settings, plan.policy)
    return replace(told, fingerprint=anew)


def _is_known(told: Told, plan: TellPlan, policy: ChangePolicy, catalogue: Catalogue) -> bool:
    """Whether the committed run's items are still those his list was sent with: its fingerprint tells."""
    if catalogue.known is None or told.fingerprint is None or plan.settings != plan.previous_settings:
        return False
    return told.fingerprint == fingerprint(told.item_ids, catalogue.known_hashes, plan.settings, policy)


def _line(
    user_id: str, verdict: Verdict, final: _List | None, told: Told | None, plan: TellPlan, catalogue: Catalogue
) -> bytes | None:
    if verdict is Verdict.CLEARED:
        return clear_line(user_id)
    if verdict not in UPSERTS or final is None:
        return None
    changed = _changed(final, told, plan, catalogue) if verdict is Verdict.CHANGED else None
    return catalogue.upsert_line(user_id, final.item_ids, final.scores, final.query_item_ids, changed)


def _changed(final: _List, told: Told | None, plan: TellPlan, catalogue: Catalogue) -> list[str] | None:
    """The fields whose values differ from what was acknowledged; None where that is not known for sure."""
    is_exact = plan.policy.compare == "exact" and plan.policy == plan.previous_policy
    if told is None or not is_exact or catalogue.scored or not _is_known(told, plan, plan.policy, catalogue):
        return None
    were, are = catalogue.known_hashes, catalogue.hashes
    return changed_fields(catalogue.fields, told.item_ids, were, final.item_ids, are) or None


def figure_names() -> Iterator[str]:
    """The names of the figures that telling users adds to."""
    yield from ("users", *Verdict, "usersWithoutList", "linesDuplicate", "mappingDuplicates")
    yield from ("itemsMapped", "itemsWithoutMetadata")
