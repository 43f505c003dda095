"""What a receiver answered → one outcome per record."""

from __future__ import annotations

import pytest

from connectors.base import Outcome, Reply, Verdict
from connectors.errors import ConfigError
from connectors.webhook.replies import LONGEST_WAIT_S, read_reply

NOW_S = 1_795_233_600.0  # Sat, 21 Nov 2026 04:00:00 GMT


def read(status: int, retry_after: str | None = None, body: bytes = b"", failure: str = "") -> Outcome:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    (outcome,) = read_reply(Reply(status, headers, body, failure), sent=1, now_s=NOW_S)
    return outcome


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status):
    assert read(status) == Outcome(Verdict.DELIVERED)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304, 408, 425, 500, 502, 503, 504, 599, 100, 600])
def test_what_may_go_better_is_sent_again(status):
    assert read(status) == Outcome(Verdict.RETRY, f"http_{status}")


def test_f46_a_throttled_call_is_sent_again():
    assert read(429) == Outcome(Verdict.RETRY, "throttled")


@pytest.mark.parametrize(("failure", "code"), [("ReadTimeout", "ReadTimeout"), ("", "no_reply")])
def test_f48_no_reply_is_sent_again(failure, code):
    assert read(0, failure=failure) == Outcome(Verdict.RETRY, code)


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("9999999", LONGEST_WAIT_S),
        ("9" * 400, None),
        ("Sat, 21 Nov 2026 04:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 03:00:00 GMT", 0.0),
        ("Tue, 01 Dec 2026 03:00:00 GMT", LONGEST_WAIT_S),
        ("soon", None),
        ("-7", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (".", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_f46_a_wait_is_as_long_as_asked_but_no_longer_than_a_day(status, asked, wait_s):
    assert read(status, asked).retry_after_s == wait_s


@pytest.mark.parametrize("status", [400, 402, 409, 413, 415, 422, 451])
def test_any_other_4xx_refuses_the_record_without_repeating_what_the_answer_says(status):
    outcome = read(status, body=b"ann, shoe, whsec_canary")
    assert (outcome.verdict, outcome.code) == (Verdict.REJECTED, f"http_{status}")
    assert outcome.reason == f"the receiver refused the event ({status}); its own log says why"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "signature"), (403, "denied"), (404, "address"), (405, "POST"), (410, r"disabled this webhook \(410\)")],
)
def test_f53_settings_that_are_refused_blame_no_record(status, hint):
    with pytest.raises(ConfigError, match=hint):
        read(status)
