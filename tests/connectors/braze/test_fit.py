"""What Braze would drop in silence is refused with its fix, or trimmed, before it is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.emulators.braze_account import BrazeAccount
from connectors.base import Destination, Reply, SyncOptions, Verdict
from connectors.braze.config import LIMITS, BrazeOptions
from connectors.braze.connector import BrazeConnector
from connectors.braze.fit import MAX_RECORD_BYTES, fit
from connectors.braze.payload import attributes_object
from connectors.braze.values import LOSSES, MAX_VALUE_BYTES, compact_json
from connectors.contract.records import SharedItem, SyncRecord

KEY = "canary-4f1c-92ab"
CANARY = "canary value"


def options(shape: str = "objects", *fields: str, **more: Any) -> BrazeOptions:
    return BrazeOptions(
        payload_shape=shape, attribute_prefix="recs_", item_metadata_fields=fields or ["name", "size"], **more
    )


def upsert(*items: dict[str, Any], **more: Any) -> SyncRecord:
    return SyncRecord(user_id="user-4711", op="upsert", recommendations=list(items), **more)


def items(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"itemId": f"i{number:06}", **fields} for number in range(count)]


def refusal(record: SyncRecord, own: BrazeOptions) -> tuple[str, str]:
    """Code and reason; neither the record nor a warning comes along, and nothing of the record stands in it."""
    fitted = fit(record, own)
    assert fitted.refusal is not None and fitted.refusal.verdict is Verdict.REJECTED
    assert (fitted.record, fitted.warnings) == (None, ())
    assert CANARY not in fitted.refusal.reason and record.user_id not in fitted.refusal.reason
    assert len(fitted.refusal.reason) <= 120
    return fitted.refusal.code, fitted.refusal.reason


# What passes


@pytest.mark.parametrize("shape", ["objects", "arrays", "ids"])
@pytest.mark.parametrize("choice", ["reject", "trim"])
def test_a_good_record_is_sent_as_it_is(shape, choice):
    record = upsert({"itemId": "1", "name": "a", "size": 7}, {"itemId": "2", "name": None, "size": {"eu": [41, 42]}})
    assert fit(record, options(shape, on_oversize=choice)).record == record
    assert fit(record, options(shape, on_oversize=choice)).warnings == ()


@pytest.mark.parametrize("op", ["clear", "holdout"])
def test_what_only_removes_is_sent_as_it_is(op):
    record = SyncRecord(user_id="ann", op=op)
    assert fit(record, options()).record is record


def test_an_empty_list_is_sent_as_it_is():
    assert fit(upsert(), options("arrays")).record == upsert()


def test_options_of_another_connector_are_a_mistake_of_ours():
    with pytest.raises(TypeError, match="BrazeOptions, not SyncOptions"):
        BrazeConnector(Destination("https://rest.iad-01.braze.com", KEY)).fit(upsert(), SyncOptions())


# What is lost inside a list


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"eu": None}, "nested_null"),
        ([{"eu": [CANARY, None]}], "nested_null"),
        ({"since": {"$time": CANARY}}, "bad_time"),
        ({"canary value": 1}, "bad_key"),
        ({"eu.size": CANARY}, "bad_key"),
        ({"$eu": CANARY}, "bad_key"),
        ({"k" * 256: CANARY}, "bad_key"),
        (CANARY * 30, "text_too_long"),
        ({"eu": [CANARY * 30]}, "text_too_long"),
        (float("nan"), "not_finite"),
    ],
)
@pytest.mark.parametrize(("shape", "place"), [("objects", "recs_items.size: "), ("arrays", "recs_size: ")])
def test_a_loss_is_refused_by_the_name_of_its_field(shape, place, value, code):
    record = upsert({"itemId": "1", "name": "a", "size": 7}, {"itemId": "2", "name": "b", "size": value})
    told, reason = refusal(record, options(shape))
    assert told == code
    assert reason.startswith(place)
    assert "; " in reason


def test_a_field_braze_takes_no_key_from_is_no_trouble_as_an_attribute():
    assert fit(upsert({"itemId": "1", "list price": 5}), options("arrays", "list price")).refusal is None


def test_a_field_with_a_key_braze_does_not_take_is_refused_with_its_name():
    assert refusal(upsert({"itemId": "1", "size": {"e u": 5}}), options("objects", "size")) == (
        "bad_key",
        'recs_items.size: a key inside an object is over 255 long or holds a dot, "$" or space; rename it',
    )


def test_a_key_that_no_setting_names_is_not_repeated():
    assert refusal(upsert({"itemId": "1", CANARY: 5}), options())[1].startswith("recs_items: ")


def test_only_what_is_sent_is_judged():
    record = upsert({"itemId": "1", "name": "a", "size": "x" * 256})
    assert fit(record, options("ids")).record == record
    price = record.model_copy(update={"changed": ["name"]})
    assert fit(price, options("arrays")).record == price


def test_an_item_id_may_be_too_long_too():
    assert refusal(upsert({"itemId": "x" * 256}), options("ids"))[0] == "text_too_long"


@pytest.mark.parametrize(("user", "is_fit"), [("é" * 493, True), ("é" * 494, False), ("x" * 988, False)])
def test_a_user_id_may_have_987_bytes(user, is_fit):
    record = SyncRecord(user_id=user, op="clear")
    if is_fit:
        assert fit(record, options()).record is record
    else:
        assert refusal(record, options()) == ("user_id_too_long", "userId: over 987 bytes; shorten it at its source")


# What is too large


@pytest.mark.parametrize(("shape", "name"), [("objects", "recs_items"), ("arrays", "recs_size")])
def test_a_list_over_100_kb_is_refused_with_its_name_its_size_and_the_fix(shape, name):
    code, reason = refusal(upsert(*items(499, size=["y" * 200, "z"])), options(shape))
    assert code == "too_large"
    assert reason.startswith(f"{name}: 1")
    assert reason.endswith(
        " of 100 KB; lower recommendations.maxItems, list fewer itemMetadataFields or set onOversize to trim"
    )


def test_of_a_long_name_the_beginning_is_said_and_the_fix_whole():
    own = BrazeOptions(attribute_prefix="p" * 200, item_metadata_fields=["size"])
    reason = refusal(upsert(*items(600, size="y" * 200)), own)[1]
    assert reason.startswith("ppppp") and "…: " in reason and reason.endswith("set onOversize to trim")


def sized(total: int, count: int = 400) -> SyncRecord:
    """An upsert whose list has exactly so many bytes as objects."""
    bare = len(compact_json(items(count, size="")))
    sizes = [(total - bare) // count + (number < (total - bare) % count) for number in range(count)]
    return upsert(*({**item, "size": "x" * size} for item, size in zip(items(count), sizes, strict=True)))


@pytest.mark.parametrize("choice", ["reject", "trim"])
def test_exactly_100_kb_fit_and_a_byte_more_does_not(choice):
    own = options(on_oversize=choice)
    assert fit(sized(MAX_VALUE_BYTES), own).record == sized(MAX_VALUE_BYTES)
    over = fit(sized(MAX_VALUE_BYTES + 1), own)
    assert (over.refusal is None, over.warnings) == ((False, ()) if choice == "reject" else (True, ("trimmed",)))


@pytest.mark.parametrize("shape", ["arrays", "ids"])
def test_more_than_500_elements_are_refused_as_braze_would_drop_the_best(shape):
    code, reason = refusal(upsert(*items(501)), options(shape))
    assert (code, reason) == (
        "too_many",
        "recs_itemId: 501 of 500 elements; lower recommendations.maxItems or set onOversize to trim",
    )
    assert fit(upsert(*items(500)), options("ids")).refusal is None
    assert fit(upsert(*items(501)), options("objects")).refusal is None


@settings(max_examples=60)
@given(
    st.sampled_from(["objects", "arrays", "ids"]),
    st.integers(1, 700),
    st.integers(0, 255),
    st.sampled_from(["x", "é", "👟"]),
)
def test_trimming_keeps_as_many_of_the_best_as_fit(shape, count, length, letter):
    own = options(shape, on_oversize="trim", rank_prefix=shape == "arrays")
    record = upsert(*items(count, name=letter * (length // 2), size=7))
    fitted = fit(record, own)
    kept = len(fitted.record.recommendations)
    assert fitted.record.recommendations == record.recommendations[:kept]
    assert fitted.warnings == (() if kept == count else ("trimmed",))
    assert is_small(fitted.record, own)
    one_more = record.model_copy(update={"recommendations": record.recommendations[: kept + 1]})
    assert kept == count or not is_small(one_more, own)


def is_small(record: SyncRecord, own: BrazeOptions) -> bool:
    sent = attributes_object(record, own)
    lists = [sent[name] for name in own.recommendation_attributes()]
    most = 10_000 if own.payload_shape == "objects" else 500
    return all(len(compact_json(values)) <= MAX_VALUE_BYTES and len(values) <= most for values in lists)


def test_all_arrays_of_a_record_are_trimmed_alike():
    fitted = fit(upsert(*items(499, name="a", size=["y" * 250, "z"])), options("arrays", on_oversize="trim"))
    sent = attributes_object(fitted.record, options("arrays"))
    lengths = {len(values) for name, values in sent.items() if name != "external_id"}
    assert len(lengths) == 1 and 0 < lengths.pop() < 499


def test_arrays_that_may_be_trimmed_are_sent_whole_so_that_none_stands_beside_a_shorter_one():
    record = upsert({"itemId": "1", "name": "a", "size": 7}, changed=["size"])
    assert fit(record, options("arrays", on_oversize="trim")).record.changed is None
    assert fit(record, options("arrays")).record.changed == ["size"]
    assert fit(record, options("objects", on_oversize="trim")).record.changed == ["size"]


def test_a_first_item_too_large_by_itself_is_not_trimmed_to_nothing():
    huge = {"itemId": "1", "name": "a", "size": ["y" * 250] * 500}
    assert refusal(upsert(huge), options(on_oversize="trim")) == (
        "too_large",
        "recs_items: its first item alone is over 100 KB; list fewer itemMetadataFields",
    )


def test_what_is_trimmed_away_is_not_judged_and_what_is_left_is():
    own = options(on_oversize="trim")
    good, bad = items(500, name="y" * 250), {"itemId": "x", "name": {"a b": 1}}
    assert fit(upsert(*good, bad), own).warnings == ("trimmed",)
    assert refusal(upsert(bad, *good), own)[0] == "bad_key"


def test_many_lists_may_not_be_too_large_together():
    fields = [f"f{number}" for number in range(45)]
    record = upsert(*items(390, **dict.fromkeys(fields, "y" * 250)))
    code, reason = refusal(record, options("arrays", *fields))
    assert (code, reason.partition("; ")[2]) == ("too_large", "list fewer itemMetadataFields")
    assert LIMITS.max_bytes > MAX_RECORD_BYTES


# What a person should know


@pytest.mark.parametrize(
    ("own", "warnings"),
    [
        (options("arrays"), ("lists_shift",)),
        (options("arrays", rank_prefix=True), ()),
        (options("objects"), ()),
        (options("ids"), ()),
        (options("arrays", "size"), ()),
    ],
)
def test_equal_values_in_a_list_shift_it_against_the_others(own, warnings):
    record = upsert({"itemId": "1", "name": "a", "size": 1}, {"itemId": "2", "name": "a", "size": True})
    assert fit(record, own).warnings == warnings
    assert fit(record, own).record == record


def test_two_missing_values_are_equal_too():
    assert fit(upsert(*items(2, name="a")), options("arrays", "colour")).warnings == ("lists_shift",)


def test_arrays_of_objects_are_kept_as_they_are():
    assert fit(upsert(*items(2, size={"eu": 41})), options("arrays", "size")).warnings == ()


def test_a_trimmed_record_may_shift_as_well():
    fitted = fit(upsert(*items(501, size=1)), options("arrays", "size", on_oversize="trim"))
    assert fitted.warnings == ("trimmed", "lists_shift")


# All of it against a Braze that drops

TEXTS = st.sampled_from(["", "a", "\x00", "\x1b[31m", "\u202e", "👟", '"', "x" * 255, "x" * 256, "x" * 10_000])
KEYS = st.sampled_from(["a", "a.b", "a b", "$a", "$time", "", "x" * 256])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
HOSTILE = st.recursive(
    PLAIN | st.just(["y" * 200] * 600),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
ITEMS = st.tuples(HOSTILE, HOSTILE).map(lambda pair: {"itemId": "1", "name": pair[0], "size": pair[1]})
USERS = st.sampled_from(["ann", "bob", "\x00", "é" * 494, "x" * 987])
RECORDS = st.builds(
    lambda user, listed, times: SyncRecord(user_id=user, op="upsert", recommendations=listed * times),
    USERS,
    st.lists(ITEMS, max_size=3),
    st.sampled_from([1, 1, 20]),
)


@settings(max_examples=60)
@given(st.lists(RECORDS, max_size=4), st.sampled_from(["objects", "ids"]), st.sampled_from(["reject", "trim"]))
def test_of_hostile_records_braze_drops_nothing_in_silence(records, shape, choice):
    own = options(shape, on_oversize=choice, other_attributes={"campaign": "autumn"})
    braze, account = BrazeConnector(Destination("https://rest.iad-01.braze.com", KEY)), BrazeAccount(KEY)
    fitted = [braze.fit(record, own) for record in records]
    kept = [one.record for one in fitted if one.record is not None]
    for request in braze.requests(kept, own):
        answer = account.track(request.headers, request.body)
        outcomes = braze.outcomes(Reply(answer.status, {}, compact_json(answer.body)), [kept[n] for n in request.sent])
        assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED}
    assert (account.stats.dropped, account.stats.refused) == (0, 0)
    assert all((one.record is None) == (one.refusal is not None) for one in fitted)
    assert {record.user_id for record in kept} == account.profiles.keys()


@settings(max_examples=100)
@given(RECORDS, st.sampled_from(["objects", "arrays", "ids"]), st.sampled_from(["reject", "trim"]))
def test_shared_items_are_judged_like_any_others(record, shape, choice):
    own, shared = options(shape, on_oversize=choice), [SharedItem(item) for item in record.recommendations]
    once = record.model_copy(update={"recommendations": shared})
    assert repr(fit(once, own)) == repr(fit(once, own)) == repr(fit(record, own))


@pytest.mark.parametrize("choice", ["reject", "trim"])
def test_the_same_records_sent_without_a_fit_are_dropped(choice):
    own, account = options(on_oversize=choice), BrazeAccount(KEY)
    braze = BrazeConnector(Destination("https://rest.iad-01.braze.com", KEY))
    for request in braze.requests([upsert(*items(600, size="y" * 200))], own):
        assert account.track(request.headers, request.body).status == 201
    assert account.stats.dropped == 1


def test_every_code_stands_in_the_how_to_and_no_other():
    page = (Path(__file__).parents[3] / "docs/how-to/deliver-to-braze.md").read_text()
    section = page.split("## What is caught before sending")[1].split("\n## ")[0]
    shown = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert shown == {*LOSSES, "too_large", "too_many", "user_id_too_long", "trimmed", "lists_shift"}
