"""A job folder with published runs, made without Spark; and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import deployed
import pytest
from committed import commit
from moto import mock_aws
from published import Published, publish_run

from cli import aws, main, remote
from cli.emulators.braze import BrazeEmulator
from connectors.contract import s3_storage
from connectors.contract.local_storage import LocalStorage


@pytest.fixture
def publish(folder: Path) -> Callable[..., Published]:
    """Write a run: one part for each list of user ids, then its manifest."""

    def write(*parts: list[str], version: int = 1, item_id: str = "106", **fields: Any) -> Published:
        options = {"payloadShape": "ids"} if fields.get("connector", "braze") == "braze" else {}
        run = {"version": version, "run_id": f"20261121T04000{version}Z-3f9a2c", "options": options}
        items = [{"itemId": item_id}]
        records = [[{"userId": user, "op": "upsert", "recommendations": items} for user in users] for users in parts]
        return publish_run(LocalStorage(folder), *records, **run, **fields)

    return write


@pytest.fixture
def job(publish, folder):
    """A job whose first run was committed, published and delivered but for one of its three records."""
    return commit(publish, folder)


@pytest.fixture
def recsync(monkeypatch, capsys):
    """Type a command: (exit code, stdout, stderr)."""

    def type_in(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recsync", *map(str, words)])
        capsys.readouterr()
        code = main._exit_code()
        return code, *capsys.readouterr()

    return type_in


@pytest.fixture
def braze(monkeypatch):
    with BrazeEmulator(api_key="key-canary") as emulator:
        monkeypatch.setenv("BRAZE_REST_ENDPOINT", emulator.endpoint)
        monkeypatch.setenv("BRAZE_API_KEY", "key-canary")
        monkeypatch.setenv("RECSYNC_ALLOW_LOOPBACK", "1")
        yield emulator


@pytest.fixture
def no_braze(monkeypatch):
    for name in ("BRAZE_REST_ENDPOINT", "BRAZE_API_KEY", "RECSYNC_ALLOW_LOOPBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bucket(monkeypatch) -> Iterator[Any]:
    """An emulated bucket, in an account of a test's own."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock_aws():
        s3_storage._s3.cache_clear()
        made = boto3.resource("s3").Bucket(deployed.BUCKET)
        made.create(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield made
        s3_storage._s3.cache_clear()


@pytest.fixture
def stack(bucket, monkeypatch) -> deployed.Deployed:
    """The stack that the bucket is of; waiting for its Glue job takes no time."""
    made, build = deployed.Deployed(), aws.client
    monkeypatch.setattr(aws, "client", lambda service, **how: made.answer_for(build(service, **how)))
    monkeypatch.setattr(remote, "_LOOK_EVERY_S", 0)
    return made
