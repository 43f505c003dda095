"""Sampled users as cards: what each of them sees. Item fields are recognised by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import JsonValue

from connectors.contract.records import ITEM_ID, SCORE, Item
from connectors.contract.run_record import ConnectorRecord, Sample
from glue_jobs.report import words
from glue_jobs.report.facts import Room
from glue_jobs.report.markup import Child, Markup, tag

_IMAGE = ("imageurl", "image", "imageuri", "imagelink", "img", "imgurl", "thumbnail", "thumb", "picture", "photo")
_NAME = ("name", "title", "label")
_PRICE = ("price", "amount", "cost")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")

_MAX_NAME, _MAX_VALUE, _MAX_URL, _OTHER_FIELDS, _LEFT_ITEMS = 80, 40, 500, 3, 12
# Users whose list changed tell most.
_FIRST = ("changed", "new", "refreshed", "repeated", "holdout", "cleared")


@dataclass(frozen=True)
class Roles:
    """Which fields of an item hold its image, name and price; None where no name of a field says so."""

    image: str | None = None
    name: str | None = None
    price: str | None = None

    def others(self, item: Item) -> list[str]:
        """The fields that have no role."""
        return [field for field in item if field not in (ITEM_ID, SCORE, self.image, self.name, self.price)]


def roles_of(fields: Iterable[str]) -> Roles:
    """What the fields of an item are, by their names: ``image_url``, ``productTitle``, ``Price``."""
    fields = list(fields)
    image = _named(fields, _IMAGE)
    rest = [field for field in fields if field != image]
    return Roles(image, _named(rest, _NAME), _named(rest, _PRICE))


def _named(fields: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The field whose whole name is wanted, else the first that has a wanted word in its name."""
    for word in wanted:
        for field in fields:
            if "".join(_words_of(field)) == word:
                return field
    return next((field for word in wanted for field in fields if word in _words_of(field)), None)


def _words_of(field: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(field)]


@dataclass(frozen=True)
class Shelf:
    """What is known of the items that a connector's samples hold.

    Attributes:
        names: Item id → its name.
    """

    roles: Roles
    names: Mapping[str, str]

    def name(self, item_id: str) -> str:
        """An item's name; its id where no sample tells."""
        return self.names.get(item_id) or words.cut(item_id, _MAX_NAME)


def shelf_of(part: ConnectorRecord, earlier: Iterable[ConnectorRecord | None] = ()) -> Shelf:
    """The items of a connector's samples, by their newest names: who is cleared has only ids in this run's own.

    Args:
        earlier: The connector's parts of the runs before, newest first.
    """
    items = [item for one in (part, *earlier) if one for item in _items_of(one)]
    roles = roles_of(dict.fromkeys(field for item in _items_of(part) or items for field in item))
    items.reverse()
    names = {str(item.get(ITEM_ID)): _text(item.get(roles.name)) for item in items} if roles.name else {}
    return Shelf(roles, {item_id: name for item_id, name in names.items() if name})


def _items_of(part: ConnectorRecord) -> list[Item]:
    return [item for sample in (*part.samples, *part.unchanged) for item in sample.after or ()]


def told(part: ConnectorRecord, shelf: Shelf, room: Room) -> list[Markup]:
    """Users who are told something, those whose list changed first."""
    order = {verdict: place for place, verdict in enumerate(_FIRST)}
    samples = sorted(part.samples, key=lambda sample: order.get(sample.verdict, len(order)))
    return [_user(sample, shelf, room) for sample in samples[: room.users]]


def unchanged(part: ConnectorRecord, shelf: Shelf, room: Room) -> list[Markup]:
    """Users who are told nothing, and what they see."""
    return [_user(sample, shelf, room) for sample in part.unchanged[: room.users // 5]]


def _user(sample: Sample, shelf: Shelf, room: Room) -> Markup:
    items = sample.after or []
    before = sample.before if sample.verdict != "unchanged" else None
    shown = [_item(place, item, before, shelf) for place, item in enumerate(items[: room.items])]
    rest = len(items) - len(shown)
    return tag(
        "article",
        tag("h4", tag("span", sample.user, class_="alias"), tag("span", sample.verdict, class_="chip")),
        tag("p", _why(sample), class_="note"),
        tag("ol", shown, class_="items") if shown else None,
        tag("p", f"and {words.many(rest, 'more item')}", class_="note") if rest else None,
        _left(sample, shelf),
        class_="user",
    )


def _why(sample: Sample) -> str:
    """Why he is told it, and what differs."""
    why = words.VERDICTS.get(sample.verdict, sample.verdict)
    fields = [words.cut(field, _MAX_VALUE) for field in (sample.changed or [])[: 2 * _OTHER_FIELDS]]
    if not fields:
        return f"{why}."
    named = [{ITEM_ID: "which items, or their order"}.get(field, field) for field in fields]
    return f"{why}: {words.listed(named)}."


def _left(sample: Sample, shelf: Shelf) -> Markup | None:
    """The items he had and has no more."""
    after = {str(item.get(ITEM_ID)) for item in sample.after or ()}
    gone = [shelf.name(item_id) for item_id in sample.before or () if item_id not in after]
    more = f" and {len(gone) - _LEFT_ITEMS} more" if len(gone) > _LEFT_ITEMS else ""
    label = "Loses" if sample.after is None else "Off the list"
    said = f"{label}: {', '.join(gone[:_LEFT_ITEMS])}{more}"
    return tag("p", said, class_="note", dir="auto") if gone else None


def _item(place: int, item: Item, before: Sequence[str] | None, shelf: Shelf) -> Markup:
    roles, item_id = shelf.roles, str(item.get(ITEM_ID))
    name = _text(item.get(roles.name)) if roles.name else ""
    shown = name or words.cut(item_id, _MAX_NAME)
    price = item.get(roles.price) if roles.price else None
    missing = [role for role, found in ((roles.name, name), (roles.price, price)) if role and found in (None, "")]
    return tag(
        "li",
        _picture(item.get(roles.image) if roles.image else None, shown),
        tag("span", shown, class_="name", dir="auto"),
        tag("span", words.value(price, _MAX_VALUE), class_="price") if price is not None else None,
        [_other(field, item[field]) for field in roles.others(item)[:_OTHER_FIELDS]],
        tag("span", f"no {words.listed(missing)}", class_="note") if missing else None,
        _mark(place, item_id, before),
        class_="item",
    )


def _other(field: str, found: JsonValue) -> Markup | None:
    text = f"{words.cut(field, _MAX_VALUE)}: {words.value(found, _MAX_VALUE)}"
    return tag("span", text, class_="note", dir="auto") if found is not None else None


def _mark(place: int, item_id: str, before: Sequence[str] | None) -> Child:
    """What is new about an item's place: nothing for one that stayed, or where nobody knows."""
    if not before:
        return None
    if item_id not in before:
        return tag("span", "new here", class_="mark")
    was = before.index(item_id)
    return tag("span", f"was no. {was + 1}", class_="mark") if was != place else None


def _picture(found: JsonValue, name: str) -> Markup:
    """The item's image over a tile with its name. One that does not come leaves its alt text, styled like the tile."""
    url = found if isinstance(found, str) and is_shown(found) else None
    image = tag("img", src=url, alt=name, loading="lazy", referrerpolicy="no-referrer") if url else None
    tile = tag("span", name, class_="tile", aria_hidden="true")
    return tag("span", tile, image, class_="picture")


def is_shown(url: str) -> bool:
    """Whether an image may be loaded: over https, from a host, without a name or password, not overlong."""
    if len(url) > _MAX_URL or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _text(found: JsonValue) -> str:
    return "" if found is None else words.value(found, _MAX_NAME)
