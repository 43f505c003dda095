"""A batch starts the run of every job folder that waits for it, once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.storage import open_storage
from functions import start_sync
from functions.start_sync import PATIENCE, Started, StartError, bound_to, job_folders, start_all, start_once

NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)
BATCH = "batch_for-you_2026_11_20_03_00_00"
SOLUTION = "s3://mpe/batch/shop/for-you"


class Glue:
    """Starts every run, but refuses the jobs it was told to."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.started = set(refused), []

    def __call__(self, folder: JobFolder) -> str:
        if folder.job in self.refused:
            raise StartError(f"{folder.job}: ConcurrentRunsExceededException")
        self.started.append(folder.job)
        return f"jr_{len(self.started)}"


@pytest.fixture
def bucket(tmp_path):
    """A bucket of job folders: path of the config.json, and what it says."""

    def make(**configs: object) -> LocalStorage:
        for name, config in configs.items():
            path = tmp_path / "etl_jobs" / "user_personalization" / name / "config.json"
            path.parent.mkdir(parents=True)
            path.write_text(config if isinstance(config, str) else json.dumps(config))
        return LocalStorage(tmp_path)

    return make


def reading(path: str) -> dict[str, object]:
    return {"batchInferencePath": path, "connectors": {"braze": {}}}


def marker(storage: LocalStorage, name: str = "a") -> Started | None:
    key = f"etl_jobs/user_personalization/{name}/{layout.started(BATCH)}"
    found = [entry.key for entry in storage.list()]
    return Started.model_validate_json(storage.get(key).data) if key in found else None


def folder_of(storage: LocalStorage, name: str = "a") -> JobFolder:
    return JobFolder.parse(f"{storage.root}/etl_jobs/user_personalization/{name}")


def test_every_job_folder_of_the_bucket_is_found_and_nothing_else(bucket, tmp_path):
    storage = bucket(a=reading("x"), b=reading("y"))
    for other in ("etl_jobs/related_items/c/config.json", "etl_jobs/someone_elses/d/config.json", "config.json"):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_text("{}")
    (tmp_path / "etl_jobs/related_items/not a name").mkdir()
    (tmp_path / "etl_jobs/related_items/not a name/config.json").write_text("{}")
    assert [folder.job for folder in job_folders(storage)] == [
        "related_items/c",
        "user_personalization/a",
        "user_personalization/b",
    ]


@pytest.mark.parametrize(
    ("path", "is_bound"),
    [
        (SOLUTION, True),
        (f"{SOLUTION}/", True),
        (f"{SOLUTION}/{BATCH}/", True),
        ("s3://mpe/batch/shop", True),
        (f"{SOLUTION}/batch_for-you_2026_11_19_03_00_00/", False),
        ("s3://mpe/batch/shop/for-you-too", False),
        ("s3://mpe/batch/shop/for", False),
        ("s3://other/batch/shop/for-you", False),
        ("input/batch/", False),
    ],
)
def test_a_folder_is_bound_to_the_batches_it_reads(bucket, path, is_bound):
    storage = bucket(a=reading(path))
    found = bound_to(f"{SOLUTION}/{BATCH}/", [folder_of(storage)], open_storage)
    assert bool(found) is is_bound


@pytest.mark.parametrize("config", ["not json", "[]", "{}", "[" * 100_000, '{"batchInferencePath": 5}'])
def test_a_config_that_does_not_say_waits_for_no_batch(bucket, config):
    storage = bucket(a=config)
    assert bound_to(f"{SOLUTION}/{BATCH}/", [folder_of(storage)], open_storage) == []


def test_a_batch_starts_one_run_however_often_its_event_comes(bucket):
    storage, glue = bucket(a=reading(SOLUTION)), Glue()
    folder = folder_of(storage)
    own = open_storage(folder.root)
    assert [start_once(folder, own, BATCH, glue, NOW) for _ in range(3)] == ["jr_1", "", ""]
    assert marker(storage) == Started(batch=BATCH, at=NOW, glue_run="jr_1")
    assert start_once(folder, own, "batch_for-you_2026_11_21_03_00_00", glue, NOW) == "jr_2"


def test_a_refused_start_leaves_the_batch_to_the_next_try(bucket):
    storage = bucket(a=reading(SOLUTION))
    folder = folder_of(storage)
    with pytest.raises(StartError):
        start_once(folder, open_storage(folder.root), BATCH, Glue(folder.job), NOW)
    assert "ConcurrentRunsExceeded" in marker(storage).refused
    assert start_once(folder, open_storage(folder.root), BATCH, Glue(), NOW) == "jr_1"
    assert marker(storage) == Started(batch=BATCH, at=NOW, tried_at=NOW, glue_run="jr_1")


def test_a_start_that_died_is_taken_over_and_one_under_way_is_not(bucket):
    storage, glue = bucket(a=reading(SOLUTION)), Glue()
    folder = folder_of(storage)
    own = open_storage(folder.root)
    own.put(layout.started(BATCH), Started(batch=BATCH, at=NOW).to_json().encode())
    assert start_once(folder, own, BATCH, glue, NOW + PATIENCE - timedelta(seconds=1)) == ""
    assert start_once(folder, own, BATCH, glue, NOW + PATIENCE) == "jr_1"
    assert start_once(folder, own, BATCH, glue, NOW + 2 * PATIENCE) == ""


def test_one_refused_folder_keeps_no_other_from_starting(bucket):
    storage, glue = (
        bucket(a=reading(SOLUTION), b=reading(SOLUTION), c=reading(SOLUTION)),
        Glue("user_personalization/b"),
    )
    folders = [folder_of(storage, name) for name in "abc"]
    with pytest.raises(StartError, match="user_personalization/b: Concurrent"):
        start_all(folders, open_storage, BATCH, glue, NOW)
    assert glue.started == ["user_personalization/a", "user_personalization/c"]
    glue.refused.clear()
    assert start_all(folders, open_storage, BATCH, glue, NOW) == {"user_personalization/b": "jr_3"}


def test_a_folder_that_cannot_be_read_keeps_no_other_from_starting(bucket):
    storage, glue = bucket(a=reading(SOLUTION), b=reading(SOLUTION)), Glue()
    storage.put(f"etl_jobs/user_personalization/a/{layout.started(BATCH)}", b"{")
    with pytest.raises(StartError, match=r"user_personalization/a: .* is damaged .*; remove it"):
        start_all([folder_of(storage, name) for name in "ab"], open_storage, BATCH, glue, NOW)
    assert glue.started == ["user_personalization/b"]


# ---- The handler, with Glue and Personalize stubbed


ARN = f"arn:aws:personalize:eu-central-1:123456789012:batch-inference-job/{BATCH}"
EVENT = {
    "source": "solutions.aws.personalize",
    "detail-type": "Personalize Batch Inference Job State Change",
    "resources": [ARN],
    "detail": {"Arn": ARN, "Status": "ACTIVE", "Duration": 1234},
}
TICK = {"detail-type": "Scheduled Event", "source": "aws.events", "time": "2026-11-21T05:00:00Z", "detail": {}}


def describe(personalize, status: str = "ACTIVE") -> None:
    output = {"s3DataDestination": {"path": f"{SOLUTION}/{BATCH}/"}}
    job = {"batchInferenceJobArn": ARN, "status": status, "jobOutput": output}
    personalize.add_response("describe_batch_inference_job", {"batchInferenceJob": job}, {"batchInferenceJobArn": ARN})


def expect(glue, job: str, run: str = "jr_1") -> None:
    job_type, name = job.split("/")
    path = f"s3://shop/etl_jobs/{job_type}/{name}/"
    glue.add_response(
        "start_job_run", {"JobRunId": run}, {"JobName": f"shop-sync-{job_type}", "Arguments": {"--S3_JOB_PATH": path}}
    )


@pytest.fixture
def jobs(account):
    """Two job folders in the bucket; one of them waits for the batch."""
    for job, path in (("user_personalization/for_you", SOLUTION), ("related_items/similar", "s3://mpe/batch/shop/x")):
        account.storage.put(f"etl_jobs/{job}/config.json", json.dumps(reading(path)).encode())


def test_the_event_of_a_batch_starts_the_folder_that_reads_it_once(account, jobs):
    glue, personalize = account.stub("glue"), account.stub("personalize")
    describe(personalize)
    describe(personalize)
    expect(glue, "user_personalization/for_you")
    assert start_sync.lambda_handler(EVENT, None) == {"user_personalization/for_you": "jr_1"}
    assert start_sync.lambda_handler(EVENT, None) == {}


def test_a_batch_that_is_not_done_starts_nothing(account, jobs):
    describe(account.stub("personalize"), "CREATE IN_PROGRESS")
    account.stub("glue")
    assert start_sync.lambda_handler(EVENT, None) == {}


def test_a_refusal_of_glue_is_an_error_that_brings_the_event_back(account, jobs):
    glue, personalize = account.stub("glue"), account.stub("personalize")
    for _ in range(2):
        describe(personalize)
    glue.add_client_error("start_job_run", "ConcurrentRunsExceededException")
    expect(glue, "user_personalization/for_you")
    with pytest.raises(StartError, match=r"shop-sync-user_personalization could not be started .*Concurrent"):
        start_sync.lambda_handler(EVENT, None)
    assert start_sync.lambda_handler(EVENT, None) == {"user_personalization/for_you": "jr_1"}


def test_a_schedule_starts_every_folder_once_a_tick(account, jobs):
    glue = account.stub("glue")
    expect(glue, "related_items/similar")
    expect(glue, "user_personalization/for_you", "jr_2")
    assert len(start_sync.lambda_handler(TICK, None)) == 2
    assert start_sync.lambda_handler(TICK, None) == {}
    expect(glue, "related_items/similar")
    expect(glue, "user_personalization/for_you", "jr_2")
    assert len(start_sync.lambda_handler({**TICK, "time": "2026-11-22T05:00:00Z"}, None)) == 2


def test_a_schedule_may_name_its_jobs(account, jobs, monkeypatch):
    monkeypatch.setenv("SCHEDULED_JOBS", "related_items/similar")
    expect(account.stub("glue"), "related_items/similar")
    assert start_sync.lambda_handler(TICK, None) == {"related_items/similar": "jr_1"}
    monkeypatch.setenv("SCHEDULED_JOBS", "related_items/similiar")
    with pytest.raises(StartError, match="no job folder etl_jobs/related_items/similiar"):
        start_sync.lambda_handler(TICK, None)


def test_a_name_that_is_no_jobs_keeps_no_other_from_being_started(account, jobs, monkeypatch):
    monkeypatch.setenv("SCHEDULED_JOBS", "related_items/gone,related_items/similar")
    glue = account.stub("glue")
    expect(glue, "related_items/similar")
    with pytest.raises(StartError, match="no job folder etl_jobs/related_items/gone; "):
        start_sync.lambda_handler(TICK, None)
    glue.assert_no_pending_responses()


def test_a_person_may_start_a_job_as_often_as_he_likes(account, jobs):
    glue = account.stub("glue")
    for request in ("r1", "r2"):
        expect(glue, "related_items/similar", request)
        context = type("Context", (), {"aws_request_id": request})
        assert start_sync.lambda_handler({"jobs": ["related_items/similar"]}, context) == {
            "related_items/similar": request
        }
