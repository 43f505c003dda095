"""What is done with a job folder on S3 without Spark is what is done with the same folder on this machine."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime

import boto3
import pytest
from committed import CONFIG, NEXT, RUN, held
from deployed import FOLDER

from connectors.contract import layout, s3_storage
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.run_record import read_record, run_ids, write_record
from connectors.contract.storage import open_storage
from glue_jobs import sync

SIX = [["status"], ["runs"], ["validate"], ["wipe"], ["discard", "--yes"], ["redeliver", "--dry-run"]]
AT_MOST_A_LINK = 3600


@pytest.fixture
def uploaded(job, stack, bucket):
    """The same folder on S3."""

    def upload():
        job.storage.put("config.json", json.dumps(CONFIG | {"batchInferencePath": f"{FOLDER}/input/batch/"}).encode())
        for entry in job.storage.list():
            bucket.put_object(Key=f"{key_of(FOLDER)}/{entry.key}", Body=job.storage.get(entry.key).data)
        return FOLDER

    return upload


def key_of(address):
    return address.removeprefix("s3://").partition("/")[2]


def told(answer, place):
    """What was said, wherever the folder is: but for queue and enqueue, which only the stack has."""
    code, out, err = answer
    out, err = (
        "".join(
            line for line in text.splitlines(keepends=True) if not re.search("the stack's queue|parts enqueued", line)
        )
        for text in (out, err)
    )
    out = re.sub(" +|─+|━+", " ", out)  # a table is as wide as its longest line
    return code, out.replace(place, "HERE"), err.replace(place, "HERE").replace("recsync deliver", "recsync status")


@pytest.mark.parametrize("words", SIX, ids=" ".join)
def test_it_says_the_same_and_exits_the_same(recsync, job, folder, uploaded, words):
    held(job)
    uploaded()
    here, there = told(recsync(*words, folder), str(folder)), told(recsync(*words, FOLDER), FOLDER)
    run_id = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")  # a wipe makes a run of its own
    assert [run_id.sub("RUN", str(one)) for one in there] == [run_id.sub("RUN", str(one)) for one in here]


def test_approve_publishes_what_was_held_and_the_stack_delivers_it(recsync, job, uploaded):
    held(job)
    uploaded()
    storage = open_storage(FOLDER)
    # The tag of what is on S3 is another one than that of a file.
    waiting = json.loads(storage.get(layout.held("braze", NEXT)).data)
    waiting["tag"] = storage.get(layout.pointer("braze")).tag
    storage.put(layout.held("braze", NEXT), json.dumps(waiting).encode())
    code, _, err = recsync("approve", "--yes", FOLDER)
    assert (code, err.splitlines()[-1]) == (0, f"next: recsync status {FOLDER}")
    assert storage.get(layout.manifest("braze", NEXT))


def test_what_waits_is_with_the_stack_so_nobody_is_sent_to_deliver_it(recsync, uploaded):
    uploaded()
    assert recsync("status", FOLDER)[2].splitlines()[-1] == f"next: recsync status {FOLDER}"


def test_parts_that_the_stack_has_not_handed_over_are_counted(recsync, uploaded):
    uploaded()
    assert re.search(r"parts enqueued\W+0 of 1\b", recsync("status", FOLDER)[1])


def test_what_may_come_twice_is_said_before_anything_is_sent(recsync, uploaded):
    uploaded()
    assert "1 of these lines may still wait in the stack's queue" in recsync("redeliver", "--dry-run", FOLDER)[2]


@pytest.mark.usefixtures("braze")
def test_redeliver_sends_what_no_receipt_speaks_of(recsync, uploaded):
    uploaded()
    code, out, err = recsync("redeliver", "--output", "json", FOLDER)
    assert "may still wait in the stack's queue" in err
    assert (code, json.loads(out)["runs"][0]["delivered"]) == (0, 1)


def test_a_page_has_a_link_that_shows_it_for_an_hour(recsync, uploaded):
    uploaded()
    code, out, _ = recsync("report", "--link", FOLDER)
    assert code == 0
    assert f"/runs/{RUN}/report.html?" in out
    assert re.search(rf"[?&]X-Amz-Expires={AT_MOST_A_LINK}(&|$)", out)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in out  # a bucket under a key of KMS takes no other
    assert "eu-west-1" in out


def test_a_link_is_made_for_the_bucket_s_own_region(recsync, uploaded, monkeypatch):
    uploaded()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    out = recsync("report", "--link", "--output", "json", FOLDER)[1]
    link = json.loads(out)["link"]
    assert ".s3.eu-west-1.amazonaws.com/" in link
    assert "%2Feu-west-1%2Fs3%2F" in link


def test_a_page_here_has_no_link(recsync, job, folder):
    code, _, err = recsync("report", "--link", folder)
    assert (code, "see it with --open" in err) == (2, True)


# ---- explain


@pytest.fixture
def shop(spark, tmp_path, bucket):
    """A job that ran here, and was moved to S3 with its record."""
    here = tmp_path / "etl_jobs/user_personalization/demo"
    storage = LocalStorage(here)
    config = {"version": 1, "batchInferencePath": "input/batch/", "connectors": {"braze": {"payloadShape": "ids"}}}
    storage.put(layout.CONFIG, json.dumps(config).encode())
    lines = [{"input": {"userId": user}, "output": {"recommendedItems": ["1"]}} for user in ("una", "pia")]
    storage.put("input/batch/a.out.gz", gzip.compress("".join(json.dumps(one) + "\n" for one in lines).encode()))
    storage.put("input/item_metadata/items.json", b'{"id": "1"}\n')
    ended = sync.run(lambda: spark, JobFolder.parse(str(here)), now=datetime.now(UTC), report=lambda text: None)
    assert ended.exit_code == 0
    config["batchInferencePath"] = f"{FOLDER}/input/batch/"
    storage.put(layout.CONFIG, json.dumps(config).encode())
    for entry in storage.list():
        bucket.put_object(Key=f"{key_of(FOLDER)}/{entry.key}", Body=storage.get(entry.key).data)
    as_on_s3(ended.record)
    return FOLDER


def as_on_s3(record):
    """The record as the same run would have left it on S3."""
    storage = open_storage(FOLDER)
    marks = {entry.key: entry.mark for entry in storage.list()} | {layout.CONFIG: storage.get(layout.CONFIG).tag}
    inputs = []
    for one in record.inputs:
        key = one.key if one.key in marks else f"input/batch/{one.key}"
        root = f"{FOLDER}/input/batch" if key != one.key else FOLDER
        inputs.append(one.model_copy(update={"root": root, "mark": marks[key]}))
    write_record(storage, layout.run_record(record.run_id), record.model_copy(update={"inputs": inputs}))


def test_explain_opens_only_what_the_record_of_the_run_lists(recsync, shop, bucket):
    opened = []
    for name in ("input/batch/b.out", "input/batch_of_yesterday/a.out", "input/item_metadata/more.json"):
        bucket.put_object(Key=f"{key_of(FOLDER)}/{name}", Body=b"{}\n")
    events = s3_storage._s3().meta.events
    events.register("provide-client-params.s3.GetObject", lambda params, **_: opened.append(params["Key"]))
    code, out, _ = recsync("explain", "--user", "una", "--output", "json", shop)
    (braze,) = json.loads(out)["connectors"]
    assert (code, braze["verdict"], braze["sent"]["fate"], braze["notes"]) == (0, "new", "waiting", [])
    (run_id,) = run_ids(open_storage(FOLDER))
    listed = {one.key for one in read_record(open_storage(FOLDER), layout.run_record(run_id)).inputs}
    read = {key.removeprefix(f"{key_of(FOLDER)}/") for key in opened}
    inputs = {key.removeprefix("input/batch/") for key in read if key.startswith("input/")}
    assert inputs
    assert inputs <= listed
