"""Every line of a published run reaches the queue once, in order, in messages of a good size."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import tracemalloc
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import MESSAGE_BYTES, Message, RunManifest
from connectors.contract.receipts import Fate
from functions.announcements import announced, part_of_message
from functions.enqueue import BATCH_MESSAGES, CLAIM, Enqueued, enqueue_lines, enqueue_part, fan_out
from functions.parts import BATCH_BYTES, EnqueueError, message_bodies

KEY = (
    "etl_jobs/user_personalization/demo/output/braze/"
    "year=2026/month=11/day=21/time=040000-3f9a2c/_manifest.json"
)  # fmt: skip


def upsert(user_id: str, name: str = "shoe") -> dict[str, object]:
    return {"userId": user_id, "op": "upsert", "recommendations": [{"itemId": "106", "name": name}]}


def users(count: int, name: str = "shoe") -> list[dict[str, object]]:
    return [upsert(f"user-{number}", name) for number in range(count)]


def no_sleep(_: float) -> None:
    """Time is not what these tests are about."""


def enqueue(storage, key: str, queue, *, sleep) -> Enqueued:
    """Every part of a run, one after the other."""
    done = Enqueued()
    for file in RunManifest.model_validate_json(storage.get(key).data).files:
        one = enqueue_part(storage, key, file.key, queue, sleep=sleep)
        done.messages, done.records = done.messages + one.messages, done.records + one.records
        done.too_large += one.too_large
    return done


def messages_of(queue) -> list[Message]:
    return [Message.model_validate_json(body) for body in queue.taken]


def lines_of(messages: list[Message]) -> list[dict[str, object]]:
    return [line for message in messages for line in message.lines]


def test_every_line_of_every_part_is_sent_once_and_in_order(publish, scripted_queue):
    first, second = users(200), users(30, "bag")
    run, queue = publish(first, second), scripted_queue()
    done = enqueue(run.storage, run.key, queue, sleep=no_sleep)
    messages = messages_of(queue)
    for file, records in zip(run.manifest.files, (first, second), strict=True):
        of_part = [message for message in messages if message.file == file.key]
        assert lines_of(of_part) == records
        assert of_part[0].first_line == 0
        assert all(after.first_line == before.last_line + 1 for before, after in pairwise(of_part))
        assert of_part[-1].last_line == len(records) - 1
    assert done == Enqueued(messages=len(messages), records=230)


def test_a_message_says_which_lines_of_which_run_it_holds(publish, scripted_queue):
    run, queue = publish(users(3), version=7, records_per_request=2), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    head = {"formatVersion": 1, "connector": "braze", "manifest": run.address, "version": 7, "attempt": 1}
    head["file"] = run.manifest.files[0].key
    assert [json.loads(body) for body in queue.taken] == [
        {**head, "from": 0, "to": 1, "lines": users(3)[:2]},
        {**head, "from": 2, "to": 2, "lines": users(3)[2:]},
    ]


def test_a_message_holds_at_most_one_request_of_the_connector(publish, scripted_queue):
    run, queue = publish(users(151)), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [len(message.lines) for message in messages_of(queue)] == [75, 75, 1]


def test_a_message_of_long_records_holds_as_many_as_fit_into_a_megabyte(publish, scripted_queue):
    run, queue = publish(users(30, "x" * 80_000)), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [len(message.lines) for message in messages_of(queue)] == [12, 12, 6]
    assert all(len(body.encode()) < MESSAGE_BYTES + 100 for body in queue.taken)


def test_what_surrounds_the_lines_counts_too(publish, scripted_queue):
    size = MESSAGE_BYTES // 12 - len(json.dumps(upsert("user-10", ""))) - 1
    run, queue = publish(users(12, "x" * size)), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [len(message.lines) for message in messages_of(queue)] == [11, 1]


def test_f41_large_messages_travel_in_batches_of_at_most_ten_and_one_mebibyte(publish, scripted_queue):
    run, queue = publish(users(10, "x" * 150_000), records_per_request=1), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [len(call) for call in queue.calls] == [6, 4]
    assert all(sum(len(body.encode()) for body in call) <= BATCH_BYTES for call in queue.calls)


def test_small_messages_travel_ten_at_a_time(publish, scripted_queue):
    run, queue = publish(users(23), records_per_request=1), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [len(call) for call in queue.calls] == [BATCH_MESSAGES, BATCH_MESSAGES, 3]


def test_f39_only_what_the_queue_refused_is_sent_again(publish, scripted_queue):
    run, queue = publish(users(4), records_per_request=1), scripted_queue([1, 3], [0])
    done = enqueue(run.storage, run.key, queue, sleep=no_sleep)
    firsts = [[json.loads(body)["from"] for body in call] for call in queue.calls]
    assert firsts == [[0, 1, 2, 3], [1, 3], [1]]
    assert sorted(message.first_line for message in messages_of(queue)) == [0, 1, 2, 3]
    assert done.messages == 4


def test_f39_a_queue_that_keeps_refusing_is_an_error_after_a_few_longer_and_longer_waits(publish, scripted_queue):
    run, queue, waits_s = publish(users(2), records_per_request=1), scripted_queue(*[[0]] * 99), []
    with pytest.raises(EnqueueError, match="refused 1 message"):
        enqueue(run.storage, run.key, queue, sleep=waits_s.append)
    assert [len(call) for call in queue.calls] == [2, 1, 1, 1, 1, 1]
    assert all(0 <= wait_s <= min(10, 0.2 * 2**attempt) for attempt, wait_s in enumerate(waits_s))


def test_f14_a_record_that_no_message_can_hold_gets_a_receipt_and_its_neighbours_go_on(publish, scripted_queue):
    records = [upsert("ann"), upsert("bob", "x" * 2_000_000), upsert("cleo")]
    run, queue = publish(records), scripted_queue()
    done = enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [(m.first_line, m.last_line, m.lines) for m in messages_of(queue)] == [
        (0, 0, [upsert("ann")]),
        (2, 2, [upsert("cleo")]),
    ]
    assert [(r.outcome, r.first_line, r.last_line) for r in run.receipts()] == [("tooLarge", 1, 1)]
    assert run.fates() == [Fate.OPEN, Fate.REJECTED, Fate.OPEN]
    assert (done.records, done.too_large) == (2, 1)


@pytest.mark.parametrize("size", [BATCH_BYTES - 800, BATCH_BYTES - 600, BATCH_BYTES - 400, BATCH_BYTES - 200])
def test_a_record_near_the_limit_is_either_sent_within_it_or_receipted(publish, scripted_queue, size):
    run, queue = publish([upsert("ann", "x" * size)]), scripted_queue()
    done = enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert done.messages + done.too_large == 1
    assert all(len(body.encode()) <= BATCH_BYTES for body in queue.taken)


def test_a_run_with_nothing_to_send_sends_nothing(publish, scripted_queue):
    run, queue = publish(), scripted_queue()
    assert enqueue(run.storage, run.key, queue, sleep=no_sleep) == Enqueued()
    assert queue.calls == []


@pytest.mark.parametrize("count", [2, 4], ids=["shorter", "longer"])
def test_a_part_that_does_not_hold_what_its_manifest_says_is_refused(publish, scripted_queue, count):
    run = publish(users(3))
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in users(count))
    data = gzip.compress(lines)
    file = run.manifest.files[0].model_copy(update={"checksum": hashlib.sha256(data).hexdigest()})
    run.storage.put(file.key, data)
    with pytest.raises(EnqueueError, match=r"should hold 3 records"):
        enqueue_lines(run.storage, run.key, run.manifest, file, scripted_queue(), [(0, 2)], sleep=no_sleep)


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"x" * len(data)], ids=["cut", "not gzip"])
def test_a_damaged_part_is_refused_by_name(publish, scripted_queue, damage):
    run = publish(users(3))
    file = run.manifest.files[0].key
    run.storage.put(file, damage(run.storage.get(file).data))
    with pytest.raises(EnqueueError, match="part-00000-0-000"):
        enqueue(run.storage, run.key, scripted_queue(), sleep=no_sleep)


def test_only_the_ranges_asked_for_are_sent(publish, scripted_queue):
    run, queue = publish(users(10)), scripted_queue()
    file, ranges = run.manifest.files[0], [(1, 2), (5, 5), (9, 9)]
    done = enqueue_lines(run.storage, run.key, run.manifest, file, queue, ranges, sleep=no_sleep)
    assert [(m.first_line, m.last_line) for m in messages_of(queue)] == [(1, 2), (5, 5), (9, 9)]
    assert lines_of(messages_of(queue)) == [users(10)[line] for line in (1, 2, 5, 9)]
    assert done == Enqueued(messages=3, records=4)


HOSTILE = [
    "a@b.com",
    "two words",
    "x" * 200,
    "🦊 “quoted” \\ \" ' / \t",
    "\x00\x1b[31m",
    "名前",
    "\ufffe\uffff",
    "'; --",
]


def test_f16_user_ids_of_any_kind_pass_unchanged(publish, scripted_queue):
    run, queue = publish([upsert(user_id) for user_id in HOSTILE]), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert [line["userId"] for line in lines_of(messages_of(queue))] == HOSTILE


def test_f16_a_message_holds_no_character_that_sqs_refuses_or_replaces(publish, scripted_queue):
    # Source: Amazon SQS API reference, SendMessage: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 on.
    run, queue = publish([upsert("ann\ufffe", "\uffff\ufffd\u007f\x01")]), scripted_queue()
    enqueue(run.storage, run.key, queue, sleep=no_sleep)
    assert all(c >= " " and c not in "\ufffe\uffff" for body in queue.taken for c in body)
    assert lines_of(messages_of(queue)) == [upsert("ann\ufffe", "\uffff\ufffd\u007f\x01")]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([0, 9, 500, 60_000, 249_000, 499_000, 990_000, 1_048_000, 1_100_000]), max_size=30),
    most=st.integers(1, 8),
    first_line=st.integers(0, 10**7),
)
def test_messages_of_any_sizes_put_together_are_the_part(publish_manifest, sizes, most, first_line):
    manifest = publish_manifest.model_copy(update={"records_per_request": most})
    records = [upsert(str(number), "é" * (size // 2)) for number, size in enumerate(sizes)]
    lines = [json.dumps(record, ensure_ascii=False).encode() for record in records]
    too_large = []
    bodies = list(message_bodies(iter(lines), manifest, "/x/_manifest.json", "part", first_line, too_large, deque()))
    messages = [Message.model_validate_json(body) for body in bodies]
    held = {m.first_line + offset: line for m in messages for offset, line in enumerate(m.lines)}
    receipted = {receipt.first_line for receipt in too_large}
    assert held.keys().isdisjoint(receipted)
    assert held.keys() | receipted == set(range(first_line, first_line + len(records)))
    assert all(held[line] == records[line - first_line] for line in held)
    assert all(m.last_line - m.first_line + 1 == len(m.lines) <= most for m in messages)
    assert all(len(body) <= BATCH_BYTES for body in bodies)
    shared = [body for body, message in zip(bodies, messages, strict=True) if len(message.lines) > 1]
    assert all(len(body) <= MESSAGE_BYTES + 100 for body in shared)
    assert all(len(lines[line - first_line]) > 1_000_000 for line in receipted)


@pytest.fixture
def publish_manifest(publish):
    return publish().manifest


def noise(number: int) -> str:
    return "".join(hashlib.sha256(f"{number}-{block}".encode()).hexdigest() for block in range(4))


class Discard:
    """A queue that remembers nothing, but calls back when it is first used."""

    def __init__(self, on_first):
        self._on_first = on_first

    def send(self, bodies, *, delay_s=0):
        self._on_first()
        self._on_first = lambda: None
        return []


def test_the_first_messages_leave_when_little_of_the_part_is_read(publish, folder):
    run = publish([upsert(str(number), noise(number)) for number in range(20_000)])
    streams, read_bytes = [], []

    class WatchedStorage(LocalStorage):
        def open(self, key):
            streams.append(super().open(key))
            return streams[-1]

    enqueue(WatchedStorage(folder), run.key, Discard(lambda: read_bytes.append(streams[-1].tell())), sleep=no_sleep)
    assert read_bytes[0] < run.manifest.files[0].size_bytes / 5


def test_memory_does_not_grow_with_the_part(publish):
    run = publish([upsert(str(number), noise(number)) for number in range(20_000)])
    tracemalloc.start()
    try:
        enqueue(run.storage, run.key, Discard(lambda: None), sleep=no_sleep)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.manifest.files[0].size_bytes > 2_500_000
    assert peak_bytes < 2_000_000


def told(key: object, kind: str = "Object Created", bucket: object = "shop") -> dict[str, object]:
    """What EventBridge says of an object."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": kind, "detail": detail}


def record(key: str, name: str = "ObjectCreated:Put") -> dict[str, object]:
    """What an S3 notification says of an object."""
    place = {"bucket": {"name": "shop"}, "object": {"key": quote_plus(key, safe="/")}}
    return {"eventSource": "aws:s3", "eventName": name, "s3": place}


def announced_in(event: object) -> tuple[list[tuple[str, str]], int]:
    """The manifests that an event announces, and how many of its events are ignored."""
    found = announced(json.dumps(event))
    return list(found.manifests), found.ignored


def test_f36_an_eventbridge_event_names_the_manifest_by_its_raw_key():
    assert announced_in(told(KEY)) == ([("shop", KEY)], 0)


@pytest.mark.parametrize("name", ["ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Copy"])
def test_f36_an_s3_notification_names_the_manifest_by_its_encoded_key(name):
    event = {"Records": [record(KEY, name)]}
    assert "%3D" in json.dumps(event)
    assert announced_in(event) == ([("shop", KEY)], 0)


def test_f36_a_raw_key_is_not_decoded_a_second_time():
    assert announced_in(told(quote_plus(KEY, safe="/"))) == ([], 1)


def test_f36_a_key_is_decoded_once_and_only_where_its_kind_of_event_encodes_it():
    encoded = KEY.replace("demo", "de%6Do").replace("=", "%3D")
    for key, found in [(encoded, [("shop", KEY)]), (encoded.replace("%6D", "%256D"), []), (f"a+b%20c/{encoded}", [])]:
        event = record(KEY)
        event["s3"]["object"]["key"] = key
        assert announced_in({"Records": [event]}) == (found, 1 - len(found))
        assert announced_in(told(key)) == ([], 1)


def test_f36_every_manifest_of_a_notification_is_announced_and_the_rest_counted():
    other = KEY.replace("3f9a2c", "000001")
    parts = [record(KEY.replace("_manifest.json", "part-00000-0-000.jsonl.gz")), None, {"s3": 1}]
    event = {"Records": [record(KEY), *parts, record(other), record(other, "ObjectRemoved:Delete")]}
    assert announced_in(event) == ([("shop", KEY), ("shop", other)], 4)


OTHER_KEYS = [
    KEY.replace("_manifest.json", "part-00000-0-000.jsonl.gz"),
    KEY.replace("_manifest.json", "_SUCCESS"),
    KEY.replace("_manifest.json", "._manifest.json.crc"),
    KEY.replace("_manifest.json", "_temporary/0/_manifest.json"),
    KEY.replace("demo/", "../demo/"),
    KEY.replace("demo/", "%2e%2e/"),
    KEY.replace("user_personalization", "unknown"),
    KEY.replace("etl_jobs/", ""),
    KEY.replace("output/braze/", "output/br aze/"),
    "etl_jobs/user_personalization/demo/output/braze/state/_current.json",
    "etl_jobs/user_personalization/demo/config.json",
    "photo.jpg",
    "a+b%20c",
    "%zz\x00",
    "",
]


@pytest.mark.parametrize("key", OTHER_KEYS)
def test_f36_events_of_other_objects_are_ignored_and_counted(key):
    assert announced_in(told(key)) == ([], 1)
    assert announced_in({"Records": [record(key)]}) == ([], 1)


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "shop"},
        told(KEY, "Object Deleted"),
        told(KEY, "Object Restore Completed"),
        {"detail": told(KEY)["detail"]},
        {"Records": [record(KEY, "ObjectRemoved:Delete")]},
        {"Records": [record(KEY, "s3:TestEvent")]},
        {"Records": [{**record(KEY), "eventName": None}]},
        {"Records": [{**record(KEY), "s3": {"bucket": "shop", "object": KEY}}]},
        told(["a", "list"]),
        told(KEY, bucket=None),
        told(KEY, bucket="br/idge"),
        {**told(KEY), "detail": None},
        {**told(KEY), "detail": "text"},
        {**told(KEY), "detail": {"bucket": "shop", "object": [KEY]}},
        {**told(KEY), "detail-type": {"Object Created": 1}},
        {"Records": []},
        {"Records": None},
        {"Records": "text"},
        {"Records": {"s3": 1}},
        {},
        [],
        [told(KEY)],
        1,
        None,
        "text",
    ],
    ids=lambda event: json.dumps(event)[:60],
)
def test_f36_events_of_any_other_shape_are_ignored_and_counted(event):
    assert announced_in(event) == ([], 1)


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | st.just(KEY),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["Records", "detail", "detail-type", "s3", "bucket", "object", "name", "key", "eventName"]),
            inner,
            max_size=3,
        )
    ),
)


@given(event=_JSON)
def test_f36_no_json_whatsoever_is_an_exception(event):
    manifests, ignored = announced_in(event)
    records = event["Records"] if isinstance(event, dict) and isinstance(event.get("Records"), list) else [event]
    assert len(manifests) + ignored == max(1, len(records))


@pytest.mark.parametrize("body", ["", "no json", '{"Records": [', "\x00"])
def test_a_body_that_is_no_json_is_an_error(body):
    with pytest.raises(ValueError, match=r"Expecting value"):
        announced(body)


def test_a_run_fans_out_to_one_message_a_part(publish, scripted_queue):
    run, queue = publish(users(3), users(2)), scripted_queue()
    assert fan_out(run.storage, run.key, queue, sleep=no_sleep).messages == 2
    assert [part_of_message(body) for body in queue.taken] == [(run.address, file.key) for file in run.manifest.files]
    assert part_of_message('{"detail": {}}') is None


def test_a_run_whose_destination_the_stack_lacks_fans_out_to_nothing_and_says_what_to_do(publish, scripted_queue):
    run, queue = publish(users(3)), scripted_queue()
    with pytest.raises(EnqueueError, match=r"this stack has no braze; deploy it with .* or take braze out of config"):
        fan_out(run.storage, run.key, queue, sleep=no_sleep, has_queue={"webhook"}.__contains__)
    assert queue.taken == []


def test_an_on_write_run_fans_out_to_nothing_and_says_why(publish, scripted_queue):
    run, queue = publish(users(3), acknowledge="onWrite"), scripted_queue()
    assert "someone else reads its files" in fan_out(run.storage, run.key, queue, sleep=no_sleep).skipped
    assert queue.taken == []


def test_f34_the_same_part_five_times_is_enqueued_once(publish, scripted_queue):
    run, queue = publish(users(200)), scripted_queue()
    results = [enqueue_part(run.storage, run.key, run.manifest.files[0].key, queue, sleep=no_sleep) for _ in range(5)]
    assert [one.records for one in results] == [200, 0, 0, 0, 0]
    assert all("handed over before" in one.skipped for one in results[1:])
    assert lines_of(messages_of(queue)) == users(200)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_f35_the_order_of_parts_does_not_matter(publish, scripted_queue, order):
    run, queue = publish(users(3), users(2, "bag")), scripted_queue()
    for number in order:
        enqueue_part(run.storage, run.key, run.manifest.files[number].key, queue, sleep=no_sleep)
    assert sorted(map(str, lines_of(messages_of(queue)))) == sorted(map(str, [*users(3), *users(2, "bag")]))


class Dies(BaseException):
    """The function is killed."""


class DyingQueue:
    """Takes some batches and dies in the next."""

    def __init__(self, batches: int):
        self.left, self.taken = batches, []

    def send(self, bodies, *, delay_s=0):
        if not self.left:
            raise Dies
        self.left -= 1
        self.taken += bodies
        return []


@pytest.mark.parametrize("batches", [0, 7, 10, 13, 25])
def test_f38_a_half_done_part_goes_on_from_its_checkpoint(publish, scripted_queue, batches):
    """Ten batches of ten messages of two records are a checkpoint: at most so much is sent twice."""
    run = publish(users(600), records_per_request=2)
    part, dying, rest = run.manifest.files[0].key, DyingQueue(batches), scripted_queue()
    with pytest.raises(Dies):
        enqueue_part(run.storage, run.key, part, dying, sleep=no_sleep)
    with pytest.raises(EnqueueError, match="another invocation works on"):
        enqueue_part(run.storage, run.key, part, rest, sleep=no_sleep)
    enqueue_part(run.storage, run.key, part, rest, sleep=no_sleep, now=lambda: datetime.now(UTC) + CLAIM)
    first, second = lines_of(messages_of(dying)), lines_of(messages_of(rest))
    assert [*first[: 600 - len(second)], *second] == users(600)
    assert 0 <= len(first) + len(second) - 600 < 10 * 10 * 2


def test_f34_of_two_who_enqueue_one_part_at_once_one_stops_before_it_sends_anything(publish, scripted_queue):
    run, second = publish(users(600), records_per_request=2), scripted_queue()
    part, refused = run.manifest.files[0].key, []

    def also():
        with pytest.raises(EnqueueError, match="another invocation works on") as error:
            enqueue_part(run.storage, run.key, part, second, sleep=no_sleep)
        refused.append(error)

    assert enqueue_part(run.storage, run.key, part, Discard(also), sleep=no_sleep).records == 600
    assert (second.taken, len(refused) > 0) == ([], True)


def test_f34_of_two_who_begin_in_the_same_moment_one_stops_before_it_sends_anything(publish, scripted_queue, folder):
    run, meeting = publish(users(4)), threading.Barrier(2, timeout=10)
    queues, part = [scripted_queue(), scripted_queue()], run.manifest.files[0].key

    class Together(LocalStorage):
        def put(self, key, data, **condition):
            if condition.get("if_absent"):
                meeting.wait()
            return super().put(key, data, **condition)

    def begin(queue):
        try:
            enqueue_part(Together(folder), run.key, part, queue, sleep=no_sleep)
        except EnqueueError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        ends = sorted(pool.map(begin, queues))
    assert ends[0] == "" and "another invocation works on" in ends[1]
    assert lines_of([*messages_of(queues[0]), *messages_of(queues[1])]) == users(4)


def test_a_part_whose_enqueue_failed_is_free_at_once(publish, scripted_queue):
    run = publish(users(4))
    part, refusing = run.manifest.files[0].key, scripted_queue(*[[0]] * 6)
    with pytest.raises(EnqueueError, match="refused"):
        enqueue_part(run.storage, run.key, part, refusing, sleep=no_sleep)
    assert enqueue_part(run.storage, run.key, part, scripted_queue(), sleep=no_sleep).records == 4


def test_f37_a_part_replaced_after_its_manifest_is_refused_before_anything_is_sent(publish, scripted_queue):
    run, queue = publish(users(3)), scripted_queue()
    part = run.manifest.files[0].key
    run.storage.put(part, gzip.compress(b"".join(json.dumps(user).encode() + b"\n" for user in users(3, "bag"))))
    with pytest.raises(EnqueueError, match="its checksum differs"):
        enqueue_part(run.storage, run.key, part, queue, sleep=no_sleep)
    run.storage.delete(part)
    with pytest.raises(EnqueueError, match="is gone"):
        enqueue_part(run.storage, run.key, part, queue, sleep=no_sleep)
    assert queue.taken == []


def test_a_part_that_no_manifest_lists_is_refused(publish, scripted_queue):
    run = publish(users(3))
    with pytest.raises(EnqueueError, match="is not a part of"):
        enqueue_part(run.storage, run.key, "output/braze/other.jsonl.gz", scripted_queue(), sleep=no_sleep)
