"""recsync report: the page again, without Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from connectors.contract import layout, s3_storage
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.run_record import ConnectorRecord, RunRecord, write_record
from connectors.contract.storage import open_storage

ROOT = Path(__file__).parents[3]
AT = datetime(2026, 11, 21, 4, 0, 1, tzinfo=UTC)
RUN, PLAN = "20261121T040001Z-3f9a2c", "20261121T050000Z-3f9a2c"


def record(run_id=RUN, *, outcome="committed"):
    part = ConnectorRecord(
        connector="braze",
        outcome=outcome,
        manifest=layout.manifest("braze", RUN),
        counts={"records": 2, "new": 2, "users": 2},
    )
    return RunRecord(
        run_id=run_id,
        job="user_personalization/demo",
        started_at=AT,
        finished_at=AT + timedelta(seconds=9),
        exit_code=0,
        connectors=[part],
    )


@pytest.fixture
def opened(monkeypatch):
    """The pages that were shown in a browser."""
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not shown.append(address))
    return shown


@pytest.fixture
def job(folder, publish):
    """A run of two records, published."""
    publish(["ann", "bob"])
    write_record(open_storage(str(folder)), layout.run_record(RUN), record())
    return folder


def page_of(folder, run_id=RUN):
    return (folder / "runs" / run_id / "report.html").read_text()


def test_the_newest_run_is_written_and_its_address_printed(recsync, job):
    code, out, err = recsync("report", job)
    assert (code, out) == (0, f"{job}/runs/{RUN}/report.html\n")
    assert err == f"next: recsync status {job}\n"
    assert "Committed: 2 users get an update (all new); nothing is delivered yet." in page_of(job)


def test_it_says_what_the_receipts_say_by_now(recsync, folder, publish, job):
    recsync("report", job)
    published = publish(["ann", "bob"], version=2)
    key = layout.part("braze", RUN, "00000-0-000")
    manifest = published.manifest.model_copy(update={"run_id": RUN})
    receipt = Receipt(file=key, first_line=0, last_line=1, outcome="settled", at=AT)
    write_receipts(open_storage(str(folder)), manifest, [receipt])
    recsync("report", job)
    assert "and every one is delivered." in page_of(job)


def test_in_json_stdout_is_one_json_object(recsync, job):
    _, out, _ = recsync("report", job, "--output", "json")
    assert json.loads(out) == {"run": RUN, "report": f"{job}/runs/{RUN}/report.html"}


def test_a_plan_has_a_page_when_it_is_asked_for(recsync, job):
    write_record(open_storage(str(job)), layout.plan_record(PLAN), record(PLAN, outcome="planned"))
    assert recsync("report", job)[1].endswith(f"{RUN}/report.html\n")
    assert recsync("report", job, "--run", PLAN)[0] == 0
    assert "Planned only: 2 users would get an update" in page_of(job, PLAN)


def test_the_page_opens_in_a_browser(recsync, job, opened):
    assert recsync("report", job, "--open")[0] == 0
    assert opened == [(job / "runs" / RUN / "report.html").as_uri()]


def test_without_a_browser_the_page_is_named(recsync, job, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    code, _, err = recsync("report", job, "--open")
    assert code == 0
    assert f"there is no browser here; open {job}/runs/{RUN}/report.html" in err


def test_a_folder_that_never_ran_exits_2_and_names_the_command(recsync, folder):
    folder.mkdir(parents=True)
    code, out, err = recsync("report", folder)
    assert (code, out) == (2, "")
    assert f"run it first: recsync run {folder}" in err


@pytest.mark.parametrize(
    ("run_id", "said"),
    [("20261121T040001Z-000000", "has no run 20261121T040001Z-000000"), ("../../x", "should look like")],
)
def test_a_run_that_is_not_there_exits_2(recsync, job, run_id, said):
    code, _, err = recsync("report", job, "--run", run_id)
    assert code == 2
    assert said in err


def test_a_damaged_record_exits_1_and_is_named(recsync, job):
    (job / "runs" / RUN / "run.json").write_text("{")
    code, _, err = recsync("report", job)
    assert code == 1
    assert f"runs/{RUN}/run.json is damaged" in err


def test_a_job_on_s3_is_written_there_as_a_page_and_a_copy_is_shown(recsync, opened, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    address = "s3://bucket/etl_jobs/user_personalization/demo"
    with mock_aws():
        s3_storage._s3.cache_clear()
        boto3.client("s3").create_bucket(Bucket="bucket")
        write_record(open_storage(address), layout.run_record(RUN), record())
        code, out, _ = recsync("report", "--open", address)
        key = f"etl_jobs/user_personalization/demo/runs/{RUN}/report.html"
        kept = boto3.client("s3").get_object(Bucket="bucket", Key=key)
        s3_storage._s3.cache_clear()
    assert (code, out) == (0, f"s3://bucket/{key}\n")
    assert kept["ContentType"] == "text/html; charset=utf-8"
    (shown,) = opened
    copy = Path(shown.removeprefix("file://"))
    assert copy.read_bytes() == kept["Body"].read()
    copy.unlink()
    copy.parent.rmdir()


def test_it_neither_loads_spark_nor_looks_for_java(job):
    code = "import sys; from cli import main; code = main._exit_code(); print('pyspark' in sys.modules, code)"
    bare = {name: value for name, value in os.environ.items() if "JAVA" not in name} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(job)],
        env=bare,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False 0"
