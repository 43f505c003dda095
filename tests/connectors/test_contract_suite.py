"""What every connector does, whatever its destination: those registered, or those named with --connector.

A connector is met through its own doors, fit, requests and outcomes, and answered in its own Dialect.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors import registry
from connectors.base import Connector, Destination, Outcome, Reply, Request, SyncOptions, Verdict
from connectors.contract.records import SharedItem, SyncRecord
from connectors.dialect import Dialect
from connectors.errors import ConfigError

HTML = b"<!doctype html><title>502 Bad Gateway</title>"
RETIRED, RUN = ["once written"], "20261121T040000Z-3f9a2c"
# So many records a test makes at most, to fill a request by their number.
MOST = 20_000


@dataclass(frozen=True)
class Case:
    """A connector, ready to be met."""

    connector: Connector
    dialect: Dialect
    options: SyncOptions

    @classmethod
    def of(cls, connector: type[Connector], dialect: Dialect) -> Case:
        destination = Destination(dialect.endpoint, dialect.secret)
        return cls(connector(destination), dialect, connector.options_model.model_validate(dialect.options))

    def fitting(self, records: Sequence[SyncRecord]) -> list[SyncRecord]:
        """The records as they are to be sent, without those that are refused."""
        fitted = [self.connector.fit(record, self.options).record for record in records]
        return [record for record in fitted if record is not None]

    def requests(self, records: Sequence[SyncRecord]) -> list[Request]:
        return self.connector.requests(records, self.options, RETIRED, run_id=RUN)

    def told(
        self, answer: Callable[[Sequence[SyncRecord]], Reply], records: Sequence[SyncRecord]
    ) -> Iterator[list[Outcome]]:
        """What the connector makes of an answer, request by request."""
        for request in self.requests(records):
            sent = [records[position] for position in request.sent]
            outcomes = self.connector.outcomes(answer(sent), sent)
            assert len(outcomes) == len(sent)
            yield outcomes


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        named = metafunc.config.getoption("connector")
        classes = [class_at(path) for path in named] or [registry.connector_class(name) for name in registry.names()]
        cases = [Case.of(connector, dialect_of(connector)) for connector in classes]
        metafunc.parametrize("case", cases, ids=[case.connector.name for case in cases])


def class_at(path: str) -> type[Connector]:
    module, _, name = path.partition(":")
    try:
        found: type[Connector] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"--connector {path}: {error}; name it as package.module:Class") from error
    return found


def dialect_of(connector: type[Connector]) -> Dialect:
    """DIALECT of the class's own module, or of the module `dialect` beside it."""
    own = connector.__module__
    for name in (own, f"{own.rpartition('.')[0] or own}.dialect"):
        with suppress(ModuleNotFoundError):
            dialect: Dialect | None = getattr(importlib.import_module(name), "DIALECT", None)
            if dialect is not None:
                return dialect
    raise pytest.UsageError(f"{own} has no DIALECT, in whose words the suite would answer {connector.__name__}")


def upsert(user: str, *names: Any) -> SyncRecord:
    items = [{"itemId": f"i{number}", "name": name} for number, name in enumerate(names)]
    return SyncRecord(user_id=user, op="upsert", recommendations=items)


def upserts(count: int) -> list[SyncRecord]:
    return [upsert(f"user-{number}", f"name {number}") for number in range(count)]


def more_than_a_request(case: Case) -> list[SyncRecord]:
    return upserts(min(2 * case.connector.limits.max_records, MOST) + 1)


def texts_of(content: Any) -> Iterator[str]:
    """Every text of a JSON document in its order, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from chain.from_iterable(map(texts_of, content))
    elif isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from texts_of(value)


def users_in(request: Request, users: Collection[str]) -> list[str]:
    found = (text for text in texts_of(json.loads(request.body)) if text in users)
    return list(dict.fromkeys(found))


def verdicts(told: Iterator[list[Outcome]]) -> set[Verdict]:
    return {outcome.verdict for outcome in chain.from_iterable(told)}


def assert_carried(requests: Sequence[Request], records: Sequence[SyncRecord]) -> None:
    """Each record stands in exactly one request, in order, and the request says so."""
    assert list(chain.from_iterable(request.sent for request in requests)) == list(range(len(records)))
    users = {record.user_id for record in records}
    for request in requests:
        assert users_in(request, users) == [records[position].user_id for position in request.sent]


def assert_within_limits(case: Case, requests: Sequence[Request]) -> None:
    for request in requests:
        assert 0 < len(request.sent) <= case.connector.limits.max_records
        assert len(request.body) <= case.connector.limits.max_bytes


# What the destination says


def test_what_is_accepted_is_delivered(case):
    told = case.told(lambda sent: case.dialect.answer(sent, []), more_than_a_request(case))
    assert verdicts(told) == {Verdict.DELIVERED}


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_refused_is_rejected_with_a_code_and_its_neighbours_are_delivered(case, place):
    for outcomes in case.told(
        lambda sent: case.dialect.answer(sent, [int(place * (len(sent) - 1))]), more_than_a_request(case)
    ):
        at = int(place * (len(outcomes) - 1))
        refused = outcomes.pop(at)
        assert refused.verdict in (Verdict.REJECTED, Verdict.SPLIT)
        assert refused.verdict is Verdict.REJECTED or not outcomes
        assert refused.code
        assert all(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)


def test_when_all_are_refused_none_is_delivered_and_none_is_sent_again_as_it_was(case):
    told = case.told(lambda sent: case.dialect.answer(sent, range(len(sent))), more_than_a_request(case))
    assert verdicts(told) <= {Verdict.REJECTED, Verdict.SPLIT}


def test_when_throttled_all_are_sent_again_after_the_wait_that_was_asked(case):
    outcomes = list(chain.from_iterable(case.told(lambda sent: case.dialect.throttled, upserts(3))))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.RETRY}
    assert {outcome.retry_after_s for outcome in outcomes} == {case.dialect.wait_s}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(0, failure="ReadTimeout"),
        Reply(0, failure="ConnectionError"),
        Reply(500),
        Reply(502, {}, HTML),
        Reply(503, {}, HTML),
        Reply(504),
        Reply(302, {"location": "https://elsewhere.example/"}),
    ],
)
def test_without_a_clear_answer_all_are_sent_again(case, reply):
    assert verdicts(case.told(lambda sent: reply, upserts(3))) == {Verdict.RETRY}


def test_half_an_answer_is_no_success(case):
    def cut(sent: Sequence[SyncRecord]) -> Reply:
        whole = case.dialect.answer(sent, [])
        return replace(whole, body=whole.body[: len(whole.body) // 2])

    if case.dialect.answer(upserts(1), []).body:
        assert Verdict.DELIVERED not in verdicts(case.told(cut, upserts(3)))


def test_a_wrong_key_is_a_mistake_of_the_settings_and_no_records_fault(case):
    with pytest.raises(ConfigError):
        list(case.told(lambda sent: case.dialect.unauthorized, upserts(1)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_BODIES = st.binary(max_size=60) | _JSON.map(lambda content: json.dumps(content).encode())
_HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-ratelimit-retry-after", "x-ratelimit-reset", "content-type"]),
    st.text(max_size=8) | st.sampled_from(["7", "-1", "nan", "1e999", "Sat, 21 Nov 2026 04:00:00 GMT", "٣"]),
    max_size=2,
)


@settings(max_examples=200)
@given(
    status=st.sampled_from([0, 200, 201, 202, 204, 400, 413, 422, 429]) | st.integers(0, 599),
    headers=_HEADERS,
    body=_BODIES,
    count=st.integers(0, 5),
)
@example(status=200, headers={}, body=b"[" * 100_000, count=1)
@example(status=200, headers={}, body=b"9" * 10_000, count=1)
@example(status=429, headers={"retry-after": "9" * 400}, body=HTML, count=2)
def test_each_record_has_one_outcome_whatever_is_answered(case, status, headers, body, count):
    records = upserts(min(count, case.connector.limits.max_records))
    try:
        outcomes = case.connector.outcomes(Reply(status, headers, body), records)
    except ConfigError as error:
        assert_unsaid(case.dialect.secret, [error])
        return
    assert len(outcomes) == len(records)
    for outcome in outcomes:
        assert 200 <= status < 300 or outcome.verdict is not Verdict.DELIVERED
        assert outcome.code or outcome.verdict is Verdict.DELIVERED
        assert len(outcome.reason) <= 120
        assert outcome.retry_after_s is None or 0 <= outcome.retry_after_s < math.inf


# What is sent


def test_nothing_to_say_is_no_request(case):
    assert case.requests([]) == []


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_full_request_is_followed_by_another(case, over):
    count = min(case.connector.limits.max_records, MOST) + over
    requests = case.requests(upserts(count))
    assert_carried(requests, upserts(count))
    assert_within_limits(case, requests)


_RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "ends a holdout", "clear", "holdout"]), st.text(max_size=5), st.integers(0, 30)
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(drawn=_RECORDS, length=st.integers(0, 200))
def test_each_record_is_in_exactly_one_request_in_order_within_the_limits(case, drawn, length):
    records = [
        upsert(f"{number} {text}", *["é" * length] * count).model_copy(
            update={"ends_holdout": op == "ends a holdout" or None}
        )
        if op not in ("clear", "holdout")
        else SyncRecord(user_id=f"{number} {text}", op=op)
        for number, (op, text, count) in enumerate(drawn)
    ]
    kept = case.fitting(records)
    before = [record.to_json() for record in kept]
    requests = case.requests(kept)
    assert_carried(requests, kept)
    assert_within_limits(case, requests)
    assert [record.to_json() for record in kept] == before


def test_from_small_to_far_too_large_a_record_is_within_the_limits_or_refused_with_its_fix(case):
    records = [upsert("user-0", "x")]
    while len(records[-1].to_json()) <= 2 * case.connector.limits.max_bytes:
        count = 2 * len(records[-1].recommendations)
        records.append(upsert(f"user-{len(records)}", *("x" * 200 for _ in range(count))))
    for record in records:
        fitted = case.connector.fit(record, case.options)
        assert (fitted.record is None) == (fitted.refusal is not None)
        if fitted.refusal is not None:
            assert fitted.refusal.verdict is Verdict.REJECTED and fitted.refusal.code and fitted.refusal.reason
            assert len(fitted.refusal.reason) <= 120 and record.user_id not in fitted.refusal.reason
    kept = case.fitting(records)
    assert kept, "not even one small item fits"
    assert_carried(case.requests(kept), kept)
    assert_within_limits(case, case.requests(kept))


def test_the_same_records_are_the_same_requests_also_from_another_process(case):
    records = [*upserts(3), SyncRecord(user_id="gone", op="clear")]
    other = Case.of(type(case.connector), case.dialect)
    for first, again in zip(case.requests(records), other.requests(records), strict=True):
        assert (first.method, first.url, first.sent) == (again.method, again.url, again.sent)
        assert first.body == again.body
        differ = {name.lower() for name in first.headers if first.headers[name] != again.headers.get(name)}
        assert first.headers.keys() == again.headers.keys()
        assert differ <= case.dialect.attempt_headers


def test_records_that_share_their_items_make_the_same_requests(case):
    plain = [upsert(f"user-{number}", "a", None, {"size": [41]}) for number in range(3)]
    items = [SharedItem(item) for item in plain[0].recommendations]
    shared = [record.model_copy(update={"recommendations": list(items)}) for record in plain]
    assert case.fitting(shared) == case.fitting(plain)
    bodies = [[request.body for request in case.requests(case.fitting(records))] for records in (plain, shared, shared)]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize("op", ["clear", "holdout"])
def test_a_user_who_is_to_have_nothing_is_told_so(case, op):
    records = [SyncRecord(user_id="user-1", op=op)]
    assert case.fitting(records) == records
    assert_carried(case.requests(records), records)
    assert case.requests(records)[0].body != case.requests([upsert("user-1")])[0].body
    assert verdicts(case.told(lambda sent: case.dialect.answer(sent, []), records)) == {Verdict.DELIVERED}


def test_an_empty_list_is_a_record_like_any_other(case):
    records = case.fitting([upsert("user-1")])
    assert_carried(case.requests(records), [upsert("user-1")])


@pytest.mark.parametrize(
    "text",
    [
        *("\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "👟👨‍👩‍👧", "e\u0301", "\u2028", "\ufeff", "\ufffe"),
        *('"', "'", "\\", "\\u0041", "\r\n", "<script>alert(1)</script>", "{{ user.email }}", "=cmd|' /C calc'!A0"),
        *("${jndi:ldap://x}", "%00", "null", " padded ", "x" * 255, "x" * 10_000),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_hostile_text_arrives_unchanged_or_is_refused(case, text):
    record = upsert(f"user {text[:50]}", text)
    fitted = case.connector.fit(record, case.options)
    if fitted.refusal is not None:
        assert text[:50] not in fitted.refusal.reason
        return
    (request,) = case.requests([record])
    sent = list(texts_of(json.loads(request.body)))
    assert record.user_id in sent and text in sent


# What is kept to oneself


def test_the_key_is_never_said(case):
    records = upserts(2)
    requests = case.requests(records)
    outcomes = [
        *case.told(lambda sent: case.dialect.answer(sent, []), records),
        *case.told(lambda sent: case.dialect.answer(sent, [0]), records),
        *case.told(lambda sent: case.dialect.throttled, records),
    ]
    with pytest.raises(ConfigError) as caught:
        list(case.told(lambda sent: case.dialect.unauthorized, records))
    said = [case.connector, requests, outcomes, caught.value, Destination("", case.dialect.secret)]
    assert_unsaid(case.dialect.secret, said)
    assert not any(part.encode() in request.body for request in requests for part in parts_of(case.dialect.secret))


@pytest.mark.parametrize("endpoint", ["", "http://169.254.169.254/", "https://{key}@attacker.example/", "{key}"])
def test_an_endpoint_that_is_not_the_destinations_is_refused_without_the_key(case, endpoint):
    with pytest.raises(ConfigError) as caught:
        type(case.connector)(Destination(endpoint.format(key=case.dialect.secret), case.dialect.secret))
    assert_unsaid(case.dialect.secret, [caught.value])


@pytest.mark.parametrize("spoilt", ["{key}\n", " {key}", "{key}€", "{key}\x00", ""], ids=ascii)
def test_a_key_with_something_around_it_is_refused_and_the_setting_named(case, spoilt):
    with pytest.raises(ConfigError, match=case.connector.secret_variable) as caught:
        type(case.connector)(Destination(case.dialect.endpoint, spoilt.format(key=case.dialect.secret)))
    assert_unsaid(case.dialect.secret, [caught.value])


def parts_of(secret: str) -> set[str]:
    """The key, and what of it would be enough."""
    return {secret, *re.findall(r"[A-Za-z0-9+/]{12,}", secret)}


def assert_unsaid(secret: str, said: Sequence[object]) -> None:
    for part in parts_of(secret):
        assert not any(part in text for thing in said for text in (repr(thing), str(thing)))
