"""What a page says about one connector, section by section. A section that has nothing to say is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.contract.receipts import Fate
from connectors.contract.records import ITEM_ID
from connectors.contract.run_record import ConnectorRecord, Estimate, ItemCount
from connectors.contract.tally import Tally
from glue_jobs.guards import audience
from glue_jobs.report import cards, charts, words
from glue_jobs.report.cards import Shelf
from glue_jobs.report.facts import Facts, Room, Standing
from glue_jobs.report.markup import Markup, join, tag
from glue_jobs.report.tables import block, table

_TOP = 10
_FATES = {
    Fate.DELIVERED: ("Delivered", "the destination took it"),
    Fate.REJECTED: ("Rejected", "the destination will never take it"),
    Fate.DEAD_LETTERED: ("Dead-lettered", "set aside for a person to look at"),
    Fate.SUPERSEDED: ("Superseded", "a newer run carries newer values"),
    Fate.OPEN: ("Open", "no receipt speaks of it yet"),
}


# From batch to customer


def funnel(part: ConnectorRecord, standing: Standing, id_: str) -> Markup | None:
    """Read → attributed → changed → sent → delivered."""
    if not part.counts:
        return None
    counts, sent = part.counts, _sent_label(part, standing)
    news = _sum(counts, "new", "changed", "cleared") - counts.get("clearedAgain", 0)
    steps = [
        ("Read", counts.get("linesRead", 0), "lines of the batch", _notes(counts, "linesFailed", "linesBroken")),
        ("Attributed", counts.get("users", 0), "users with a list", _notes(counts, "usersWithoutList")),
        ("Changed", news, "users with news", _notes(counts, "new", "changed", "cleared")),
        (
            sent,
            counts.get("records", 0),
            "records",
            _notes(counts, "repeated", "refreshed", "holdout", "clearsWithheld"),
        ),
        ("Delivered", *_delivered(standing)),
    ]
    most = max(count or 0 for _, count, _, _ in steps)
    drawn = [_step(label, count, unit, note, most) for label, count, unit, note in steps]
    return block("From batch to customer", tag("ol", drawn, class_="steps"), id_=id_)


def _step(label: str, count: int | None, unit: str, note: str, most: int) -> Markup:
    shown = words.NOTHING if count is None else f"{count:,}"
    return tag(
        "li",
        tag("span", label, class_="label"),
        tag("span", shown, class_="count"),
        charts.meter(count or 0, most),
        tag("span", f"{unit}{f', {note}' if note else ''}", class_="note"),
    )


def _sent_label(part: ConnectorRecord, standing: Standing) -> str:
    return "Would be sent" if part.outcome in ("held", "planned") and not standing.tally else "Sent"


_SHORT = {
    "linesFailed": "failed by the recommender",
    "linesBroken": "unreadable",
    "usersWithoutList": "more without one",
    "new": "new",
    "changed": "changed",
    "cleared": "cleared",
    "repeated": "sent again, unconfirmed",
    "refreshed": "refreshed",
    "holdout": "held out",
    "clearsWithheld": "clears withheld",
}


def _notes(counts: Mapping[str, int], *names: str) -> str:
    return ", ".join(f"{counts[name]:,} {_SHORT[name]}" for name in names if counts.get(name))


def _delivered(standing: Standing) -> tuple[int | None, str, str]:
    if standing.tally is None:
        return None, "nothing is published", ""
    if standing.is_read_by_others:
        return None, "its files are read by someone else", ""
    fates = standing.tally.fates
    open_ones = f"{fates[Fate.OPEN]:,} without an answer yet" if fates[Fate.OPEN] else ""
    return fates[Fate.DELIVERED], "records that the destination took", open_ones


def _sum(counts: Mapping[str, int], *names: str) -> int:
    return sum(counts.get(name, 0) for name in names)


# Guards


def guards(part: ConnectorRecord, room: Room, id_: str) -> Markup | None:
    """Every guard's number against its limit."""
    rows = [
        [
            join(tag("code", one.name), tag("br"), tag("span", one.note, class_="note")),
            words.measured(one),
            f"{'≥' if one.name.startswith('min') else '≤'} {words.limit(one.name, one.limit)}",
            tag("span", "holds the run", class_="chip stop") if one.is_breached else "lets pass",
        ]
        for one in part.guards
    ]
    shown = table(
        "Numbers that may not pass without a yes", ["Guard", "Now#", "Limit#", "Answer"], rows, most=room.rows
    )
    return block("Guards", shown, id_=id_) if shown else None


# What people will see


def people(part: ConnectorRecord, shelf: Shelf, room: Room, id_: str) -> Markup | None:
    """Sampled users as cards."""
    told = cards.told(part, shelf, room)
    if not told:
        return None
    of = part.counts.get("records", len(told))
    said = f"{len(told):,} of {words.many(of, 'user')} who {'is' if of == 1 else 'are'} told something"
    drawn = "all of them" if len(told) == of else "drawn by a hash of their ids, so they are anybody"
    note = tag("p", f"{said}, {drawn}. Each stands under an alias.", class_="note")
    return block(
        "What people would see" if part.outcome in ("held", "planned") else "What people see",
        note,
        tag("div", told, class_="users"),
        id_=id_,
    )


def bystanders(part: ConnectorRecord, shelf: Shelf, room: Room, id_: str) -> Markup | None:
    """Some users who are told nothing."""
    seen = cards.unchanged(part, shelf, room)
    if not seen:
        return None
    said = f"{words.many(part.counts.get('unchanged', len(seen)), 'user')} keep what they have. Some of them:"
    return block("Who is told nothing", tag("p", said, class_="note"), tag("div", seen, class_="users"), id_=id_)


# Changes


def changes(part: ConnectorRecord, shelf: Shelf, room: Room, id_: str) -> Markup | None:
    """What differs from what was told before: fields, and items gained and lost."""
    records, most = part.counts.get("records", 0), min(room.rows, _TOP)
    fields = [
        [_field(name), f"{users:,}", charts.meter(users, records)]
        for name, users in sorted(part.fields.items(), key=lambda one: -one[1])
    ]
    shown = [
        table("Fields that differ", ["Field", "Users#", f"of {records:,} sent"], fields, most=most),
        _movers("Items that more people get", part.gained, shelf, most),
        _movers("Items that fewer people get", part.lost, shelf, most),
    ]
    return block("What changed", tag("div", shown, class_="columns"), id_=id_) if any(shown) else None


def _field(name: str) -> str:
    return "which items, or their order" if name == ITEM_ID else words.cut(name, 80)


def _movers(caption: str, items: Sequence[ItemCount], shelf: Shelf, most: int) -> Markup | None:
    return table(
        caption, ["Item", "Users#"], [[_item(one, shelf), f"{one.users:,}"] for one in items[:most]], most=most
    )


def _item(one: ItemCount, shelf: Shelf) -> Markup:
    """An item by name, with its id."""
    item_id, name = words.cut(one.item_id, 80), shelf.name(one.item_id)
    return join(tag("bdi", name), tag("span", f" {item_id}", class_="note") if name != item_id else None)


# Items


def items(part: ConnectorRecord, shelf: Shelf, room: Room, id_: str) -> Markup | None:
    """The most recommended items, how much metadata there is, and how much of all goes to few."""
    if not part.items:
        return None
    (users, who), most = audience(part.counts), min(room.rows, _TOP)
    rows = [
        [_item(one, shelf), f"{one.users:,}", words.percent(one.users, users), charts.meter(one.users, users)]
        for one in part.items[:most]
    ]
    columns = ["Item", "Users#", "Share#", f"of all {who} with a list"]
    return block(
        "Recommended items",
        tag("p", f"{_coverage(part.counts)} {_concentration(part)}".strip()),
        table("The most recommended items", columns, rows, most=most),
        id_=id_,
    )


def _coverage(counts: Mapping[str, int]) -> str:
    """How many recommendations have metadata; nothing where none is asked for."""
    if counts.get("itemsWithMetadata") == 0:
        return ""
    ranked, bare = counts.get("itemsRanked", 0), counts.get("itemsWithoutMetadata", 0)
    share = words.percent(ranked - bare, ranked)
    return f"{ranked - bare:,} of {words.many(ranked, 'recommendation')} ({share}) have the metadata that is asked for."


def _concentration(part: ConnectorRecord) -> str:
    """How alike people's lists are."""
    (users, who), top = audience(part.counts), part.items[:_TOP]
    said = f"The first item stands in the lists of {top[0].users:,} of {users:,} {who}"
    if not part.recommendations:
        return f"{said}."
    share = words.percent(sum(one.users for one in top), part.recommendations)
    return f"{said}; the first {len(top)} together are {share} of all recommendations."


# Delivery


def delivery(part: ConnectorRecord, facts: Facts, room: Room, id_: str) -> Markup | None:
    """What became of the records, and why some were refused."""
    standing = facts.standing(part)
    if standing.tally is None or standing.is_read_by_others or not standing.tally.records:
        return None
    tally = standing.tally
    return block(
        "Delivery",
        tag("p", f"As of {words.moment(facts.as_of)}, by the receipts.", class_="note"),
        tag("div", _fates(tally), _refusals(tally, room), class_="columns"),
        id_=id_,
    )


def _fates(tally: Tally) -> Markup | None:
    rows = [
        [
            join(name, tag("span", f" {meaning}", class_="note")),
            f"{tally.fates[fate]:,}",
            charts.meter(tally.fates[fate], tally.records),
        ]
        for fate, (name, meaning) in _FATES.items()
    ]
    return table("What became of the records", ["Fate", "Records#", f"of {tally.records:,}"], rows, most=len(rows))


def _refusals(tally: Tally, room: Room) -> Markup | None:
    rows = [
        [
            join(
                tag("code", words.cut(one.code, 80)), tag("br"), tag("span", words.cut(one.reason, 120), class_="note")
            ),
            f"{one.records:,}",
            join([join(tag("span", user, class_="alias"), " ") for user in one.users]) or words.NOTHING,
        ]
        for one in tally.refusals
    ]
    return table("Why records were rejected", ["Reason", "Records#", "Such as"], rows, most=room.rows)


# Cost and figures


def cost(part: ConnectorRecord, room: Room, id_: str) -> Markup | None:
    """What sending costs at the destination."""
    if part.estimate is None:
        return None
    found = part.estimate
    rows = [[words.cut(name, 80), f"{units:,}"] for name, units in found.units.items()]
    if len(rows) > 1:
        rows.append(["all together", f"{sum(found.units.values()):,}"])
    shown = table("Units the destination bills, by attribute", ["Attribute", "Units#"], rows, most=room.rows)
    return block("Cost", tag("p", _price(found, part.counts.get("records", 0))), shown, id_=id_)


def _price(found: Estimate, records: int) -> str:
    basis = "" if found.measured >= records else f" Worked out from {words.many(found.measured, 'record')}."
    if found.minutes is None:
        rate = "the destination names no rate"
    else:
        rate = "less than a minute" if found.minutes < 1 else f"about {found.minutes:,.0f} min"
        rate = f"{rate} at the destination's own rate"
    units = f", {words.many(sum(found.units.values()), 'unit')} billed" if found.units else ""
    return f"{words.many(found.requests, 'request')}, {rate}{units}.{basis}"


def figures(part: ConnectorRecord, room: Room, id_: str) -> Markup | None:
    """Every figure of the run that is not zero."""
    found = [(name, count) for name, count in part.counts.items() if count]
    rows = [[_figure(name), f"{count:,}"] for name, count in found]
    shown = table("Figures of the run that are not zero", ["Figure", "Count#"], rows, most=room.rows)
    return block("All figures", shown, id_=id_) if shown else None


def _figure(name: str) -> Markup:
    """A figure, and what it counts."""
    meaning = tag("span", f" {words.FIGURES[name]}", class_="note") if name in words.FIGURES else None
    return join(tag("code", words.cut(name, 80)), meaning)
