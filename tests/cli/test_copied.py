"""plan --local: a copy of what a job on S3 reads, planned on Spark here; nothing comes back."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deployed import BUCKET, FOLDER

from cli import copied
from cli.console import Voice
from cli.copied import copy_of
from connectors.contract import layout
from connectors.contract.aliases import alias_key
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.receipts import Receipt, Rejection, write_receipts
from connectors.contract.storage import open_storage
from glue_jobs import state, sync
from glue_jobs.errors import NoInputError

PREFIX = FOLDER.removeprefix(f"s3://{BUCKET}/")
BATCHES = "batch/shop/for-you"
NEWEST = "batch_for-you_2026_11_21_03_00_00"
HERE = {"batchInferencePath": "input/batch/", "recommendations": {"excludeItems": "input/never/"}}
THERE = {
    "batchInferencePath": f"s3://{BUCKET}/{BATCHES}/",
    "recommendations": {"excludeItems": f"s3://{BUCKET}/lists/never.csv"},
}


def config(places):
    raw = {"version": 1, "connectors": {"braze": {"itemMetadataFields": ["price"]}}}
    return json.dumps({**raw, **places}).encode()


def lines(**users):
    texts = [{"input": {"userId": user}, "output": {"recommendedItems": list(items)}} for user, items in users.items()]
    return "".join(json.dumps(one) + "\n" for one in texts).encode()


@pytest.fixture
def shop(tmp_path, bucket):
    """A job folder with input only, here; and what it reads, on S3, beside older batches and other lists."""
    storage = LocalStorage(tmp_path / "etl_jobs/user_personalization/demo")
    storage.put(layout.CONFIG, config(HERE))
    storage.put("input/batch/a.out.gz", gzip.compress(lines(una="12", pia="21", kim="3")))
    storage.put("input/never/never.csv", b"USER_ID,ITEM_ID\nuna,2\n")
    storage.put("input/item_metadata/items.json", b'{"id": "1", "price": 5}\n{"id": "2", "price": 6}\n')
    bucket.put_object(Key=f"{BATCHES}/{NEWEST}/a.out.gz", Body=storage.get("input/batch/a.out.gz").data)
    bucket.put_object(Key=f"{BATCHES}/batch_for-you_2026_11_20_03_00_00/a.out", Body=b"x" * 1000)
    bucket.put_object(Key="lists/never.csv", Body=storage.get("input/never/never.csv").data)
    bucket.put_object(Key="lists/other.csv", Body=b"x")
    upload(storage, bucket)
    return storage


def upload(storage, bucket):
    """The job folder as it is now, but for what lies elsewhere on S3."""
    for entry in storage.list():
        if not entry.key.startswith(("input/batch/", "input/never/")):
            bucket.put_object(Key=f"{PREFIX}/{entry.key}", Body=storage.get(entry.key).data)
    bucket.put_object(Key=f"{PREFIX}/{layout.CONFIG}", Body=config(THERE))


def keys(top):
    return sorted(entry.key for entry in LocalStorage(Path(top)).list())


def test_of_a_job_that_never_ran_the_copy_holds_what_it_reads_and_no_more(shop):
    with copy_of(JobFolder.parse(FOLDER), Voice()) as copy:
        assert keys(copy.root) == [
            "config.json",
            f"input/batch_of_copy/{NEWEST}/a.out.gz",
            "input/exclusions_of_copy/never.csv",
            "input/item_metadata/items.json",
        ]
        assert copy.job == "user_personalization/demo"
    assert not Path(copy.root).exists()


def test_a_copy_is_as_old_as_what_it_is_of(shop, bucket):
    (there,) = open_storage(f"s3://{BUCKET}").list(f"{BATCHES}/{NEWEST}/")
    with copy_of(JobFolder.parse(FOLDER), Voice()) as copy:
        (here,) = LocalStorage(Path(copy.root)).list("input/batch_of_copy/")
        assert abs(here.modified_at - there.modified_at) < timedelta(seconds=1)


def test_related_items_take_their_mapping_along(shop, bucket):
    there = FOLDER.replace("user_personalization", "related_items")
    for key, data in {
        layout.CONFIG: config({**THERE, "recommendations": {}}),
        f"{layout.MAPPING}part-0001.csv": b"USER_ID,ITEM_ID\nuna,1\n",
        "errors/year=2026/old": b"x",
    }.items():
        open_storage(there).put(key, data)
    with copy_of(JobFolder.parse(there), Voice()) as copy:
        assert keys(copy.root) == [
            "config.json",
            f"input/batch_of_copy/{NEWEST}/a.out.gz",
            "input/user_item_mapping/part-0001.csv",
        ]


def test_what_is_too_large_is_refused_before_anything_is_copied(recsync, shop, bucket, monkeypatch):
    monkeypatch.setattr(copied, "_copy", None)
    bucket.put_object(Key=f"{PREFIX}/input/item_metadata/more.json", Body=b"x" * 3_400_000)
    monkeypatch.setattr(copied, "MOST_BYTES", 3_000_000)
    code, _, err = recsync("plan", "--local", FOLDER)
    assert code == 2
    assert f"would copy 3.4 MB of {FOLDER}, and at most 3.0 MB are; plan it where it lies: recsync plan {FOLDER}" in err


def test_two_gigabytes_are_the_most():
    assert copied.MOST_BYTES == 2 * 1000**3
    assert copied._gigabytes(3_400_000_000) == "3.4 GB"


def test_without_a_batch_there_is_nothing_to_copy(shop, bucket):
    bucket.objects.filter(Prefix=BATCHES).delete()
    with pytest.raises(NoInputError, match="no finished batch"), copy_of(JobFolder.parse(FOLDER), Voice()):
        pass


def test_the_plan_of_a_copy_is_the_plan_of_the_folder_and_s3_stays_as_it_was(recsync, shop, bucket, spark):
    folder = JobFolder.parse(shop.root)
    first = sync.run(lambda: spark, folder, now=datetime.now(UTC), report=lambda text: None)
    (done,) = first.record.published
    answered(shop, state.read_manifest(shop, done.manifest), refused="una")
    shop.put("input/batch/a.out.gz", gzip.compress(lines(una="12", pia="12", rex="1")))
    bucket.put_object(Key=f"{BATCHES}/{NEWEST}/a.out.gz", Body=shop.get("input/batch/a.out.gz").data)
    upload(shop, bucket)
    before = {one.key: one.e_tag for one in bucket.objects.all()}
    here = sync.run(lambda: spark, folder, now=datetime.now(UTC), report=lambda text: None, is_plan=True).record
    code, out, err = recsync("plan", "--local", "--output", "json", FOLDER)
    there = json.loads(out)
    assert code == 0
    (braze,) = here.connectors
    told = braze.model_dump(by_alias=True, mode="json")
    assert {**there["connectors"][0], "tag": None, "manifest": ""} == {**told, "tag": None, "manifest": ""}
    assert (braze.counts["repeated"], braze.counts["new"], braze.counts["changed"]) == (1, 1, 1)
    assert {one.key: one.e_tag for one in bucket.objects.all()} == before
    assert err.splitlines()[-1] == f"next: recsync run {FOLDER}"


def answered(storage, manifest, refused):
    """The destination refused one user, and took the others."""
    for file in manifest.files:
        users = [json.loads(line)["userId"] for line in gzip.decompress(storage.get(file.key).data).splitlines()]
        rejected = [
            Rejection(line=number, user_id=user, code="refused", reason="no")
            for number, user in enumerate(users)
            if user == refused
        ]
        at = datetime.now(UTC)
        one = Receipt(
            file=file.key, first_line=0, last_line=len(users) - 1, outcome="settled", rejected=rejected, at=at
        )
        write_receipts(storage, manifest, [one])


def test_of_a_delivered_run_no_part_is_copied_and_of_another_version_nothing(shop, bucket, spark):
    folder = JobFolder.parse(shop.root)
    for users in ({"una": "12"}, {"una": "1", "pia": "2"}):
        shop.put("input/batch/a.out.gz", gzip.compress(lines(**users)))
        record = sync.run(lambda: spark, folder, now=datetime.now(UTC), report=lambda text: None, is_full=True).record
        answered(shop, state.read_manifest(shop, record.of("braze").manifest), refused="")
    upload(shop, bucket)
    run_id = record.run_id
    with copy_of(JobFolder.parse(FOLDER), Voice()) as copy:
        made = [key for key in keys(copy.root) if not key.startswith(("input/", "config"))]
        assert alias_key(LocalStorage(Path(copy.root))) == alias_key(shop)
    assert {layout.run_of_key(key) for key in made} == {run_id, None}
    assert [key for key in made if layout.run_of_key(key) is None] == [layout.pointer("braze"), layout.ALIAS_KEY]
    assert [key for key in made if "/part-" in key and key.startswith("output/braze/year")] == []
    assert layout.manifest("braze", run_id) in made
    assert [key for key in made if key.startswith("receipts/")]
