"""What a run may cost, in counts that no machine changes: one full run and one delta, on small input."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.counts import counted
from benchmarks.data import write_for_you
from benchmarks.jobs import Size, config
from cli import embedded
from connectors.base import Destination, Reply
from connectors.braze.connector import BrazeConnector
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import Pointer
from connectors.contract.storage import open_storage
from glue_jobs import sync

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
SIZE = Size(users=4_000, items=500)


class Measured:
    """A full run of a job, its delivery, and the delta of the next day."""

    def __init__(self, spark, folder):
        job = write_for_you(folder, SIZE)
        self.job = JobFolder.parse(str(job))
        self.storage = open_storage(self.job.root)
        settings = config()
        settings["connectors"]["braze"]["acknowledge"] = "onDelivery"
        (job / "config.json").write_text(json.dumps(settings))
        self.full, self.full_counts = counted(spark, lambda: self.run(spark, 0))
        pointer = Pointer.model_validate_json(self.storage.get(layout.pointer("braze")).data)
        self.state_bytes = sum(file.size_bytes for file in pointer.snapshot)
        self.requests = self.deliver().requests
        write_for_you(folder, SIZE, day=2)
        self.delta, self.delta_counts = counted(spark, lambda: self.run(spark, 1))

    def run(self, spark, day):
        now = NOW + timedelta(days=day)
        (committed,) = sync.run(lambda: spark, self.job, now=now, report=lambda text: None).record.published
        return committed.counts

    def deliver(self):
        ((key, manifest),) = embedded.published(self.storage, "braze")
        braze = BrazeConnector(Destination("https://rest.iad-01.braze.com", "0" * 36))
        taken = Reply(201, body=b'{"message":"success"}')
        silent = {"concurrency": 1, "report": lambda text: None}
        return embedded.deliver_run(self.storage, key, manifest, braze, lambda request: taken, **silent)


@pytest.fixture(scope="module")
def measured(spark, tmp_path_factory):
    return Measured(spark, tmp_path_factory.mktemp("gates"))


def test_what_is_measured_is_a_full_run_and_a_delta_of_one_user_in_twenty(measured):
    assert measured.full["records"] == measured.full["new"] > 0.99 * SIZE.users
    assert measured.delta["records"] == measured.delta["changed"] == pytest.approx(0.05 * SIZE.users, rel=0.3)


def test_spark_reads_each_line_of_the_batch_once_and_nothing_else(measured):
    assert measured.full_counts.lines_read == SIZE.users
    assert measured.delta_counts.lines_read == SIZE.users


@pytest.mark.xfail(strict=True, reason="lists travel to their user: 59 bytes each when this was written")
def test_a_full_run_shuffles_at_most_32_bytes_a_user(measured):
    assert measured.full_counts.shuffle_bytes / SIZE.users <= 32


def test_a_delta_shuffles_at_most_300_bytes_a_user(measured):
    assert measured.delta_counts.shuffle_bytes / SIZE.users <= 300


def test_the_state_keeps_at_most_70_bytes_a_user(measured):
    assert measured.state_bytes / SIZE.users <= 70


def test_a_thousand_users_of_six_kilobytes_take_at_most_14_requests(measured):
    # A message holds a whole request's 75 records; the last one of a part holds what is left.
    assert measured.requests / measured.full["records"] * 1_000 <= 14
