"""Every text against what lies behind it, in both themes: computed from the page and its style, as a browser would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from connectors.contract.held import GuardReading
from glue_jobs.report.facts import Standing
from glue_jobs.report.page import render
from glue_jobs.report.style import DARK, LIGHT, stylesheet

_COLOUR = re.compile(r"var\(--([a-z]+)\)")
THEMES = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True)
class Rule:
    """One selector of a rule; `media` is the condition it stands under."""

    media: str
    selector: str
    declared: dict[str, str]

    @property
    def weight(self):
        return self.selector.count("."), len(re.findall(r"(?:^|\s)[a-z]", self.selector))

    def fits(self, node) -> bool:
        """Whether the selector names the element: its last word, and the others among its ancestors in order."""
        *above, last = self.selector.split()
        if not _is(last, node):
            return False
        ancestors = iter(reversed(node.path[1:-1]))
        return all(any(_is(word, ancestor) for ancestor in ancestors) for word in reversed(above))


def _is(word, node) -> bool:
    name, *classes = word.split(".")
    return name in ("", "*", node.tag) and set(classes) <= node.classes


def rules(css: str, media: str = "") -> Iterator[Rule]:
    """The rules of a stylesheet in order, those inside of @media too."""
    at = 0
    while (begin := css.find("{", at)) >= 0:
        head, depth, end = css[at:begin].strip(), 1, begin + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        body, at = css[begin + 1 : end - 1], end
        if head.startswith("@media"):
            yield from rules(body, head)
        elif not head.startswith("@"):
            pairs = (line.split(":", 1) for line in body.split(";") if ":" in line)
            declared = {name.strip(): value.strip() for name, value in pairs}
            for selector in head.split(","):
                yield Rule(media, " ".join(selector.split()), declared)


SCREEN = [one for one in rules(stylesheet()) if "print" not in one.media and ":root" not in one.selector]


def declared(node, *names, pseudo="") -> str | None:
    """The value of a property that an element itself is given, by the rule that counts."""
    fitting = [one for one in SCREEN if one.selector.endswith(pseudo) and ("::" in one.selector) == bool(pseudo)]
    found = [
        (one.weight, place, value)
        for place, one in enumerate(fitting)
        if Rule(one.media, one.selector.removesuffix(pseudo), {}).fits(node)
        for name in names
        if (value := one.declared.get(name))
    ]
    return max(found)[-1] if found else None


def colours(node) -> tuple[str, str]:
    """The names of the text's colour and of what lies behind it."""
    text = next(value for one in reversed(node.path[1:]) if (value := declared(one, "color")))
    behind = (declared(one, "background") for one in reversed(node.path[1:]))
    return name_of(text), name_of(next(value for value in behind if value not in (None, "none")))


def name_of(value: str) -> str:
    match = _COLOUR.fullmatch(value)
    assert match, f"{value} is no colour of the palette"
    return match[1]


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture
def pairs(facts, run, part, parse):
    """Every pair of text and background on two pages that together show every class."""
    breach = GuardReading(name="maxClearedPct", number=66.7, limit=15, is_breached=True, note="598 of 897")
    held = facts(run(part(outcome="held", guards=[breach])), standings={"braze": Standing(waiting="r")})
    found, classes = set(), set()
    for page in (parse(render(facts())), parse(render(held))):
        (body,) = page.all("body")
        for node in body.all():
            classes |= node.classes
            if any(isinstance(child, str) and child.strip() for child in node.children) or node.tag == "img":
                found.add(colours(node))
            if node.tag == "img":
                after = [declared(node, name, pseudo="::after") for name in ("color", "background")]
                found.add((name_of(after[0] or declared(node, "color")), name_of(after[1])))
    styled = {name for one in SCREEN for name in re.findall(r"\.([a-z]\w*)", one.selector)}
    assert styled <= classes, f"no page shows {styled - classes}"
    return found


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_stands_out_from_what_lies_behind_it(pairs, theme):
    palette = THEMES[theme]
    assert len(pairs) >= 8
    weak = {pair: round(ratio, 2) for pair in pairs if (ratio := contrast(*(palette[name] for name in pair))) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("theme", THEMES)
def test_bars_stand_out_from_their_track_and_the_sheet(theme):
    palette = THEMES[theme]
    assert contrast(palette["accent"], palette["rule"]) >= 3
    assert contrast(palette["accent"], palette["sheet"]) >= 3
    assert contrast(palette["soft"], palette["sheet"]) >= 3


def test_both_themes_name_the_same_colours_and_the_style_uses_each():
    assert LIGHT.keys() == DARK.keys() == set(_COLOUR.findall(stylesheet()))


def test_paper_is_always_light():
    dark = [one.media for one in rules(stylesheet()) if DARK["paper"] in one.declared.values()]
    assert dark == ["@media screen and (prefers-color-scheme: dark)"]


def test_the_contrast_of_black_on_white_is_known():
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48
