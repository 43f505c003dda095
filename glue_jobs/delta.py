"""What a user is to be told, given what he was told before. Plain Python, one user at a time.

This is the rule that decides what is sent; it sees ids and fingerprints, never a payload. The writing
tasks apply it to each user in turn, so that what is decided here is all that happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """Why a user is sent something, or is not."""

    NEW = "new"
    CHANGED = "changed"
    REPEATED = "repeated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    GONE = "gone"
    EMPTY = "empty"


SENT = frozenset({Verdict.NEW, Verdict.CHANGED, Verdict.REPEATED})


@dataclass(frozen=True, slots=True)
class Told:
    """What the destination was last told about a user: one row of the snapshot.

    Attributes:
        op: ``upsert``, or ``gone`` for a user who left the input and keeps his recommendations.
        fingerprint: Of what was sent; None when the destination never acknowledged it.
        sent_in: The version that sent it.
    """

    op: str
    item_ids: Sequence[str]
    fingerprint: int | None
    sent_in: int
    sent_at: datetime
    rejections: int = 0


@dataclass(frozen=True, slots=True)
class Now:
    """What this run would tell a user."""

    item_ids: Sequence[str]
    fingerprint: int


def decide(now: Now | None, told: Told | None, *, has_failed: bool, checks_delta: bool) -> Verdict:
    """Why this user is sent something, or is not.

    Args:
        now: Today's list; None when the input has none for him.
        told: His row of the baseline; None when he was never told anything.
        has_failed: A line that would have answered for him failed or was unreadable: having no list then
            does not mean that he is gone.
        checks_delta: False sends everyone.
    """
    if now is None:
        return Verdict.FAILED if has_failed else Verdict.GONE
    if told is None:
        return Verdict.NEW if now.item_ids else Verdict.EMPTY
    if told.op == "gone":
        return Verdict.NEW
    if told.fingerprint is None:
        return Verdict.REPEATED
    return Verdict.UNCHANGED if checks_delta and told.fingerprint == now.fingerprint else Verdict.CHANGED


def remember(verdict: Verdict, now: Now | None, told: Told | None, *, version: int, at: datetime) -> Told | None:
    """The user's row of the next snapshot; None when there is nothing to remember."""
    if verdict in SENT and now is not None:
        return Told("upsert", now.item_ids, now.fingerprint, version, at)
    if verdict is Verdict.GONE and told is not None:
        return replace(told, op="gone")
    return told


def baseline(told: Told, *, is_acknowledged: bool) -> Told:
    """The row as the next run may count on it: without an acknowledgement nothing is known."""
    return told if is_acknowledged else replace(told, fingerprint=None)
