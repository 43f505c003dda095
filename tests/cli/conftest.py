"""A job folder with published runs, made without Spark; and the command line."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import deployed
import pytest
from committed import commit
from moto import mock_aws

from cli import aws, main, remote
from cli.emulators.braze import BrazeEmulator
from connectors.contract import layout, s3_storage
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Fate, read_ledger


@dataclass
class Published:
    """A run as a job leaves it."""

    storage: LocalStorage
    key: str
    manifest: RunManifest

    def fates(self) -> list[Fate]:
        """What the receipts say about each line, part after part."""
        ledger = read_ledger(self.storage, self.manifest)
        return [Fate(fate) for file in self.manifest.files for fate in ledger.fates[file.key]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "etl_jobs" / "user_personalization" / "demo"


@pytest.fixture
def publish(folder: Path) -> Callable[..., Published]:
    """Write a run: one gzipped part for each list of user ids, then its manifest."""
    storage = LocalStorage(folder)

    def write(*parts: list[str], version: int = 1, item_id: str = "106", **fields: Any) -> Published:
        run_id = f"20261121T04000{version}Z-3f9a2c"
        files = []
        for number, users in enumerate(parts):
            key = layout.part("braze", run_id, f"{number:05d}-{number}-000")
            records = [{"userId": user, "op": "upsert", "recommendations": [{"itemId": item_id}]} for user in users]
            data = gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode())
            storage.put(key, data)
            checksum = hashlib.sha256(data).hexdigest()
            files.append(PartFile(key=key, records=len(users), size_bytes=len(data), checksum=checksum))
        plain = {"job": "user_personalization/demo", "run_id": run_id, "connector": "braze", "version": version}
        plain |= {"acknowledge": "onDelivery", "options": {"payloadShape": "ids"}, "records_per_request": 75}
        plain |= {"counts": {}, "files": files, "digest": "0", "created_at": datetime(2026, 11, 21, 4, tzinfo=UTC)}
        manifest = RunManifest(**(plain | fields))
        key = layout.manifest("braze", run_id)
        storage.put(key, manifest.to_json().encode(), if_absent=True)
        return Published(storage, key, manifest)

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
