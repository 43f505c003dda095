"""One user's list, without Spark: what each rule leaves out, and what fills up."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.decorate import Catalogue, item_piece
from glue_jobs.meeting import Meeting
from glue_jobs.shortlist import ListRules, Shortlister, figure_names

NOTHING = Meeting(*[None] * len(Meeting._fields))
FITS = {"1": True, "2": False, "3": None, "4": True, "5": True}


def catalogue(fits=FITS, fields=("name",), **more):
    pieces = {item_id: replace(item_piece({}, fields), fits=answer) for item_id, answer in fits.items()}
    return Catalogue(fields, pieces, is_filtered=True, fits_unknown=None, **more)


PLAIN = Catalogue((), {})


def listed(items, *, scores=None, query=None, kind="list"):
    return NOTHING._replace(kind=kind, item_ids=list(items), scores=scores, query_item_id=query)


def excluded(*items):
    return [NOTHING._replace(kind="excluded", query_item_id=item) for item in items]


def shortlist(*rows, of=PLAIN, **rules):
    """The items as one text, and the figures that are not zero; itemsRanked has a test of its own."""
    counts = Counter()
    final = Shortlister(ListRules(**rules), of).shortlist(rows, counts)
    counts.pop("itemsRanked", None)
    return final and "".join(final.item_ids), dict(+counts)


def test_without_rules_a_list_is_sent_as_it_came():
    assert shortlist(listed("123")) == ("123", {})


def test_who_has_no_line_has_no_list_whatever_he_bought():
    assert shortlist(*excluded("1"), min_items=1, fallback=["2"], excludes_pairs=True) == (None, {})


def test_what_the_filter_refuses_leaves_the_list_to_the_next():
    assert shortlist(listed("2145"), of=catalogue(), max_items=2) == ("14", {"itemsFiltered": 1})


@pytest.mark.parametrize(
    ("keeps", "items", "counts"),
    [
        (True, "3691", {"itemsFiltered": 1, "itemsWithoutMetadata": 3}),
        (False, "14", {"itemsFiltered": 1, "itemsWithoutMetadata": 3}),
    ],
)
def test_what_the_filter_cannot_judge_follows_on_missing_metadata(keeps, items, counts):
    found = shortlist(listed("369214"), of=catalogue(), max_items=4, keeps_unknown_items=keeps)
    assert found == (items, counts)


def test_an_item_without_metadata_stays_where_nothing_asks_for_it():
    assert shortlist(listed("9"), keeps_unknown_items=False) == ("9", {})


def test_a_filter_that_an_item_without_metadata_passes_does_not_give_it_any():
    of = replace(catalogue(), fits_unknown=True)
    assert shortlist(listed("91"), of=of, keeps_unknown_items=False) == ("1", {"itemsWithoutMetadata": 1})


def test_items_below_the_least_score_are_left_out_and_those_without_one_stay():
    rows = [listed("123", scores=[0.9, 0.5, 0.49]), listed("45", query="7")]
    assert shortlist(*rows, min_score=0.5) == ("1425", {"itemsBelowMinScore": 1})


def test_an_items_highest_score_counts():
    rows = [listed("1", scores=[0.1], query="7"), listed("1", scores=[0.9], query="8")]
    assert shortlist(*rows, min_score=0.5) == ("1", {})


def test_a_score_of_zero_or_less_may_be_asked_for():
    assert shortlist(listed("12", scores=[0.0, -0.5]), min_score=0.0) == ("1", {"itemsBelowMinScore": 1})
    assert shortlist(listed("12", scores=[-0.1, -0.5]), min_score=-0.2) == ("1", {"itemsBelowMinScore": 1})


def test_what_is_blocked_nobody_gets_and_what_is_excluded_he_does_not():
    rows = [listed("1234"), *excluded("2", "9")]
    assert shortlist(*rows, blocked=frozenset("39"), excludes_pairs=True, max_items=1) == (
        "1",
        {"itemsBlocked": 1, "itemsExcluded": 1},
    )


def test_an_item_is_counted_by_the_first_rule_it_meets_alone():
    rows = [listed("2", scores=[0.1], query="2"), *excluded("2")]
    rules = {"excludes_pairs": True, "min_score": 0.5}
    assert shortlist(*rows, of=catalogue(), **rules) == ("", {"itemsExcluded": 1})
    assert shortlist(*rows, of=catalogue(), blocked=frozenset("2"), **rules) == ("", {"itemsBlocked": 1})
    assert shortlist(*rows, of=catalogue(), excludes_mapped_items=True, **rules) == ("", {"itemsMapped": 1})


def test_an_excluded_item_is_no_mapped_one():
    rows = [listed("12", query="7"), *excluded("2")]
    assert shortlist(*rows, excludes_mapped_items=True, excludes_pairs=True) == ("1", {"itemsExcluded": 1})


def test_a_short_list_is_filled_up_to_the_least_and_no_further():
    assert shortlist(listed("1"), min_items=3, fallback="14567") == ("145", {"itemsFromFallback": 2})
    assert shortlist(listed("123"), min_items=3, fallback="4") == ("123", {})
    assert shortlist(listed(""), min_items=2, fallback="45") == ("45", {"itemsFromFallback": 2})


def test_every_rule_holds_for_what_fills_up_too_and_counts_nothing_there():
    rows = [listed("1", query="8"), *excluded("5")]
    rules = {"blocked": frozenset("4"), "excludes_pairs": True, "excludes_mapped_items": True}
    of = catalogue({**FITS, "6": True, "8": True})
    found = shortlist(*rows, of=of, min_items=2, fallback="8524316", keeps_unknown_items=False, **rules)
    assert found == ("16", {"itemsFromFallback": 1})


def test_what_was_left_out_for_its_score_does_not_come_back_as_fallback():
    rows = listed("12", scores=[0.9, 0.1])
    assert shortlist(rows, min_score=0.5, min_items=2, fallback="23") == (
        "13",
        {"itemsBelowMinScore": 1, "itemsFromFallback": 1},
    )


@pytest.mark.parametrize("fallback", ["", "1", "2"])
def test_a_list_that_stays_too_short_is_an_empty_one(fallback):
    assert shortlist(listed("1"), min_items=3, fallback=fallback) == ("", {"usersBelowMinItems": 1})


def test_what_fills_up_has_no_score():
    final = Shortlister(ListRules(min_items=2, fallback=["4"]), catalogue(scored=True)).shortlist(
        [listed("1", scores=[0.5])], Counter()
    )
    assert final.scores == [0.5, None]


def test_what_fills_up_without_metadata_is_counted():
    found = shortlist(listed("1"), of=catalogue(), min_items=2, fallback="9")
    assert found == ("19", {"itemsFromFallback": 1, "itemsWithoutMetadata": 1})


@pytest.mark.parametrize(
    ("rules", "ranked", "without"), [({}, 6, 3), ({"max_items": 2}, 2, 1), ({"keeps_unknown_items": False}, 6, 3)]
)
def test_items_without_metadata_are_a_share_of_those_that_were_looked_at(rules, ranked, without):
    """Of the final list, or, where they are left out, of what other rules left."""
    counts = Counter()
    Shortlister(ListRules(**rules), catalogue()).shortlist([listed("1396425")], counts)
    assert (counts["itemsRanked"], counts["itemsWithoutMetadata"]) == (ranked, without)


ITEMS = st.lists(st.sampled_from("123456789"), unique=True, max_size=9).map("".join)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "max_items": st.integers(3, 5),
        "min_items": st.integers(1, 3),
        "min_score": st.sampled_from([0.25, 0.5]),
        "blocked": ITEMS.map(frozenset),
        "fallback": ITEMS,
        "excludes_pairs": st.just(True),
        "keeps_unknown_items": st.booleans(),
    },
)


@given(items=ITEMS, bought=ITEMS, rules=RULES)
def test_nothing_that_a_rule_leaves_out_is_in_any_list_and_every_item_is_accounted_for(items, bought, rules):
    scores = [1 / (rank + 1) for rank in range(len(items))]
    rows = [listed(items, scores=scores), *excluded(*bought)]
    final, counts = shortlist(*rows, of=catalogue(), **rules)
    asked = ListRules(**rules)
    score_of = dict(zip(items, scores, strict=True))
    for item in final:
        assert item not in asked.blocked and FITS.get(item) is not False
        assert not (asked.excludes_pairs and item in bought)
        assert asked.keeps_unknown_items or FITS.get(item)
        assert asked.min_score is None or score_of.get(item, asked.min_score) >= asked.min_score
    assert len(set(final)) == len(final) <= (asked.max_items or 9)
    assert not final or len(final) >= (asked.min_items or 0)
    left_out = sum(counts.get(name, 0) for name in ("itemsBlocked", "itemsExcluded", "itemsBelowMinScore"))
    left_out += counts.get("itemsFiltered", 0)
    left_out += 0 if asked.keeps_unknown_items else counts.get("itemsWithoutMetadata", 0)
    own = len(final) - counts.get("itemsFromFallback", 0)
    if not counts.get("usersBelowMinItems"):
        assert own == min(len(items) - left_out, asked.max_items or 9)
    assert counts.keys() <= set(figure_names())
