"""The handlers as Lambda calls them, with S3, SQS and the rest by moto and Braze on loopback."""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import clear_caches
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from lambda_event import sqs_event
from moto import mock_aws

from cli.emulators.braze import BrazeEmulator
from cli.emulators.braze_account import Answer
from connectors.contract import s3_storage
from connectors.contract.receipts import Fate
from connectors.contract.s3_storage import S3Storage
from connectors.errors import ConfigError
from functions import aws, deliver, enqueue

FOLDER = "etl_jobs/user_personalization/demo"


def upsert(user_id: str) -> dict[str, object]:
    return {"userId": user_id, "op": "upsert", "recommendations": [{"itemId": "106"}]}


def forget_clients() -> None:
    s3_storage._s3.cache_clear()
    aws._sqs.cache_clear()
    aws.sender.cache_clear()
    aws.pause.cache_clear()
    aws._connector.cache_clear()
    clear_caches()


@pytest.fixture
def cloud(monkeypatch):
    """An account of our own for each test."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "canary")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("STACK_NAME", "shop-sync")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        forget_clients()
        s3_storage._s3().create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield
    forget_clients()


@pytest.fixture
def braze(cloud, monkeypatch):
    with BrazeEmulator(api_key="key-canary") as emulator:
        boto3.client("ssm").put_parameter(Name="/recsync/endpoint", Value=emulator.endpoint, Type="String")
        boto3.client("secretsmanager").create_secret(Name="recsync/braze", SecretString="key-canary")
        monkeypatch.setenv("DESTINATION", "braze")
        monkeypatch.setenv("ENDPOINT_PARAMETER", "/recsync/endpoint")
        monkeypatch.setenv("SECRET_ID", "recsync/braze")
        monkeypatch.setenv("RECSYNC_ALLOW_LOOPBACK", "1")
        yield emulator


@pytest.fixture
def queue_url(cloud, monkeypatch) -> str:
    url = aws._sqs().create_queue(QueueName="braze")["QueueUrl"]
    monkeypatch.setenv("QUEUE_URL_BRAZE", url)
    for name, variable in (("work", "WORK_QUEUE_URL"), ("dead", "DEAD_LETTER_QUEUE_URL")):
        monkeypatch.setenv(variable, aws._sqs().create_queue(QueueName=name)["QueueUrl"])
    return url


@pytest.fixture
def published(cloud, publish):
    """A run in the bucket."""
    return lambda *parts, **fields: publish(*parts, storage=S3Storage("shop", FOLDER), **fields)


@pytest.fixture
def log(monkeypatch):
    """What the functions log: their handler holds the stdout of the moment it was made."""
    stream = io.StringIO()
    for handler in logging.getLogger("recsync").handlers:
        monkeypatch.setattr(handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def visibilities(cloud):
    """The waits that were set, by receipt handle."""
    found: dict[str, int] = {}

    def note(params, **_):
        found[params["ReceiptHandle"]] = params["VisibilityTimeout"]

    aws._sqs().meta.events.register("provide-client-params.sqs.ChangeMessageVisibility", note)
    return found


def created(run) -> str:
    """The event that S3 sends, by EventBridge, for a run's manifest."""
    detail = {"bucket": {"name": "shop"}, "object": {"key": f"{FOLDER}/{run.key}"}}
    return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})


def received(queue_url: str) -> dict[str, object]:
    """What waits on the queue, as Lambda hands it over."""
    event = sqs_event()
    while (
        messages := aws._sqs()
        .receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
        )
        .get("Messages")
    ):
        for message in messages:
            [record] = sqs_event(message["Body"])["Records"]
            record |= {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"]}
            event["Records"].append(record | {"attributes": message["Attributes"]})
    return event


@dataclass
class Context:
    """What Lambda tells a function of its own call."""

    left_ms: int = 300_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


def enqueue_all(event, context=None):
    """Handle events, and then the parts they fanned out to; what failed of either."""
    failed = enqueue.lambda_handler(event, context)["batchItemFailures"]
    parts = received(os.environ["WORK_QUEUE_URL"])
    if parts["Records"]:
        failed = failed + enqueue.lambda_handler(parts, context)["batchItemFailures"]
    return {"batchItemFailures": failed}


def handles_of(event) -> dict[str, str]:
    """The receipt handle of the message that holds a user, by user."""
    return {
        line["userId"]: record["receiptHandle"]
        for record in event["Records"]
        for line in json.loads(record["body"])["lines"]
    }


NOTHING_FAILED = {"batchItemFailures": []}


def test_a_queue_takes_ten_messages_at_once(queue_url):
    assert aws.SqsQueue(queue_url).send([f"body {number}" for number in range(10)]) == []
    assert sorted(record["body"] for record in received(queue_url)["Records"]) == [f"body {n}" for n in range(10)]


def test_a_queue_names_the_positions_it_refused(queue_url):
    def refuse(parsed, **_):
        parsed["Failed"] = [{"Id": "7", "SenderFault": False, "Code": "InternalError"}, {"Id": "2", "Code": "x"}]

    aws._sqs().meta.events.register("after-call.sqs.SendMessageBatch", refuse)
    assert aws.SqsQueue(queue_url).send(["body"] * 10) == [2, 7]


def test_f40_user_ids_stand_in_bodies_only(queue_url):
    sent = []
    aws._sqs().meta.events.register(
        "provide-client-params.sqs.SendMessageBatch", lambda params, **_: sent.append(params)
    )
    aws.SqsQueue(queue_url).send(['{"userId":"a@b.com"}'])
    [entry] = sent[0]["Entries"]
    assert entry == {"Id": "0", "MessageBody": '{"userId":"a@b.com"}'}


def test_a_message_waits_as_long_as_its_sender_says_or_as_the_queue_does(queue_url):
    sent = []
    aws._sqs().meta.events.register(
        "provide-client-params.sqs.SendMessageBatch", lambda params, **_: sent.append(params)
    )
    aws.SqsQueue(queue_url).send(["now"])
    aws.SqsQueue(queue_url).send(["later"], delay_s=42)
    assert [entry.get("DelaySeconds") for params in sent for entry in params["Entries"]] == [None, 42]


def test_a_published_run_becomes_profiles_and_receipts(published, queue_url, braze, visibilities):
    run = published([upsert(f"user {number}@b.com") for number in range(200)])
    assert enqueue_all(sqs_event(created(run)), None) == NOTHING_FAILED
    event = received(queue_url)
    assert len(event["Records"]) == 3
    assert deliver.lambda_handler(event, Context()) == NOTHING_FAILED
    assert len(braze.account.profiles) == 200
    assert braze.account.profiles["user 7@b.com"] == {"recs_items": [{"itemId": "106"}]}
    assert run.fates() == [Fate.DELIVERED] * 200
    assert visibilities == {}


def test_only_the_bad_event_of_a_batch_comes_back(published, queue_url):
    run = published([upsert("ann")])
    event = sqs_event("no json", created(run), json.dumps({"Event": "s3:TestEvent"}))
    assert enqueue_all(event, None) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert list(handles_of(received(queue_url))) == ["ann"]


def notified(*runs) -> str:
    """The notification that S3 itself sends, for the manifests of some runs."""
    places = [{"bucket": {"name": "shop"}, "object": {"key": quote_plus(f"{FOLDER}/{run.key}")}} for run in runs]
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": place} for place in places]})


def test_f36_every_run_of_a_notification_is_enqueued_also_after_one_that_cannot_be(published, queue_url, log):
    ann, bob, cid = (published([upsert(user)], run_id=f"20261121T04000{at}Z-3f9a2c") for at, user in enumerate("abc"))
    ann.storage.delete(ann.key)
    cid.storage.delete(cid.key)
    assert enqueue_all(sqs_event(notified(ann, bob, cid)), None) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert list(handles_of(received(queue_url))) == ["b"]
    [failed] = [line for line in log() if line["level"] == "ERROR"]
    assert f"{ann.key} is not there" in failed["exception"] and f"{cid.key} is not there" in failed["exception"]


HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "a\x00b",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "👟👨‍👩‍👧",
    "\ufffe\uffff",
    '"\\',
]


def test_f16_hostile_text_is_on_the_profile_as_it_was(published, queue_url, braze):
    records = [
        {"userId": f"{at} {text}", "op": "upsert", "recommendations": [{"itemId": "106", "name": text}]}
        for at, text in enumerate(HOSTILE)
    ]
    run = published(records)
    enqueue_all(sqs_event(created(run)))
    assert deliver.lambda_handler(received(queue_url), Context()) == NOTHING_FAILED
    told = {user: profile["recs_items"][0]["name"] for user, profile in braze.account.profiles.items()}
    assert told == {f"{at} {text}": text for at, text in enumerate(HOSTILE)}


def metrics(out: str) -> dict[str, float]:
    """The figures printed as metrics, summed up by name."""
    found: Counter[str] = Counter()
    for line in out.splitlines():
        metric = json.loads(line)
        for described in metric["_aws"]["CloudWatchMetrics"]:
            found.update({one["Name"]: sum(metric[one["Name"]]) for one in described["Metrics"]})
    return dict(found)


def test_f14_a_record_of_2_mb_is_rejected_and_counted_and_the_others_are_delivered(published, queue_url, braze, capsys):
    large = {**upsert("bob"), "recommendations": [{"itemId": "x" * 2_000_000}]}
    run = published([upsert("ann"), large, upsert("cleo")])
    assert enqueue_all(sqs_event(created(run))) == NOTHING_FAILED
    assert metrics(capsys.readouterr().out) == {"RecordsEnqueued": 2, "RecordsRejected": 1}
    deliver.lambda_handler(received(queue_url), Context())
    assert run.fates() == [Fate.DELIVERED, Fate.REJECTED, Fate.DELIVERED]


@pytest.mark.parametrize("event_of", [lambda run: created(run), lambda run: notified(run)], ids=["raw", "encoded"])
def test_f34_the_same_event_five_times_sends_each_record_once(published, queue_url, event_of):
    run = published([upsert(f"u{number}") for number in range(100)], [upsert("other")])
    for _ in range(5):
        assert enqueue_all(sqs_event(event_of(run))) == NOTHING_FAILED
    lines = [line for record in received(queue_url)["Records"] for line in json.loads(record["body"])["lines"]]
    assert sorted(line["userId"] for line in lines) == sorted([*(f"u{number}" for number in range(100)), "other"])


@pytest.mark.parametrize("act", ["replaced", "deleted"])
def test_f37_a_part_that_is_not_what_was_published_ends_in_the_dead_letter_queue(published, queue_url, act, log):
    run, work = published([upsert("ann")]), os.environ["WORK_QUEUE_URL"]
    dead = os.environ["DEAD_LETTER_QUEUE_URL"]
    arn = aws._sqs().get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "2"})
    aws._sqs().set_queue_attributes(QueueUrl=work, Attributes={"RedrivePolicy": redrive, "VisibilityTimeout": "0"})
    enqueue.lambda_handler(sqs_event(created(run)), None)
    part = run.manifest.files[0].key
    run.storage.put(part, b"something else") if act == "replaced" else run.storage.delete(part)
    for _ in range(2):
        [message] = aws._sqs().receive_message(QueueUrl=work)["Messages"]
        assert enqueue.lambda_handler(sqs_event(message["Body"]), None)["batchItemFailures"]
    assert "Messages" not in aws._sqs().receive_message(QueueUrl=work)
    assert len(aws._sqs().receive_message(QueueUrl=dead)["Messages"]) == 1
    assert received(queue_url) == sqs_event()
    assert [part in line["exception"] for line in log() if line["level"] == "ERROR"] == [True, True]


@pytest.fixture
def refuse(queue_url):
    """Has the queue answer 200 and refuse one position, in its first calls."""

    def start(position: int, *, calls: int) -> None:
        left, out = [calls], []

        def drop(params, **_):
            is_refused = left[0] > 0 and len(params["Entries"]) > position
            out[:] = [params["Entries"].pop(position)["Id"]] if is_refused else []
            left[0] -= 1

        def say(parsed, **_):
            parsed["Failed"] = [{"Id": name, "Code": "InternalError", "SenderFault": False} for name in out]

        events = aws._sqs().meta.events
        events.register("provide-client-params.sqs.SendMessageBatch", drop)
        events.register("after-call.sqs.SendMessageBatch", say)

    return start


def test_f39_what_the_queue_refuses_with_200_is_sent_again_and_nothing_else(published, queue_url, braze, refuse):
    run = published([upsert(f"u{number}") for number in range(10)], records_per_request=1)
    enqueue.lambda_handler(sqs_event(created(run)), None)
    refuse(3, calls=2)
    assert enqueue.lambda_handler(received(os.environ["WORK_QUEUE_URL"]), None) == NOTHING_FAILED
    event = received(queue_url)
    assert sorted(handles_of(event)) == [f"u{number}" for number in range(10)]
    assert len(event["Records"]) == 10
    assert deliver.lambda_handler(event, Context()) == NOTHING_FAILED
    assert run.fates() == [Fate.DELIVERED] * 10


def test_f39_a_refusal_that_stays_is_an_error_and_the_part_comes_again(published, queue_url, monkeypatch, log):
    run = published([upsert("ann")])
    enqueue.lambda_handler(sqs_event(created(run)), None)
    event = received(os.environ["WORK_QUEUE_URL"])
    monkeypatch.setattr(enqueue.time, "sleep", lambda _: None)
    refusal = {"Failed": [{"Id": "0", "Code": "InternalError"}], "ResponseMetadata": {"HTTPStatusCode": 200}}
    aws._sqs().meta.events.register(
        "before-call.sqs.SendMessageBatch", lambda **_: (AWSResponse("", 200, {}, None), refusal)
    )
    assert len(enqueue.lambda_handler(event, None)["batchItemFailures"]) == 1
    [error] = [line for line in log() if line["level"] == "ERROR"]
    assert "the queue refused 1 message(s) 6 times" in error["exception"]


def test_f40_no_user_id_makes_a_batch_entry_that_sqs_refuses(published, queue_url, braze):
    users = ["a@b.com", "x" * 200, "with spaces", "../..", "名前", "a@b.com "]
    run = published([upsert(user) for user in users], records_per_request=1)
    assert enqueue_all(sqs_event(created(run))) == NOTHING_FAILED
    assert deliver.lambda_handler(received(queue_url), Context()) == NOTHING_FAILED
    assert set(braze.account.profiles) == set(users)


def test_f41_ten_messages_of_150_kb_are_batches_that_sqs_takes(published, queue_url):
    records = [{**upsert(f"u{number}"), "recommendations": [{"itemId": "x" * 150_000}]} for number in range(10)]
    with pytest.raises(ClientError, match="BatchRequestTooLong"):
        aws.SqsQueue(queue_url).send([json.dumps(record) for record in records])
    run = published(records)
    assert enqueue_all(sqs_event(created(run))) == NOTHING_FAILED
    assert sorted(handles_of(received(queue_url))) == sorted(record["userId"] for record in records)


def as_lambda_does(event, handler, queue_url) -> None:
    """Hand a batch over, and take from the queue what did not fail."""
    failed = {one["itemIdentifier"] for one in handler(event, Context())["batchItemFailures"]}
    for record in event["Records"]:
        if record["messageId"] not in failed:
            aws._sqs().delete_message(QueueUrl=queue_url, ReceiptHandle=record["receiptHandle"])


def left_in(queue_url: str) -> int:
    """How many messages a queue holds, handed out or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = aws._sqs().get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


@pytest.mark.usefixtures("throttles_bob")
def test_f42_of_ten_messages_only_the_one_that_failed_stays_on_the_queue(published, queue_url):
    users = [*(f"u{number}" for number in range(9)), "bob"]
    run = published([upsert(user) for user in users], records_per_request=1)
    enqueue_all(sqs_event(created(run)))
    as_lambda_does(received(queue_url), deliver.lambda_handler, queue_url)
    assert left_in(queue_url) == 1
    assert run.fates() == [Fate.DELIVERED] * 9 + [Fate.OPEN]


class KilledError(BaseException):
    """The function is killed: nothing catches it."""


@pytest.mark.parametrize("after", [0, 1, 7])
def test_f44_what_a_killed_function_had_in_hand_is_delivered_by_the_next_one(
    published, queue_url, braze, monkeypatch, after
):
    run = published([upsert(f"u{number}") for number in range(10)], records_per_request=1)
    enqueue_all(sqs_event(created(run)))
    send, calls = aws.sender(), itertools.count()

    def dying(request):
        if next(calls) == after:
            raise KilledError
        return send(request)

    event = received(queue_url)
    with monkeypatch.context() as patch:
        patch.setattr(aws, "sender", lambda: dying)
        patch.setenv("CONCURRENCY", "1")
        with pytest.raises(KilledError):
            as_lambda_does(event, deliver.lambda_handler, queue_url)
    assert left_in(queue_url) == 10
    for record in event["Records"]:
        aws._sqs().change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
        )
    as_lambda_does(received(queue_url), deliver.lambda_handler, queue_url)
    assert left_in(queue_url) == 0
    assert run.fates() == [Fate.DELIVERED] * 10
    assert len(braze.account.profiles) == 10
    assert braze.account.stats.objects <= 20


def test_f45_a_message_that_the_queue_hands_out_twice_is_sent_twice_alike_and_counted(
    published, queue_url, braze, monkeypatch, capsys
):
    bodies, track = [], braze.account.track
    monkeypatch.setattr(braze.account, "track", lambda headers, body: bodies.append(body) or track(headers, body))
    run = published([upsert("ann"), upsert("bob")])
    enqueue_all(sqs_event(created(run)))
    event = received(queue_url)
    deliver.lambda_handler(event, Context())
    assert "RecordsRepeated" not in metrics(capsys.readouterr().out)
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "2"
    deliver.lambda_handler(event, Context())
    assert metrics(capsys.readouterr().out)["RecordsRepeated"] == 2
    assert (len(bodies), len(set(bodies))) == (2, 1)
    assert run.fates() == [Fate.DELIVERED] * 2


@pytest.mark.parametrize(
    ("client", "operation", "named"),
    [
        ("ssm", "GetParameter", ["/recsync/endpoint", "AccessDeniedException", "ssm:GetParameter"]),
        (
            "secretsmanager",
            "GetSecretValue",
            ["recsync/braze", "AccessDeniedException", "secretsmanager:GetSecretValue"],
        ),
    ],
)
def test_f30_a_setting_that_may_not_be_read_is_named_with_the_right_that_is_missing(
    braze, monkeypatch, client, operation, named
):
    def denied(self, name, kwargs):
        if name == operation:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, name)
        return call(self, name, kwargs)

    call = BaseClient._make_api_call
    monkeypatch.setattr(BaseClient, "_make_api_call", denied)
    with pytest.raises(ConfigError) as caught:
        aws.connect(False)
    assert all(part in str(caught.value) for part in named)


def test_f54_a_key_that_did_not_change_is_no_reason_to_call_again(braze):
    assert aws.connect(True) is aws.connect(False)
    boto3.client("secretsmanager").put_secret_value(SecretId="recsync/braze", SecretString="key-canary-2")
    assert aws.connect(False) is not aws.connect(True)


def test_a_batch_of_nothing_but_bad_events_comes_back_whole_without_an_error(published, monkeypatch):
    monkeypatch.delenv("WORK_QUEUE_URL", raising=False)
    event = sqs_event("no json", created(published([upsert("ann")])))
    failures = enqueue.lambda_handler(event, None)["batchItemFailures"]
    assert failures == [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]


def test_f36_events_of_other_objects_are_ignored_logged_and_counted(queue_url, log, capsys):
    detail = {"bucket": {"name": "shop"}, "object": {"key": f"{FOLDER}/output/braze/state/_current.json"}}
    assert enqueue_all(sqs_event(json.dumps({"detail": detail}), '{"Records": [1, 2]}'), None) == NOTHING_FAILED
    assert [(line["message"], line["count"]) for line in log()] == [("events ignored", 1), ("events ignored", 2)]
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [metric["EventsIgnored"] for metric in metrics] == [[1.0], [2.0]]
    assert received(queue_url) == sqs_event()


def test_f43_a_bad_message_is_dead_lettered_with_its_reason_and_its_neighbours_go_on(published, queue_url, braze, log):
    run = published([upsert("ann"), upsert("bob")], records_per_request=1)
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)
    event["Records"] += sqs_event("no json")["Records"]
    assert deliver.lambda_handler(event, Context()) == NOTHING_FAILED
    assert run.fates() == [Fate.DELIVERED] * 2
    assert [(line["message"], line["message_id"]) for line in log() if line["level"] == "ERROR"] == [
        ("poison message", "m0")
    ]
    [dead] = aws._sqs().receive_message(QueueUrl=os.environ["DEAD_LETTER_QUEUE_URL"], MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert (dead["Body"], dead["MessageAttributes"]["reason"]["StringValue"]) == (
        "no json",
        "not_json",
    )


def test_poison_that_cannot_be_buried_comes_back(published, queue_url, braze, monkeypatch):
    monkeypatch.delenv("DEAD_LETTER_QUEUE_URL")
    assert deliver.lambda_handler(sqs_event("no json"), Context()) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_f54_a_rotated_key_is_read_anew_and_nothing_waits(published, queue_url, braze):
    run = published([upsert("ann"), upsert("bob")], records_per_request=1)
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)
    half = len(event["Records"]) // 2
    assert deliver.lambda_handler({"Records": event["Records"][:half]}, Context()) == NOTHING_FAILED
    braze.account.api_key = "key-canary-2"
    boto3.client("secretsmanager").put_secret_value(SecretId="recsync/braze", SecretString="key-canary-2")
    assert deliver.lambda_handler({"Records": event["Records"][half:]}, Context()) == NOTHING_FAILED
    assert run.fates() == [Fate.DELIVERED] * 2
    assert braze.account.stats.calls == 3


def test_f53_a_revoked_key_opens_the_circuit_and_nothing_is_dead_lettered(
    published, queue_url, braze, visibilities, capsys
):
    run = published([upsert("ann")])
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)
    braze.account.api_key = "another"
    for _ in range(5):
        assert len(deliver.lambda_handler(event, Context())["batchItemFailures"]) == 1
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [metric["CircuitOpen"] for metric in metrics if "CircuitOpen" in metric] == [[1.0]] * 5
    assert braze.account.stats.calls == 1
    assert all(25 <= wait <= 60 for wait in visibilities.values())
    assert "Messages" not in aws._sqs().receive_message(QueueUrl=os.environ["DEAD_LETTER_QUEUE_URL"])


@pytest.fixture
def throttles_bob(braze, monkeypatch):
    """A Braze that has no room for one user."""
    track = braze.account.track

    def answer(headers, body):
        is_bob = b'"bob"' in body
        return Answer(429, {"message": "later"}, {"X-Ratelimit-Retry-After": "42"}) if is_bob else track(headers, body)

    monkeypatch.setattr(braze.account, "track", answer)


@pytest.mark.usefixtures("throttles_bob")
def test_a_throttled_message_comes_back_after_the_time_braze_asked_for(published, queue_url, visibilities, monkeypatch):
    monkeypatch.setenv("CONCURRENCY", "1")  # what comes after a throttled call waits too
    run = published([upsert("ann"), upsert("cleo"), upsert("bob")], records_per_request=1)
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)
    bob = handles_of(event)["bob"]
    [failure] = deliver.lambda_handler(event, Context())["batchItemFailures"]
    assert failure["itemIdentifier"] == next(r["messageId"] for r in event["Records"] if r["receiptHandle"] == bob)
    assert 43 <= visibilities[bob] <= 51
    assert sorted(run.fates()) == [Fate.OPEN, Fate.DELIVERED, Fate.DELIVERED]


@pytest.mark.usefixtures("throttles_bob")
def test_a_wait_that_cannot_be_set_leaves_the_neighbours_settled(published, queue_url, log):
    run = published([upsert("ann"), upsert("bob")], records_per_request=1)
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)

    def fail(**_):
        raise ClientError({"Error": {"Code": "MessageNotInflight"}}, "ChangeMessageVisibility")

    aws._sqs().meta.events.register("before-call.sqs.ChangeMessageVisibility", fail)
    assert len(deliver.lambda_handler(event, Context())["batchItemFailures"]) == 1
    assert "wait not set" in [line["message"] for line in log()]


def test_a_refused_key_is_logged_as_our_mistake_and_everything_waits(published, queue_url, braze, visibilities, log):
    braze.account.api_key = "another"
    run = published([upsert("ann"), upsert("bob")], records_per_request=1)
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)
    assert len(deliver.lambda_handler(event, Context())["batchItemFailures"]) == 2
    assert visibilities.keys() == set(handles_of(event).values())
    [refused] = [line for line in log() if line["level"] == "ERROR"]
    assert "401" in refused["reason"]
    assert run.receipts() == []


def test_f30_a_run_that_cannot_be_read_waits_and_is_one_line_of_log(published, queue_url, braze, visibilities, log):
    run = published([upsert("ann")])
    enqueue_all(sqs_event(created(run)), None)

    def slow_down(**_):
        failure = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
        raise ClientError(failure, "GetObject")

    s3_storage._s3().meta.events.register("before-call.s3.GetObject", slow_down)
    assert len(deliver.lambda_handler(received(queue_url), Context())["batchItemFailures"]) == 1
    assert ["SlowDown" in line["reason"] for line in log() if line["level"] == "ERROR"] == [True]
    assert len(visibilities) == 1


def test_a_foreign_endpoint_is_refused_before_anything_is_sent(
    published, queue_url, braze, monkeypatch, capsys, caplog
):
    monkeypatch.delenv("RECSYNC_ALLOW_LOOPBACK")
    run = published([upsert("ann")])
    enqueue_all(sqs_event(created(run)), None)
    event = received(queue_url)
    answer = deliver.lambda_handler(event, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert braze.account.stats.calls == 0
    assert "not one of Braze's" in caplog.records[-1].reason
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["CircuitOpen"] for line in told if "CircuitOpen" in line] == [[1.0]]


def test_where_nobody_is_delivered_the_metric_says_0_or_no_alarm_could_tell_the_share(
    published, queue_url, braze, capsys
):
    run = published([upsert("x" * 1000)])
    enqueue_all(sqs_event(created(run)))
    deliver.lambda_handler(received(queue_url), Context())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["RecordsDelivered"] for line in lines if "RecordsDelivered" in line] == [[0.0]]


def test_figures_are_metrics_of_the_connector(published, queue_url, braze, capsys):
    run = published([upsert("ann"), upsert("x" * 1000)])
    enqueue_all(sqs_event(created(run)), None)
    deliver.lambda_handler(received(queue_url), Context())
    found = {}
    for line in capsys.readouterr().out.splitlines():
        metric = json.loads(line)
        [described] = metric["_aws"]["CloudWatchMetrics"]
        assert (described["Namespace"], metric["Stack"], metric["Connector"]) == ("recsync", "shop-sync", "braze")
        assert described["Dimensions"][0] == ["Stack", "Connector"]
        assert described["Dimensions"][1:] == ([["Stack", "Connector", "Job"]] if "Job" in metric else [])
        [name] = [one["Name"] for one in described["Metrics"]]
        found[name, metric.get("Job")] = metric[name]
    assert found == {
        ("RecordsEnqueued", "user_personalization/demo"): [2.0],
        ("RecordsDelivered", "user_personalization/demo"): [1.0],
        ("RecordsRejected", "user_personalization/demo"): [1.0],
        ("Requests", "user_personalization/demo"): [1.0],
        ("CircuitOpen", None): [0.0],
    }


@pytest.mark.usefixtures("throttles_bob")
def test_no_user_no_key_and_no_event_ever_stands_in_a_log(published, queue_url, braze, log, capfd):
    canaries = ["user-canary", "item-canary", "body-canary", "key-canary"]
    record = {"userId": "user-canary@b.com", "op": "upsert", "recommendations": [{"itemId": "item-canary"}]}
    run = published([record, upsert("bob"), {**record, "userId": "user-canary" * 100}], records_per_request=1)
    other = {"detail": {"bucket": {"name": "shop"}, "object": {"key": "body-canary"}}}
    bad = ['{"body-canary": ', '["body-canary"]', '{"detail": {"body-canary": 1}}', json.dumps(other)]
    enqueue_all(sqs_event(created(run), *bad), None)
    event = received(queue_url)
    good = json.loads(event["Records"][0]["body"])
    bad += [json.dumps({**good, "lines": ["body-canary"]}), json.dumps({**good, "lines": [{"userId": "body-canary"}]})]
    bad += [json.dumps({**good, "formatVersion": 2, "lines": "body-canary"}), json.dumps({**good, "to": 99})]
    event["Records"] += sqs_event(*bad)["Records"]
    deliver.lambda_handler(event, Context())
    braze.account.api_key = "another"
    aws.pause.cache_clear()
    deliver.lambda_handler(event, Context())
    told = json.dumps(log()) + "".join(capfd.readouterr())
    assert "poison message" in told
    assert "destination refuses our settings" in told
    assert "RecordsRejected" in told
    assert [canary for canary in canaries if canary in told] == []


@pytest.mark.parametrize("module", ["functions.enqueue", "functions.deliver"])
def test_the_functions_start_without_what_only_others_need(module):
    heavy = ["typer", "rich", "pandas", "pyarrow", "pyspark", "boto3"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    top = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=top, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
