from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.held import GuardReading
from glue_jobs import output
from glue_jobs.delta import Verdict
from glue_jobs.report import words


def test_every_figure_that_a_run_counts_has_a_meaning():
    assert set(output._figure_names()) <= words.FIGURES.keys()


def test_every_verdict_has_its_words():
    assert {str(verdict) for verdict in Verdict} <= words.VERDICTS.keys()


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (None, "\u2013"),
        (True, "yes"),
        (119, "119"),
        (34.9, "34.90"),
        (1234567.5, "1,234,567.50"),
        (0.125, "0.125"),
        (1e300, "1e+300"),
        (10**400, "1" + "0" * 18 + "…"),
        ("90,99 €", "90,99 €"),
        ("x" * 50, "x" * 19 + "…"),
        (["red", 1], "red, 1"),
        ({"a": {"b": None}}, "a: b: \u2013"),
    ],
    ids=str,
)
def test_a_value_stands_as_it_is_sent_but_short(found, shown):
    assert words.value(found, 20) == shown


@pytest.mark.parametrize(
    ("taken_s", "shown"),
    [(0.2, "under 1 s"), (31.6, "32 s"), (192, "3 min 12 s"), (7500, "2 h 5 min"), (59.7, "1 min 0 s")],
)
def test_a_time_span_is_told_in_its_two_largest_units(taken_s, shown):
    assert words.seconds(taken_s) == shown


def test_a_moment_is_told_in_utc():
    at = datetime(2026, 11, 21, 4, 0, tzinfo=timezone(timedelta(hours=2)))
    assert words.moment(at) == "21 Nov 2026, 02:00 UTC"
    assert words.day(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2 Jan, 03:04"


def reading(number, limit, name="maxBadLinePct"):
    return GuardReading(name=name, number=number, limit=limit, is_breached=number > limit, note="")


@pytest.mark.parametrize(
    ("guard", "shown"), [("maxClearedPct", "66.7 %"), ("maxInputAgeHours", "66.7 h"), ("maxCleared", "66.7")]
)
def test_a_guard_says_what_it_counts_in(guard, shown):
    assert words.measured(reading(66.6667, 15, guard)) == shown


@pytest.mark.parametrize(
    ("limit", "shown"), [(15, "15 %"), (0.02, "0.02 %"), (12.5, "12.5 %"), (0, "0 %"), (1000, "1,000 %")]
)
def test_a_limit_is_shown_as_it_is_set(limit, shown):
    assert words.limit("maxBadLinePct", limit) == shown


@pytest.mark.parametrize(
    ("number", "limit", "shown"),
    [
        (15.04, 15, "15.04 %"),
        (0.03, 0.02, "0.03 %"),
        (0.0201, 0.02, "0.0201 %"),
        (0.02, 0.02, "0.02 %"),
        (99.96, 100, "99.96 %"),
        (66.6667, 15, "66.7 %"),
        (15.96, 15, "16 %"),
        (1234.56, 15, "1,234.6 %"),
    ],
)
def test_a_number_has_the_decimals_that_tell_it_from_its_limit(number, limit, shown):
    assert words.measured(reading(number, limit)) == shown


_NUMBERS = st.decimals(0, 1000, places=6).map(float)


@given(_NUMBERS, _NUMBERS)
def test_what_is_shown_stands_to_its_limit_as_the_numbers_do(number, limit):
    shown = [words.measured(reading(number, limit)), words.limit("maxBadLinePct", limit)]
    measured, allowed = (float(text.removesuffix(" %").replace(",", "")) for text in shown)
    assert (measured > allowed, measured < allowed) == (number > limit, number < limit)


@pytest.mark.parametrize(
    ("names", "shown"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_reads_as_one(names, shown):
    assert words.listed(names) == shown


def test_a_part_of_nothing_is_no_percentage():
    assert words.percent(0, 0) == "\u2013"
    assert words.percent(1, 3) == "33.3 %"
