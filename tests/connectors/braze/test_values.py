"""Which values Braze keeps whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.emulators.braze_account import is_storable
from connectors.braze.values import LOSSES, compact_json, is_plain_array, loss_inside

TEXTS = st.sampled_from(["", "a", "a.b", "a b", "$a", "$time", "x" * 255, "x" * 256, "2026-11-21", "soon"])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        ("x" * 255, ""),
        ("👟" * 255, ""),
        ("x" * 256, "text_too_long"),
        (["a", ["x" * 256]], "text_too_long"),
        ({"a": {"b": "x" * 256}}, "text_too_long"),
        (None, "nested_null"),
        ([1, None], "nested_null"),
        ({"a": {"b": [None]}}, "nested_null"),
        ({"a.b": 1}, "bad_key"),
        ({"$a": 1}, "bad_key"),
        ({"a$": 1}, "bad_key"),
        ({"a b": 1}, "bad_key"),
        ({"a\tb": 1}, "bad_key"),
        ({"": 1}, "bad_key"),
        ({"x" * 256: 1}, "bad_key"),
        ({"x" * 255: 1}, ""),
        ({"$time": "2026-11-21", "a": 1}, "bad_key"),
        (float("nan"), "not_finite"),
        ([{"a": float("inf")}], "not_finite"),
        (True, ""),
        (1.5, ""),
        ([], ""),
        ({}, ""),
    ],
)
def test_a_value_is_kept_or_its_loss_has_a_name(value, loss):
    assert loss_inside(value) == loss


@pytest.mark.parametrize("moment", ["2026-11-21", "2026-11-21T04:00:00", "2026-11-21T04:00:00Z", "2026-11-21 04:00"])
def test_a_time_in_the_form_braze_shows_is_kept(moment):
    assert loss_inside({"on": {"$time": moment}}) == ""


@pytest.mark.parametrize(
    "moment", ["soon", "", None, 7, "20261121", "2026-W47", "2026-13-01", "3001-01-01", "١٢٣٤-11-21"]
)
def test_a_time_braze_cannot_read_is_lost(moment):
    assert loss_inside([{"on": {"$time": moment}}]) == "bad_time"


@given(VALUES)
def test_what_the_emulator_drops_is_never_called_kept(value):
    assert is_storable(value) or loss_inside(value)


def test_every_loss_says_what_to_do_and_leaves_room_for_a_name():
    assert all("; " in text and len(text) <= 90 for text in LOSSES.values())


@pytest.mark.parametrize(
    ("value", "is_plain"),
    [([], True), (["a", 1], True), ([["a"]], True), ([{"a": 1}], False), (["", {"a": 1}], False), ("a", False)],
)
def test_an_array_of_plain_values_is_what_braze_keeps_as_a_set(value, is_plain):
    assert is_plain_array(value) is is_plain


def test_json_is_compact_and_speaks_utf_8():
    assert compact_json({"a": ["é", None]}) == '{"a":["é",null]}'.encode()


_ANY = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(st.characters(), max_size=5)
_HALVES = st.sampled_from(["\ud800", "a\udfffb", "\ufffe", "\x00\x7f\u2028"])


@given(
    st.recursive(
        _ANY | _HALVES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | _HALVES, inner, max_size=4),
    )
)
@example(1.192092896e-07)  # 1e-7 or 1e-07: both are JSON, and one number
def test_json_says_what_pythons_own_writer_says(data):
    plain = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert repr(json.loads(compact_json(data))) == repr(json.loads(plain.encode("utf-8", "replace")))


def test_json_may_be_as_deep_as_a_record():
    assert json.loads(compact_json(json.loads("[" * 250 + "]" * 250))) == json.loads("[" * 250 + "]" * 250)
