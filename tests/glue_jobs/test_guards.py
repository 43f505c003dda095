"""Guards read numbers, and say which of them are beyond their limits."""

from collections import Counter

import pytest

from glue_jobs.config import Guards
from glue_jobs.guards import RunNumbers, breached, read_guards


def numbers(*, is_first=False, age_h=1.0, top=0, **counts):
    return RunNumbers(Counter(counts), is_first, age_h, top)


def guards(**limits):
    nothing = {"max_cleared_pct": None, "max_bad_line_pct": None}
    return Guards(**{**nothing, **limits})


def names(limits, run):
    return [reading.name for reading in breached(read_guards(limits, run))]


def test_without_limits_nothing_is_read():
    assert read_guards(guards(), numbers(cleared=100, usersHeld=100)) == []


def test_a_reading_says_its_number_its_limit_and_what_it_is_made_of():
    (reading,) = read_guards(guards(max_cleared_pct=15), numbers(cleared=90, usersHeld=100))
    assert (reading.name, reading.number, reading.limit, reading.is_breached) == ("maxClearedPct", 90, 15, True)
    assert reading.note == "90 of 100 users the destination holds lose their recommendations"


def test_a_number_on_its_limit_passes():
    assert names(guards(max_cleared_pct=15), numbers(cleared=150, usersHeld=1000)) == []
    assert names(guards(max_cleared_pct=15), numbers(cleared=151, usersHeld=1000)) == ["maxClearedPct"]


def test_a_percentage_of_a_handful_of_users_does_not_act():
    assert names(guards(max_cleared_pct=15), numbers(cleared=19, usersHeld=20)) == []
    assert names(guards(max_cleared_pct=15, min_affected_users=0), numbers(cleared=19, usersHeld=20)) == [
        "maxClearedPct"
    ]


def test_a_number_beyond_its_limit_that_holds_nothing_says_why():
    few = read_guards(guards(max_cleared_pct=15), numbers(cleared=19, usersHeld=20))
    first = read_guards(guards(max_cleared=1), numbers(is_first=True, cleared=19, usersHeld=20))
    assert few[0].note.endswith("; fewer than 20 users (minAffectedUsers) hold no run")
    assert first[0].note.endswith("; a first run is not held for that")
    assert ";" not in read_guards(guards(max_cleared_pct=15), numbers(cleared=1, usersHeld=20))[0].note


def test_clears_that_are_repeated_are_no_news():
    assert names(guards(max_cleared=10), numbers(cleared=100, clearedAgain=90)) == []
    assert names(guards(max_cleared=10), numbers(cleared=100, clearedAgain=89)) == ["maxCleared"]


def test_where_nobody_is_recommended_anything_no_metadata_is_missing():
    (reading,) = read_guards(guards(min_metadata_coverage_pct=90), numbers(users=10))
    assert not reading.is_breached
    assert reading.note == "0 of 0 recommendations have metadata; where nothing is recommended none is missing"


def test_of_several_kinds_of_input_the_guard_names_the_worst():
    run = numbers(linesBroken=1, linesRead=100, mappingRowsBroken=5, mappingRowsRead=100)
    (reading,) = read_guards(guards(max_bad_line_pct=1), run)
    assert (reading.number, reading.note) == (5, "5 of 100 rows of the mapping cannot be read")


def test_who_is_told_an_empty_list_loses_as_much_as_who_is_cleared():
    (reading,) = read_guards(guards(max_cleared_pct=15), numbers(cleared=10, emptied=80, usersHeld=100))
    assert reading.is_breached
    assert reading.note == "90 of 100 users the destination holds lose their recommendations"


def test_another_list_is_a_change_whether_or_not_the_last_one_arrived():
    run = numbers(changed=20, repeated=90, changedUnconfirmed=40, users=100)
    (reading,) = read_guards(guards(max_changed_pct=50), run)
    assert (reading.number, reading.is_breached) == (60, True)


def test_the_top_item_is_a_share_of_those_who_see_a_list():
    run = numbers(top=90, users=200, holdout=20, holdoutUnchanged=80)
    (reading,) = read_guards(guards(max_top_item_share_pct=80), run)
    assert (reading.number, reading.is_breached) == (90, True)
    assert reading.note == "90 of 100 users outside the holdout have the most recommended item"


def test_where_everyone_is_in_the_holdout_no_item_is_on_top():
    assert names(guards(max_top_item_share_pct=80), numbers(users=50, holdout=50)) == []


@pytest.mark.parametrize("limits", [{"max_cleared_pct": 1}, {"max_cleared": 1}, {"max_changed_pct": 1}])
def test_the_first_run_changes_everything_and_is_not_held_for_it(limits):
    run = {"cleared": 100, "usersHeld": 100, "changed": 100, "users": 100}
    assert names(guards(**limits), numbers(is_first=True, **run)) == []
    assert names(guards(**limits), numbers(**run)) != []


@pytest.mark.parametrize(
    ("limit", "run", "name"),
    [
        ({"max_changed_pct": 50}, {"changed": 60, "users": 100, "repeated": 100}, "maxChangedPct"),
        ({"max_bad_line_pct": 1}, {"linesBroken": 2, "linesRead": 100}, "maxBadLinePct"),
        ({"max_bad_line_pct": 1}, {"mappingRowsBroken": 2, "mappingRowsRead": 100}, "maxBadLinePct"),
        ({"max_bad_line_pct": 1}, {"excludeRowsBroken": 2, "excludeRowsRead": 100}, "maxBadLinePct"),
        (
            {"max_bad_line_pct": 1},
            {"metadataLinesBroken": 2, "itemsWithMetadata": 90, "metadataDuplicates": 8},
            "maxBadLinePct",
        ),
        ({"max_failed_line_pct": 5}, {"linesFailed": 6, "linesRead": 100}, "maxFailedLinePct"),
        ({"max_below_min_items_pct": 10}, {"usersBelowMinItems": 30, "users": 100}, "maxBelowMinItemsPct"),
        (
            {"min_metadata_coverage_pct": 90},
            {"itemsRanked": 100, "itemsWithoutMetadata": 11, "users": 10},
            "minMetadataCoveragePct",
        ),
        ({"max_input_age_hours": 24}, {"age_h": 25.0}, "maxInputAgeHours"),
        ({"max_top_item_share_pct": 40}, {"top": 50, "users": 100}, "maxTopItemSharePct"),
    ],
)
def test_each_guard_holds_what_is_beyond_its_limit_and_nothing_else(limit, run, name):
    assert names(guards(**limit), numbers(**run)) == [name]
    assert names(guards(**limit), numbers(users=100, linesRead=100, itemsRanked=100)) == []
