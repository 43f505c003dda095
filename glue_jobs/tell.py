"""One user at a time: everything that is said of him → what he is told, and what is remembered.

Pure: rows in, a Telling out. The writing tasks (`output`) put it on disk; no payload is built for a user
who is not sent anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from connectors.base import ChangePolicy
from glue_jobs import shortlist
from glue_jobs.decorate import (
    Catalogue,
    changed_fields,
    clear_line,
    fingerprint,
    holdout_fingerprint,
    holdout_line,
    upsert_line,
)
from glue_jobs.delta import UPSERTS, Now, Rules, Told, Verdict, baseline, decide, is_due, remember
from glue_jobs.holdout import Holdout
from glue_jobs.meeting import Meeting
from glue_jobs.shortlist import ListRules, Shortlist, Shortlister
from glue_jobs.state import Unacknowledged


@dataclass(frozen=True)
class TellPlan:
    """What telling a user has to know of the run. Travels to the workers.

    Attributes:
        settings: A hash of every setting that shapes what is sent.
        previous_settings: The same of the committed run.
        previous_policy: How the committed run compared; None before the first.
        holdout: Who gets nothing; None for nobody.
        is_full: Whether everyone is sent, whatever he was told.
    """

    version: int
    at: datetime
    settings: bytes
    policy: ChangePolicy
    rules: Rules
    lists: ListRules
    unacknowledged: Unacknowledged
    previous_settings: bytes = b""
    previous_policy: ChangePolicy | None = None
    holdout: Holdout | None = None
    is_full: bool = False


class Telling(NamedTuple):
    """What comes of one user.

    Attributes:
        verdict: Why; None for a user of whom nothing is known, then or now.
        line: His record, with its end; None when nothing is sent.
        kept: His row of the next snapshot; None when there is nothing to remember.
        was: His row of the baseline: what is remembered when a clear is withheld.
        items: His list of today; none in the holdout.
        changed: The fields of his record that differ, where that is known.
    """

    verdict: Verdict | None
    line: bytes | None = None
    kept: Told | None = None
    was: Told | None = None
    items: Sequence[str] = ()
    changed: Sequence[str] = ()


class Teller:
    """Decides about users of one run. Keeps nothing from one user to the next."""

    def __init__(self, plan: TellPlan, catalogue: Catalogue):
        self._plan, self._catalogue = plan, catalogue
        self._shortlister = Shortlister(plan.lists, catalogue)
        self._of_holdout = holdout_fingerprint(plan.settings)
        self._has_other_policy = plan.previous_policy not in (None, plan.policy)

    def tell(self, user_id: str, rows: Sequence[Meeting], counts: Counter[str]) -> Telling:
        """What one user is told: see `tell_all`."""
        (telling,) = self.tell_all([(user_id, rows)], counts)
        return telling

    def tell_all(self, users: Sequence[tuple[str, Sequence[Meeting]]], counts: Counter[str]) -> Iterator[Telling]:
        """What some users are told, one after the other: many at a time cost less than one by one.

        Args:
            users: Each with everything said of him, in the order of his items.
            counts: The run's figures; added to.
        """
        finals = self._shortlister.shortlists((rows for _, rows in users), counts)
        for (user_id, rows), final in zip(users, finals, strict=True):
            yield self._tell(user_id, rows, final, counts)

    def _tell(self, user_id: str, rows: Sequence[Meeting], final: Shortlist | None, counts: Counter[str]) -> Telling:
        sent = next((row.told for row in rows if row.told), None)
        told = self._compared_anew(self._confirmed(user_id, sent)) if sent else None
        if final is None and told is None:
            counts["usersWithoutList"] += any(row.kind != "excluded" for row in rows)
            return Telling(None)
        now = self._now(user_id, final) if final else None
        verdict = self._verdict(user_id, now, told, rows)
        counts["users"] += now is not None
        counts["usersHeld"] += told is not None and told.op != "clear"
        counts[verdict] += 1
        counts["clearedAgain"] += verdict is Verdict.CLEARED and told is not None and told.op == "clear"
        kept = remember(verdict, now, told, version=self._plan.version, at=self._plan.at)
        items = now.item_ids if now and now.op == "upsert" else ()
        changed = self._changed(verdict, final, told)
        line = self._line(user_id, verdict, final, told, changed)
        if line is not None:
            self._count_replaced(verdict, now, sent, counts)
        return Telling(verdict, line, kept, told, items, changed)

    def _now(self, user_id: str, final: Shortlist) -> Now:
        """What he would be told: his list, or that he gets none."""
        plan = self._plan
        if plan.holdout is not None and plan.holdout.holds(user_id):
            return Now(final.item_ids, self._of_holdout, "holdout")
        return Now(final.item_ids, fingerprint(final.listing.entries, plan.settings, plan.policy, final.scores))

    def _verdict(self, user_id: str, now: Now | None, told: Told | None, rows: Sequence[Meeting]) -> Verdict:
        plan = self._plan
        has_failed = now is None and any(row.kind in ("failed", "broken") for row in rows)
        due = told is not None and is_due(user_id, told.sent_at, plan.at, plan.rules.refresh_after_days)
        return decide(now, told, plan.rules, has_failed=has_failed, is_due=due)

    def _confirmed(self, user_id: str, told: Told) -> Told:
        """His row by what became of his last send: his who was sent by an older version was judged by then."""
        plan = self._plan
        if plan.is_full:
            return baseline(told, is_acknowledged=False)
        if told.sent_in != plan.unacknowledged.version:
            return told
        is_open = plan.unacknowledged.holds(user_id, told.sent_in)
        return baseline(told, is_acknowledged=not is_open, is_rejected=user_id in plan.unacknowledged.rejected)

    def _compared_anew(self, told: Told) -> Told:
        """A row whose fingerprint was made by another policy, as today's policy would have made it.

        Where that cannot be known the fingerprint stays, and differs.
        """
        plan, made_by = self._plan, self._plan.previous_policy
        if not self._has_other_policy or told.op != "upsert":
            return told
        if _looks_further(plan.policy, made_by) or not self._holds_known_items(told):
            return told
        return told._replace(fingerprint=self._known_mark(told, plan.policy))

    def _holds_known_items(self, told: Told) -> bool:
        """Whether the committed run's items are still those his list was sent with: its fingerprint tells."""
        plan, made_by = self._plan, self._plan.previous_policy
        if self._catalogue.known is None or made_by is None or plan.settings != plan.previous_settings:
            return False
        return told.is_known and told.fingerprint == self._known_mark(told, made_by)

    def _known_mark(self, told: Told, policy: ChangePolicy) -> int:
        return fingerprint(self._catalogue.known_entries(told.item_ids), self._plan.settings, policy)

    def _line(
        self, user_id: str, verdict: Verdict, final: Shortlist | None, told: Told | None, changed: Sequence[str]
    ) -> bytes | None:
        """His record; None when he is sent nothing."""
        if verdict is Verdict.CLEARED:
            return clear_line(user_id)
        if verdict is Verdict.HELD_OUT:
            return holdout_line(user_id)
        if verdict not in UPSERTS or final is None:
            return None
        scored = self._catalogue.scored
        items = self._catalogue.items(final.item_ids, final.scores) if scored else final.listing.json
        ends_holdout = told is not None and told.is_marked
        return upsert_line(user_id, items, final.query_item_ids, changed, ends_holdout=ends_holdout)

    def _count_replaced(self, verdict: Verdict, now: Now | None, sent: Told | None, counts: Counter[str]) -> None:
        """Count a list that is sent in place of another one, as guards look at it, whether or not that arrived."""
        if now is None or sent is None or now.op != "upsert" or sent.op not in ("upsert", "gone"):
            return
        counts["emptied"] += bool(sent.item_ids) and not now.item_ids
        counts["changedUnconfirmed"] += verdict is Verdict.REPEATED and self._differs(now, sent)

    def _differs(self, now: Now, sent: Told) -> bool:
        """Whether a list is another one than was sent, settings apart; by its items where nothing better is known."""
        plan = self._plan
        if sent.fingerprint is None or self._has_other_policy or plan.settings != plan.previous_settings:
            return set(sent.item_ids) != set(now.item_ids)
        return sent.fingerprint != now.fingerprint

    def _changed(self, verdict: Verdict, final: Shortlist | None, told: Told | None) -> Sequence[str]:
        """The fields whose values differ from what was acknowledged; none where that is not known for sure."""
        plan, catalogue = self._plan, self._catalogue
        if verdict is not Verdict.CHANGED or final is None or told is None:
            return ()
        is_exact = plan.policy.compare == "exact" and plan.policy == plan.previous_policy
        if not is_exact or catalogue.scored or not self._holds_known_items(told):
            return ()
        before, after = (told.item_ids, catalogue.known_hashes), (final.item_ids, catalogue.hashes)
        return changed_fields(catalogue.fields, *before, *after)


def _looks_further(policy: ChangePolicy, than: ChangePolicy | None) -> bool:
    """Whether a policy compares items that another one never looked at."""
    if than is None or than.k is None:
        return False
    return policy.k is None or policy.k > than.k


def figure_names() -> Iterator[str]:
    """The names of the figures that telling users adds to."""
    yield from ("users", "usersHeld", *Verdict, "clearedAgain", "changedUnconfirmed", "emptied", "usersWithoutList")
    yield from shortlist.figure_names()
