"""One line of batch inference, and what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from glue_jobs.lines import LineError, decoded_object, id_of, is_text

_NUMBERS = frozenset({int, float})
# What a line answers for in one type of job → what in the other type.
_OF_OTHER_JOBS = {"userId": ("itemId", "related_items"), "itemId": ("userId", "user_personalization")}
# The reason of a good line in which a key stood twice.
REPEATED_KEY = "a key stands twice; the last one counts"


class BatchLine(NamedTuple):
    """One line of batch inference.

    Attributes:
        kind: ``good``, ``failed`` (the recommender says so) or ``broken`` (unreadable).
        key: The user or item it answers for; None when the line does not say.
        scores: One a recommended item, or None; of themes, their relevance.
        reason: Why it is failed or broken, or REPEATED_KEY.
    """

    kind: str
    key: str | None = None
    item_ids: list[str] | None = None
    scores: list[float] | None = None
    reason: str | None = None


def parse_batch_line(line: bytes, key_name: str, *, keeps_scores: bool = True) -> BatchLine | None:
    """One line of batch inference, read strictly; None when it is blank.

    Ids become text, digit by digit: 00105 and 105 are different items, and no id is too long to be a number.

    Args:
        key_name: ``userId`` or ``itemId``: what `input` names the one it answers for by.
        keeps_scores: Whether anyone asks for the scores.
    """
    try:
        data, repeated = decoded_object(line)
    except LineError as error:
        return BatchLine("broken", reason=str(error))
    if data is None:
        return None
    query = data.get("input")
    key = id_of(query.get(key_name)) if isinstance(query, dict) else None
    if key is None:
        return BatchLine("broken", reason=_without_key(query, key_name))
    answer = _answer(key, data, keeps_scores=keeps_scores)
    return answer._replace(reason=REPEATED_KEY) if repeated and answer.kind == "good" else answer


def _without_key(query: Any, key_name: str) -> str:
    """Why a line answers for nobody; one that a job of the other type would read is known."""
    other, job_type = _OF_OTHER_JOBS[key_name]
    is_other = isinstance(query, dict) and id_of(query.get(other)) is not None
    hint = f", and {other} is there: a batch like this belongs to a {job_type} job" if is_other else ""
    return f"input.{key_name} is missing{hint}"


def _answer(key: str, data: dict[str, Any], *, keeps_scores: bool) -> BatchLine:
    """A line is good when its output holds a list; an empty list is a good answer."""
    output = data.get("output")
    if output is None:
        error = data.get("error")
        is_plain = isinstance(error, str) and is_text(error)
        return BatchLine("failed", key, reason=error if is_plain else json.dumps(error))
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    item_ids = _ids(items) if isinstance(items, list) else [None]
    if None in item_ids:
        return BatchLine("broken", key, reason="output.recommendedItems is not a list of ids")
    raw = output.get("scores", output.get("itemsThemeRelevanceScores")) if keeps_scores else None
    return BatchLine("good", key, cast(list[str], item_ids), _scores(raw, len(item_ids)))


def _ids(items: list[Any]) -> Sequence[str | None]:
    """Ids as texts; nearly always they are."""
    try:
        is_plain = "" not in items and is_text("".join(items))
    except TypeError:  # some are no texts
        is_plain = False
    return items if is_plain else [id_of(item) for item in items]


def _scores(raw: Any, length: int) -> list[float] | None:
    """The scores, where there is a number for each item."""
    if not isinstance(raw, list) or len(raw) != length or not _NUMBERS.issuperset(map(type, raw)):
        return None
    try:
        scores = list(map(float, raw))
    except OverflowError:  # an integer beyond any float
        return None
    return scores if all(map(math.isfinite, scores)) else None
