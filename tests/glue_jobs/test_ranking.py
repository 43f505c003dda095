from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.ranking import RankedList, merge

LISTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6).map(RankedList), max_size=4)
POLICIES = st.sampled_from(["roundRobin", "concatenate", "score"])


def test_round_robin_takes_the_best_of_each_in_turn():
    assert merge([RankedList("abc"), RankedList("xay")], "roundRobin") == ["a", "x", "b", "c", "y"]


def test_concatenate_takes_one_list_after_the_other():
    assert merge([RankedList("abc"), RankedList("xay")], "concatenate") == ["a", "b", "c", "x", "y"]


def test_score_takes_the_highest_first_and_what_has_none_follows_in_turn():
    lists = [RankedList("ab", [0.2, 0.1]), RankedList("xb", [0.9, 0.5]), RankedList("zy")]
    assert merge(lists, "score") == ["x", "b", "a", "z", "y"]


@given(lists=LISTS, policy=POLICIES)
def test_a_merged_list_holds_every_item_once(lists, policy):
    merged = merge(lists, policy)
    assert len(merged) == len(set(merged))
    assert set(merged) == {item for one in lists for item in one.item_ids}


@given(items=st.lists(st.sampled_from("abcdefgh"), unique=True), policy=POLICIES)
def test_one_list_stays_as_it_is(items, policy):
    assert merge([RankedList(items)], policy) == items
