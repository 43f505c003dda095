"""What a writing task takes down of its users."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from glue_jobs.decorate import Catalogue, item_piece
from glue_jobs.delta import Told, Verdict
from glue_jobs.story import MEASURED, Narrator, together
from glue_jobs.tell import Telling

AT = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def told(*items):
    return Told("upsert", items, 1, 1, AT)


def counted(telling):
    narrator = Narrator(b"key", lambda item_ids: ())
    narrator.note("ann", telling)
    report = narrator.report()
    return {name: report[name] for name in ("fields", "items", "gained", "lost")}


def test_a_list_that_replaces_none_is_gained_whole():
    found = counted(Telling(Verdict.NEW, b"{}\n", items=["1", "2"]))
    assert found == {"fields": {}, "items": {"1": 1, "2": 1}, "gained": {"1": 1, "2": 1}, "lost": {}}


def test_a_list_that_replaces_another_gains_and_loses_what_differs():
    found = counted(Telling(Verdict.CHANGED, b"{}\n", was=told("1", "2"), items=["2", "3"], changed=["name"]))
    assert found == {"fields": {"name": 1}, "items": {"2": 1, "3": 1}, "gained": {"3": 1}, "lost": {"1": 1}}


def test_the_fields_that_changed_count_for_a_list_that_was_empty_before_too():
    found = counted(Telling(Verdict.CHANGED, b"{}\n", was=told(), items=["1"], changed=["itemId", "name"]))
    assert found == {"fields": {"itemId": 1, "name": 1}, "items": {"1": 1}, "gained": {"1": 1}, "lost": {}}


def test_a_list_that_nobody_is_told_of_counts_by_its_items_alone():
    found = counted(Telling(Verdict.UNCHANGED, was=told("1"), items=["1"]))
    assert found == {"fields": {}, "items": {"1": 1}, "gained": {}, "lost": {}}


def story_of(users, parts):
    """What tasks report of users who are all told the same, and these reports together."""
    narrators = [Narrator(b"key", lambda item_ids: (), parts=parts) for _ in range(parts)]
    for number, user in enumerate(users):
        narrators[number % parts].note(user, Telling(Verdict.NEW, b"{}\n", items=["1"]))
        narrators[number % parts].note(f"{user}-same", Telling(Verdict.UNCHANGED, was=told("1"), items=["1"]))
    reports = [one.report() for one in narrators]
    return reports, together(reports)


@pytest.mark.parametrize("users", [3, 150, 5_000])
def test_of_many_parts_the_same_users_are_drawn_as_of_one(users):
    names = [f"user-{number}" for number in range(users)]
    (_, of_one), (_, of_many) = story_of(names, 1), story_of(names, 50)
    assert (of_many.told, of_many.unchanged) == (of_one.told, of_one.unchanged)
    assert len(of_many.told) == min(users, MEASURED)


def test_the_more_parts_there_are_the_less_each_reports():
    reports, _ = story_of([f"user-{number}" for number in range(20_000)], 100)
    assert max(len(report["told"]) for report in reports) <= 21
    assert max(len(report["unchanged"]) for report in reports) <= 12


def test_a_user_who_is_told_nothing_is_shown_without_the_scores_that_nobody_kept():
    narrator = Narrator(b"key", Catalogue(("name",), {"1": item_piece({"name": "Lamp"}, ("name",))}, scored=True).items)
    narrator.note("ann", Telling(Verdict.UNCHANGED, was=told("1"), items=["1"]))
    (sample,) = together([narrator.report()]).unchanged_samples()
    assert sample.after == [{"itemId": "1", "name": "Lamp"}]


def narrated(lists):
    """A task that met users with these lists."""
    narrator = Narrator(b"key", lambda item_ids: (), parts=8)
    for number, items in enumerate(lists):
        narrator.note(f"user-{number}", Telling(Verdict.UNCHANGED, was=told(*items), items=items))
    return narrator.report()


def test_an_item_that_everyone_has_is_counted_whole_however_long_the_lists_are():
    items, chance = [f"item-{number}" for number in range(500)], Random(1)
    tasks = [narrated(chance.sample(items, 500) for _ in range(10)) for _ in range(8)]
    assert together(tasks).top_item_users == 80


def test_every_item_that_half_of_a_tasks_users_have_is_reported():
    halves = [[f"{half}-{number}" for number in range(100)] for half in "ab"]
    assert len(narrated([*halves, *halves])["items"]) == 200


def test_all_recommendations_are_counted_whether_or_not_their_item_is_reported():
    tasks = [narrated([str(number), f"{number}-b"] for number in range(300)) for _ in range(2)]
    assert together(tasks).recommendations == 1_200


def test_first_lists_count_as_recommendations_and_empty_ones_do_not():
    narrator = Narrator(b"key", lambda item_ids: ())
    narrator.note("ann", Telling(Verdict.NEW, b"{}\n", items=["1", "2"]))
    narrator.note("bob", Telling(Verdict.CLEARED, b"{}\n", was=told("1")))
    narrator.note("cid", Telling(Verdict.CHANGED, b"{}\n", was=told("1"), items=["2"]))
    assert together([narrator.report()]).recommendations == 3


def test_of_short_lists_a_hundred_items_are_reported():
    assert len(narrated([str(number)] for number in range(300))["items"]) == 100
