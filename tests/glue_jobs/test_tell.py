"""One user at a time, without Spark: what he is told under each rule."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import ChangePolicy
from connectors.contract.records import SyncRecord
from glue_jobs.decorate import Catalogue, fingerprint, holdout_fingerprint, item_piece
from glue_jobs.delta import Rules, Told
from glue_jobs.holdout import Holdout
from glue_jobs.meeting import Meeting
from glue_jobs.shortlist import ListRules
from glue_jobs.state import Unacknowledged
from glue_jobs.tell import Teller, TellPlan

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
NOTHING = Meeting(*[None] * len(Meeting._fields))
FIELDS = ("name", "price")
SHOP = {"1": {"name": "Lamp", "price": 9}, "2": {"name": "Scarf", "price": 5}, "3": {"name": "Flask"}}
DROPS = ListRules(max_items=2, keeps_unknown_items=False)
EXACT, SET, TOP_2 = ChangePolicy(), ChangePolicy(compare="set"), ChangePolicy(compare="topK", k=2)


def catalogue(shop=SHOP, was=SHOP, scored=False):
    pieces = {item_id: item_piece(data, FIELDS) for item_id, data in shop.items()}
    known = {item_id: item_piece(data, FIELDS).hashes for item_id, data in was.items()}
    return Catalogue(FIELDS, pieces, scored, known)


def plan(policy=EXACT, **changes):
    made = TellPlan(
        version=2,
        at=AT,
        settings=b"s",
        policy=policy,
        rules=Rules(),
        lists=ListRules(),
        unacknowledged=Unacknowledged(),
        previous_settings=b"s",
        previous_policy=policy,
    )
    return replace(made, **changes)


def listed(*items, query=None, scores=None, kind="list"):
    return NOTHING._replace(kind=kind, item_ids=list(items), query_item_id=query, scores=scores)


def told(*items, shop=SHOP, policy=EXACT, settings=b"s", **changes):
    mark = fingerprint(next(catalogue(shop).listings([items])).entries, settings, policy)
    was = Told("upsert", list(items), mark, 1, AT)
    return NOTHING._replace(kind="told", told=was._replace(**changes))


def tell(user_id, rows, of_run, of, counts=None):
    return Teller(of_run, of).tell(user_id, rows, Counter() if counts is None else counts)


def verdict(*rows, of=None, **changes):
    return tell("ann", rows, plan(**changes), of or catalogue()).verdict


def record(*rows, of=None, **changes):
    return SyncRecord.model_validate_json(tell("ann", rows, plan(**changes), of or catalogue()).line)


CHEAPER = {**SHOP, "1": {"name": "Lamp", "price": 8}}


def test_a_price_change_names_the_price_and_nothing_else():
    assert record(listed("1", "2"), told("1", "2"), of=catalogue(CHEAPER)).changed == ["price"]


def test_a_reorder_is_news_under_exact_and_none_under_set():
    assert verdict(listed("2", "1"), told("1", "2")) == "changed"
    assert verdict(listed("2", "1"), told("1", "2", policy=SET), policy=SET) == "unchanged"
    assert verdict(listed("2", "1"), told("1", "2", policy=SET), of=catalogue(CHEAPER), policy=SET) == "changed"


def test_a_change_below_the_first_k_is_none_under_top_k():
    assert verdict(listed("1", "2", "9"), told("1", "2", "3", policy=TOP_2), policy=TOP_2) == "unchanged"
    assert verdict(listed("2", "1", "3"), told("1", "2", "3", policy=TOP_2), policy=TOP_2) == "changed"
    assert verdict(listed("3", "2", "1"), told("3", "2", "1", policy=TOP_2), of=catalogue(CHEAPER), policy=TOP_2) == (
        "unchanged"
    )


@pytest.mark.parametrize("policy", [SET, TOP_2])
def test_only_exact_comparison_names_what_changed(policy):
    assert record(listed("1"), told("2", policy=policy), policy=policy).changed is None


@pytest.mark.parametrize(
    ("was", "now", "items", "expected"),
    [
        (EXACT, SET, ("2", "1"), "unchanged"),
        (EXACT, TOP_2, ("1", "2"), "unchanged"),
        (SET, EXACT, ("1", "2"), "unchanged"),
        (SET, EXACT, ("2", "1"), "changed"),
        (TOP_2, ChangePolicy(compare="topK", k=1), ("1", "9"), "unchanged"),
        (TOP_2, EXACT, ("1", "2"), "changed"),
        (TOP_2, ChangePolicy(compare="topK", k=3), ("1", "2"), "changed"),
    ],
)
def test_a_changed_policy_sends_nobody_by_itself_unless_it_looks_further(was, now, items, expected):
    assert verdict(listed(*items), told("1", "2", policy=was), policy=now, previous_policy=was) == expected


def test_a_changed_policy_keeps_the_row_in_its_own_terms():
    telling = tell("ann", [listed("2", "1"), told("1", "2")], plan(policy=SET, previous_policy=EXACT), catalogue())
    assert telling.kept.fingerprint == fingerprint(next(catalogue().listings([["1", "2"]])).entries, b"s", SET)


def test_an_empty_list_in_place_of_one_with_items_is_counted_also_for_who_was_away():
    for op in ("upsert", "gone"):
        counts = Counter()
        tell("ann", [listed(), told("1", op=op)], plan(), catalogue(), counts)
        assert counts["emptied"] == 1, op


@pytest.mark.parametrize(
    ("rows", "shop", "is_counted"),
    [
        ([listed("1", "2"), told("1", "2")], SHOP, False),
        ([listed("1", "2"), told("1", "2")], CHEAPER, True),
        ([listed("1", "3"), told("1", "2")], SHOP, True),
        ([listed("1", "2"), told("1", "2", fingerprint=None)], CHEAPER, False),
        ([listed("1", "3"), told("1", "2", fingerprint=None)], SHOP, True),
    ],
)
def test_what_is_sent_in_place_of_something_that_never_arrived_counts_where_it_is_another(rows, shop, is_counted):
    counts, unheard = Counter(), plan(unacknowledged=Unacknowledged(1, everyone=True))
    assert tell("ann", rows, unheard, catalogue(shop), counts).verdict == "repeated"
    assert counts["changedUnconfirmed"] == is_counted


def test_without_the_items_of_the_last_run_a_change_is_sent_whole():
    unknown = replace(catalogue(), known=None)
    assert record(listed("1"), told("2"), of=unknown).changed is None


def test_items_that_moved_on_since_he_was_told_make_the_record_whole():
    """He was told before the last run changed a price, and not since: what he holds is not in its table."""
    assert record(listed("1"), told("1", "2", shop=CHEAPER)).changed is None


def test_a_changed_setting_sends_him_whole():
    whole = record(listed("1"), told("1", settings=b"old"), previous_settings=b"old")
    assert whole.changed is None
    assert verdict(listed("1"), told("1", settings=b"old"), previous_settings=b"old") == "changed"


def test_what_is_not_confirmed_is_repeated_whole():
    rows = [listed("1", "2"), told("1")]
    assert verdict(*rows, unacknowledged=Unacknowledged(1, everyone=True)) == "repeated"
    assert record(*rows, unacknowledged=Unacknowledged(1, everyone=True)).changed is None
    assert verdict(*rows, unacknowledged=Unacknowledged(2, everyone=True)) == "changed"


def test_a_rejected_user_is_repeated_whole_until_he_rests():
    rejected = Unacknowledged(1, users=frozenset({"ann"}), rejected=frozenset({"ann"}))
    assert verdict(listed("1"), told("1"), unacknowledged=rejected) == "repeated"
    assert verdict(listed("1"), told("1", rejections=2), unacknowledged=rejected) == "resting"
    assert verdict(listed("1"), told("1", rejections=3, sent_in=0), unacknowledged=rejected) == "resting"
    assert record(listed("2"), told("1", rejections=3, sent_in=0), unacknowledged=rejected).changed is None


def test_a_full_run_sends_everyone_whole():
    assert verdict(listed("1"), told("1"), is_full=True) == "repeated"
    assert verdict(told("1"), is_full=True) == "gone"
    assert verdict(told(op="clear", fingerprint=0), is_full=True) == "cleared"


def test_a_refresh_is_due_after_its_days():
    old = told("1", sent_at=AT - timedelta(days=20))
    assert verdict(listed("1"), old, rules=Rules(refresh_after_days=10)) == "refreshed"
    assert verdict(listed("1"), told("1"), rules=Rules(refresh_after_days=10)) == "unchanged"
    assert record(listed("1"), old, rules=Rules(refresh_after_days=10)).changed is None


def test_scores_are_carried_and_compared():
    scored = replace(catalogue(), scored=True)
    rows = listed("1", "2", scores=[0.5, 0.25])
    assert [item["score"] for item in record(rows, of=scored).recommendations] == [0.5, 0.25]
    first = tell("ann", [rows], plan(), scored).kept
    row = told("1", "2", fingerprint=first.fingerprint)
    assert verdict(rows, row, of=scored) == "unchanged"
    assert verdict(listed("1", "2", scores=[0.5, 0.3]), row, of=scored) == "changed"
    assert record(listed("1", "2", scores=[0.5, 0.3]), row, of=scored).changed is None


def test_an_item_without_a_score_has_a_null():
    assert record(listed("1"), of=replace(catalogue(), scored=True)).recommendations[0]["score"] is None


def test_mapped_items_are_left_out_also_those_without_a_list():
    rows = [listed("2", "1", "3", query="7"), listed(query="1", kind="unmatched"), listed(query="3", kind="failed")]
    told_now = record(*rows, lists=ListRules(excludes_mapped_items=True))
    assert [item["itemId"] for item in told_now.recommendations] == ["2"]
    assert told_now.query_item_ids == ["7"]


def test_items_without_metadata_are_kept_or_dropped_and_the_list_is_filled_from_the_next():
    rows, counts, of_others = listed("9", "1", "8", "2", "3"), Counter(), Counter(itemsRanked=5)
    kept = tell("ann", [rows], plan(lists=ListRules(max_items=2)), catalogue(), counts)
    dropped = tell("ann", [rows], plan(lists=DROPS), catalogue(), of_others)
    assert [item["itemId"] for item in json.loads(kept.line)["recommendations"]] == ["9", "1"]
    assert [item["itemId"] for item in json.loads(dropped.line)["recommendations"]] == ["1", "2"]
    assert (counts["itemsWithoutMetadata"], of_others["itemsWithoutMetadata"], of_others["itemsRanked"]) == (1, 2, 10)


def test_without_fields_no_item_lacks_metadata():
    assert tell("ann", [listed("9")], plan(lists=DROPS), Catalogue(())).line is not None


def test_a_pair_mapped_twice_counts_once():
    rows, counts = [listed("1", query="7"), listed("2", query="8"), listed("1", query="7")], Counter()
    telling = tell("ann", rows, plan(), catalogue(), counts)
    assert counts["mappingDuplicates"] == 1
    assert json.loads(telling.line)["queryItemIds"] == ["7", "8"]


def test_who_is_gone_is_cleared_and_his_row_is_there_both_ways():
    telling = tell("ann", [told("1")], plan(rules=Rules(clears_gone=True)), catalogue())
    assert json.loads(telling.line) == {"userId": "ann", "op": "clear"}
    assert (telling.kept.op, telling.was.op) == ("clear", "upsert")


def test_a_user_of_whom_only_a_failed_line_is_known_is_counted_and_nothing_else():
    counts = Counter()
    telling = tell("ann", [listed(kind="failed")], plan(), catalogue(), counts)
    assert (telling.verdict, telling.line, telling.kept) == (None, None, None)
    assert +counts == {"usersWithoutList": 1}


def test_an_unknown_row_that_is_not_sent_stays_unknown():
    rows = [listed(kind="failed"), told("1")]
    telling = tell("ann", rows, plan(unacknowledged=Unacknowledged(1, everyone=True)), catalogue())
    assert telling.kept == Told("upsert", ["1"], None, 1, AT)


EVERYONE, NOBODY = Holdout(percent=100, salt="x"), Holdout(percent=0, salt="x")
MARKED = told("1", op="holdout", item_ids=[], fingerprint=holdout_fingerprint(b"s"), is_marked=True)


def test_who_enters_the_holdout_hears_it_once_also_one_who_was_never_told():
    for rows in ([listed("1")], [listed("1"), told("1")]):
        counts = Counter()
        telling = tell("ann", rows, plan(holdout=EVERYONE), catalogue(), counts)
        assert json.loads(telling.line) == {"userId": "ann", "op": "holdout"}
        assert (telling.verdict, telling.kept.op, telling.kept.is_marked) == ("holdout", "holdout", True)
        assert (counts["holdout"], counts["cleared"], counts["users"]) == (1, 0, 1)
    still = tell("ann", [listed("2"), MARKED], plan(holdout=EVERYONE), catalogue())
    assert (still.verdict, still.line, still.kept.op) == ("holdoutUnchanged", None, "holdout")


def test_who_would_hear_nothing_anyway_is_not_marked():
    assert verdict(listed(), holdout=EVERYONE) == "empty"
    assert verdict(listed(kind="failed"), holdout=EVERYONE) is None


def test_who_leaves_the_holdout_hears_everything_and_that_it_ended():
    left = record(listed("1", "2"), MARKED, holdout=NOBODY)
    assert (left.op, left.ends_holdout, left.changed) == ("upsert", True, None)
    assert record(listed(), MARKED).ends_holdout
    assert record(listed("1"), told("2"), holdout=NOBODY).ends_holdout is None


def test_that_the_holdout_ended_is_said_until_it_is_confirmed():
    lost = Unacknowledged(1, everyone=True)
    left = told("1", is_marked=True)
    assert record(listed("1"), left, unacknowledged=lost).ends_holdout
    assert record(listed("2"), left, unacknowledged=Unacknowledged(1)).ends_holdout is None
    telling = tell("ann", [listed("1"), left], plan(unacknowledged=Unacknowledged(1)), catalogue())
    assert (telling.verdict, telling.kept.is_marked) == ("unchanged", False)


def test_a_mark_that_no_receipt_confirms_is_sent_again_and_rests_like_a_list():
    in_holdout = {"holdout": EVERYONE}
    assert verdict(listed("1"), MARKED, unacknowledged=Unacknowledged(1, everyone=True), **in_holdout) == "holdout"
    refused = Unacknowledged(1, users=frozenset({"ann"}), rejected=frozenset({"ann"}))
    assert verdict(listed("1"), MARKED, unacknowledged=refused, **in_holdout) == "holdout"
    refused_twice = MARKED._replace(told=MARKED.told._replace(rejections=2))
    assert verdict(listed("1"), refused_twice, unacknowledged=refused, **in_holdout) == "resting"
    assert verdict(listed("1"), MARKED, is_full=True, **in_holdout) == "holdout"


def test_a_changed_setting_tells_the_mark_anew_and_a_changed_policy_does_not():
    assert verdict(listed("1"), MARKED, settings=b"new", holdout=EVERYONE) == "holdout"
    assert verdict(listed("1"), MARKED, policy=SET, previous_policy=EXACT, holdout=EVERYONE) == "holdoutUnchanged"


def test_who_is_held_out_and_gone_follows_the_same_setting_as_others():
    assert verdict(MARKED, holdout=EVERYONE) == "gone"
    counts = Counter()
    cleared = tell("ann", [MARKED], plan(holdout=EVERYONE, rules=Rules(clears_gone=True)), catalogue(), counts)
    assert json.loads(cleared.line) == {"userId": "ann", "op": "clear"}
    assert (cleared.was.op, counts["cleared"], counts["holdout"]) == ("holdout", 1, 0)


def test_a_user_of_whom_only_purchases_are_known_is_nobodys_figure():
    bought = NOTHING._replace(kind="excluded", query_item_id="1")
    counts = Counter()
    telling = tell("ann", [bought], plan(lists=ListRules(excludes_pairs=True)), catalogue(), counts)
    assert (telling.verdict, telling.line, telling.kept, +counts) == (None, None, None, {})


def test_a_list_that_becomes_too_short_is_told_as_an_empty_one_and_a_new_one_is_not():
    too_few = {"lists": ListRules(min_items=2)}
    assert record(listed("1"), told("1", "2"), **too_few).recommendations == []
    assert verdict(listed("1"), **too_few) == "empty"
