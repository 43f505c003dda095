import math

import pytest

from glue_jobs.item_lines import finite, types_of


def test_types_are_a_letter_a_field():
    item = {"a": "x", "b": 1, "c": 1.5, "d": True, "e": [], "f": {}, "g": None}
    assert types_of(item, list("abcdefgh")) == "snnbao0-"


@pytest.mark.parametrize(
    ("value", "kept", "count"),
    [
        (math.inf, None, 1),
        (math.nan, None, 1),
        ([1, math.inf, {"x": -math.inf}], [1, None, {"x": None}], 2),
        (1.5, 1.5, 0),
        ("NaN", "NaN", 0),
    ],
)
def test_numbers_that_json_cannot_hold_become_null_and_are_counted(value, kept, count):
    assert finite(value) == (kept, count)
