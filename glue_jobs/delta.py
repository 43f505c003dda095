"""What a user is to be told, given what he was told before. Plain Python, one user at a time.

This is the rule that decides what is sent; it sees ids and fingerprints, never a payload. The writing
tasks apply it to each user in turn, so that what is decided here is all that happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

_OF_A_CLEAR = 0  # the fingerprint of a user who was told to be cleared: a clear is known, or None like any other


class Verdict(StrEnum):
    """Why a user is sent something, or is not."""

    NEW = "new"
    CHANGED = "changed"
    REPEATED = "repeated"
    REFRESHED = "refreshed"
    CLEARED = "cleared"
    HELD_OUT = "holdout"
    UNCHANGED = "unchanged"
    STILL_HELD_OUT = "holdoutUnchanged"
    FAILED = "failed"
    RESTING = "resting"
    GONE = "gone"
    FORGOTTEN = "forgotten"
    EMPTY = "empty"


# After so many rejections of the same content a user rests until it changes.
REST_AFTER = 3

UPSERTS = frozenset({Verdict.NEW, Verdict.CHANGED, Verdict.REPEATED, Verdict.REFRESHED})

Op = Literal["upsert", "holdout", "gone", "clear"]


class Told(NamedTuple):
    """What the destination was last told about a user: one row of the snapshot.

    Attributes:
        op: ``upsert``; ``holdout`` for one who was told that he gets nothing; ``gone`` for a user who left the
            input and keeps what he has; ``clear`` for one whose clear is not confirmed yet.
        fingerprint: Of what was sent; None when nobody knows whether the destination took it.
        sent_in: The version that sent it.
        rejections: How often the destination refused this very content, one time after the other; what it
            refused it does not hold.
        is_marked: Whether the destination may still hold the mark of the holdout.
    """

    op: Op
    item_ids: Sequence[str]
    fingerprint: int | None
    sent_in: int
    sent_at: datetime
    rejections: int = 0
    is_marked: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the destination holds what it was told."""
        return self.fingerprint is not None and not self.rejections


class Now(NamedTuple):
    """What this run would tell a user.

    Attributes:
        item_ids: His list; in the holdout the one he would have.
        fingerprint: Of what he would be told.
    """

    item_ids: Sequence[str]
    fingerprint: int
    op: Literal["upsert", "holdout"] = "upsert"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a user is sent something.

    Attributes:
        checks_delta: Whether an unchanged user is left alone.
        clears_gone: Whether a user who left the input is cleared.
        refresh_after_days: Tell an unchanged user again after this many days; None never does.
    """

    checks_delta: bool = True
    clears_gone: bool = False
    refresh_after_days: int | None = None


def decide(now: Now | None, told: Told | None, rules: Rules, *, has_failed: bool, is_due: bool = False) -> Verdict:
    """Why this user is sent something, or is not.

    Args:
        now: Today's list; None when the input has none for him.
        told: His row of the baseline; None when he was never told anything.
        has_failed: A line that would have answered for him failed or was unreadable: having no list then
            does not mean that he is gone.
        is_due: His last send is old enough to be repeated.
    """
    if now is None:
        return Verdict.FAILED if has_failed else _of_absent(told, rules, is_due=is_due)
    is_nothing_held = told is None or (told.op == "clear" and told.is_known)
    if is_nothing_held and not now.item_ids:
        return Verdict.EMPTY
    verdict = _of_present(now, told, rules, is_due=is_due)
    return verdict if now.op == "upsert" else _IN_HOLDOUT.get(verdict, Verdict.HELD_OUT)


# What a verdict is called for a user in the holdout; all others are HELD_OUT.
_IN_HOLDOUT = {Verdict.UNCHANGED: Verdict.STILL_HELD_OUT, Verdict.RESTING: Verdict.RESTING}


def _of_present(now: Now, told: Told | None, rules: Rules, *, is_due: bool) -> Verdict:
    if told is None or told.op != now.op:
        return Verdict.NEW
    if told.fingerprint != now.fingerprint:
        return Verdict.REPEATED if not told.is_known else Verdict.CHANGED
    if told.rejections >= REST_AFTER and not is_due:
        return Verdict.RESTING
    if not told.is_known or not rules.checks_delta:
        return Verdict.REPEATED
    return Verdict.REFRESHED if is_due else Verdict.UNCHANGED


def _of_absent(told: Told | None, rules: Rules, *, is_due: bool) -> Verdict:
    """A clear is repeated until it is confirmed; then there is nothing left to remember."""
    if told is not None and told.op == "clear":
        if told.rejections >= REST_AFTER and not is_due:
            return Verdict.RESTING
        return Verdict.FORGOTTEN if told.is_known else Verdict.CLEARED
    return Verdict.CLEARED if rules.clears_gone else Verdict.GONE


def remember(verdict: Verdict, now: Now | None, told: Told | None, *, version: int, at: datetime) -> Told | None:
    """The user's row of the next snapshot; None when there is nothing to remember."""
    is_marked = told is not None and told.is_marked
    if verdict in UPSERTS and now is not None:
        refused = _refused_before(told, "upsert", now.fingerprint)
        return Told("upsert", now.item_ids, now.fingerprint, version, at, refused, is_marked)
    if verdict is Verdict.HELD_OUT and now is not None:
        refused = _refused_before(told, "holdout", now.fingerprint)
        return Told("holdout", (), now.fingerprint, version, at, refused, is_marked=True)
    if verdict is Verdict.CLEARED:
        refused = _refused_before(told, "clear", _OF_A_CLEAR)
        return a_clear(version=version, at=at)._replace(rejections=refused, is_marked=is_marked)
    if verdict is Verdict.GONE and told is not None:
        return told._replace(op="gone")
    return None if verdict in (Verdict.FORGOTTEN, Verdict.EMPTY) else told


def a_clear(*, version: int, at: datetime) -> Told:
    """The row of a user whose clear is sent for the first time."""
    return Told("clear", (), _OF_A_CLEAR, version, at)


def _refused_before(told: Told | None, op: Op, fingerprint: int) -> int:
    """How often this very content was refused already."""
    return told.rejections if told is not None and (told.op, told.fingerprint) == (op, fingerprint) else 0


def baseline(told: Told, *, is_acknowledged: bool, is_rejected: bool = False) -> Told:
    """The row as the next run may count on it, by what became of its last send."""
    if is_acknowledged:
        is_marked = told.op == "holdout"
        is_as_it_was = not told.rejections and told.is_marked == is_marked
        return told if is_as_it_was else told._replace(rejections=0, is_marked=is_marked)
    if is_rejected:
        return told._replace(rejections=told.rejections + 1)
    return told._replace(fingerprint=None, rejections=0)


def is_due(user_id: str, sent_at: datetime, at: datetime, after_days: int | None) -> bool:
    """Whether a user's last send is old enough to be repeated.

    That is after `after_days` at the earliest, and for each user a fixed number of days later, less than
    `after_days`: users who were all sent in one night are not all repeated in one.
    """
    if after_days is None:
        return False
    later = int.from_bytes(hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return at - sent_at >= timedelta(days=after_days + later % after_days)
