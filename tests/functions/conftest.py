"""A published run without Spark, a queue that refuses on request, and a Braze that answers what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from published import Published, publish_run

from connectors.base import Destination, Reply, Request
from connectors.braze.connector import BrazeConnector
from connectors.contract import layout, s3_storage
from connectors.contract.local_storage import LocalStorage
from connectors.contract.s3_storage import S3Storage
from connectors.contract.storage import Storage
from functions import aws


@pytest.fixture
def publish(folder: Path) -> Callable[..., Published]:
    """Write a run: one part for each list of records (or of raw lines), then its manifest."""

    def write(*parts: Sequence[Mapping[str, Any] | bytes], storage: Storage | None = None, **fields: Any) -> Published:
        return publish_run(storage or LocalStorage(folder), *parts, **fields)

    return write


@dataclass
class ScriptedQueue:
    """Takes every message, but refuses the positions its script names, call by call."""

    refusals: list[list[int]] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    delays_s: list[int] = field(default_factory=list)

    def send(self, bodies: Sequence[str], *, delay_s: int = 0) -> list[int]:
        self.delays_s.append(delay_s)
        refused = self.refusals.pop(0) if self.refusals else []
        self.calls.append(list(bodies))
        self.taken += [body for position, body in enumerate(bodies) if position not in refused]
        return refused


@pytest.fixture
def scripted_queue() -> Callable[..., ScriptedQueue]:
    """A queue that refuses these positions in its first call, those in its second, and so on."""
    return lambda *refusals: ScriptedQueue([list(positions) for positions in refusals])


@dataclass
class FakeBraze:
    """Delivers everything, but gives the scripted answers for requests that carry certain users.

    Attributes:
        script: User id → the answers to the requests that carry him, one after the other; the last one stays.
        told: The user ids of each request that came in.
    """

    script: dict[str, list[Reply]] = field(default_factory=dict)
    told: list[list[str]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        users = [one["external_id"] for one in json.loads(request.body)["attributes"]]
        self.told.append(users)
        for replies in (self.script[user] for user in users if user in self.script):
            return replies.pop(0) if len(replies) > 1 else replies[0]
        return Reply(201, {}, b'{"message": "success"}')


@pytest.fixture
def fake_braze() -> Callable[..., FakeBraze]:
    return lambda **script: FakeBraze({user: list(replies) for user, replies in script.items()})


@pytest.fixture
def connector() -> BrazeConnector:
    return BrazeConnector(Destination("http://127.0.0.1:1", "canary-key", allow_loopback=True))


@pytest.fixture
def write(folder: Path) -> Callable[[str, Any], None]:
    """Put something into the job folder, as JSON."""

    def put(key: str, content: Any = "") -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    return put


@pytest.fixture
def commit(write: Callable[[str, Any], None]) -> Callable[[Published], None]:
    """Have a published run be the committed one."""

    def point(run: Published) -> None:
        pointer = {"version": run.manifest.version, "runId": run.manifest.run_id, "manifest": run.key, "snapshot": []}
        write(layout.pointer(run.manifest.connector), pointer)

    return point


@dataclass
class Account:
    """An AWS account of a test's own: a bucket, queues, and stubs for what moto has not."""

    patch: pytest.MonkeyPatch
    urls: dict[str, str] = field(default_factory=dict)
    stubs: list[Stubber] = field(default_factory=list)

    @property
    def storage(self) -> S3Storage:
        return S3Storage("shop", "")

    @property
    def sqs(self) -> Any:
        return aws._sqs()

    def url(self, name: str) -> str:
        if name not in self.urls:
            self.urls[name] = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        return self.urls[name]

    def received(self, name: str) -> dict[str, Any]:
        """What waits on a queue, as Lambda hands it over; it is taken off the queue."""
        records = []
        while messages := self.sqs.receive_message(QueueUrl=self.url(name), MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url(name), ReceiptHandle=message["ReceiptHandle"])
                records.append({"messageId": message["MessageId"], "body": message["Body"], "eventSource": "aws:sqs"})
        return {"Records": records}

    def stub(self, service: str) -> Stubber:
        """Answers for a service, in order; all have to be asked for."""
        client = boto3.client(service)
        self.patch.setattr(aws, f"_{service}", lambda: client)
        self.stubs.append(Stubber(client))
        self.stubs[-1].activate()
        return self.stubs[-1]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for cached in (s3_storage._s3, aws._sqs):
        cached.cache_clear()
    with mock_aws():
        s3_storage._s3().create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        made = Account(monkeypatch)
        told = {"STACK_NAME": "shop-sync", "BUCKET": "shop", "WORK_QUEUE_URL": made.url("work")}
        told |= {"QUEUE_URL_BRAZE": made.url("braze"), "DEAD_LETTER_QUEUE_URL_BRAZE": made.url("braze-dead")}
        told |= {f"GLUE_JOB_{name.upper()}": f"shop-sync-{name}" for name in layout.JOB_TYPES}
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        yield made
    for stub in made.stubs:
        stub.assert_no_pending_responses()
    for cached in (s3_storage._s3, aws._sqs):
        cached.cache_clear()
