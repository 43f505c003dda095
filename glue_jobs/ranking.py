"""Several lists of one user → one list. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from glue_jobs.config import Merge


class RankedList(NamedTuple):
    """One answer of the recommender that reaches a user.

    Attributes:
        item_ids: Best first.
        scores: One an item, or None.
        query_item_id: The item it was derived from; None when it was made for the user himself.
    """

    item_ids: Sequence[str]
    scores: Sequence[float] | None = None
    query_item_id: str | None = None


def merge(lists: Sequence[RankedList], policy: Merge) -> list[str]:
    """One list of several, no item twice: the first occurrence wins.

    Args:
        lists: In the order of the user's items.
        policy: ``roundRobin`` takes the best of each in turn, ``concatenate`` one list after the other,
            ``score`` the highest score first; what has no score follows, in turn.
    """
    if len(lists) == 1 and policy != "score":
        return list(dict.fromkeys(lists[0].item_ids))
    if policy == "concatenate":
        ranked = [item for one in lists for item in one.item_ids]
    else:
        ranked = [item for turn in zip_longest(*(one.item_ids for one in lists)) for item in turn if item is not None]
    if policy == "score":
        best = best_scores(lists)
        ranked.sort(key=lambda item: -best.get(item, float("-inf")))
    return list(dict.fromkeys(ranked))


def best_scores(lists: Sequence[RankedList]) -> dict[str, float]:
    """Each item's highest score; items without one are missing."""
    best: dict[str, float] = {}
    for one in lists:
        for item, score in zip(one.item_ids, one.scores or (), strict=False):
            best[item] = max(score, best.get(item, score))
    return best
