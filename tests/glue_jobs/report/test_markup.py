from __future__ import annotations

import pytest

from glue_jobs.report.markup import Markup, clean, join, tag


def test_a_text_is_escaped_and_an_element_is_not():
    assert tag("p", "<b>&", tag("b", '"')) == "<p>&lt;b&gt;&amp;<b>&quot;</b></p>"


def test_adding_to_markup_makes_it_a_text_again():
    assert tag("p", tag("b", "x") + "<i>") == "<p>&lt;b&gt;x&lt;/b&gt;&lt;i&gt;</p>"


def test_an_attribute_cannot_end_early():
    assert tag("img", alt='" onerror="x') == '<img alt="&quot; onerror=&quot;x"/>'


def test_attributes_are_named_as_html_names_them():
    found = tag("p", class_="a", aria_label="b", hidden=True, id_=None, lang=False, tabindex=0)
    assert found == '<p class="a" aria-label="b" hidden tabindex="0"></p>'


def test_children_may_be_nested_and_none_is_nothing():
    assert join(["a", [None, 1]], None, Markup("<br/>")) == "a1<br/>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m\x7f", "ab[31m"),
        ("a\nb\tc\u2028d", "a b c d"),
        ("\u202eevil\u2066", "evil"),
        ("half \ud83d of a pair", "half  of a pair"),
        ("\ufeffCrème \u200d brûlée", "Crème \u200d brûlée"),
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
    ],
)
def test_what_nobody_sees_is_left_out(text, shown):
    assert clean(text) == shown
    shown.encode()
