"""Numbers, times and the names of things, as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import JsonValue

NOTHING = "\u2013"

_MINUTE_S, _HOUR_S = 60, 3600

# A verdict → what it means for a user who is told something, or nothing.
VERDICTS = {
    "new": "New: was never told anything",
    "changed": "Changed",
    "repeated": "Sent again: nothing confirms that it arrived",
    "refreshed": "Refreshed: unchanged, but told long ago",
    "cleared": "Cleared: loses the recommendations",
    "unchanged": "Unchanged: is told nothing",
    "failed": "Left alone: the batch line failed",
    "resting": "Resting: refused three times",
    "gone": "Gone from the input, keeps what there is",
    "forgotten": "Gone, and the clear was confirmed",
    "empty": "An empty list, and never told anything",
}

# A figure of a run → what it counts.
FIGURES = {
    "linesRead": "lines of the batch",
    "linesFailed": "of them failed by the recommender",
    "linesBroken": "of them unreadable, kept under quarantine/",
    "linesWithRepeatedKeys": "of them with a key that stands twice",
    "linesDuplicate": "of them a second line for the same user",
    "mappingRowsBroken": "rows of the mapping that cannot be read",
    "mappingRowsUnmatched": "rows of the mapping whose item has no line in the batch",
    "mappingItemsUnmatched": "items of the mapping without a line in the batch",
    "mappingDuplicates": "rows of the mapping that repeat another",
    "users": "users with a list",
    "usersHeld": "users the destination held something for",
    "usersWithoutList": "users named in the input without a list",
    "new": "users never told before",
    "changed": "users whose list differs from what they were told",
    "repeated": "users sent again, as nothing confirms the last time",
    "refreshed": "unchanged users told again after a long time",
    "cleared": "users who lose their recommendations",
    "clearedAgain": "of them cleared once more, as nothing confirms the last time",
    "clearsWithheld": "clears withheld, as not every line could be read",
    "unchanged": "users told this before",
    "failed": "users left alone, as their line failed",
    "resting": "users left alone after three refusals",
    "gone": "users who left the input and keep what they have",
    "forgotten": "users who left, and whose clear was confirmed",
    "empty": "users with an empty list who were never told anything",
    "itemsRanked": "recommendations in all lists",
    "itemsWithoutMetadata": "of them without metadata",
    "itemsMapped": "recommendations left out because the user is mapped to them",
    "itemsWithMetadata": "items with metadata",
    "metadataDuplicates": "lines of metadata that repeat an item",
    "metadataLinesBroken": "lines of metadata that cannot be read",
    "metadataNotFinite": "numbers in metadata that are none, sent as null",
    "records": "records to send",
}


def number(value: float) -> str:
    """``1,234`` and ``66.7``: at most one decimal."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


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


def limit(guard: str, reading: float) -> str:
    """A guard's number with its unit, which its name ends with."""
    unit = next((unit for end, unit in (("Pct", " %"), ("Hours", " h")) if guard.endswith(end)), "")
    return f"{number(round(reading, 1))}{unit}"
