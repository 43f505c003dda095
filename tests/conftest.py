"""One Spark for the whole run, and job folders to run on it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession

from cli import local_spark
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import RunManifest
from connectors.contract.run_record import ConnectorRecord
from connectors.contract.storage import open_storage
from glue_jobs import glue, state, sync
from glue_jobs.ends import RunResult

pytest_plugins = ["canaries", "pytester"]

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
BRAZE = {"itemMetadataFields": ["name", "price"], "attributePrefix": "recs_"}


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "check this connector with the contract suite, in place of those that are registered; may be repeated"
    parser.addoption("--connector", action="append", default=[], metavar="package:Class", help=told)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    os.environ.update(local_spark.environment(os.environ))
    session = glue.session()
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


@dataclass
class Job:
    """A job folder to fill and run."""

    path: Path
    spark: SparkSession

    @property
    def folder(self) -> JobFolder:
        return JobFolder.parse(str(self.path))

    def write(self, key: str, text: str | bytes) -> None:
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)

    def config(self, *, braze: Mapping[str, Any] | None = None, **root: Any) -> None:
        connectors = {"braze": {**BRAZE, **(braze or {})}}
        guards = {"maxBadLinePct": None}  # of so few lines one is many
        raw = {"version": 1, "batchInferencePath": "input/batch/", "guards": guards, "connectors": connectors, **root}
        self.write("config.json", json.dumps(raw))

    def batch(self, *lines: Mapping[str, Any] | str) -> None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.write("input/batch/job_config.json.out", "\n".join([*texts, ""]))

    def items(self, *items: Mapping[str, Any]) -> None:
        self.write("input/item_metadata/items.json", "\n".join(json.dumps(item) for item in items))

    def mapping(self, *rows: str, header: str = "USER_ID,ITEM_ID", part: str = "part-0001") -> None:
        self.write(f"input/user_item_mapping/{part}.csv", "\n".join([header, *rows, ""]))

    def run(self, now: datetime = NOW, *, is_full: bool = False) -> ConnectorRecord:
        """Run the job for its one connector; what stopped it is raised."""
        result = sync.run(lambda: self.spark, self.folder, now=now, report=lambda text: None, is_full=is_full)
        for error in result.stopped.values():
            raise error
        assert not result.held, [reading.name for held in result.held for reading in held.guards if reading.is_breached]
        (committed,) = result.record.published
        return committed

    def result(self, now: datetime = NOW, *, is_plan: bool = False, is_full: bool = False) -> RunResult:
        """Run the job, however it ends."""
        return sync.run(
            lambda: self.spark, self.folder, now=now, report=lambda text: None, is_plan=is_plan, is_full=is_full
        )

    def manifest(self, result: ConnectorRecord) -> RunManifest:
        """What a run published."""
        manifest = state.read_manifest(open_storage(self.folder.root), result.manifest)
        assert manifest is not None
        return manifest

    def forget(self) -> None:
        """Have the next run be a first one."""
        shutil.rmtree(self.path / "output")

    def records(self, result: ConnectorRecord) -> dict[str, dict[str, Any]]:
        """The records of a run, by user; never two of one user."""
        storage, manifest = open_storage(self.folder.root), self.manifest(result)
        lines = [
            json.loads(line)
            for file in manifest.files
            for line in gzip.decompress(storage.get(file.key).data).splitlines()
        ]
        assert len({line["userId"] for line in lines}) == len(lines) == result.counts["records"]
        return {line["userId"]: line for line in lines}

    def visible(self) -> Sequence[str]:
        """The keys a reader acts on: pointers and manifests."""
        names = ("_current.json", "_manifest.json")
        return sorted(str(path.relative_to(self.path)) for name in names for path in self.path.rglob(name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a job may lie."""
    return tmp_path / "etl_jobs" / "user_personalization" / "demo"


@pytest.fixture
def job(tmp_path: Path, spark: SparkSession) -> Callable[[str], Job]:
    """A new job folder of a type."""

    def make(job_type: str) -> Job:
        path = tmp_path / "etl_jobs" / job_type / "demo"
        path.mkdir(parents=True)
        return Job(path, spark)

    return make
