"""A run is delivered in this process; where it breaks off, the receipts say what is left."""

from __future__ import annotations

import gzip
import json

import pytest

from cli import embedded
from cli.embedded import GIVE_UP_AFTER, Delivery, deliver_run, published, total
from connectors.base import Destination, Reply
from connectors.braze.connector import BrazeConnector
from connectors.contract import layout
from connectors.contract.health import OPENS_AFTER
from connectors.contract.receipts import Fate
from functions.parts import EnqueueError

OK = Reply(201, {}, b'{"message": "success"}')
REFUSED = Reply(
    201, {}, b'{"message": "success", "errors": [{"index": 0, "type": "bad", "input_array": "attributes"}]}'
)
USERS = [f"u{number}" for number in range(40)]


class Clock:
    """Time that passes only while someone sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeBraze:
    """Answers with what `answer` says about the number of the call and its users."""

    def __init__(self, answer):
        self._answer = answer
        self.told = []

    def __call__(self, request):
        users = [one["external_id"] for one in json.loads(request.body)["attributes"]]
        self.told.append(users)
        return self._answer(len(self.told), users)


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(embedded, "time", clock)
    return clock


@pytest.fixture
def deliver(folder):
    """Deliver a run, one call at a time, to a Braze that answers so."""
    connector = BrazeConnector(Destination("http://127.0.0.1:1", "canary-key", allow_loopback=True))

    def start(run, answer, report=lambda text: None) -> tuple[Delivery, FakeBraze]:
        braze = FakeBraze(answer)
        delivery = deliver_run(run.storage, run.key, run.manifest, connector, braze, concurrency=1, report=report)
        return delivery, braze

    return start


def all_well(call, users) -> Reply:
    return OK


def test_all_parts_of_a_run_are_delivered(publish, deliver):
    run, said = publish(["ann", "bob"], ["cleo"]), []
    delivery, braze = deliver(run, all_well, said.append)
    assert braze.told == [["ann", "bob"], ["cleo"]]
    assert run.fates() == [Fate.DELIVERED] * 3
    assert (delivery.fates[Fate.DELIVERED], delivery.waiting, delivery.requests) == (3, 0, 2)
    assert delivery.trouble == []
    assert [text.partition(",")[0] for text in said] == [
        "braze: delivering part 1 of 2",
        "braze: delivering part 2 of 2",
    ]


def test_of_a_part_that_is_not_what_was_published_nobody_is_told(publish, deliver):
    run = publish(["ann", "bob"])
    (file,) = run.manifest.files
    told = gzip.decompress(run.storage.get(file.key).data)
    run.storage.put(file.key, gzip.compress(told.replace(b"ann", b"eve")))
    with pytest.raises(EnqueueError, match=rf"{file.key} was replaced after its manifest was written"):
        deliver(run, lambda call, users: pytest.fail(f"told {users}"))


def test_while_nobody_can_tell_which_run_is_the_newest_nobody_is_told(publish, deliver, clock):
    run, began_s = publish(["ann"]), clock.now_s
    run.storage.put(layout.pointer("braze"), b"{")
    delivery, braze = deliver(run, all_well)
    assert (braze.told, delivery.waiting, clock.now_s) == ([], 1, began_s)
    assert "_current.json is damaged" in delivery.trouble[0]


def test_what_is_delivered_is_not_sent_again(publish, deliver):
    run = publish(["ann", "bob"])
    deliver(run, all_well)
    delivery, braze = deliver(run, all_well)
    assert braze.told == []
    assert (delivery.fates[Fate.DELIVERED], delivery.requests) == (2, 0)


def test_a_rejected_record_is_not_sent_again(publish, deliver):
    run = publish(["ann", "bob"])
    delivery, _ = deliver(run, lambda call, users: REFUSED)
    assert run.fates() == [Fate.REJECTED, Fate.DELIVERED]
    assert (delivery.fates[Fate.REJECTED], delivery.waiting) == (1, 0)
    assert deliver(run, all_well)[1].told == []


def test_a_delivery_that_broke_off_goes_on_where_it_stopped(publish, deliver):
    run = publish(USERS, records_per_request=1)

    def break_off(call, users) -> Reply:
        if call > embedded.MESSAGES_A_CALL:
            raise KeyboardInterrupt
        return OK

    with pytest.raises(KeyboardInterrupt):
        deliver(run, break_off)
    delivery, braze = deliver(run, all_well)
    assert braze.told == [[user] for user in USERS[embedded.MESSAGES_A_CALL :]]
    assert (run.fates(), delivery.waiting) == ([Fate.DELIVERED] * 40, 0)


def test_a_failure_is_tried_again_after_a_wait(publish, deliver, clock):
    run, started_s = publish(["ann"]), clock.now_s
    throttled = Reply(429, {"x-ratelimit-retry-after": "30"})
    delivery, braze = deliver(run, lambda call, users: OK if call == 3 else throttled)
    assert braze.told == [["ann"]] * 3
    assert started_s + 60 <= clock.now_s <= started_s + 72
    assert (delivery.waiting, delivery.trouble) == (0, [])


def test_a_message_in_trouble_does_not_hold_up_the_others(publish, deliver):
    run = publish(["ann", "bob", "cleo"], records_per_request=1)
    delivery, braze = deliver(run, lambda call, users: Reply(503) if call == 1 else OK)
    assert braze.told == [["ann"], ["bob"], ["cleo"], ["ann"]]
    assert delivery.waiting == 0


def test_it_gives_up_when_the_circuit_opens_and_says_what_waits(publish, deliver):
    run = publish(["ann", "bob"], records_per_request=1)
    delivery, braze = deliver(run, lambda call, users: Reply(503) if "ann" in users else OK)
    assert braze.told.count(["ann"]) == 1 + OPENS_AFTER
    assert run.fates() == [Fate.OPEN, Fate.DELIVERED]
    assert delivery.waiting == 1
    assert delivery.trouble == ["the destination is in trouble: http_503"]


def test_the_next_call_of_a_person_probes_an_open_circuit(publish, deliver):
    run = publish(["ann"])
    deliver(run, lambda call, users: Reply(503))
    delivery, braze = deliver(run, lambda call, users: OK)
    assert (braze.told, delivery.waiting, delivery.trouble) == ([["ann"]], 0, [])


def test_it_gives_up_on_one_message_that_is_throttled_without_end(publish, deliver):
    delivery, braze = deliver(publish(["ann"]), lambda call, users: Reply(429))
    assert braze.told == [["ann"]] * GIVE_UP_AFTER
    assert delivery.trouble == [f"the destination did not take a message in {GIVE_UP_AFTER} tries"]


def test_a_part_in_trouble_stops_the_parts_after_it(publish, deliver):
    run = publish(["ann"], ["bob"])
    delivery, braze = deliver(run, lambda call, users: Reply(503))
    assert {user for users in braze.told for user in users} == {"ann"}
    assert delivery.waiting == 2


def test_a_refused_key_stops_at_once(publish, deliver, clock):
    run, started_s = publish(USERS, ["ann"], records_per_request=75), clock.now_s
    delivery, braze = deliver(run, lambda call, users: Reply(401))
    assert len(braze.told) == 1
    assert clock.now_s == started_s
    assert ["401" in trouble for trouble in delivery.trouble] == [True]
    assert (delivery.waiting, run.fates()) == (41, [Fate.OPEN] * 41)


def test_runs_are_found_oldest_first_and_other_objects_are_passed_over(publish, folder):
    second, first = publish(["ann"], version=2), publish(["ann"], version=1)
    first.storage.put("output/braze/state/_current.json", b"{}")
    first.storage.put("output/webhook/state/_manifest.json", b"{}")
    assert published(first.storage, "braze") == [(run.key, run.manifest) for run in (first, second)]
    assert published(first.storage, "webhook") == []


def test_the_figures_of_several_runs_add_up(publish):
    manifest = publish(["ann"]).manifest
    one = Delivery(manifest, {Fate.DELIVERED: 3, Fate.REJECTED: 2, Fate.OPEN: 1, Fate.SUPERSEDED: 4}, requests=5)
    counts = total([one, one, Delivery(manifest)])
    assert counts == {"records": 20, "delivered": 6, "rejected": 4, "superseded": 8, "waiting": 2, "requests": 10}
