from xml.etree import ElementTree as ET

import pytest

from benchmarks.plot import svg


def test_ten_times_more_is_as_far_on_every_part_of_an_axis():
    root = ET.fromstring(svg({"ours": [(1_000, 1.0), (10_000, 10.0), (100_000, 100.0)]}))  # noqa: S314 - our own
    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in line.attrib["points"].split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and x1 > x0
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y1 < y0


def test_every_contender_has_its_name_and_a_colour_of_its_own():
    text = svg({"ours": [(1_000, 1.0)], "a<b": [(1_000, 2.0)]})
    root = ET.fromstring(text)  # noqa: S314 - our own
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len({line.attrib["stroke"] for line in lines}) == 2
    assert {"ours", "a<b"} <= {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_nothing_measured_is_said():
    with pytest.raises(ValueError, match="no full run was measured"):
        svg({})
