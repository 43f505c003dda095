"""The page as a browser and a screen reader take it: structure, safety, size."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from connectors.contract.held import GuardReading, InputObject
from connectors.contract.receipts import Fate
from connectors.contract.run_record import ConnectorRecord, Estimate, ItemCount, Outcome, Sample, Stage
from connectors.contract.tally import Refusal, Tally
from glue_jobs.report.facts import Standing
from glue_jobs.report.markup import clean
from glue_jobs.report.page import MAX_BYTES, POLICY, render
from glue_jobs.report.words import FIGURES, VERDICTS

ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "nav", "main", "section", "article",
    "footer", "div", "span", "p", "h1", "h2", "h3", "h4", "ul", "ol", "li", "dl", "dt", "dd", "table",
    "caption", "thead", "tbody", "tr", "th", "td", "code", "strong", "br", "bdi", "img", "svg", "rect",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "aria-label", "aria-labelledby",
    "aria-hidden", "role", "tabindex", "scope", "dir", "style", "src", "alt", "loading", "referrerpolicy",
    "viewbox", "preserveaspectratio", "x", "y", "width", "height",
}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '" onerror="alert(1)',
    "' onload='alert(1)' x='",
    "javascript:alert(1)",
    'https://x.example/a.jpg" onload="alert(1)',
    "https://x.example/?a=<script>&b='\"",
    "&lt;script&gt;&#60;script&#62;",
    "<!-- --><![CDATA[",
    "\u202egpj.exe\u2066",
    "\x00\x1b]0;x\x07",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "x" * 5000,
    "&" * 5000,
]
texts = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=40), st.builds("{}{}".format, st.text(), st.sampled_from(HOSTILE))
)


@pytest.fixture
def page(facts, parse):
    return parse(render(facts()))


def inert(top):
    """What keeps a page from doing anything: a short list of elements and attributes, and no address but images'."""
    for node in top.all():
        assert node.tag in ELEMENTS
        assert set(node.attributes) <= ATTRIBUTES, node.attributes
        assert (node.attributes.get("href") or "#").startswith("#")
        assert re.fullmatch(r"width:\d+\.\d%", node.attributes.get("style") or "width:0.0%")
        if node.tag == "img":
            assert re.match(r"https://[^/@]+/|https://[^/@]+$|https://[^/@]+[?#]", node.attributes["src"])
            assert node.attributes["referrerpolicy"] == "no-referrer"
            assert node.attributes["loading"] == "lazy"
    (policy,) = (node.attributes["content"] for node in top.all("meta") if "http-equiv" in node.attributes)
    assert policy == POLICY == "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'"


def test_the_page_is_well_formed_and_can_do_nothing(page):
    inert(page)


def test_the_style_loads_nothing(page):
    (style,) = page.all("style")
    assert not re.search(r"url\(|@import|expression|//", style.text)


def test_the_verdict_comes_first(page):
    (first,) = page.all("h1")
    assert first.text.startswith("Committed: 4 users get an update")
    assert next(page.all("h1", "h2", "h3")) is first


def test_headings_go_down_one_step_at_a_time(page):
    levels = [int(node.tag[1]) for node in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert {2, 3, 4} <= set(levels)
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_there_is_one_of_each_landmark_and_all_content_is_in_one(page):
    (body,) = page.all("body")
    assert [child.tag for child in body.children] == ["a", "header", "nav", "main", "footer"]
    (skip,) = (node for node in body.children if node.tag == "a")
    (main,) = page.all("main")
    assert skip.attributes["href"] == f"#{main.attributes['id']}"


def test_every_link_and_every_label_leads_to_one_element(page):
    ids = [node.attributes["id"] for node in page.all() if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    targets = {node.attributes["href"][1:] for node in page.all("a")}
    labels = {node.attributes["aria-labelledby"] for node in page.all() if "aria-labelledby" in node.attributes}
    assert targets | labels <= set(ids)
    assert len(targets) > 8


def test_every_section_has_a_name(page):
    for section in page.all("section"):
        (heading, *_) = section.all("h2", "h3")
        assert section.attributes.get("aria-labelledby") in (None, heading.attributes.get("id"))
        assert heading.text


def test_every_table_has_a_caption_and_headings_with_scope(page):
    tables = list(page.all("table"))
    assert len(tables) >= 8
    for table in tables:
        (caption,) = table.all("caption")
        assert caption.text
        heads = list(table.all("th"))
        assert {head.attributes["scope"] for head in heads} == {"col", "row"}
        for row in table.all("tr"):
            columns = [node for node in heads if node.attributes["scope"] == "col"]
            assert len([cell for cell in row.children if cell.tag in ("th", "td")]) == len(columns)


def test_every_image_has_words(page):
    images = list(page.all("img"))
    assert images
    assert all(image.attributes["alt"] for image in images)


def test_every_picture_of_numbers_stands_beside_its_numbers(page):
    for node in page.all():
        if node.tag == "svg" or "bar" in node.classes:
            assert node.attributes["aria-hidden"] == "true"
            assert any(character.isdigit() for character in node.path[-3].text), node.path[-3].text


def test_a_guards_answer_is_a_word_and_its_note_says_why(facts, run, part, parse):
    breach = GuardReading(name="maxClearedPct", number=66.7, limit=15, is_breached=True, note="598 of 897")
    quiet = GuardReading(name="maxChangedPct", number=50, limit=15, is_breached=False, note="1 of 2; too few")
    top = parse(render(facts(run(part(guards=[breach, quiet])))))
    table = next(table for table in top.all("table") if "Guard" in table.text)
    rows = [row.text for row in table.all("tr")][1:]
    assert rows == [
        "maxClearedPct 598 of 897 66.7 % ≤ 15 % holds the run",
        "maxChangedPct 1 of 2; too few 50 % ≤ 15 % lets pass",
    ]


def test_the_funnel_tells_all_five_numbers(page):
    (steps,) = (node for node in page.all("ol") if "steps" in node.classes)
    told = [[part.text for part in step.all("span") if part.classes & {"label", "count"}] for step in steps.all("li")]
    assert told == [["Read", "6"], ["Attributed", "5"], ["Changed", "4"], ["Sent", "4"], ["Delivered", "2"]]


@pytest.mark.parametrize(
    "said",
    [
        "11 of 12 recommendations (91.7 %) have the metadata that is asked for.",
        "stands in the lists of 3 of 5 users",
        "the first 2 together are 50 % of all recommendations.",
        "too_large recs_items: 112 of 100 KB; set onOversize to trim 1 u-186661114c",
        "1 request, less than a minute at the destination's own rate, 48 units billed.",
        "Sent : 4 in this run; the 3 runs before: median 4, most 4",
        "20 Nov 04:00 committed 4 3 1 19 Nov 04:00 held (4) (3) (1) 18 Nov 04:00 stopped \u2013 \u2013 \u2013",
        "braze: reading the item metadata 20 s",
        "s3://bucket/batch/for-you/a.out",
        "Fields that differ",
        "Items that fewer people get",
        "took 32 s",
        "3 of 4 users who are told something",
    ],
)
def test_the_page_says(page, said):
    (body,) = page.all("body")
    assert said in body.text


def test_a_run_that_stopped_has_a_page_of_its_own(facts, run, parse):
    top = parse(render(facts(run(message="no usable line", stages=[], inputs=[]), earlier=(), standings={})))
    inert(top)
    assert "Nothing was run: no usable line." in top.text


def test_several_connectors_each_have_their_sentence(facts, run, part, parse):
    stopped = part(connector="webhook", outcome="stopped", reason="another run committed", counts={}, samples=[])
    top = parse(render(facts(run(part(), stopped))))
    assert [node.text for node in top.all("h2")] == ["braze", "webhook", "The run itself"]
    assert "Stopped, and nobody is told anything: another run committed." in top.text
    assert [node.text for node in next(top.all("nav")).all("a")] == ["braze", "webhook", "The run itself"]


def test_items_are_shares_of_those_who_see_a_list(facts, run, part, parse):
    counts = {"users": 9, "holdout": 1, "holdoutUnchanged": 2, "itemsRanked": 12, "records": 1}
    text = parse(render(facts(run(part(counts=counts))))).text
    assert "stands in the lists of 3 of 6 users outside the holdout" in text
    assert "105 3 50 %" in text


def test_a_record_that_did_not_count_all_recommendations_names_no_share_of_them(facts, run, part, parse):
    text = parse(render(facts(run(part(recommendations=None))))).text
    assert "stands in the lists of 3 of 5 users." in text
    assert "of all recommendations" not in text


def test_a_held_run_that_was_approved_is_drawn_as_the_commit_it_became(facts, run, part, parse):
    earlier = [run(part(), days=1), run(part(outcome="held"), days=2), run(part(outcome="held"), days=3)]
    top = parse(render(facts(earlier=earlier, approved={(earlier[1].run_id, "braze")})))
    assert "19 Nov 04:00 approved 4 3 1 18 Nov 04:00 held (4) (3) (1)" in top.text
    chart = next(top.all("svg"))
    assert ["open" in bar.classes for bar in chart.all("rect")] == [True, False, False, False]


def test_runs_of_other_connectors_alone_are_none_of_a_connectors_history(facts, part, run, parse):
    earlier = [run(part(), days=1), run(part(connector="another"), days=2)]
    text = parse(render(facts(earlier=earlier))).text
    assert text.count("stopped") == 0


def test_earlier_records_that_cannot_be_read_are_counted(facts, parse):
    assert "2 records could not be read." in parse(render(facts(unreadable=2))).text


def hostile_facts(facts, run, part, tally, text, url, field):
    item = {"itemId": text, "name": text, "price": text, "image": url, field: text}
    sample = Sample(user=text, verdict=text, before=[text, "1"], after=[item, item], changed=[text, "name"])
    reading = GuardReading(name=text, number=1, limit=0, is_breached=True, note=text)
    counts = [ItemCount(item_id=text, users=1)]
    given = {"samples": [sample], "unchanged": [sample], "items": counts, "gained": counts, "lost": counts}
    one = part(outcome="held", reason=text, fields={text: 1}, guards=[reading], **given)
    one = one.model_copy(update={"connector": text})  # no record has such a name; the page would not mind
    inputs, stages = [InputObject(root=text, key=text, mark=text)], [Stage(name=text, seconds=1)]
    record = run(one, job=text, batch=text, message=text, inputs=inputs, stages=stages)
    standing = Standing(tally(Refusal(text, 1, [text], text), rejected=1))
    return facts(record, folder=text, standings={text: standing})


@given(text=texts, url=texts, field=texts)
def test_no_value_becomes_markup(facts, run, part, tally, parse, text, url, field):
    top = parse(render(hostile_facts(facts, run, part, tally, text, url, field)))
    inert(top)
    assert " ".join(clean(text)[:60].split()) in top.text


figures = st.one_of(st.sampled_from(sorted(FIGURES)), st.text(max_size=9))
counts = st.dictionaries(figures, st.integers(0, 10**12), max_size=9)
numbers = st.floats(allow_nan=True, allow_infinity=True)
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just("https://[::1"))
values = st.one_of(plain, st.lists(plain, max_size=2), st.dictionaries(st.text(max_size=3), plain, max_size=2))
item_lists = st.lists(st.dictionaries(st.sampled_from(["itemId", "name", "price", "image", "x"]), values), max_size=3)
samples = st.builds(
    Sample,
    user=st.text(max_size=9),
    verdict=st.sampled_from([*VERDICTS, "?"]),
    before=st.none() | st.lists(st.text(max_size=3), max_size=3),
    after=st.none() | item_lists,
    changed=st.none() | st.lists(st.text(max_size=3), max_size=3),
)
item_counts = st.lists(st.builds(ItemCount, item_id=st.text(max_size=3), users=st.integers(0, 10**9)), max_size=3)
names = st.sampled_from(["maxClearedPct", "minMetadataCoveragePct", "?"])
readings = st.builds(
    GuardReading, name=names, number=numbers, limit=numbers, is_breached=st.booleans(), note=st.text(max_size=9)
)
estimates = st.builds(
    Estimate,
    measured=st.integers(0, 99),
    requests=st.integers(0),
    minutes=st.none() | numbers,
    units=st.dictionaries(st.text(max_size=3), st.integers(0), max_size=3),
)
parts = st.builds(
    ConnectorRecord,
    connector=st.sampled_from(["braze", "webhook"]),
    outcome=st.sampled_from(get_args(Outcome)),
    reason=st.text(max_size=9),
    counts=counts,
    guards=st.lists(readings, max_size=2),
    estimate=st.none() | estimates,
    fields=st.dictionaries(st.text(max_size=3), st.integers(0), max_size=3),
    items=item_counts,
    gained=item_counts,
    lost=item_counts,
    recommendations=st.none() | st.integers(0, 10**12),
    samples=st.lists(samples, max_size=3),
    unchanged=st.lists(samples, max_size=2),
)
fates = st.fixed_dictionaries({fate: st.integers(0, 9) for fate in Fate})
standings = st.builds(Standing, st.none() | st.builds(Tally, fates), st.booleans(), st.sampled_from(["", "r"]))


@settings(max_examples=40, phases=(Phase.generate,))
@given(now=st.lists(parts, max_size=2), before=st.lists(parts, max_size=2), standing=standings)
def test_whatever_a_run_found_there_is_a_page_about_it(facts, run, parse, now, before, standing):
    """A run that is over must not fail for its page."""
    earlier = [run(part, days=day) for day, part in enumerate(before, 1)]
    inert(parse(render(facts(run(*now), earlier=earlier, standings={"braze": standing}))))


@given(text=texts)
def test_what_is_typed_to_approve_is_one_command(facts, run, part, parse, text):
    top = parse(render(facts(run(part(outcome="held")), folder=text, standings={"braze": Standing(waiting="r")})))
    typed = [node.text for node in top.all("dd")]
    assert len(typed) == 2
    assert all(one.startswith("recsync ") for one in typed)


@pytest.mark.parametrize("letter", ["&", "\U0001f600"])
def test_the_largest_record_has_room(facts, run, part, tally, parse, letter):
    long = letter * 3000
    item = {
        "itemId": long,
        "name": long,
        "price": long,
        "image": "https://x.example/" + "&" * 480,
        **{f"f{i}": long for i in range(12)},
    }
    sample = Sample(user="u-1", verdict="changed", before=[long] * 60, after=[item] * 60, changed=[long] * 40)
    counts = [ItemCount(item_id=f"{n}{long}", users=n) for n in range(20)]
    given = {"samples": [sample] * 20, "unchanged": [sample] * 12, "items": counts, "gained": counts, "lost": counts}
    parts = [part(connector=f"c{n}", fields={f"{i}{long}": 1 for i in range(90)}, **given) for n in range(14)]
    inputs = [InputObject(root=long, key=f"{n}", mark="m") for n in range(5000)]
    record = run(*parts, inputs=inputs, stages=[Stage(name=long, seconds=1)] * 500)
    refusals = [Refusal(f"{n}{long}", 1, ["u-1"] * 3, long) for n in range(300)]
    standings = {one.connector: Standing(tally(*refusals, rejected=300)) for one in parts}
    page = render(facts(record, earlier=[run(parts[0], days=day) for day in range(1, 30)], standings=standings))
    assert len(page.encode()) <= MAX_BYTES == 400_000
    inert(parse(page))
    assert "Not shown, see run.json:" in page


def test_twenty_users_of_a_usual_catalogue_are_all_shown(facts, run, part, parse):
    item = {"itemId": "105", "name": "Tan Backpack", "price": 90.99, "image": "https://images.example.com/105.jpg"}
    samples = [Sample(user=f"u-{n}", verdict="new", after=[item] * 25) for n in range(20)]
    page = render(facts(run(part(samples=samples, unchanged=samples[:12]))))
    assert len(list(parse(page).all("article"))) == 24
    assert len(page.encode()) < MAX_BYTES / 2
