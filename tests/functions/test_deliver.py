"""Every record of every message ends as delivered or rejected, with a receipt, or its message waits."""

from __future__ import annotations

import json
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.emulators.braze import BrazeEmulator
from cli.emulators.faults import Fault, FaultPlan
from cli.emulators.webhook import WebhookEmulator
from connectors.base import Destination, Limits, Outcome, Reply, Verdict
from connectors.braze.connector import BrazeConnector
from connectors.contract.health import read_circuit
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import Message, Pointer
from connectors.contract.receipts import Fate
from connectors.contract.storage import StorageError, open_storage
from connectors.errors import ConfigError
from connectors.http import Sender
from connectors.webhook.connector import WebhookConnector
from functions import deliver as delivery
from functions.calls import Pause
from functions.deliver import RENEWED_FROM
from functions.enqueue import enqueue_part
from functions.intake import Received
from functions.newest import Newest
from functions.settling import receipts_of, rest_of, wait_s

OK = Reply(201, {}, b'{"message": "success"}')
BROKEN = Reply(503)
NO_REPLY = Reply(0, failure="ReadTimeout")
REFUSED_KEY = Reply(401)
THROTTLED = Reply(429, {"x-ratelimit-retry-after": "42"})


class NoQueue:
    """A queue for messages that are not meant to send anything back."""

    def send(self, bodies, *, delay_s=0):
        raise AssertionError("nothing should go back in parts")


def deliver(batch, connector, send, open_folder, *, queue=None, concurrency=1, **more):
    """Deliver with a connector whose key stays the same."""
    queue = queue or NoQueue()
    connect, pause = more.pop("connect", lambda fresh: connector), more.pop("pause", None) or Pause()
    more |= {"newest": Newest(), "pause": pause, "concurrency": concurrency}
    return delivery.deliver(batch, connect, send, open_folder, queue, **more)


def upsert(user_id: str) -> dict[str, object]:
    return {"userId": user_id, "op": "upsert", "recommendations": [{"itemId": "106"}]}


def refusing(*indexes: int) -> Reply:
    errors = [{"type": f"bad object {index}", "input_array": "attributes", "index": index} for index in indexes]
    return Reply(201, {}, json.dumps({"message": "success", "errors": errors}).encode())


@pytest.fixture
def batch_of(scripted_queue):
    """The messages of a run, as the queue hands them out."""

    def receive(run, receives: int = 1) -> list[Received]:
        queue = scripted_queue()
        for file in run.manifest.files:
            enqueue_part(run.storage, run.key, file.key, queue, sleep=lambda _: None)
        return [Received(f"m{number}", body, receives) for number, body in enumerate(queue.taken)]

    return receive


def changed(message: Received, **fields: object) -> Received:
    """The message with some of its fields replaced; None removes one."""
    body = {name: value for name, value in {**json.loads(message.body), **fields}.items() if value is not None}
    return Received(message.message_id, json.dumps(body), message.receives)


def test_when_all_is_delivered_one_receipt_covers_the_range(publish, batch_of, fake_braze, connector):
    run, braze = publish([upsert("ann"), upsert("bob"), upsert("cleo")]), fake_braze()
    settlement = deliver(batch_of(run), connector, braze, open_storage)
    assert braze.told == [["ann", "bob", "cleo"]]
    [receipt] = run.receipts()
    assert (receipt.file, receipt.first_line, receipt.last_line) == (run.manifest.files[0].key, 0, 2)
    assert (receipt.outcome, receipt.rejected, receipt.attempt) == ("settled", [], 1)
    assert run.fates() == [Fate.DELIVERED] * 3
    assert (settlement.waits_s, settlement.poison, settlement.refused) == ({}, {}, "")
    assert settlement.counts == {"delivered": 3, "requests": 1}


def test_f50_only_the_objects_that_were_refused_are_rejected(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann"), upsert("bob"), upsert("cleo"), upsert("dan")])
    settlement = deliver(batch_of(run), connector, fake_braze(ann=[refusing(1, 3)]), open_storage)
    assert run.fates() == [Fate.DELIVERED, Fate.REJECTED, Fate.DELIVERED, Fate.REJECTED]
    [receipt] = run.receipts()
    assert [(r.line, r.user_id, r.code, r.reason) for r in receipt.rejected] == [
        (1, "bob", "refused_by_braze", "bad object 1"),
        (3, "dan", "refused_by_braze", "bad object 3"),
    ]
    assert settlement.counts == {"delivered": 2, "rejected": 2, "requests": 1}
    assert settlement.waits_s == {}


def test_line_numbers_in_receipts_are_those_of_the_part(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann"), upsert("bob"), upsert("cleo"), upsert("dan")], records_per_request=2)
    deliver(batch_of(run), connector, fake_braze(cleo=[refusing(1)]), open_storage)
    assert run.fates() == [Fate.DELIVERED, Fate.DELIVERED, Fate.DELIVERED, Fate.REJECTED]


@pytest.mark.parametrize("reply", [BROKEN, NO_REPLY, THROTTLED, Reply(200, {}, b"<html>")], ids=str)
def test_f48_f51_without_a_clear_answer_the_message_waits_and_nothing_is_receipted(
    publish, batch_of, fake_braze, connector, reply
):
    run = publish([upsert("ann"), upsert("bob")])
    settlement = deliver(batch_of(run), connector, fake_braze(ann=[reply]), open_storage)
    assert list(settlement.waits_s) == ["m0"]
    assert settlement.counts == {"retry": 2, "requests": 1} | ({"unanswered": 2} if reply is NO_REPLY else {})
    assert (run.receipts(), settlement.poison) == ([], {})


def test_f46_a_throttled_message_waits_a_little_longer_than_it_was_asked_to(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann")])
    settlement = deliver(batch_of(run), connector, fake_braze(ann=[THROTTLED]), open_storage)
    assert 42 <= settlement.waits_s["m0"] <= 42 * 1.2


def test_of_a_message_of_two_requests_the_settled_part_is_receipted_and_the_message_comes_back(
    publish, batch_of, fake_braze, connector
):
    run = publish([upsert(f"u{number}") for number in range(100)], records_per_request=100)
    settlement = deliver(batch_of(run), connector, fake_braze(u75=[BROKEN]), open_storage)
    assert list(settlement.waits_s) == ["m0"]
    assert run.fates() == [Fate.DELIVERED] * 75 + [Fate.OPEN] * 25
    assert settlement.counts == {"delivered": 75, "retry": 25, "requests": 2}


def test_a_message_whose_turn_failed_is_delivered_when_it_comes_again(publish, batch_of, fake_braze, connector):
    run, braze = publish([upsert("ann")]), fake_braze(ann=[BROKEN, OK])
    [message] = batch_of(run)
    deliver([message], connector, braze, open_storage)
    settlement = deliver([message], connector, braze, open_storage)
    assert (settlement.waits_s, run.fates()) == ({}, [Fate.DELIVERED])


POISON = {
    "not JSON": ("not_json", lambda m: Received(m.message_id, m.body[:-9])),
    "empty": ("not_json", lambda m: Received(m.message_id, "")),
    "nested without end": ("not_json", lambda m: Received(m.message_id, "[" * 100_000)),
    "no object": ("not_a_message", lambda m: Received(m.message_id, "[]")),
    "a format version that is no number": ("not_a_message", lambda m: changed(m, formatVersion="next")),
    "a version below 0": ("not_a_message", lambda m: changed(m, version=-1)),
    "no lines": ("not_a_message", lambda m: changed(m, lines=None)),
    "no user id": ("not_a_record", lambda m: changed(m, lines=[{"op": "clear"}])),
    "an empty user id": ("not_a_record", lambda m: changed(m, lines=[{"userId": "", "op": "clear"}])),
    "an unknown op": ("not_a_record", lambda m: changed(m, lines=[{"userId": "bob", "op": "explode"}])),
    "an upsert of nothing": ("not_a_record", lambda m: changed(m, lines=[{"userId": "bob", "op": "upsert"}])),
    "a range that does not fit": ("wrong_range", lambda m: changed(m, to=7)),
    "a range that runs backwards": ("wrong_range", lambda m: changed(m, **{"from": 3, "to": 1})),
    "another connector": ("wrong_connector", lambda m: changed(m, connector="webhook")),
    "a manifest that is none": (
        "not_a_manifest",
        lambda m: changed(m, manifest="s3://shop/etl_jobs/x/y/config.json"),
    ),
    "a manifest that is gone": (
        "manifest_gone",
        lambda m: changed(m, manifest=json.loads(m.body)["manifest"].replace("3f9a2c", "000000")),
    ),
}


@pytest.mark.parametrize("name", POISON)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_f43_poison_has_a_reason_and_its_neighbours_go_on(publish, batch_of, fake_braze, connector, name, concurrency):
    run, (reason, spoil) = publish([upsert("ann"), upsert("bob"), upsert("cleo")], records_per_request=1), POISON[name]
    ann, bob, cleo = batch_of(run)
    settlement = deliver([ann, spoil(bob), cleo], connector, fake_braze(), open_storage, concurrency=concurrency)
    assert settlement.poison == {"m1": reason}
    assert settlement.waits_s == {}
    assert run.fates() == [Fate.DELIVERED, Fate.OPEN, Fate.DELIVERED]


def test_f43_every_reason_stands_in_the_docs_and_no_other():
    page = (Path(__file__).parents[2] / "docs/explanation/delivery.md").read_text()
    table = page.split("| `reason` |")[1].split("\n\n")[0]
    shown = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert shown == {reason for reason, _ in POISON.values()} | {"manifest_unreadable"}


def test_f43_a_run_whose_manifest_nobody_can_read_is_poison(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann")])
    batch = batch_of(run)
    run.storage.put(run.key, b"{")
    assert deliver(batch, connector, fake_braze(), open_storage).poison == {"m0": "manifest_unreadable"}


@pytest.mark.parametrize("options", [{"unknown": 1}, {"payloadShape": "of tomorrow"}])
def test_a_run_with_settings_of_another_release_waits_and_is_no_poison(
    publish, batch_of, fake_braze, connector, options
):
    run = publish([upsert("ann")], options=options)
    batch = batch_of(run)
    settlement = deliver(batch, connector, fake_braze(), open_storage)
    assert (settlement.waits_s, settlement.poison) == ({"m0": 900.0}, {})
    assert "not of this release" in settlement.unread["m0"]
    committed(run, 2)
    assert deliver(batch, connector, fake_braze(), open_storage).waits_s == {}
    assert run.fates() == [Fate.SUPERSEDED]


def test_a_message_of_a_newer_release_waits_and_is_no_poison(publish, batch_of, fake_braze, connector):
    run, braze = publish([upsert("ann")]), fake_braze()
    [message] = batch_of(run)
    settlement = deliver([changed(message, formatVersion=2, lines={"zipped": "…"})], connector, braze, open_storage)
    assert (list(settlement.waits_s), settlement.poison) == (["m0"], {})
    assert settlement.waits_s["m0"] > 60
    assert (braze.told, run.receipts()) == ([], [])


def test_a_manifest_of_a_newer_release_makes_its_messages_wait(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann")])
    batch = batch_of(run)
    run.storage.put(run.key, run.manifest.model_copy(update={"format_version": 2}).to_json().encode())
    settlement = deliver(batch, connector, fake_braze(), open_storage)
    assert (list(settlement.waits_s), settlement.poison) == (["m0"], {})


def test_a_refused_key_says_why_and_blames_no_message(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann"), upsert("bob")], records_per_request=1)
    braze = fake_braze(ann=[REFUSED_KEY], bob=[REFUSED_KEY])
    settlement = deliver(batch_of(run), connector, braze, open_storage)
    assert "401" in settlement.refused
    assert sorted(settlement.waits_s) == ["m0", "m1"]
    assert (settlement.poison, run.receipts()) == ({}, [])
    assert settlement.counts["delivered"] == 0


def test_a_folder_that_cannot_be_read_now_makes_its_messages_wait_and_the_others_go_on(
    publish, batch_of, fake_braze, connector, folder
):
    run = publish([upsert("ann"), upsert("bob")], records_per_request=1)
    ann, bob = batch_of(run)
    elsewhere = changed(bob, manifest=run.address.replace("/demo/", "/busy/"))

    def open_folder(address):
        if address.endswith("/busy"):
            raise StorageError("S3 answered SlowDown to get_object")
        return open_storage(address)

    settlement = deliver([ann, elsewhere], connector, fake_braze(), open_folder)
    assert (list(settlement.waits_s), settlement.poison) == (["m1"], {})
    assert "SlowDown" in settlement.unread["m1"]
    assert run.fates() == [Fate.DELIVERED, Fate.OPEN]


class FullStorage(LocalStorage):
    """Takes no receipts."""

    def put(self, key, data, **condition):
        raise StorageError("disk full")


@dataclass
class TwoFolders:
    """A batch with a message of two job folders each, the first of which has trouble with its storage."""

    storage: LocalStorage
    batch: list[Received]
    bob: object

    def open(self, address):
        return self.storage if address.endswith("/demo") else open_storage(address)


@pytest.fixture
def two_folders(publish, batch_of, folder):
    def of(storage_class):
        storage = LocalStorage(folder.parent / "other")
        [ann], bob = batch_of(publish([upsert("ann")])), publish([upsert("bob")], storage=storage, job="other")
        [message] = batch_of(bob)
        return TwoFolders(storage_class(folder), [ann, Received("bob", message.body)], bob)

    return of


def test_a_receipt_that_cannot_be_written_makes_the_messages_of_its_folder_wait_and_no_others(
    two_folders, fake_braze, connector
):
    found = two_folders(FullStorage)
    settlement = deliver(found.batch, connector, fake_braze(), found.open)
    assert (list(settlement.waits_s), settlement.unread) == (["m0"], {"m0": "disk full"})
    assert settlement.counts == {"requests": 2, "delivered": 1}
    assert found.bob.fates() == [Fate.DELIVERED]


class Forgetful(LocalStorage):
    """Cannot tell how the destination is."""

    def get(self, key):
        if key.startswith("health/"):
            raise StorageError("S3 answered SlowDown to get_object")
        return super().get(key)


class Deaf(LocalStorage):
    """Keeps receipts, and nothing of how the destination is."""

    def put(self, key, data, **condition):
        if key.startswith("health/"):
            raise StorageError("disk full")
        return super().put(key, data, **condition)


def test_a_health_that_cannot_be_read_makes_the_messages_of_its_folder_wait_untried(two_folders, fake_braze, connector):
    found, braze = two_folders(Forgetful), fake_braze()
    settlement = deliver(found.batch, connector, braze, found.open)
    assert (braze.told, list(settlement.waits_s)) == ([["bob"]], ["m0"])
    found.storage = LocalStorage(found.storage.folder)
    found.storage.put("health/braze.json", b'{"formatVersion": 2}')
    settlement = deliver(found.batch[:1], connector, braze, found.open)
    assert (braze.told, settlement.waits_s) == ([["bob"]], {"m0": 900})


def test_a_health_that_cannot_be_kept_is_said_and_costs_no_receipt(two_folders, fake_braze, connector):
    found = two_folders(Deaf)
    settlement = deliver(found.batch, connector, fake_braze(ann=[BROKEN]), found.open)
    assert (list(settlement.waits_s), settlement.health_lost) == (["m0"], "disk full")
    assert found.bob.fates() == [Fate.DELIVERED]


def test_the_receipts_of_a_batch_are_one_object_a_run(publish, batch_of, fake_braze, connector):
    first = publish([upsert("ann"), upsert("bob")], records_per_request=1)
    second = publish([upsert("cleo")], run_id="20261121T050000Z-000001", version=2)
    batch = [*batch_of(first), *(Received("x", message.body) for message in batch_of(second))]
    deliver(batch, connector, fake_braze(), open_storage)
    assert len(list(first.storage.list("receipts/"))) == 2
    assert (first.fates(), second.fates()) == ([Fate.DELIVERED] * 2, [Fate.DELIVERED])


def test_f45_the_same_message_twice_does_no_harm_and_is_counted(publish, batch_of, fake_braze, connector):
    run, braze = publish([upsert("ann"), upsert("bob")]), fake_braze()
    [message] = batch_of(run)
    assert deliver([message], connector, braze, open_storage).counts["repeated"] == 0
    counts = deliver([message, Received("again", message.body, 2)], connector, braze, open_storage).counts
    assert counts["repeated"] == 2
    assert braze.told == [["ann", "bob"]] * 3
    assert run.fates() == [Fate.DELIVERED] * 2


def test_the_same_messages_have_the_same_end_at_any_concurrency(publish, batch_of, fake_braze, connector):
    run = publish([upsert(f"u{number}") for number in range(40)], records_per_request=2)
    batch, found = batch_of(run), []
    for concurrency in (1, 8):
        braze = fake_braze(u4=[BROKEN], u10=[refusing(1)], u31=[refusing(0, 1)])
        found.append(deliver(batch, connector, braze, open_storage, concurrency=concurrency))
    assert list(found[0].waits_s) == list(found[1].waits_s) == ["m2"]
    assert found[0].counts == found[1].counts
    assert found[0].counts == {"delivered": 35, "retry": 2, "rejected": 3, "requests": 20}


def test_as_many_messages_are_on_their_way_at_once_as_allowed(publish, batch_of, connector):
    run = publish([upsert(f"u{number}") for number in range(4)], records_per_request=1)
    meeting = threading.Barrier(4, timeout=10)

    def send(_):
        meeting.wait()
        return OK

    deliver(batch_of(run), connector, send, open_storage, concurrency=4)
    assert run.fates() == [Fate.DELIVERED] * 4


def test_an_empty_batch_is_nothing_to_do(connector, fake_braze):
    settlement = deliver([], connector, fake_braze(), open_storage)
    assert (settlement.waits_s, settlement.poison, settlement.counts) == ({}, {}, {})


def test_the_wait_after_a_failure_is_spread_and_grows_up_to_a_quarter_of_an_hour():
    retry = [Outcome(Verdict.RETRY)]
    for receives, ceiling_s in [(1, 2), (2, 4), (5, 32), (9, 512), (10, 900), (100, 900), (10_000, 900)]:
        waits = [wait_s(retry, receives) for _ in range(200)]
        assert all(0 <= wait <= ceiling_s for wait in waits)
        assert min(waits) < ceiling_s / 3 < ceiling_s * 2 / 3 < max(waits)


def test_f46_the_longest_wait_asked_for_holds_within_reason_and_is_spread():
    asked = [Outcome(Verdict.RETRY, retry_after_s=after_s) for after_s in (3.0, None, 60.0)]
    waits = [wait_s(asked, 1) for _ in range(200)]
    assert all(60 <= wait <= 72 for wait in waits)
    assert min(waits) < 64 < 68 < max(waits)
    assert wait_s([Outcome(Verdict.RETRY, retry_after_s=1e9)], 1) == 900


@pytest.mark.parametrize("asked_s", [0.0, 1.0])
def test_f46_who_hears_again_and_again_that_it_is_soon_waits_longer_each_time(asked_s):
    asked = [Outcome(Verdict.RETRY, retry_after_s=asked_s)]
    waits = [wait_s(asked, 10) for _ in range(200)]
    assert min(waits) >= asked_s and max(waits) > 600


verdicts = st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=80)


@settings(deadline=None)
@given(verdicts=verdicts, first_line=st.integers(0, 10**6), attempt=st.integers(1, 9))
def test_receipts_cover_exactly_the_lines_that_are_settled(verdicts, first_line, attempt):
    last_line = first_line + len(verdicts) - 1
    message = Message(
        connector="braze",
        manifest="m",
        version=1,
        file="part",
        first_line=first_line,
        last_line=last_line,
        attempt=attempt,
        lines=[{"userId": str(line)} for line in range(first_line, last_line + 1)],
    )
    outcomes = [Outcome(verdict, "code", "reason") for verdict in verdicts]
    receipts = list(receipts_of(message, outcomes, datetime.now(UTC)))
    covered = [line for r in receipts for line in range(r.first_line, r.last_line + 1)]
    rejected = {(r.line, r.user_id) for receipt in receipts for r in receipt.rejected}
    numbered = list(enumerate(verdicts, first_line))
    assert covered == [line for line, verdict in numbered if verdict is not Verdict.RETRY]
    assert rejected == {(line, str(line)) for line, verdict in numbered if verdict is Verdict.REJECTED}
    assert all((r.outcome, r.attempt) == ("settled", attempt) for r in receipts)


def requests_of(braze) -> int:
    return len(braze.told)


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("culprit", [0, 37, 74])
def test_f52_a_refused_batch_is_halved_until_the_culprit_stands_alone(
    publish, batch_of, fake_braze, connector, status, culprit
):
    run = publish([upsert(f"u{number}") for number in range(75)])
    braze = fake_braze(**{f"u{culprit}": [Reply(status, {}, b'{"message": "fatal"}')]})
    deliver(batch_of(run), connector, braze, open_storage)
    assert run.fates().count(Fate.DELIVERED) == 74
    assert run.fates()[culprit] is Fate.REJECTED
    assert requests_of(braze) <= 15


def test_a_refused_key_in_the_second_request_leaves_the_first_one_receipted(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann"), upsert("bob")], records_per_request=2)
    connector.limits = Limits(max_records=1, max_bytes=10_000)
    settlement = deliver(batch_of(run), connector, fake_braze(bob=[REFUSED_KEY]), open_storage, queue=Giving())
    assert run.fates() == [Fate.DELIVERED, Fate.OPEN]
    assert "401" in settlement.refused


class Giving:
    """A queue that keeps what comes back in parts."""

    def __init__(self):
        self.bodies, self.delays_s = [], []

    def send(self, bodies, *, delay_s=0):
        self.bodies += bodies
        self.delays_s.append(delay_s)
        return []


def test_the_rest_of_a_half_settled_message_goes_back_alone(publish, batch_of, fake_braze, connector):
    run, queue = publish([upsert("ann"), upsert("bob"), upsert("cleo")], records_per_request=3), Giving()
    connector.limits = Limits(max_records=1, max_bytes=10_000)
    braze = fake_braze(bob=[THROTTLED, OK])
    settlement = deliver(batch_of(run), connector, braze, open_storage, queue=queue)
    assert settlement.waits_s == {}
    assert run.fates() == [Fate.DELIVERED, Fate.OPEN, Fate.OPEN]
    assert 42 <= queue.delays_s[0] <= 42 * 1.2
    [rest] = [Message.model_validate_json(body) for body in queue.bodies]
    assert (rest.first_line, rest.last_line, rest.attempt) == (1, 2, 2)
    assert rest.lines == [upsert("bob"), upsert("cleo")]
    second = deliver([Received("rest", queue.bodies[0])], connector, braze, open_storage)
    assert run.fates() == [Fate.DELIVERED] * 3
    assert braze.told == [["ann"], ["bob"], ["bob"], ["cleo"]]
    assert second.counts == {"delivered": 2, "requests": 2, "repeated": 2}


def test_f16_a_rest_holds_no_character_that_sqs_refuses_or_replaces(publish, batch_of, fake_braze, connector):
    run, queue = publish([upsert("ann"), upsert("bob\ufffe\uffff")], records_per_request=2), Giving()
    connector.limits = Limits(max_records=1, max_bytes=10_000)
    deliver(batch_of(run), connector, fake_braze(**{"bob\ufffe\uffff": [THROTTLED]}), open_storage, queue=queue)
    [rest] = queue.bodies
    assert "\ufffe" not in rest and "\uffff" not in rest
    assert Message.model_validate_json(rest).lines == [upsert("bob\ufffe\uffff")]


def test_a_rest_that_the_queue_does_not_take_stays_with_its_message(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann"), upsert("bob")], records_per_request=2)
    connector.limits = Limits(max_records=1, max_bytes=10_000)
    settlement = deliver(batch_of(run), connector, fake_braze(bob=[THROTTLED]), open_storage, queue=Broken())
    assert 42 <= settlement.waits_s["m0"] <= 42 * 1.2


class Broken:
    """A queue that cannot be reached."""

    def send(self, bodies, *, delay_s=0):
        raise OSError("no route")


@settings(deadline=None)
@given(
    verdicts=st.lists(st.sampled_from([Verdict.DELIVERED, Verdict.REJECTED, Verdict.RETRY]), min_size=1, max_size=12)
)
def test_settled_lines_and_the_rest_are_the_message(verdicts):
    message = Message(
        connector="braze",
        manifest="/x/_manifest.json",
        version=1,
        file="part",
        first_line=5,
        last_line=4 + len(verdicts),
        lines=[upsert(f"u{number}") for number in range(len(verdicts))],
    )
    outcomes = [Outcome(verdict) for verdict in verdicts]
    settled = [
        line
        for receipt in receipts_of(message, outcomes, datetime.now(UTC))
        for line in range(receipt.first_line, receipt.last_line + 1)
    ]
    rest = [line for one in rest_of(message, outcomes) for line in range(one.first_line, one.last_line + 1)]
    assert sorted([*settled, *rest]) == list(range(5, 5 + len(verdicts)))


def committed(run, version: int, **changes) -> None:
    """Have the pointer name a newer run, published or not."""
    key = f"output/braze/year=2026/month=11/day=22/time=04000{version}-ffffff/_manifest.json"
    run.storage.put(
        "output/braze/state/_current.json",
        Pointer(version=version, run_id="20261122T040000Z-ffffff", manifest=key, snapshot=[]).to_json().encode(),
    )
    if changes.pop("is_published", True):
        newer = run.manifest.model_copy(update={"version": version, **changes})
        run.storage.put(key, newer.to_json().encode())


def test_f56_a_message_of_an_older_run_is_superseded_without_a_call(publish, batch_of, fake_braze, connector):
    run, braze = publish([upsert("ann"), upsert("bob")]), fake_braze()
    batch = batch_of(run)
    committed(run, 2)
    settlement = deliver(batch, connector, braze, open_storage)
    assert (braze.told, settlement.waits_s, settlement.counts) == ([], {}, {"superseded": 2})
    assert run.fates() == [Fate.SUPERSEDED] * 2


@pytest.mark.parametrize("is_pointer", [True, False], ids=["pointer", "manifest"])
def test_f56_while_nobody_can_tell_which_run_is_the_newest_no_call_is_made(
    publish, batch_of, fake_braze, connector, is_pointer
):
    run, braze = publish([upsert("ann")]), fake_braze()
    batch = batch_of(run)
    committed(run, 2)
    pointer = Pointer.model_validate_json(run.storage.get("output/braze/state/_current.json").data)
    run.storage.put("output/braze/state/_current.json" if is_pointer else pointer.manifest, b"{")
    settlement = deliver(batch, connector, braze, open_storage)
    assert (braze.told, run.fates(), list(settlement.waits_s)) == ([], [Fate.OPEN], ["m0"])
    assert "is damaged" in settlement.unread["m0"]


def test_f56_what_can_no_longer_be_told_stops_the_next_call_and_takes_no_receipt_from_the_one_before(
    publish, batch_of, fake_braze, connector
):
    run, braze = publish([upsert("ann"), upsert("bob")], records_per_request=1), fake_braze()

    def send(request):
        run.storage.put("output/braze/state/_current.json", b"{")
        return braze(request)

    settlement = deliver(batch_of(run), connector, send, open_storage)
    assert (braze.told, run.fates()) == ([["ann"]], [Fate.DELIVERED, Fate.OPEN])
    assert list(settlement.waits_s) == ["m1"]


def test_f56_a_commit_that_was_never_published_takes_nothing_from_what_was_published_before_it(
    publish, batch_of, fake_braze, connector
):
    run, braze = publish([upsert("ann")]), fake_braze()
    batch = batch_of(run)
    committed(run, 2)
    pointer = Pointer.model_validate_json(run.storage.get("output/braze/state/_current.json").data)
    unpublished = pointer.model_copy(update={"version": 3, "manifest": "nowhere.json", "previous": pointer.manifest})
    run.storage.put("output/braze/state/_current.json", unpublished.to_json().encode())
    deliver(batch, connector, braze, open_storage)
    assert (braze.told, run.fates()) == ([], [Fate.SUPERSEDED])


@pytest.mark.parametrize(
    ("changes", "fate"), [({"is_published": False}, Fate.DELIVERED), ({"acknowledge": "onWrite"}, Fate.SUPERSEDED)]
)
def test_what_is_not_published_supersedes_nothing_and_what_someone_else_reads_does(
    publish, batch_of, fake_braze, connector, changes, fate
):
    run, braze = publish([upsert("ann")]), fake_braze()
    batch = batch_of(run)
    committed(run, 2, **changes)
    deliver(batch, connector, braze, open_storage)
    assert run.fates() == [fate]


class Clock:
    """A time that only moves when told."""

    def __init__(self):
        self.at = datetime(2026, 11, 21, 4, tzinfo=UTC)

    def __call__(self):
        return self.at

    def forward(self, seconds):
        self.at += timedelta(seconds=seconds)


def test_f47_an_outage_opens_the_circuit_and_it_drains_unaided_after(publish, batch_of, fake_braze, connector):
    run, clock = publish([upsert(f"u{number}") for number in range(4)], records_per_request=1), Clock()
    down, up = fake_braze(u0=[BROKEN], u1=[BROKEN], u2=[BROKEN], u3=[BROKEN]), fake_braze()
    batch = batch_of(run)
    for _ in range(3):
        deliver(batch, connector, down, open_storage, now=clock)
    assert requests_of(down) == 12
    settlement = deliver(batch, connector, down, open_storage, now=clock)
    assert (requests_of(down), settlement.left_alone) == (12, "http_503")
    assert all(30 <= wait <= 45 for wait in settlement.waits_s.values())
    waits = []
    for _ in range(7):
        clock.forward(901)
        deliver(batch, connector, down, open_storage, now=clock)
        waits.append(min(deliver(batch, connector, down, open_storage, now=clock).waits_s.values()))
    assert requests_of(down) == 12 + 7
    assert waits == sorted(waits)
    assert 895 <= waits[-1] <= 900
    clock.forward(901)
    deliver(batch, connector, up, open_storage, now=clock)
    assert run.fates() == [Fate.DELIVERED] * 4


def test_f47_batches_that_fail_side_by_side_count_once(publish, batch_of, connector):
    run, clock = publish([upsert(f"u{number}") for number in range(8)], records_per_request=1), Clock()
    meeting, batch = threading.Barrier(8, timeout=10), batch_of(run)

    def send(_):
        meeting.wait()
        return BROKEN

    def deliver_one(message):
        return deliver([message], connector, send, open_storage, now=clock)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver_one, batch))
    assert read_circuit(run.storage, "braze").health.failures == 1


def test_f53_of_several_functions_one_probes(publish, batch_of, connector):
    run, clock = publish([upsert(f"u{number}") for number in range(6)], records_per_request=1), Clock()
    batch, calls, probing, seen = batch_of(run), [], threading.Event(), threading.Event()
    deliver(batch, connector, lambda _: REFUSED_KEY, open_storage, now=clock)
    clock.forward(31)

    def slow(request):
        calls.append(request)
        probing.set()
        seen.wait(10)
        return REFUSED_KEY

    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(deliver, batch[:1], connector, slow, open_storage, now=clock)
        probing.wait(10)
        others = deliver(batch[1:], connector, slow, open_storage, now=clock)
        seen.set()
        probe.result()
    assert (len(calls), sorted(others.untried)) == (1, ["m1", "m2", "m3", "m4", "m5"])


LONG_ID = "x" * 988


def test_f53_what_is_refused_without_a_call_closes_no_circuit(publish, batch_of, connector):
    run, clock, calls = publish([upsert(LONG_ID), upsert("ann")], records_per_request=1), Clock(), []
    long, ann = batch_of(run)

    def send(request):
        calls.append(request)
        return REFUSED_KEY

    deliver([ann], connector, send, open_storage, now=clock)
    clock.forward(31)
    settlement = deliver([long, ann], connector, send, open_storage, now=clock)
    assert (len(calls), list(settlement.waits_s), run.fates()) == (1, ["m1"], [Fate.REJECTED, Fate.OPEN])
    assert read_circuit(run.storage, "braze").health.open_until > clock()


def test_f47_what_is_refused_without_a_call_keeps_no_circuit_from_opening(publish, batch_of, fake_braze, connector):
    run = publish([upsert(name) for name in (LONG_ID, "ann", "bob", "cleo")], records_per_request=1)
    long, *others = batch_of(run)
    down = fake_braze(ann=[BROKEN], bob=[BROKEN], cleo=[BROKEN])
    for other in others:
        deliver([long, other], connector, down, open_storage)
    assert deliver(others, connector, down, open_storage).left_alone == "http_503"


@pytest.mark.parametrize(
    "reply",
    [BROKEN, REFUSED_KEY, Reply(429, {"x-ratelimit-reset": "0"}), Reply(429, {"x-ratelimit-retry-after": "1"})],
    ids=["outage", "revoked key", "reset now", "one second"],
)
def test_f47_f53_however_long_it_waits_no_message_is_handed_out_so_often_that_the_queue_buries_it(
    publish, batch_of, connector, scripted_queue, reply
):
    run, clock = publish([upsert("ann")]), Clock()
    [message] = batch_of(run)
    began, most, ticks = clock(), 0, Ticks()
    while clock() - began < timedelta(days=1):
        queue, pause = scripted_queue(), Pause(ticks)
        settlement = deliver([message], connector, lambda _: reply, open_storage, now=clock, queue=queue, pause=pause)
        wait = settlement.waits_s.get(message.message_id)
        most = max(most, message.receives)
        clock.forward(queue.delays_s[0] if wait is None else int(wait) + 1)
        [body] = queue.taken or [message.body]
        message = Received("m0", body, message.receives + 1 if wait is not None else 1)
    assert most == RENEWED_FROM
    deliver([message], connector, lambda _: OK, open_storage, now=lambda: clock() + timedelta(hours=1))
    assert run.fates() == [Fate.DELIVERED]


def test_a_message_that_the_queue_does_not_take_anew_keeps_waiting_as_it_is(publish, batch_of, fake_braze, connector):
    run = publish([upsert("ann")])
    settlement = deliver(batch_of(run, receives=RENEWED_FROM), connector, fake_braze(ann=[BROKEN]), open_storage)
    assert list(settlement.waits_s) == ["m0"]


def test_f44_when_time_runs_out_what_was_heard_is_receipted_and_the_rest_waits(publish, batch_of, connector):
    run, calls = publish([upsert(f"u{n}") for n in range(8)]), []

    def send(request):
        calls.append(request)
        return Reply(400) if len(json.loads(request.body)["attributes"]) > 1 else OK

    queue = Taking()
    has_time = lambda: len(calls) < 5  # noqa: E731 - as short as it is
    deliver(batch_of(run), connector, send, open_storage, queue=queue, has_time=has_time)
    assert len(calls) == 5
    assert run.fates().count(Fate.DELIVERED) == 2
    assert sum(len(json.loads(body)["lines"]) for body in queue.taken) == 6
    assert read_circuit(run.storage, "braze").health is None


class Taking:
    """A queue that takes everything."""

    def __init__(self):
        self.taken = []

    def send(self, bodies, *, delay_s=0):
        self.taken += bodies
        return []


def test_f46_throttling_opens_no_circuit(publish, batch_of, fake_braze, connector):
    run, braze = publish([upsert("ann")]), fake_braze(ann=[THROTTLED])
    for _ in range(6):
        settlement = deliver(batch_of_again(run, batch_of), connector, braze, open_storage)
        assert 42 <= settlement.waits_s["m0"] <= 42 * 1.2
        assert not settlement.left_alone
    assert requests_of(braze) == 6


def test_a_destination_throttles_by_its_status_whatever_its_connector_calls_that(publish, batch_of, fake_braze):
    class Other(BrazeConnector):
        def outcomes(self, reply, sent):
            return [Outcome(Verdict.RETRY, "slower_please")] * len(sent)

    run, braze = publish([upsert("ann")]), fake_braze(ann=[Reply(429)])
    other = Other(Destination("http://127.0.0.1:1", "canary-key", allow_loopback=True))
    for _ in range(6):
        assert not deliver(batch_of_again(run, batch_of), other, braze, open_storage).left_alone
    assert requests_of(braze) == 6


def batch_of_again(run, batch_of):
    run.storage.delete(f"enqueued/braze/run={run.manifest.run_id}/{run.manifest.files[0].key.rpartition('/')[2]}.json")
    return batch_of(run)


def test_f54_a_key_that_was_rotated_is_read_anew_once(publish, batch_of, fake_braze, connector):
    run, asked = publish([upsert("ann"), upsert("bob")]), []
    fresh = BrazeConnector(Destination("http://127.0.0.1:1", "fresh", allow_loopback=True))

    def connect(is_fresh):
        asked.append(is_fresh)
        return fresh if is_fresh else connector

    def send(request):
        return OK if request.headers["Authorization"] == "Bearer fresh" else REFUSED_KEY

    settlement = deliver(batch_of(run), connector, send, open_storage, connect=connect)
    assert (settlement.refused, run.fates()) == ("", [Fate.DELIVERED] * 2)
    assert asked.count(True) == 1


class Window:
    """A destination with room for a few calls in each stretch of time, on a clock of its own.

    Attributes:
        early: Calls in the stretch under way that came when there was no more room.
    """

    def __init__(self, clock: Ticks, *, room: int, stretch_s: int):
        self.early = 0
        self._clock, self._room, self._stretch_s = clock, room, stretch_s
        self._lock, self._left, self._stretch = threading.Lock(), room, -1

    def __call__(self, request):
        with self._lock:
            stretch = int(self._clock.now_s // self._stretch_s)
            if stretch != self._stretch:
                self._stretch, self._left, self.early = stretch, self._room, 0
            if not self._left:
                self.early += 1
                over_s = (stretch + 1) * self._stretch_s - self._clock.now_s
                return Reply(429, {"x-ratelimit-retry-after": str(over_s)})
            self._left -= 1
            return OK


class Ticks:
    """Seconds that only pass when told."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize("concurrency", [1, 4])
def test_f46_a_storm_of_429_makes_at_most_one_early_call_a_worker(publish, batch_of, connector, concurrency):
    run, ticks = publish([upsert(f"u{number}") for number in range(60)], records_per_request=1), Ticks()
    window, pause = Window(ticks, room=7, stretch_s=10), Pause(ticks)
    waiting = {message.message_id: (0.0, message) for message in batch_of(run)}
    for _ in range(600):
        if not waiting:
            break
        ticks.now_s = max(ticks.now_s, min(at_s for at_s, _ in waiting.values()))
        batch = [message for at_s, message in waiting.values() if at_s <= ticks.now_s][:10]
        settlement = deliver(batch, connector, window, open_storage, concurrency=concurrency, pause=pause)
        assert window.early <= concurrency
        assert not settlement.left_alone
        for message in batch:
            waits = settlement.waits_s.get(message.message_id)
            waiting[message.message_id] = (ticks.now_s + (waits or 0), message)
            if waits is None:
                del waiting[message.message_id]
    assert run.fates() == [Fate.DELIVERED] * 60


def test_f46_while_a_pause_is_under_way_a_message_waits_untried_for_the_rest_of_it(
    publish, batch_of, fake_braze, connector
):
    run, ticks, braze = publish([upsert("ann"), upsert("bob")], records_per_request=1), Ticks(), fake_braze()
    pause = Pause(ticks)
    pause.begin(60)
    ticks.now_s = 20
    settlement = deliver(batch_of(run), connector, braze, open_storage, pause=pause)
    assert (braze.told, settlement.untried, settlement.counts) == ([], {"m0", "m1"}, {"retry": 2})
    assert all(40 <= wait <= 48 for wait in settlement.waits_s.values())
    pause.begin(1)
    assert pause.left_s() == 40
    pause.begin(1e9)
    assert pause.left_s() == 900


def served(emulator, *, key="canary") -> BrazeConnector:
    return BrazeConnector(Destination(emulator.endpoint, key, allow_loopback=True))


def test_f49_what_was_taken_and_not_answered_is_sent_again_and_counted_as_a_possible_repeat(publish, batch_of):
    run = publish([upsert("ann"), upsert("bob")])
    [message] = batch_of(run)
    with BrazeEmulator(api_key="canary", faults=FaultPlan(script=[Fault.RESET_AFTER])) as braze:
        first = deliver([message], served(braze), Sender(), open_storage)
        assert (list(first.waits_s), run.receipts()) == (["m0"], [])
        assert first.counts == {"retry": 2, "requests": 1, "unanswered": 2}
        second = deliver([Received("m0", message.body, 2)], served(braze), Sender(), open_storage)
    assert second.counts == {"delivered": 2, "requests": 1, "repeated": 2}
    assert run.fates() == [Fate.DELIVERED] * 2
    assert (braze.account.stats.objects, len(braze.account.profiles)) == (4, 2)


def test_f49_no_more_is_repeated_than_answers_were_lost(publish, batch_of):
    """Of u lost answers a processed call, u / (1 - u) of the records arrive twice, and not one more."""
    run = publish([upsert(f"u{number}") for number in range(150)], records_per_request=1)
    seed = random.randrange(10**6)
    faults = FaultPlan({Fault.RESET_AFTER: 0.2, Fault.UNAVAILABLE: 0.1}, seed=seed)
    unanswered, left, send = 0, batch_of(run), Sender()
    with BrazeEmulator(api_key="canary", faults=faults) as braze:
        while left:
            settlement = deliver(left, served(braze), send, open_storage, concurrency=4)
            unanswered += settlement.counts["unanswered"]
            left = [message for message in left if message.message_id in settlement.waits_s]
    lost, processed = faults.met[Fault.RESET_AFTER], braze.account.stats.calls
    share = lost / processed
    assert run.fates() == [Fate.DELIVERED] * 150, seed
    assert lost > 0 and unanswered == lost, seed
    assert braze.account.stats.objects - 150 <= 150 * share / (1 - share) + 1e-6, seed


def test_a_connection_that_was_never_made_repeats_nothing(publish, batch_of, connector):
    run = publish([upsert("ann")])
    settlement = deliver(batch_of(run), connector, Sender(connect_timeout_s=1), open_storage)
    assert settlement.counts == {"retry": 1, "requests": 1}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_f53_a_revoked_key_is_probed_once_a_wait_and_delivery_goes_on_unaided_after_rotation(
    publish, batch_of, connector, concurrency
):
    run, clock, keys = publish([upsert(f"u{n}") for n in range(20)], records_per_request=1), Clock(), ["new"]
    known = {"key": connector}
    calls = []

    def connect(is_fresh):
        if is_fresh and keys[0] != "new":
            known["key"] = BrazeConnector(Destination("http://127.0.0.1:1", keys[0], allow_loopback=True))
        return known["key"]

    def send(request):
        calls.append(request)
        return OK if request.headers["Authorization"] == "Bearer rotated" else REFUSED_KEY

    batch = batch_of(run)
    settlement = deliver(batch, connector, send, open_storage, now=clock, connect=connect, concurrency=concurrency)
    assert "401" in settlement.refused
    assert len(calls) <= concurrency
    for closed_s in (30, 60, 120, 240, 480, 900, 900):
        for _ in range(2):  # before the wait is over nothing is called
            count = len(calls)
            settlement = deliver(batch, connector, send, open_storage, now=clock, connect=connect)
            assert (len(calls), len(settlement.waits_s), settlement.poison) == (count, 20, {})
            clock.forward(closed_s / 2 - 0.5)
        clock.forward(1)
        deliver(batch, connector, send, open_storage, now=clock, connect=connect)
        assert len(calls) == count + 1
    keys[0] = "rotated"
    clock.forward(900)
    settlement = deliver(batch, connector, send, open_storage, now=clock, connect=connect)
    assert (settlement.waits_s, run.fates()) == ({}, [Fate.DELIVERED] * 20)


def test_f53_a_new_key_of_an_impossible_form_is_named_and_the_neighbours_keep_their_receipts(
    publish, batch_of, fake_braze, connector
):
    run = publish([upsert("ann"), upsert("bob")], records_per_request=1)

    def connect(is_fresh):
        if is_fresh:
            raise ConfigError("the secret is empty")
        return connector

    settlement = deliver(batch_of(run), connector, fake_braze(bob=[REFUSED_KEY]), open_storage, connect=connect)
    assert settlement.refused == "the secret is empty"
    assert (list(settlement.waits_s), run.fates()) == (["m1"], [Fate.DELIVERED, Fate.OPEN])


def test_f53_a_secret_that_cannot_be_read_in_the_middle_of_a_batch_costs_no_neighbour_his_receipt(
    publish, batch_of, fake_braze, connector
):
    run, braze = publish([upsert(user) for user in ("ann", "bob", "cleo")], records_per_request=1), fake_braze()
    asked = count()

    def connect(is_fresh):
        if next(asked) == 2:  # once for the batch, then for each message
            raise ConfigError("the secret cannot be read (ThrottlingException)")
        return connector

    settlement = deliver(batch_of(run), connector, braze, open_storage, connect=connect)
    assert settlement.refused == "the secret cannot be read (ThrottlingException)"
    assert run.fates() == [Fate.DELIVERED, Fate.OPEN, Fate.OPEN]
    assert list(settlement.waits_s) == ["m1", "m2"]


def test_a_connector_that_fails_over_one_message_costs_no_neighbour_his_receipt(publish, batch_of, fake_braze):
    class Failing(BrazeConnector):
        def fit(self, record, options):
            return {"ann": super().fit(record, options)}[record.user_id]

    connector = Failing(Destination("http://127.0.0.1:1", "canary-key", allow_loopback=True))
    run, queue = publish([upsert("ann"), upsert("user-4711")], records_per_request=1), NoQueue()
    settlement = deliver(batch_of(run), connector, fake_braze(), open_storage, queue=queue)
    assert run.fates() == [Fate.DELIVERED, Fate.OPEN]
    assert (list(settlement.waits_s), settlement.counts["retry"]) == (["m1"], 1)
    assert settlement.faults["m1"].startswith("KeyError in test_deliver.py:")
    assert "4711" not in settlement.faults["m1"]


@pytest.mark.parametrize("place", ["fit", "requests", "outcomes"])
def test_a_connector_that_fails_says_nothing_about_the_destination_and_is_buried_in_the_end(
    publish, batch_of, fake_braze, monkeypatch, place
):
    def fail(*arguments, **named):
        raise ValueError("user-4711")

    connector = BrazeConnector(Destination("http://127.0.0.1:1", "canary-key", allow_loopback=True))
    run, braze, queue = publish([upsert("ann")]), fake_braze(), NoQueue()
    monkeypatch.setattr(connector, place, fail)
    [message] = batch_of(run)
    for _ in range(4):
        again = Received(message.message_id, message.body, RENEWED_FROM)
        settlement = deliver([again], connector, braze, open_storage, queue=queue)
    assert (list(settlement.waits_s), list(settlement.faults)) == (["m0"], ["m0"])
    assert (settlement.left_alone, read_circuit(run.storage, "braze").health) == ("", None)
    assert settlement.counts["requests"] == (place == "outcomes")


def test_f56_of_two_runs_in_one_batch_only_the_newer_one_is_applied_whatever_their_order(
    publish, batch_of, fake_braze, connector
):
    old, braze = publish([upsert("ann"), upsert("bob")]), fake_braze()
    new = publish([upsert("ann")], version=2, run_id="20261122T040000Z-ffffff")
    pointer = Pointer(version=2, run_id=new.manifest.run_id, manifest=new.key, snapshot=[])
    new.storage.put("output/braze/state/_current.json", pointer.to_json().encode())
    replayed = [Received("new", batch_of(new)[0].body), Received("old", batch_of(old)[0].body, 3)]
    for batch in (replayed, replayed[::-1], replayed[1:]):
        deliver(batch, connector, braze, open_storage)
    assert braze.told == [["ann"]] * 2
    assert (old.fates(), new.fates()) == ([Fate.SUPERSEDED] * 2, [Fate.DELIVERED])


def test_f49_a_webhook_that_loses_answers_hears_the_same_event_again(publish, batch_of):
    run = publish(
        [upsert(f"u{number}") for number in range(60)], connector="webhook", options={}, records_per_request=1
    )
    faults = FaultPlan({Fault.RESET_AFTER: 0.2, Fault.UNAVAILABLE: 0.2}, seed=random.randrange(10**6))
    secret, left, send = "whsec_" + "Y2FuYXJ5" * 4, batch_of(run), Sender()
    with WebhookEmulator(secret, faults=faults) as emulator:
        connector = WebhookConnector(Destination(emulator.endpoint, secret, allow_loopback=True))
        while left:
            settlement = deliver(left, connector, send, open_storage, concurrency=4)
            left = [message for message in left if message.message_id in settlement.waits_s]
    lost = faults.met[Fault.RESET_AFTER]
    assert run.fates() == [Fate.DELIVERED] * 60, faults.seed
    assert lost > 0 and (emulator.receiver.events, emulator.receiver.repeats) == (60 + lost, lost), faults.seed
