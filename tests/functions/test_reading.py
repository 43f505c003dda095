"""A body is read in pieces, and what comes of it is what comes of reading it in one go."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import Outcome, Verdict
from connectors.contract.manifest import Message, RunManifest
from connectors.contract.records import SharedItem, SyncRecord
from connectors.contract.wire import NewerFormatError
from functions.parts import message_bodies
from functions.reading import read_message, read_record
from functions.settling import rest_of

HEAD = '{"formatVersion": 1, "connector": "braze", "manifest": "m", "version": 1, "file": "f", "attempt": 1,"from":0'


def body(*lines: str, head: str = HEAD) -> str:
    return f'{head},"to":{len(lines) - 1},"lines":[{",".join(lines)}]}}'


def line(user: str, *items: str, more: str = "") -> str:
    return f'{{"userId":{json.dumps(user)},"op":"upsert","recommendations":[{",".join(items)}]{more}}}'


def told(text: str) -> object:
    """What deliver learns from a body; of one that it cannot read, why."""
    return outcome(lambda: read_message(text), read_record)


def told_in_one_go(text: str) -> object:
    return outcome(lambda: Message.model_validate_json(text), SyncRecord.model_validate)


def outcome(read, read_line) -> object:
    try:
        message = read()
        read_lines = [read_line(one) for one in message.lines]
    except NewerFormatError as error:
        return str(error)
    except ValidationError as error:
        return [(found["type"], found["loc"]) for found in error.errors(include_input=False, include_url=False)]
    return message.to_json(), [record.to_json() for record in read_lines]


def is_in_pieces(text: str) -> bool:
    lists = [record["recommendations"] for record in read_message(text).lines if record.get("recommendations")]
    return bool(lists) and all(type(item) is SharedItem for items in lists for item in items)


# What our own writers make

_TEXTS = st.text(max_size=6) | st.sampled_from(
    ['},{"itemId":', '},{"userId":', '"lines":[', "}]", "]}", '\\"', "\\", "\ufffe", "🦊", "recommendations", "\u2028"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**29, 10**30) | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def _records(draw):
    user, kind = draw(_TEXTS.filter(bool)), draw(st.sampled_from(["whole", "changed", "ends", "clear", "holdout"]))
    if kind in ("clear", "holdout"):
        return {"userId": user, "op": kind}
    keys = draw(st.lists(_TEXTS.filter(lambda key: key != "itemId"), unique=True, max_size=3))
    ids = draw(st.lists(_TEXTS, max_size=3))
    record = {"userId": user, "op": "upsert", "recommendations": []}
    record["recommendations"] = [{"itemId": one, **{key: draw(_VALUES) for key in keys}} for one in ids]
    return (
        record | {"whole": {}, "changed": {"queryItemIds": ids, "changed": keys}, "ends": {"endsHoldout": True}}[kind]
    )


RUN = "20260131T020000Z-3f9a2c"


def enqueued(records) -> list[str]:
    manifest = RunManifest(
        job="j", run_id=RUN, connector="braze", version=1, acknowledge="onDelivery", options={}, counts={}, files=[],
        records_per_request=3, digest="0", created_at=datetime.now(UTC),
    )  # fmt: skip
    lines = (json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() for record in records)
    return [found.decode() for found in message_bodies(lines, manifest, "m", "f", 0, [], deque())]


@settings(max_examples=300)
@given(st.lists(_records(), max_size=7))
def test_a_body_of_ours_says_the_same_in_pieces_and_in_one_go(records):
    for text in enqueued(records):
        assert told(text) == told_in_one_go(text)
        message = read_message(text)
        assert [list(one) for one in message.lines] == [list(one) for one in Message.model_validate_json(text).lines]
        rests = [one.to_json() for one in rest_of(message, [Outcome(Verdict.RETRY)] * len(message.lines))]
        assert [told(rest) for rest in rests] == [told_in_one_go(rest) for rest in rests]


@pytest.mark.parametrize("user", ["ann", 'a"\\n', "名前"])
@pytest.mark.parametrize("more", [{}, {"queryItemIds": ["7"], "changed": ["name"]}, {"endsHoldout": True}])
def test_what_our_writers_make_is_read_in_pieces(user, more):
    items = [
        {"itemId": "1", "name": "a } b", "size": {"eu": [41]}},
        {"itemId": "2", "name": None, "size": float("nan")},
    ]
    record = {"userId": user, "op": "upsert", "recommendations": items, **more}
    (text,) = enqueued([record, {"userId": "bob", "op": "clear"}])
    assert is_in_pieces(text)
    (rest,) = rest_of(read_message(text), [Outcome(Verdict.RETRY)] * 2)
    assert is_in_pieces(rest.to_json())


def test_an_item_is_read_once_for_all_who_are_recommended_it():
    (text,) = enqueued([{"userId": user, "op": "upsert", "recommendations": [{"itemId": "1"}]} for user in "ab"])
    first, second = (read_record(one) for one in read_message(text).lines)
    assert first.recommendations[0] is second.recommendations[0]
    assert first.recommendations is not second.recommendations


def test_an_item_of_thousands_of_characters_is_read_each_time():
    long = {"itemId": "1", "text": "x" * 5_000}
    (text,) = enqueued([{"userId": user, "op": "upsert", "recommendations": [long]} for user in "ab"])
    first, second = (read_record(one).recommendations[0] for one in read_message(text).lines)
    assert first == second == long and first is not second


def test_of_an_item_that_changed_the_new_text_counts():
    for price in (1, 2, 1):
        (text,) = enqueued([{"userId": "a", "op": "upsert", "recommendations": [{"itemId": "1", "price": price}]}])
        assert read_record(read_message(text).lines[0]).recommendations == [{"itemId": "1", "price": price}]


# What others make

GOOD = line("ann", '{"itemId":"1","name":"a"}', '{"itemId":"2","name":"b"}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        HEAD,
        body(GOOD)[:-1],
        body(GOOD) + "}",
        body(GOOD) + " ",
        body(GOOD, head=HEAD.replace('"version": 1', '"version": 0')),
        body(GOOD, head=HEAD.replace('"formatVersion": 1', '"formatVersion": 2')),
        body(GOOD[:-1], head=HEAD.replace('"formatVersion": 1', '"formatVersion": 2')),
        body(GOOD, head=HEAD + ',"lines":[5]'),
        body(GOOD, head=HEAD + ',"mood":{"lines":[{"userId":"x"}]}'),
        HEAD + ',"to":0,"mood":{"lines":[' + GOOD + "]}}",
        body(),
        body("5"),
        body(GOOD, "5"),
        body(GOOD.replace('"op"', '"mood":"good","op"')),
        body(GOOD.replace(",", ", ")),
        body(GOOD[:-1] + ',"mood":"good"}'),
        body(GOOD[:-1] + ',"recommendations":[{"itemId":"3"}]}'),
        body(GOOD[:-1] + ',"recommendations":[]}'),
        body(GOOD[:-1] + ',"recommend\\u0061tions":[]}'),
        body(GOOD[:-1] + ',"op":"clear"}'),
        body(GOOD[:-1] + ',"changed":["}]"]}'),
        body('{"mood":{"userId":"x","op":"upsert","recommendations":[{"itemId":"1"}]},"userId":"ann","op":"clear"}'),
        body('{"userId":"ann","mood":{"recommendations":[{"itemId":"1"}]},"op":"upsert","recommendations":[]}'),
        body('{"userId":"ann","mood":{"recommendations":[{"itemId":"1"}]},"op":"upsert"}'),
        body(line("", '{"itemId":"1"}')),
        body(line("ann")),
        body(line("ann", '{"name":"a"}')),
        body(line("ann", '{"name":"a","itemId":"1"}')),
        body(line("ann", '{"itemId":1}')),
        body(line("ann", '{"itemId":null,"name":"a"}')),
        body(line("ann", '{"itemId":"1"}', '{"itemId":"2","name":"b"}')),
        body(line("ann", '{"itemId":"1","a":1,"b":2}', '{"itemId":"2","b":2,"a":1}')),
        body(line("ann", '{"itemId":"1","parts":[{"itemId":"2"},{"itemId":"3"}]}')),
        body(line("ann", '{"itemId":"1","itemId":"2"}')),
        body(line("ann", '{"itemId":"1","lone":"\\ud800"}')),
        body(line("ann", '{"itemId":"1","n":NaN,"i":-Infinity,"d":123456789012345678901234567890,"e":1E400}')),
        body(line("ann", '{"itemId":"1","x":01}')),
        body(line("ann", '{"itemId":"\x01"}')),
        body(line("ann\ud800", '{"itemId":"1"}')),
        body(line("ann", '{"itemId":"1"}', more=',"endsHoldout":false')),
        body(line("ann", '{"itemId":"1","deep":' + "[" * 300 + "]" * 300 + "}")),
    ],
)
def test_whatever_else_a_body_is_it_says_the_same_as_in_one_go(text):
    assert told(text) == told_in_one_go(text)


@settings(max_examples=300)
@given(
    at=st.integers(0, len(body(GOOD, GOOD))),
    removed=st.integers(0, 12),
    put=st.sampled_from(
        ["", "}", "{", '"', ",", "]", "[", "\\", '},{"itemId":', '},{"userId":"x"', ',"lines":[', "}]"]
    ),
)
@example(at=0, removed=0, put="")
def test_a_body_that_was_damaged_anywhere_says_the_same_as_in_one_go(at, removed, put):
    text = body(GOOD, GOOD)
    damaged = text[:at] + put + text[at + removed :]
    assert told(damaged) == told_in_one_go(damaged)
