from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.delta import SENT, Now, Told, Verdict, baseline, decide, remember

AT = datetime(2026, 11, 21, tzinfo=UTC)
LATER = datetime(2026, 11, 22, tzinfo=UTC)
NOW, EMPTY = Now(["1"], 7), Now([], 8)
SAME, OTHER = Told("upsert", ["1"], 7, 3, AT), Told("upsert", ["2"], 5, 3, AT)
GONE, UNKNOWN = Told("gone", ["1"], 7, 3, AT), Told("upsert", ["1"], None, 3, AT)


@pytest.mark.parametrize(
    ("now", "told", "has_failed", "verdict"),
    [
        (NOW, None, False, Verdict.NEW),
        (NOW, SAME, False, Verdict.UNCHANGED),
        (NOW, OTHER, False, Verdict.CHANGED),
        (NOW, GONE, False, Verdict.NEW),
        (NOW, UNKNOWN, False, Verdict.REPEATED),
        (EMPTY, None, False, Verdict.EMPTY),
        (EMPTY, SAME, False, Verdict.CHANGED),
        (EMPTY, GONE, False, Verdict.NEW),
        (EMPTY, UNKNOWN, False, Verdict.REPEATED),
        (None, SAME, False, Verdict.GONE),
        (None, UNKNOWN, False, Verdict.GONE),
        (None, SAME, True, Verdict.FAILED),
        (None, UNKNOWN, True, Verdict.FAILED),
    ],
)
def test_every_case_has_its_verdict(now, told, has_failed, verdict):
    assert decide(now, told, has_failed=has_failed, checks_delta=True) is verdict


def test_without_delta_check_an_unchanged_user_is_sent():
    assert decide(NOW, SAME, has_failed=False, checks_delta=False) is Verdict.CHANGED


def test_what_is_sent_is_remembered_with_its_version():
    assert remember(Verdict.CHANGED, NOW, OTHER, version=4, at=LATER) == Told("upsert", ["1"], 7, 4, LATER)


def test_who_is_gone_keeps_his_row_as_gone():
    assert remember(Verdict.GONE, None, SAME, version=4, at=LATER) == GONE


def test_who_is_not_sent_keeps_his_row():
    assert remember(Verdict.UNCHANGED, NOW, SAME, version=4, at=LATER) is SAME
    assert remember(Verdict.FAILED, None, UNKNOWN, version=4, at=LATER) is UNKNOWN


def test_an_empty_list_for_one_never_told_leaves_no_row():
    assert remember(Verdict.EMPTY, EMPTY, None, version=4, at=LATER) is None


def test_without_an_acknowledgement_nothing_is_known():
    assert baseline(SAME, is_acknowledged=True) is SAME
    assert baseline(SAME, is_acknowledged=False) == UNKNOWN


LISTS = st.lists(st.sampled_from("abc"), unique=True, max_size=3)


@given(st.lists(st.tuples(st.none() | LISTS, st.booleans(), st.booleans()), max_size=12))
def test_over_any_history_the_destination_ends_with_the_newest_list_it_was_told(days):
    """Each day: his list or none, whether a line of his failed, whether the destination confirms."""
    held, told = None, None
    for version, (items, has_failed, confirms) in enumerate(days, 1):
        now = None if items is None else Now(items, hash(tuple(items)))
        if now is None and told is None:
            continue
        verdict = decide(now, told, has_failed=has_failed, checks_delta=True)
        told = remember(verdict, now, told, version=version, at=AT)
        if verdict in SENT:
            held = now.item_ids if confirms else held
            told = baseline(told, is_acknowledged=confirms)
        if now is not None and told is not None and told.fingerprint is not None:
            assert held == now.item_ids
