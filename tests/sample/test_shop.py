from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import pytest

from sample.shop import Shop, spread


@pytest.fixture(scope="module")
def day_1():
    return Shop(users=2000, items=400, seed=7)


@pytest.fixture(scope="module")
def day_2():
    return Shop(users=2000, items=400, seed=7, day=2)


def test_the_same_seed_gives_the_same_shop_and_another_seed_another(day_1):
    again, other = (Shop(users=2000, items=400, seed=seed) for seed in (7, 8))
    assert list(again.recommended()) == list(day_1.recommended())
    assert list(again.catalogue()) == list(day_1.catalogue())
    assert list(other.catalogue()) != list(day_1.catalogue())


def test_a_user_is_the_same_however_many_others_there_are(day_1):
    small = Shop(users=10, items=400, seed=7)
    assert list(small.recommended()) == list(islice(day_1.recommended(), 10))


def test_a_user_gets_25_different_items_with_falling_scores(day_1):
    for answer in day_1.recommended():
        assert len(set(answer.items)) == len(answer.scores) == 25
        assert all(0 < lower < higher < 1 for higher, lower in pairwise(answer.scores))


def test_an_item_is_never_related_to_itself(day_1):
    for answer in day_1.related():
        assert len(set(answer.items)) == 25
        assert answer.query not in answer.items
        assert not answer.scores


def test_lists_and_looks_name_only_items_of_the_shop(day_1):
    known = set(day_1.item_ids())
    assert known.issuperset(item for _, item in day_1.looked_at())
    assert known.issuperset(item for answer in day_1.recommended() for item in answer.items)


def test_most_users_looked_at_one_item_and_none_at_more_than_three(day_1):
    looks: dict[str, list[str]] = {}
    for user, item in day_1.looked_at():
        looks.setdefault(user, []).append(item)
    counts = [len(items) for items in looks.values()]
    assert list(looks) == list(day_1.user_ids())
    assert set(counts) == {1, 2, 3}
    assert 0.7 < counts.count(1) / len(counts) < 0.8
    assert all(len(set(items)) == len(items) for items in looks.values())


def test_some_items_are_far_more_popular_than_others(day_1):
    audience = dict.fromkeys(day_1.item_ids(), 0)
    for _, item in day_1.looked_at():
        audience[item] += 1
    most_popular = sorted(audience.values(), reverse=True)[:40]
    assert sum(most_popular) > 0.2 * sum(audience.values())


def test_the_first_50_items_are_complete_and_a_few_beyond_are_not(day_1):
    rows = list(day_1.catalogue())
    fields = {"id", "name", "category", "price", "current_stock", "image"}
    assert [row["id"] for row in rows[:50]] == list(islice(day_1.item_ids(), 50))
    assert all(row.keys() == fields for row in rows[:50])
    lacking = [(fields - row.keys()).pop() for row in rows if row.keys() != fields]
    assert set(lacking) == {"price", "image"}
    assert len(rows) == 399


def test_prices_have_two_decimals_and_stock_is_never_negative(day_1):
    for row in day_1.catalogue():
        assert row.get("price", 5) == round(row.get("price", 5), 2) >= 5
        assert row["current_stock"] >= 0


@pytest.mark.parametrize("kind", ["recommended", "related"])
def test_on_day_2_about_one_list_in_twenty_differs(kind, day_1, day_2):
    before, after = list(getattr(day_1, kind)()), list(getattr(day_2, kind)())
    changed = [then.items != now.items for then, now in zip(before, after, strict=True)]
    assert 0.02 < sum(changed) / len(changed) < 0.08
    assert [answer.scores for answer in before] == [answer.scores for answer in after]


def test_on_day_2_the_looks_are_those_of_day_1(day_1, day_2):
    assert list(day_1.looked_at()) == list(day_2.looked_at())


@pytest.mark.parametrize("items", [6, 12, 52, 200, 2000])
def test_on_day_2_a_few_prices_fall_some_of_them_recommended(items):
    shops = [Shop(users=10, items=items, seed=7, day=day) for day in (1, 2)]
    before, after = ({row["id"]: row for row in shop.catalogue()} for shop in shops)
    changed = {item for item in before if before[item] != after[item]}
    assert 3 <= len(changed) <= 5 + 0.004 * items
    assert all(after[item]["price"] < before[item]["price"] for item in changed)
    assert all(after[item] | {"price": 0} == before[item] | {"price": 0} for item in changed)
    for answers in (shops[1].recommended(), shops[1].related()):
        assert changed.intersection(item for answer in answers for item in answer.items[:10])


@pytest.mark.parametrize("items", [6, 25, 26, 27, 51, 53])
def test_a_small_shop_gives_lists_as_long_as_it_can(items):
    shop = Shop(users=50, items=items, seed=1)
    assert {len(set(answer.items)) for answer in shop.recommended()} == {min(25, items)}
    assert {len(set(answer.items)) for answer in shop.related()} == {min(25, items - 1)}


def test_a_shop_of_a_billion_users_begins_at_once():
    shop = Shop(users=10**9, items=100, seed=7)
    for stream in (shop.user_ids(), shop.looked_at(), shop.recommended(), shop.related(), shop.catalogue()):
        assert isinstance(stream, Iterator)
        assert next(stream)


@pytest.mark.parametrize(("users", "items", "day"), [(5, 100, 1), (100, 5, 1), (100, 100, 3)])
def test_a_shop_that_cannot_be_made_says_why(users, items, day):
    with pytest.raises(ValueError, match=r"at least 6|days 1 and 2"):
        Shop(users, items, seed=7, day=day)


@pytest.mark.parametrize("total", [6, 100, 999, 1499, 100_499])
def test_spread_keeps_its_share_and_its_least(total):
    places = spread(total, 0.001, least=2)
    assert len(places) == max(2, round(total * 0.001))
    assert 0 < places[0] < places[-1] < total
