import math

import pytest

from glue_jobs.report.charts import bars, meter


@pytest.mark.parametrize(
    ("part", "whole", "width"),
    [
        (5, 10, "50.0"),
        (-3, 10, "0.0"),
        (30, 10, "100.0"),
        (math.nan, 10, "0.0"),
        (math.inf, math.inf, "0.0"),
        (1, 0, "0.0"),
    ],
)
def test_a_bar_is_never_less_than_nothing_nor_more_than_all(part, whole, width):
    assert f"width:{width}%" in str(meter(part, whole))


@pytest.mark.parametrize("values", [[-1, -4], [0, -2], [3, -4]])
def test_a_negative_figure_has_no_height(values):
    assert 'height="-' not in str(bars([(value, True) for value in values]))
