"""Facts → the page: one HTML text without script, that loads nothing but images over https."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from connectors.contract.run_record import ConnectorRecord, RunRecord
from glue_jobs.report import cards, charts, sections, verdict, words
from glue_jobs.report.facts import Facts, Room
from glue_jobs.report.history import history
from glue_jobs.report.markup import Child, Markup, join, tag
from glue_jobs.report.style import stylesheet
from glue_jobs.report.tables import block, table

MAX_BYTES = 400_000
POLICY = "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'"
# From generous to bare: the first that fits is taken.
_ROOMS = (Room(), Room(users=12), Room(10, 4, 20), Room(5, 3, 10), Room(0, 0, 10, 6), Room(0, 0, 3, 3))


def render(facts: Facts) -> str:
    """The page, at most MAX_BYTES of UTF-8: what has no room is counted."""
    pages = (_page(facts, room) for room in _ROOMS)
    return next(page for page in pages if len(page.encode()) <= MAX_BYTES)


def _page(facts: Facts, room: Room) -> str:
    parts = facts.record.connectors[: room.connectors]
    told = [_part(part, number, facts, room) for number, part in enumerate(parts, 1)]
    headings = [heading for _, found in told for heading in found]
    main = [shown for shown, _ in told]
    return "<!DOCTYPE html>\n" + tag(
        "html",
        _head(facts),
        tag(
            "body",
            tag("a", "Skip to the content", href="#content", class_="skip"),
            _header(facts),
            _contents([*headings, ("The run itself", "run")]),
            tag("main", main, _left_out(facts, room), _run(facts, room), id_="content"),
            _footer(facts),
        ),
        lang="en",
    )


def _head(facts: Facts) -> Markup:
    record = facts.record
    title = f"{record.job}: {verdict.of_run(facts).state}, {words.moment(record.started_at)}"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(stylesheet())),
    )


def _header(facts: Facts) -> Markup:
    record, said = facts.record, verdict.of_run(facts)
    took = words.seconds((record.finished_at - record.started_at).total_seconds())
    kind = " Everyone was to be told anew." if record.is_full else ""
    return tag(
        "header",
        tag("p", f"{record.job} · {said.state}", class_="above alarm" if said.is_alarm else "above"),
        tag("h1", words.cut(said.sentence, 400)),
        tag("p", f"Run {record.run_id}, {words.moment(record.started_at)}, took {took}.{kind}", class_="note"),
    )


def _contents(headings: Sequence[tuple[str, str]]) -> Markup:
    links = [tag("li", tag("a", title, href=f"#{id_}")) for title, id_ in headings]
    return tag("nav", tag("ul", links), aria_label="Contents")


def _part(part: ConnectorRecord, number: int, facts: Facts, room: Room) -> tuple[Markup, list[tuple[str, str]]]:
    """A connector's part, and its headings for the contents."""
    id_, is_alone = f"c{number}", len(facts.record.connectors) == 1
    blocks = dict(_blocks(part, f"c{number}", facts, room))
    headings = [(title, f"{id_}-{key}") for title, key in _LISTED if f"{id_}-{key}" in blocks]
    name = words.cut(part.connector, 80)
    shown = tag(
        "section",
        tag("h2", name, id_=id_),
        _lead(part, facts, is_alone=is_alone),
        list(blocks.values()),
        class_="part",
        aria_labelledby=id_,
    )
    return shown, headings if is_alone else [(name, id_)]


_LISTED = (
    ("Funnel", "funnel"),
    ("Guards", "guards"),
    ("People", "people"),
    ("Changes", "changes"),
    ("Items", "items"),
    ("Delivery", "delivery"),
    ("Cost", "cost"),
    ("Earlier runs", "history"),
)


def _blocks(part: ConnectorRecord, id_: str, facts: Facts, room: Room) -> Iterator[tuple[str, Markup]]:
    """What there is to say about a connector, by the id of its heading."""
    shelf, standing = cards.shelf_of(part, (run.of(part.connector) for run in facts.earlier)), facts.standing(part)
    written: dict[str, Callable[[str], Markup | None]] = {
        "funnel": lambda at: sections.funnel(part, standing, at),
        "guards": lambda at: sections.guards(part, room, at),
        "people": lambda at: sections.people(part, shelf, room, at),
        "bystanders": lambda at: sections.bystanders(part, shelf, room, at),
        "changes": lambda at: sections.changes(part, shelf, room, at),
        "items": lambda at: sections.items(part, shelf, room, at),
        "delivery": lambda at: sections.delivery(part, facts, room, at),
        "cost": lambda at: sections.cost(part, room, at),
        "history": lambda at: history(part, facts, room, at),
        "figures": lambda at: sections.figures(part, room, at),
    }
    for key, write in written.items():
        if shown := write(f"{id_}-{key}"):
            yield f"{id_}-{key}", shown


def _lead(part: ConnectorRecord, facts: Facts, *, is_alone: bool) -> Markup:
    """The verdict on a connector; one alone was told in the page's heading."""
    said = verdict.of_connector(part, facts)
    told = [tag("p", words.cut(one, 400)) for one in ([] if is_alone else [said.sentence]) + said.more]
    asked = [join(tag("dt", what), tag("dd", tag("code", typed))) for what, typed in said.commands]
    if asked:
        return tag("div", told, tag("dl", asked), class_="block ask")
    return join(told)


def _left_out(facts: Facts, room: Room) -> Child:
    names = [words.cut(part.connector, 80) for part in facts.record.connectors[room.connectors :]]
    return tag("p", f"Not shown, see run.json: {words.cut(', '.join(names), 400)}.") if names else None


def _run(facts: Facts, room: Room) -> Markup:
    """How long everything took, and what was read."""
    record = facts.record
    whole_s = sum(stage.seconds for stage in record.stages)
    stages = [
        [words.cut(one.name, 200), words.seconds(one.seconds), charts.meter(one.seconds, whole_s)]
        for one in record.stages
    ]
    return tag(
        "section",
        tag("h2", "The run itself", id_="run"),
        block("Time", table("Stages", ["Stage", "Took#", "of the run"], stages, most=room.rows)) if stages else None,
        _inputs(record, min(room.rows, 20)),
        class_="part",
        aria_labelledby="run",
    )


def _inputs(record: RunRecord, most: int) -> Markup | None:
    """What was read."""
    read = [words.cut(f"{one.root}/{one.key}", 200) for one in record.inputs[:most]]
    rest = len(record.inputs) - len(read)
    listed = tag("ul", [tag("li", tag("code", address)) for address in read], class_="paths")
    more = tag("p", f"and {words.many(rest, 'more object')}", class_="note") if rest else None
    return block("Input", listed, more) if read else None


def _footer(facts: Facts) -> Markup:
    said = f"Written by recsync from runs/{facts.record.run_id}/, as of {words.moment(facts.as_of)}."
    privacy = "People are named by aliases. Nothing on this page runs; images come from where the items name them."
    return tag("footer", tag("p", said), tag("p", privacy))
