"""What Braze answered → one outcome per record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Outcome, Reply, Verdict
from connectors.braze.replies import read_reply
from connectors.errors import ConfigError

NOW_S = 1_800_000_000.0
DELIVERED = Outcome(Verdict.DELIVERED)
HTML = b"<!doctype html><title>502 Bad Gateway</title>"


def read(status: int, body: Any = None, *, sent: int = 3, failure: str = "", **headers: str) -> list[Outcome]:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_reply(Reply(status, named, data, failure), sent=sent, now_s=NOW_S)


def success(*errors: Any) -> dict[str, Any]:
    return {"message": "success", "attributes_processed": 3} | ({"errors": list(errors)} if errors else {})


def error(index: Any, **more: Any) -> dict[str, Any]:
    return {"type": "prose", "input_array": "attributes", "index": index} | more


def verdicts(outcomes: list[Outcome]) -> str:
    """D, R or . (to be sent again) for each."""
    letters = {Verdict.DELIVERED: "D", Verdict.REJECTED: "R", Verdict.RETRY: "."}
    return "".join(letters[outcome.verdict] for outcome in outcomes)


# Accepted


def test_success_means_all_were_delivered():
    assert read(201, success()) == [DELIVERED] * 3


@pytest.mark.parametrize("errors", [[], None])
def test_an_empty_list_of_errors_is_no_error(errors):
    assert read(201, {"message": "success", "errors": errors}) == [DELIVERED] * 3


@pytest.mark.parametrize(
    ("indexes", "told"),
    [([0], "RDD"), ([1], "DRD"), ([2], "DDR"), ([0, 2], "RDR"), ([2, 0, 2, 2], "RDR"), ([0, 1, 2], "RRR")],
)
def test_f50_an_error_refuses_the_record_it_names_and_no_other(indexes, told):
    assert verdicts(read(201, success(*map(error, indexes)))) == told


@given(st.integers(1, 75), st.data())
def test_f50_exactly_the_records_named_are_refused(sent, data):
    named = data.draw(st.lists(st.integers(0, sent - 1), max_size=10))
    outcomes = read(201, success(*map(error, named)), sent=sent)
    assert [number for number, outcome in enumerate(outcomes) if outcome.verdict is Verdict.REJECTED] == sorted(
        {*named}
    )
    assert len(outcomes) == sent


def test_f50_a_refusal_carries_a_code_of_ours_and_brazes_words():
    refused = read(201, success(error(1, type="The value provided for the 'email' field is not a valid email.")))[1]
    assert refused.code == "refused_by_braze"
    assert refused.reason == "The value provided for the 'email' field is not a valid email."
    assert refused.retry_after_s is None


def test_f50_brazes_words_are_cut_to_what_a_receipt_may_hold():
    reason = read(201, success(error(0, type="x" * 500)))[0].reason
    assert (len(reason), reason[-1]) == (120, "…")


def test_f50_an_error_without_an_array_is_about_attributes_since_we_send_nothing_else():
    assert verdicts(read(201, success({"type": "prose", "index": 1}))) == "DRD"


@pytest.mark.parametrize(
    "unplaced",
    [
        "The value provided is not valid",
        error(3),
        error(-1),
        error(99),
        error(None),
        error("1"),
        error(1.5),
        error(True),
        error(0, input_array="events"),
        {"type": "prose"},
        {},
        None,
        7,
    ],
)
def test_f50_after_an_error_that_names_nobody_nothing_is_assumed_delivered(unplaced):
    outcomes = read(201, success(error(1), unplaced))
    assert verdicts(outcomes) == "RRR"
    assert [outcome.code for outcome in outcomes] == ["refused_unnamed", "refused_by_braze", "refused_unnamed"]


def test_f50_the_words_of_an_error_without_an_index_are_passed_on():
    assert read(201, success("bad value"), sent=1) == [Outcome(Verdict.REJECTED, "refused_unnamed", "bad value")]


@pytest.mark.parametrize("errors", ["bad value", {"type": "prose"}, {"0": "prose"}])
def test_f50_errors_that_are_no_list_are_one_error_that_names_nobody(errors):
    assert verdicts(read(201, {"message": "success", "errors": errors})) == "RRR"


# Neither accepted nor refused


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, HTML),
        (201, b""),
        (201, b"{"),
        (201, b'{"message":"succ'),
        (201, b"\xff\xfe"),
        (201, b"[" * 100_000),
        (201, b"9" * 10_000),
        (201, {}),
        (201, []),
        (201, "success"),
        (201, ["success"]),
        (201, {"message": "queued"}),
        (201, {"message": None}),
        (201, {"message": ["success"]}),
        (200, HTML),
        (200, b""),
        (200, success()),
        (202, {"message": "queued"}),
        (202, success()),
        (204, b""),
        (301, b""),
        (302, HTML),
        (307, b""),
        (0, b""),
    ],
)
def test_f51_what_is_not_a_plain_success_is_sent_again(status, body):
    outcomes = read(status, body)
    assert verdicts(outcomes) == "..."
    assert all(outcome.code for outcome in outcomes)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", [HTML, b"", {"message": "Internal Server Error"}, success()])
def test_f47_a_server_in_trouble_is_called_again(status, body):
    outcomes = read(status, body)
    assert verdicts(outcomes) == "..."
    assert {outcome.code for outcome in outcomes} == {f"http_{status}"}


@pytest.mark.parametrize(("failure", "code"), [("ReadTimeout", "ReadTimeout"), ("", "no_reply")])
def test_f48_no_reply_is_sent_again(failure, code):
    assert read(0, failure=failure) == [Outcome(Verdict.RETRY, code)] * 3


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"x_ratelimit_retry_after": "7"}, 7.0),
        ({"x_ratelimit_retry_after": "0"}, 0.0),
        ({"x_ratelimit_reset": "42"}, 42.0),
        ({"x_ratelimit_reset": f"{NOW_S + 42:.0f}"}, 42.0),
        ({"x_ratelimit_reset": f"{NOW_S - 42:.0f}"}, 0.0),
        ({"x_ratelimit_reset": "-5"}, 0.0),
        ({"x_ratelimit_retry_after": "7", "x_ratelimit_reset": "42"}, 7.0),
        ({"x_ratelimit_retry_after": "soon", "x_ratelimit_reset": "42"}, 42.0),
        ({"x_ratelimit_retry_after": "", "x_ratelimit_reset": "Sun, 22 Nov 2026 00:00:00 GMT"}, None),
        ({"x_ratelimit_retry_after": "inf"}, None),
        ({"x_ratelimit_retry_after": "nan"}, None),
        ({"x_ratelimit_reset": "1e999"}, None),
        ({"retry_after": "7"}, None),
        ({}, None),
    ],
)
def test_f46_a_throttled_call_waits_as_long_as_either_dialect_asks(headers, wait_s):
    outcomes = read(429, HTML, **headers)
    assert {(outcome.verdict, outcome.code) for outcome in outcomes} == {(Verdict.RETRY, "throttled")}
    assert {outcome.retry_after_s for outcome in outcomes} == {wait_s}


@pytest.mark.parametrize("status", [0, 201, 202, 500, 503])
def test_f46_the_reset_of_the_budget_says_nothing_about_a_call_that_was_not_throttled(status):
    outcomes = read(status, b"", x_ratelimit_reset="3600", x_ratelimit_remaining="2999")
    assert {outcome.retry_after_s for outcome in outcomes} == {None}


# Refused


@pytest.mark.parametrize("status", [400, 413, 415])
def test_f52_a_request_that_was_refused_whole_is_split_where_that_may_help(status):
    outcomes = read(status, {"message": "Max Input Length Exceeded"})
    verdict = Verdict.REJECTED if status == 415 else Verdict.SPLIT
    assert outcomes == [Outcome(verdict, f"http_{status}", "Max Input Length Exceeded")] * 3


@pytest.mark.parametrize("status", [400, 413, 415])
@pytest.mark.parametrize("body", [HTML, b"", {"message": None}, {"message": {"a": 1}}, []])
def test_a_refusal_needs_no_body(status, body):
    assert {outcome.code for outcome in read(status, body)} == {f"http_{status}"}


def test_f50_when_all_are_invalid_each_has_its_own_reason():
    message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
    outcomes = read(400, {"message": message, "errors": [error(number, type=f"t{number}") for number in range(3)]})
    assert verdicts(outcomes) == "RRR"
    assert [outcome.reason for outcome in outcomes] == ["t0", "t1", "t2"]


def test_f50_a_400_that_names_some_refuses_the_rest_with_its_message():
    outcomes = read(400, {"message": "fatal", "errors": [error(1), error(9), "prose"]})
    assert [outcome.code for outcome in outcomes] == ["http_400", "refused_by_braze", "http_400"]


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "API key"), (403, "permission users.track"), (404, "check the REST endpoint")]
)
@pytest.mark.parametrize("body", [b"", HTML, {"message": "Invalid URL"}])
def test_f53_settings_that_are_refused_blame_no_record(status, hint, body):
    with pytest.raises(ConfigError, match=hint):
        read(status, body)


@given(
    st.integers(0, 599).filter(lambda status: status not in (401, 403, 404)),
    st.binary(max_size=60) | st.sampled_from([json.dumps(success()).encode(), json.dumps(success("x")).encode()]),
    st.integers(0, 75),
)
def test_every_record_has_one_outcome_whatever_was_answered(status, body, sent):
    outcomes = read_reply(Reply(status, {}, body), sent=sent, now_s=NOW_S)
    assert len(outcomes) == sent
    assert all(outcome.code for outcome in outcomes if outcome.verdict is not Verdict.DELIVERED)
