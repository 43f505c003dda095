"""Numbers, times and the names of things, as a person reads them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from pydantic import JsonValue

from connectors.contract.held import GuardReading

NOTHING = "\u2013"

_MINUTE_S, _HOUR_S = 60, 3600
_MOST_DECIMALS = 6

# A verdict → what it means for a user.
VERDICTS = {
    "new": "New: was told nothing before, or was away",
    "changed": "Changed",
    "repeated": "Sent again: it was refused, or nothing confirms that it arrived",
    "refreshed": "Refreshed: unchanged, but told long ago",
    "holdout": "Held out: gets no recommendations, so that others can be compared",
    "cleared": "Cleared: loses the recommendations",
    "unchanged": "Unchanged: is told nothing",
    "holdoutUnchanged": "Still held out: is told nothing",
    "failed": "Left alone: the line failed",
    "resting": "Resting: refused three times",
    "gone": "Gone from the input, keeps what there is",
    "forgotten": "Gone, and the clear was confirmed",
    "empty": "An empty list, and nothing held",
}

# A figure of a run → what it counts. The reference has more to say about each: docs/reference/figures.md.
FIGURES = {
    "linesRead": "lines of the batch",
    "linesFailed": "of these, failed by the recommender",
    "linesBroken": "of these, unreadable",
    "linesDuplicate": "of these, further lines for a user or item that had one",
    "linesWithRepeatedKeys": "of these, with a key that stands twice",
    "mappingRowsRead": "rows of the mapping",
    "mappingRowsBroken": "of these, rows that cannot be read",
    "mappingRowsUnmatched": "rows of the mapping whose item no line answers for",
    "mappingItemsUnmatched": "these items",
    "mappingDuplicates": "rows of the mapping that repeat a user and item",
    "excludeRowsRead": "rows of the exclusions",
    "excludeRowsBroken": "of these, rows that cannot be read",
    "itemsWithMetadata": "items that have metadata",
    "metadataDuplicates": "further lines of metadata for an item that had one",
    "metadataLinesBroken": "lines of metadata that cannot be read",
    "metadataNotFinite": "numbers in it that JSON cannot hold",
    "itemsMapped": "left out, as the user is mapped to them",
    "itemsBlocked": "left out, as they are blocked",
    "itemsExcluded": "left out, as they are excluded for the user",
    "itemsBelowMinScore": "left out by their score",
    "itemsFiltered": "left out by the item filter",
    "itemsRanked": "recommendations looked at for metadata",
    "itemsWithoutMetadata": "of these, without metadata, or none that says what the filter asks",
    "itemsFromFallback": "filled in from the fallback",
    "users": "users with a list",
    "usersHeld": "users the destination was told something about",
    "usersWithoutList": "users without a list, and never told anything",
    "usersBelowMinItems": "users with too few items",
    "new": "sent for the first time, or again after being away",
    "changed": "sent, as the list differs",
    "repeated": "sent, as the last time was refused, or nothing confirms it",
    "refreshed": "sent, as the last time is long ago",
    "holdout": "sent, as they are held out from now on",
    "cleared": "sent, as they left: they lose everything",
    "clearedAgain": "of these, cleared before without being confirmed",
    "changedUnconfirmed": "of those sent again, with another list or other values than they were sent last",
    "emptied": "of those sent, with an empty list in place of one with items",
    "unchanged": "not sent: they have what they should have",
    "holdoutUnchanged": "not sent: held out, and told so",
    "failed": "not sent: their line failed or cannot be read",
    "resting": "not sent: refused three times",
    "gone": "not sent: they left, and keep what they have",
    "forgotten": "not sent: they left, and the clear was confirmed",
    "empty": "not sent: an empty list, and nothing held",
    "clearsWithheld": "not sent: clears, while not every line can be read",
    "records": "records to send",
}


def number(value: float, decimals: int = 1) -> str:
    """``1,234`` and ``66.7``: no decimals for a whole number."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.{decimals}f}"


def percent(part: float, whole: float) -> str:
    """A part in percent; a dash of nothing."""
    return f"{number(round(100 * part / whole, 1))} %" if whole else NOTHING


def many(count: int, noun: str) -> str:
    """``1 user``, ``4 users``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    text = " ".join(text[: 4 * most].split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def value(found: JsonValue, most: int) -> str:
    """A value of an item as it stands in a record, cut; a number with thousands set apart."""
    if isinstance(found, bool) or found is None:
        return {True: "yes", False: "no", None: NOTHING}[found]
    if isinstance(found, float) and abs(found) < 1e12 and round(found, 2) == found:
        return f"{found:,.2f}"
    if isinstance(found, int):
        return f"{found:,}" if abs(found) < 10**12 else cut(str(found), most)
    return cut(found if isinstance(found, str) else _plain(found), most)


def _plain(found: JsonValue) -> str:
    if isinstance(found, list):
        return ", ".join(value(one, 40) for one in found[:10])
    if isinstance(found, dict):
        return ", ".join(f"{name}: {value(one, 40)}" for name, one in list(found.items())[:10])
    return f"{found:.6g}"


def moment(at: datetime) -> str:
    """``22 Nov 2026, 06:29 UTC``."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def day(at: datetime) -> str:
    """``22 Nov, 06:29``."""
    return f"{at.astimezone(UTC):%-d %b, %H:%M}"


def seconds(taken_s: float) -> str:
    """``under 1 s``, ``32 s``, ``3 min 12 s``, ``2 h 5 min``."""
    whole_s = round(taken_s)
    if whole_s < 1:
        return "under 1 s"
    if whole_s < _MINUTE_S:
        return f"{whole_s} s"
    if whole_s < _HOUR_S:
        return f"{whole_s // _MINUTE_S} min {whole_s % _MINUTE_S} s"
    return f"{whole_s // _HOUR_S} h {whole_s % _HOUR_S // _MINUTE_S} min"


def limit(guard: str, allowed: float) -> str:
    """A guard's limit as it is set, with its unit."""
    return f"{number(allowed, _decimals(allowed, allowed))}{_unit(guard)}"


def measured(reading: GuardReading) -> str:
    """A guard's number with its unit, never rounded onto or over its limit."""
    decimals = _decimals(reading.number, reading.limit)
    return f"{number(round(reading.number, decimals), decimals)}{_unit(reading.name)}"


def _unit(guard: str) -> str:
    """What a guard counts in: its name ends with it."""
    return next((unit for end, unit in (("Pct", " %"), ("Hours", " h")) if guard.endswith(end)), "")


def _decimals(value: float, other: float) -> int:
    """The fewest decimals, at least one, with which a value stays above, below or equal to another."""
    side = _side(value, other)
    return next((few for few in range(1, _MOST_DECIMALS) if _side(round(value, few), other) == side), _MOST_DECIMALS)


def _side(value: float, other: float) -> tuple[bool, bool]:
    return value > other, value < other
