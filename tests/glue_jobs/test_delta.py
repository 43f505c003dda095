from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.delta import UPSERTS, Now, Rules, Told, Verdict, baseline, decide, is_due, remember

AT = datetime(2026, 11, 21, tzinfo=UTC)
LATER = datetime(2026, 11, 22, tzinfo=UTC)
NOW, EMPTY = Now(["1"], 7), Now([], 8)
SAME, OTHER = Told("upsert", ["1"], 7, 3, AT), Told("upsert", ["2"], 5, 3, AT)
GONE, UNKNOWN = Told("gone", ["1"], 7, 3, AT), Told("upsert", ["1"], None, 3, AT)
CLEARED, UNHEARD_CLEAR = Told("clear", (), 0, 3, AT), Told("clear", (), None, 3, AT)
KEEPS, CLEARS = Rules(), Rules(clears_gone=True)
OUT, EMPTY_OUT = Now(["1"], 9, "holdout"), Now([], 9, "holdout")
HELD_OUT = Told("holdout", (), 9, 3, AT, is_marked=True)
UNHEARD_MARK = Told("holdout", (), None, 3, AT, is_marked=True)


@pytest.mark.parametrize(
    ("now", "told", "verdict"),
    [
        (NOW, None, Verdict.NEW),
        (NOW, SAME, Verdict.UNCHANGED),
        (NOW, OTHER, Verdict.CHANGED),
        (NOW, GONE, Verdict.NEW),
        (NOW, UNKNOWN, Verdict.REPEATED),
        (NOW, CLEARED, Verdict.NEW),
        (NOW, UNHEARD_CLEAR, Verdict.NEW),
        (EMPTY, None, Verdict.EMPTY),
        (EMPTY, SAME, Verdict.CHANGED),
        (EMPTY, GONE, Verdict.NEW),
        (EMPTY, UNKNOWN, Verdict.REPEATED),
        (EMPTY, CLEARED, Verdict.EMPTY),
        (EMPTY, UNHEARD_CLEAR, Verdict.NEW),
    ],
)
@pytest.mark.parametrize("rules", [KEEPS, CLEARS])
@pytest.mark.parametrize("has_failed", [True, False])
def test_a_user_with_a_list_has_his_verdict(now, told, verdict, rules, has_failed):
    assert decide(now, told, rules, has_failed=has_failed) is verdict


@pytest.mark.parametrize(
    ("told", "kept", "cleared"),
    [
        (SAME, Verdict.GONE, Verdict.CLEARED),
        (UNKNOWN, Verdict.GONE, Verdict.CLEARED),
        (GONE, Verdict.GONE, Verdict.CLEARED),
        (UNHEARD_CLEAR, Verdict.CLEARED, Verdict.CLEARED),
        (CLEARED, Verdict.FORGOTTEN, Verdict.FORGOTTEN),
    ],
)
def test_a_user_without_a_list_has_his_verdict(told, kept, cleared):
    assert decide(None, told, KEEPS, has_failed=False) is kept
    assert decide(None, told, CLEARS, has_failed=False) is cleared


@pytest.mark.parametrize("told", [SAME, UNKNOWN, GONE, CLEARED, UNHEARD_CLEAR])
@pytest.mark.parametrize("rules", [KEEPS, CLEARS])
def test_a_user_whose_line_failed_is_never_gone_and_keeps_his_row(told, rules):
    verdict = decide(None, told, rules, has_failed=True)
    assert verdict is Verdict.FAILED
    assert remember(verdict, None, told, version=4, at=LATER) is told


def test_without_delta_check_an_unchanged_user_is_repeated():
    assert decide(NOW, SAME, Rules(checks_delta=False), has_failed=False) is Verdict.REPEATED


def test_an_unchanged_user_who_is_due_is_refreshed_and_no_other():
    assert decide(NOW, SAME, KEEPS, has_failed=False, is_due=True) is Verdict.REFRESHED
    assert decide(NOW, OTHER, KEEPS, has_failed=False, is_due=True) is Verdict.CHANGED
    assert decide(None, SAME, KEEPS, has_failed=False, is_due=True) is Verdict.GONE


@pytest.mark.parametrize("verdict", sorted(UPSERTS))
def test_what_is_sent_is_remembered_with_its_version(verdict):
    assert remember(verdict, NOW, OTHER, version=4, at=LATER) == Told("upsert", ["1"], 7, 4, LATER)


def test_a_clear_is_remembered_until_it_is_confirmed():
    sent = remember(Verdict.CLEARED, None, SAME, version=4, at=LATER)
    assert (sent.op, sent.sent_in) == ("clear", 4)
    unheard = baseline(sent, is_acknowledged=False)
    assert decide(None, unheard, CLEARS, has_failed=False) is Verdict.CLEARED
    assert decide(None, sent, CLEARS, has_failed=False) is Verdict.FORGOTTEN
    assert remember(Verdict.FORGOTTEN, None, sent, version=5, at=LATER) is None


def test_who_is_gone_keeps_his_row_as_gone():
    assert remember(Verdict.GONE, None, SAME, version=4, at=LATER) == GONE


def test_who_is_unchanged_keeps_his_row():
    assert remember(Verdict.UNCHANGED, NOW, SAME, version=4, at=LATER) is SAME


@pytest.mark.parametrize("told", [None, CLEARED])
def test_an_empty_list_for_one_who_holds_nothing_leaves_no_row(told):
    assert remember(Verdict.EMPTY, EMPTY, told, version=4, at=LATER) is None


def test_without_an_acknowledgement_nothing_is_known():
    assert baseline(SAME, is_acknowledged=True) == SAME
    assert baseline(SAME, is_acknowledged=False) == UNKNOWN


def refused(times, told=SAME):
    """A row that was sent and refused so often, one time after the other."""
    for _ in range(times):
        told = baseline(told, is_acknowledged=False, is_rejected=True)
    return told


@pytest.mark.parametrize(("times", "verdict"), [(1, "repeated"), (2, "repeated"), (3, "resting"), (4, "resting")])
def test_after_three_rejections_of_the_same_content_a_user_rests(times, verdict):
    assert decide(NOW, refused(times), KEEPS, has_failed=False) == verdict
    unheard_clear = refused(times, CLEARED)
    assert decide(None, unheard_clear, CLEARS, has_failed=False) == ("cleared" if times < 3 else "resting")


def test_a_resting_clear_wakes_when_it_is_due():
    clear = refused(3, CLEARED)
    assert decide(None, clear, CLEARS, has_failed=False, is_due=True) is Verdict.CLEARED
    assert decide(None, clear, CLEARS, has_failed=False, is_due=False) is Verdict.RESTING


def test_a_resting_user_wakes_by_a_change_a_refresh_or_a_full_run():
    resting = refused(3)
    assert decide(Now(["9"], 9), resting, KEEPS, has_failed=False) is Verdict.REPEATED
    assert decide(NOW, resting, KEEPS, has_failed=False, is_due=True) is Verdict.REPEATED
    assert decide(NOW, baseline(resting, is_acknowledged=False), KEEPS, has_failed=False) is Verdict.REPEATED
    assert remember(Verdict.RESTING, NOW, resting, version=9, at=LATER) is resting


def test_rejections_are_counted_over_sends_of_the_same_content_and_forgotten_with_another():
    again = remember(Verdict.REPEATED, NOW, refused(2), version=4, at=LATER)
    assert (again.rejections, again.sent_in) == (2, 4)
    assert remember(Verdict.REPEATED, Now(["9"], 9), refused(2), version=4, at=LATER).rejections == 0
    assert baseline(again, is_acknowledged=True).rejections == 0
    assert remember(Verdict.CLEARED, None, refused(2), version=4, at=LATER).rejections == 0
    assert remember(Verdict.CLEARED, None, refused(2, CLEARED), version=4, at=LATER).rejections == 2


@given(user=st.text(min_size=1), after=st.integers(1, 60))
def test_a_refresh_comes_after_its_days_and_before_twice_as_many(user, after):
    assert not is_due(user, AT, AT + timedelta(days=after) - timedelta(seconds=1), after)
    assert is_due(user, AT, AT + timedelta(days=2 * after - 1), after)
    assert not is_due(user, AT, AT + timedelta(days=1000), None)


def test_users_sent_in_one_night_are_not_refreshed_in_one():
    due = [sum(is_due(f"u{n}", AT, AT + timedelta(days=day), 10) for n in range(1000)) for day in range(10, 20)]
    nights = [after - before for before, after in zip([0, *due], due, strict=False)]
    assert sum(nights) == 1000
    assert all(50 < night < 150 for night in nights)


@pytest.mark.parametrize(
    ("now", "told", "verdict"),
    [
        (OUT, None, Verdict.HELD_OUT),
        (OUT, SAME, Verdict.HELD_OUT),
        (OUT, UNKNOWN, Verdict.HELD_OUT),
        (OUT, GONE, Verdict.HELD_OUT),
        (OUT, CLEARED, Verdict.HELD_OUT),
        (OUT, UNHEARD_CLEAR, Verdict.HELD_OUT),
        (OUT, HELD_OUT, Verdict.STILL_HELD_OUT),
        (OUT, UNHEARD_MARK, Verdict.HELD_OUT),
        (Now(["1"], 10, "holdout"), HELD_OUT, Verdict.HELD_OUT),
        (EMPTY_OUT, None, Verdict.EMPTY),
        (EMPTY_OUT, CLEARED, Verdict.EMPTY),
        (EMPTY_OUT, SAME, Verdict.HELD_OUT),
        (EMPTY_OUT, HELD_OUT, Verdict.STILL_HELD_OUT),
        (NOW, HELD_OUT, Verdict.NEW),
        (NOW, UNHEARD_MARK, Verdict.NEW),
        (EMPTY, HELD_OUT, Verdict.NEW),
    ],
)
@pytest.mark.parametrize("rules", [KEEPS, CLEARS])
def test_who_enters_the_holdout_is_told_once_and_who_leaves_it_is_new(now, told, verdict, rules):
    assert decide(now, told, rules, has_failed=False) is verdict


def test_who_is_held_out_and_leaves_the_input_is_treated_like_any_other():
    assert decide(None, HELD_OUT, KEEPS, has_failed=False) is Verdict.GONE
    assert decide(None, HELD_OUT, CLEARS, has_failed=False) is Verdict.CLEARED
    assert decide(None, HELD_OUT, CLEARS, has_failed=True) is Verdict.FAILED
    assert remember(Verdict.GONE, None, HELD_OUT, version=4, at=LATER) == Told("gone", (), 9, 3, AT, is_marked=True)


def test_a_mark_is_repeated_refreshed_and_rested_like_a_list():
    assert decide(OUT, HELD_OUT, Rules(checks_delta=False), has_failed=False) is Verdict.HELD_OUT
    assert decide(OUT, HELD_OUT, KEEPS, has_failed=False, is_due=True) is Verdict.HELD_OUT
    assert decide(OUT, refused(2, HELD_OUT), KEEPS, has_failed=False) is Verdict.HELD_OUT
    assert decide(OUT, refused(3, HELD_OUT), KEEPS, has_failed=False) is Verdict.RESTING
    assert remember(Verdict.HELD_OUT, OUT, refused(2, HELD_OUT), version=4, at=LATER).rejections == 2
    assert remember(Verdict.HELD_OUT, OUT, refused(2), version=4, at=LATER).rejections == 0


def test_a_mark_is_there_until_what_removes_it_is_confirmed():
    for verdict, now in ((Verdict.NEW, NOW), (Verdict.CLEARED, None)):
        sent = remember(verdict, now, HELD_OUT, version=4, at=LATER)
        assert sent.is_marked
        assert baseline(sent, is_acknowledged=False).is_marked
        assert baseline(sent, is_acknowledged=False, is_rejected=True).is_marked
        assert not baseline(sent, is_acknowledged=True).is_marked
    assert baseline(HELD_OUT, is_acknowledged=True).is_marked


LISTS = st.lists(st.sampled_from("abc"), unique=True, max_size=3)


@given(
    days=st.lists(st.tuples(st.none() | LISTS, st.booleans(), st.booleans(), st.booleans()), max_size=12),
    rules=st.sampled_from([KEEPS, CLEARS, Rules(checks_delta=False)]),
)
def test_over_any_history_what_counts_as_known_is_what_the_destination_holds(days, rules):
    """Each day: his list or none, whether a line of his failed, whether he is held out, whether it is confirmed."""
    held, marked, told = None, False, None
    for version, (items, has_failed, is_out, confirms) in enumerate(days, 1):
        now = None if items is None else Now(items, 5, "holdout") if is_out else Now(items, hash(tuple(items)))
        if now is None and told is None:
            continue
        verdict = decide(now, told, rules, has_failed=has_failed)
        ends = verdict in UPSERTS and told is not None and told.is_marked
        told = remember(verdict, now, told, version=version, at=AT)
        if verdict in UPSERTS and confirms:
            held, marked = now.item_ids, marked and not ends
        if verdict in (Verdict.CLEARED, Verdict.HELD_OUT) and confirms:
            held, marked = None, verdict is Verdict.HELD_OUT
        if told is not None and told.sent_in == version:
            told = baseline(told, is_acknowledged=confirms)
        check_held(held, marked, told)


def check_held(held, marked, told):
    """What a destination holds, against the row that is remembered."""
    assert not marked or told.is_marked
    if told is None:
        assert held is None
    elif told.is_known and told.op == "gone":
        assert list(held or []) == list(told.item_ids)
    elif told.is_known:
        assert (held, marked) == (told.item_ids if told.op == "upsert" else None, told.op == "holdout")


@given(days=st.lists(st.booleans(), min_size=1, max_size=12))
def test_entering_and_leaving_the_holdout_send_one_record_each(days):
    """Each day: whether he is held out. All else stays, and all is confirmed."""
    sent, told = [], None
    for version, is_out in enumerate(days, 1):
        now = OUT if is_out else NOW
        verdict = decide(now, told, KEEPS, has_failed=False)
        sent.append(verdict in UPSERTS or verdict is Verdict.HELD_OUT)
        told = baseline(remember(verdict, now, told, version=version, at=AT), is_acknowledged=True)
    assert sent == [True, *(before != after for before, after in pairwise(days))]
