from __future__ import annotations

import pytest

from connectors.contract.run_record import Sample
from glue_jobs.report import cards
from glue_jobs.report.cards import Roles
from glue_jobs.report.facts import Room
from glue_jobs.report.markup import join, tag


@pytest.fixture
def card(part, parse):
    """The card of one user."""

    def of(sample, *, earlier=(), room=None):
        one = part(samples=[sample], unchanged=[])
        drawn = cards.told(one, cards.shelf_of(one, earlier), room or Room())
        return parse("<!DOCTYPE html>\n" + tag("html", join(drawn), lang="en"))

    return of


def told(*item_ids: str, before=None, **fields) -> Sample:
    items = [{"itemId": item_id, "name": f"Item {item_id}", "price": 9.5} for item_id in item_ids]
    return Sample(**({"user": "u-1", "verdict": "changed", "before": before, "after": items} | fields))


@pytest.mark.parametrize(
    ("fields", "roles"),
    [
        (["itemId", "name", "price", "image"], Roles("image", "name", "price")),
        (["image_url", "product_name", "sale_price"], Roles("image_url", "product_name", "sale_price")),
        (["thumbnailUrl", "Title", "unitPrice"], Roles("thumbnailUrl", "Title", "unitPrice")),
        (["IMAGE_NAME", "TITLE"], Roles("IMAGE_NAME", "TITLE", None)),
        (["pricing", "imagery", "names"], Roles()),
        (["brand_name", "name"], Roles(None, "name", None)),
        (["itemId"], Roles()),
    ],
    ids=str,
)
def test_fields_are_recognised_by_their_names(fields, roles):
    assert cards.roles_of(fields) == roles


@pytest.mark.parametrize(
    ("url", "is_shown"),
    [
        ("https://images.example.com/105.jpg?w=200&h=200", True),
        ("http://images.example.com/105.jpg", False),
        ("//images.example.com/105.jpg", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AAAA", False),
        ("https:///105.jpg", False),
        ("https://user:key@images.example.com/105.jpg", False),
        ("https://images.example.com/1 05.jpg", False),
        ("https://images.example.com/\n105.jpg", False),
        ("https://[::1", False),
        ("https://images.example.com/" + "x" * 500, False),
        (" https://images.example.com/105.jpg", False),
    ],
)
def test_only_an_image_over_https_is_loaded(url, is_shown):
    assert cards.is_shown(url) is is_shown


def test_an_image_names_its_item_and_tells_no_one_who_looks(card):
    item = {"itemId": "105", "name": "Tan Backpack", "image": "https://images.example.com/105.jpg"}
    (image,) = card(told(after=[item])).all("img")
    assert image.attributes == {
        "src": "https://images.example.com/105.jpg",
        "alt": "Tan Backpack",
        "loading": "lazy",
        "referrerpolicy": "no-referrer",
    }


@pytest.mark.parametrize(
    "image", [None, "", 7, ["https://images.example.com/a.jpg"], "http://images.example.com/a.jpg"]
)
def test_where_there_is_no_image_a_tile_has_the_name(card, image):
    found = card(told(after=[{"itemId": "105", "name": "Tan Backpack", "image": image}]))
    assert not list(found.all("img"))
    assert [node.text for node in found.all("span") if "tile" in node.classes] == ["Tan Backpack"]


def test_an_item_without_metadata_stands_under_its_id_and_says_what_it_lacks(card):
    (item,) = card(told(after=[{"itemId": "105", "name": None, "price": None}])).all("li")
    assert item.text == "105 105 no name and price"


def test_what_is_new_and_what_moved_is_marked_and_what_left_is_named(card):
    found = card(told("3", "1", "2", before=["1", "9", "2"], changed=["itemId", "price"]))
    items = [item.text for item in found.all("li")]
    assert items[0].endswith("new here")
    assert items[1].endswith("was no. 1")
    assert items[2].endswith("9.50")
    assert "Off the list: 9" in found.text
    assert "Changed: which items, or their order and price." in found.text


def test_a_new_user_has_nothing_marked(card):
    found = card(told("1", "2", verdict="new"))
    assert "new here" not in found.text


def test_who_is_cleared_loses_items_that_earlier_runs_knew_by_name(card, part):
    earlier = [part(samples=[told("49")]), None]
    found = card(Sample(user="u-1", verdict="cleared", before=["49", "50"]), earlier=earlier)
    assert "Loses: Item 49, 50" in found.text


def test_todays_name_of_an_item_counts(part):
    old = part(samples=[Sample(user="u-1", verdict="new", after=[{"itemId": "105", "name": "Old"}])], unchanged=[])
    assert cards.shelf_of(part(), [old]).name("105") == "Tan Backpack"


def test_a_long_list_is_cut_and_the_rest_counted(card):
    found = card(told(*map(str, range(10))), room=Room(items=3))
    assert len(list(found.all("li"))) == 3
    assert "and 7 more items" in found.text


def test_users_whose_list_changed_come_first(part):
    one = part(samples=[told("1", verdict=verdict, user=verdict) for verdict in ("cleared", "new", "changed")])
    drawn = cards.told(one, cards.shelf_of(one), Room(users=2))
    assert ["changed" in drawn[0], "new" in drawn[1], len(drawn)] == [True, True, 2]
