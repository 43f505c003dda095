"""What a writing task takes down of its users."""

from __future__ import annotations

from datetime import UTC, datetime

from glue_jobs.delta import Told, Verdict
from glue_jobs.story import Narrator
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
