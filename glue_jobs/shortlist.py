"""One user's list: what was found for him, without what the rules leave out, cut and filled up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from glue_jobs.config import Merge, Recommendations
from glue_jobs.decorate import Catalogue
from glue_jobs.item_table import Listing
from glue_jobs.meeting import Meeting
from glue_jobs.ranking import RankedList, best_scores, merge

# Why an item that no rule leaves out is not in a list: the list is cut, or it is too short to be one.
BEYOND_MAX, BELOW_MIN = "itemsBeyondMaxItems", "usersBelowMinItems"


@dataclass(frozen=True)
class ListRules:
    """What a user's list may hold. Travels to the workers.

    Attributes:
        min_items: A shorter list is filled up from `fallback`, or is none.
        min_score: Items with a lower score are left out; those without one stay.
        blocked: Items that nobody gets.
        excludes_pairs: Whether there are items that single users do not get.
        keeps_unknown_items: Whether items without metadata stay in a list.
    """

    merge: Merge = "roundRobin"
    max_items: int | None = None
    min_items: int | None = None
    min_score: float | None = None
    blocked: frozenset[str] = frozenset()
    fallback: Sequence[str] = ()
    excludes_pairs: bool = False
    excludes_mapped_items: bool = False
    keeps_unknown_items: bool = True


def rules_of(lists: Recommendations) -> ListRules:
    """What the settings say of lists."""
    return ListRules(
        merge=lists.related_items.merge,
        max_items=lists.max_items,
        min_items=lists.min_items,
        min_score=lists.min_score,
        blocked=frozenset(lists.block_items),
        fallback=tuple(dict.fromkeys(lists.fallback)),
        excludes_pairs=lists.exclude_items is not None,
        excludes_mapped_items=lists.related_items.exclude_mapped_items,
        keeps_unknown_items=lists.on_missing_metadata == "keep",
    )


class _Chosen(NamedTuple):
    """A user's final list, by its items' ids."""

    item_ids: list[str]
    scores: list[float | None] | None
    query_item_ids: list[str]


class Shortlist(NamedTuple):
    """A user's final list.

    Attributes:
        scores: One an item, where records carry them.
        listing: The same items, as records and fingerprints take them.
    """

    item_ids: list[str]
    scores: list[float | None] | None
    query_item_ids: list[str]
    listing: Listing


class _Said(NamedTuple):
    """What is said of a user: his rows, and each item's highest score, where anyone asks for it."""

    rows: Sequence[Meeting]
    best: dict[str, float]


# What a rule leaves out of some items, given what is said of the user.
_Rule: TypeAlias = Callable[[Sequence[str], _Said], Collection[str | None]]


class Shortlister:
    """Makes the lists of one run. Only the rules that are set are asked; each item is counted by the first it meets."""

    def __init__(self, rules: ListRules, catalogue: Catalogue):
        self._rules, self._catalogue = rules, catalogue
        self._asked = tuple(self._configured())
        self._needs_scores = catalogue.scored or rules.min_score is not None
        self._counts_unknown = catalogue.is_read and rules.keeps_unknown_items

    def shortlist(self, rows: Sequence[Meeting], counts: Counter[str]) -> Shortlist | None:
        """A user's list as it is sent: see `shortlists`."""
        (found,) = self.shortlists([rows], counts)
        return found

    def shortlists(self, users: Iterable[Sequence[Meeting]], counts: Counter[str]) -> Iterator[Shortlist | None]:
        """Users' lists as they are sent; None for one who has none.

        Args:
            users: Everything said of each, in the order of his items.
            counts: The run's figures; added to.
        """
        chosen = [self._chosen(rows, counts) for rows in users]
        listings = self._catalogue.listings([one.item_ids if one else () for one in chosen])
        for one, listing in zip(chosen, listings, strict=True):
            if self._counts_unknown:
                counts["itemsWithoutMetadata"] += listing.lacking
            yield Shortlist(*one, listing) if one else None

    def _chosen(self, rows: Sequence[Meeting], counts: Counter[str]) -> _Chosen | None:
        lists = _lists(rows, counts)
        if not lists:
            return None
        said = _Said(rows, best_scores(lists) if self._needs_scores else {})
        unknown_before = counts["itemsWithoutMetadata"]
        ranked = self._left_in(merge(lists, self._rules.merge), said, counts)
        item_ids = self._filled(ranked[: self._rules.max_items], said, counts)
        if self._rules.keeps_unknown_items:
            counts["itemsRanked"] += len(item_ids)
        else:
            counts["itemsRanked"] += len(ranked) + counts["itemsWithoutMetadata"] - unknown_before
        scores = [said.best.get(item) for item in item_ids] if self._catalogue.scored else None
        queries = [one.query_item_id for one in lists if one.query_item_id is not None]
        return _Chosen(item_ids, scores, queries)

    def left_out(self, rows: Sequence[Meeting]) -> list[tuple[str, str]]:
        """What was found for a user and is not in his list, as (item id, figure), in the order of the rules.

        Beside the figures: ``itemsBeyondMaxItems`` for what is cut, ``usersBelowMinItems`` where the rest is too few.
        """
        lists = _lists(rows, Counter())
        said = _Said(rows, best_scores(lists) if self._needs_scores else {})
        left, found = merge(lists, self._rules.merge), []
        for figure, kept in self._sifted(left, said):
            found += [(item, figure) for item in left if item not in kept]
            left = kept
        final = self.shortlist(rows, Counter())
        listed = frozenset(final.item_ids if final else ())
        return found + [(item, BEYOND_MAX if listed else BELOW_MIN) for item in left if item not in listed]

    def _left_in(self, items: Sequence[str], said: _Said, counts: Counter[str]) -> list[str]:
        """The items that no rule leaves out."""
        left = list(items)
        if not self._asked:
            return left
        for figure, kept in self._sifted(left, said):
            counts[figure] += len(left) - len(kept)
            left = kept
        return left

    def _sifted(self, items: list[str], said: _Said) -> Iterator[tuple[str, list[str]]]:
        """Rule by rule: the figure it counts under, and what is left."""
        for figure, rule in self._asked:
            left_out = rule(items, said)
            items = [item for item in items if item not in left_out] if left_out else items
            yield figure, items

    def _filled(self, item_ids: list[str], said: _Said, counts: Counter[str]) -> list[str]:
        """The list; where it is too short filled up with what the rules allow, or empty where that is not enough."""
        least = self._rules.min_items
        if least is None or len(item_ids) >= least:
            return item_ids
        more = [item for item in self._rules.fallback if item not in item_ids]
        filled = [*item_ids, *self._left_in(more, said, Counter())][:least]
        if len(filled) < least:
            counts[BELOW_MIN] += 1
            return []
        counts["itemsFromFallback"] += least - len(item_ids)
        return filled

    def _configured(self) -> Iterator[tuple[str, _Rule]]:
        """The rules that are set, each with the figure it counts under."""
        rules = self._rules
        if rules.excludes_mapped_items:
            yield "itemsMapped", _mapped
        if rules.blocked:
            yield "itemsBlocked", self._blocked
        if rules.excludes_pairs:
            yield "itemsExcluded", _excluded
        if rules.min_score is not None:
            yield "itemsBelowMinScore", self._below_min_score
        if self._catalogue.is_filtered:
            yield "itemsFiltered", self._filtered_out
        if self._catalogue.is_read and not rules.keeps_unknown_items:
            yield "itemsWithoutMetadata", self._unknown

    def _blocked(self, items: Sequence[str], said: _Said) -> Collection[str | None]:
        return self._rules.blocked

    def _below_min_score(self, items: Sequence[str], said: _Said) -> Collection[str | None]:
        least = self._rules.min_score or 0.0
        return {item for item in items if said.best.get(item, least) < least}

    def _filtered_out(self, items: Sequence[str], said: _Said) -> Collection[str | None]:
        return {item for item in items if self._catalogue.fits(item) is False}

    def _unknown(self, items: Sequence[str], said: _Said) -> Collection[str | None]:
        return set(filter(self._catalogue.lacks_metadata, items))


def _mapped(items: Sequence[str], said: _Said) -> Collection[str | None]:
    return {row.query_item_id for row in said.rows if row.kind != "excluded"}


def _excluded(items: Sequence[str], said: _Said) -> Collection[str | None]:
    return {row.query_item_id for row in said.rows if row.kind == "excluded"}


def _lists(rows: Sequence[Meeting], counts: Counter[str]) -> list[RankedList]:
    """The user's lists in order: one a mapped item, or, of several lines made for himself, the first one."""
    found = [RankedList(row.item_ids or [], row.scores, row.query_item_id) for row in rows if row.kind == "list"]
    if len(found) < 2:
        return found
    first: dict[str | None, RankedList] = {}
    for one in found:
        first.setdefault(one.query_item_id, one)
    counts["linesDuplicate" if None in first else "mappingDuplicates"] += len(found) - len(first)
    return list(first.values())


def figure_names() -> Iterator[str]:
    """The names of the figures that making lists adds to."""
    yield from ("linesDuplicate", "mappingDuplicates", "itemsMapped", "itemsBlocked", "itemsExcluded")
    yield from ("itemsBelowMinScore", "itemsFiltered", "itemsRanked", "itemsWithoutMetadata")
    yield from ("itemsFromFallback", BELOW_MIN)
