"""What events missed is seen, counted and healed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.s3_storage import S3Storage
from connectors.contract.storage import open_storage
from functions import enqueue, retention, sweep
from functions.enqueue import Marker
from functions.start_sync import PATIENCE, Started, StartError

JOB = "user_personalization/demo"
BATCH = "batch_for-you_2026_11_20_03_00_00"
ANN = {"userId": "ann", "op": "upsert", "recommendations": [{"itemId": "106"}]}


def no_start(folder: JobFolder) -> str:
    raise AssertionError(f"{folder.job} was started")


@pytest.fixture
def swept(folder, scripted_queue):
    """Sweep the one job folder, some minutes ahead; the findings, and what the work queue was sent."""

    def run(minutes: float = 0, *, start_run=no_start, starts_missed: bool = False, destinations=("braze",)):
        queue, now = scripted_queue(), datetime.now(UTC) + timedelta(minutes=minutes)
        folders, known = [JobFolder.parse(str(folder))], {"has_queue": destinations.__contains__}
        found = sweep.sweep(folders, open_storage, queue, start_run, now, starts_missed=starts_missed, **known)
        return found, queue.taken

    return run


def test_f22_a_publish_whose_event_got_lost_is_seen_and_enqueued_again(publish, commit, swept):
    run = publish([ANN], [ANN])
    commit(run)
    assert swept(14) == (sweep.Findings(not_enqueued={"braze": 0}, held={"braze": 0}), [])
    found, sent = swept(16)
    assert found.not_enqueued == {"braze": 1}
    assert sent == [sweep.event_of(run.address)]


@pytest.mark.parametrize("missing", ["none of its parts", "one of its parts", "the end of one"])
def test_a_run_is_handed_over_when_every_part_is_marked_done(publish, commit, swept, missing):
    run = publish([ANN], [ANN])
    commit(run)
    first, second = (layout.enqueued("braze", run.manifest.run_id, file.key) for file in run.manifest.files)
    run.storage.put(first, Marker(next_line=1, done=True).to_json().encode())
    if missing != "one of its parts":
        run.storage.put(second, Marker(next_line=0, done=missing == "none of its parts").to_json().encode())
    found, _ = swept(16)
    assert found.not_enqueued == {"braze": 0 if missing == "none of its parts" else 1}


def test_a_run_that_somebody_is_handing_over_is_not_late(publish, commit, swept):
    run = publish([ANN], [ANN])
    commit(run)
    written_s, ago_s = (datetime.now(UTC) - timedelta(hours=1)).timestamp(), PATIENCE.total_seconds()
    os.utime(Path(run.storage.root) / run.key, (written_s, written_s))
    marker = layout.enqueued("braze", run.manifest.run_id, run.manifest.files[0].key)
    run.storage.put(marker, Marker(next_line=0).to_json().encode())
    assert swept(ago_s / 60 - 1)[0].not_enqueued == {"braze": 0}
    assert swept(ago_s / 60 + 1)[0].not_enqueued == {"braze": 1}


def test_a_run_whose_destination_the_stack_lacks_is_told_and_not_announced_again_and_again(publish, commit, swept):
    commit(publish([ANN]))
    other = publish([ANN], connector="webhook", options={})
    commit(other)
    found, sent = swept(16, destinations=("webhook",))
    assert (found.not_enqueued, sent) == ({"braze": 1, "webhook": 1}, [sweep.event_of(other.address)])
    assert "this stack has no braze; deploy it with the endpoint and the key of braze" in found.failed[JOB]


def test_runs_that_need_no_queue_are_never_late(publish, commit, swept):
    commit(publish())
    assert swept(16)[0].not_enqueued == {"braze": 0}
    commit(publish([ANN], run_id="20261122T040000Z-000001", acknowledge="onWrite"))
    assert swept(16)[0].not_enqueued == {"braze": 0}


def test_a_commit_that_was_never_published_is_left_to_the_next_run(publish, commit, swept):
    run = publish([ANN])
    commit(run)
    run.storage.delete(run.key)
    assert swept(16)[0].not_enqueued == {"braze": 0}


def test_the_run_published_before_it_is_still_handed_over(publish, write, swept):
    run = publish([ANN])
    lost = layout.manifest("braze", "20261122T040000Z-000001")
    pointer = {"version": 2, "runId": "20261122T040000Z-000001", "manifest": lost, "previous": run.key, "snapshot": []}
    write(layout.pointer("braze"), pointer)
    assert swept(16)[1] == [sweep.event_of(run.address)]


def test_a_run_that_was_replaced_before_it_was_handed_over_still_is(publish, write, swept):
    """Or nothing would ever say what became of its records."""
    old, new = publish([ANN]), publish([ANN], run_id="20261122T040000Z-000001", version=2)
    pointer = {"version": 2, "runId": new.manifest.run_id, "manifest": new.key, "previous": old.key, "snapshot": []}
    write(layout.pointer("braze"), pointer)
    (file,) = new.manifest.files
    new.storage.put(layout.enqueued("braze", new.manifest.run_id, file.key), Marker(done=True).to_json().encode())
    found, sent = swept(16)
    assert (found.not_enqueued, sent) == ({"braze": 1}, [sweep.event_of(old.address)])


def test_held_runs_are_counted_for_each_connector(publish, commit, swept, write):
    commit(publish([]))
    write(layout.held("braze", "20261121T040000Z-000001"), {})
    assert swept()[0].held == {"braze": 1}


def test_a_folder_that_cannot_be_read_keeps_no_other_from_being_looked_at(publish, commit, folder, scripted_queue):
    commit(publish([ANN]))
    broken = folder.parent / "broken"
    (broken / "output" / "braze" / "state").mkdir(parents=True)
    (broken / layout.pointer("braze")).write_text("not a pointer")
    folders = [JobFolder.parse(str(path)) for path in (broken, folder)]
    now = datetime.now(UTC) + timedelta(minutes=16)
    found = sweep.sweep(folders, open_storage, scripted_queue(), no_start, now, starts_missed=False)
    assert found.not_enqueued["braze"] == 1
    assert list(found.failed) == ["user_personalization/broken"]


def test_a_work_queue_that_refuses_is_told(publish, commit, folder, scripted_queue):
    commit(publish([ANN]))
    now = datetime.now(UTC) + timedelta(minutes=16)
    found = sweep.sweep(
        [JobFolder.parse(str(folder))], open_storage, scripted_queue([0]), no_start, now, starts_missed=False
    )
    assert "refused" in found.failed[JOB]


# ---- Batches


@pytest.fixture
def batch(tmp_path, write, monkeypatch):
    """A batch that is done now, in a bucket that is a folder here."""
    write("config.json", {"batchInferencePath": "s3://mpe/batch/shop/for-you/"})
    solution = LocalStorage(tmp_path / "mpe")
    solution.put(f"{BATCH}/job_config.json.out", b"{}")
    return lambda address: solution if address.startswith("s3://mpe") else open_storage(address)


@pytest.fixture
def look(batch, folder, scripted_queue):
    started = []

    def start_run(one: JobFolder) -> str:
        started.append(one.job)
        return f"jr_{len(started)}"

    def run(minutes: float, *, starts_missed: bool = True):
        now = datetime.now(UTC) + timedelta(minutes=minutes)
        folders = [JobFolder.parse(str(folder))]
        found = sweep.sweep(folders, batch, scripted_queue(), start_run, now, starts_missed=starts_missed)
        assert found.failed == {}
        return found

    return run


@pytest.fixture
def ran_before(publish, commit):
    commit(publish(run_id=layout.new_run_id(datetime.now(UTC) - timedelta(minutes=5))))


@pytest.mark.usefixtures("ran_before")
def test_f22_a_batch_whose_event_got_lost_is_started_once(look, folder):
    assert look(14).started == {}
    assert look(16).started == {JOB: "jr_1"}
    assert look(31).started == {}
    marker = LocalStorage(folder).get(layout.started(BATCH)).data
    assert Started.model_validate_json(marker).glue_run == "jr_1"


def test_a_batch_that_its_event_started_is_not_started_again(look, write):
    write(layout.started(BATCH), {"batch": BATCH, "at": "2026-11-20T04:00:00Z", "glueRun": "jr_9"})
    assert look(16).started == {}


TICK, LATER = layout.started("scheduled-20261121T050000Z"), layout.started("by-hand-1")


def refused(hours_ago: float = 1, why: str = "ConcurrentRunsExceededException") -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    return {"batch": "scheduled-20261121T050000Z", "at": at.isoformat(), "refused": why}


def test_a_start_by_the_clock_that_glue_refused_is_tried_again_until_it_is_started(look, write, folder):
    write(TICK, refused())
    assert look(0, starts_missed=False).started == {JOB: "jr_1"}
    assert Started.model_validate_json(LocalStorage(folder).get(TICK).data).glue_run == "jr_1"
    assert look(15, starts_missed=False).started == {}


def test_a_start_that_glue_refuses_again_is_told_and_stays_marked(folder, write, scripted_queue):
    def refuse(one: JobFolder) -> str:
        raise StartError(f"{one.job}: no such job")

    asked = refused()
    write(TICK, asked)
    folders = [JobFolder.parse(str(folder))]
    found = sweep.sweep(folders, open_storage, scripted_queue(), refuse, datetime.now(UTC), starts_missed=False)
    assert found.failed == {JOB: f"StartError: {JOB}: no such job"}
    marker = Started.model_validate_json(LocalStorage(folder).get(TICK).data)
    assert (marker.refused, marker.at.isoformat()) == (f"StartError: {JOB}: no such job", asked["at"])


def test_the_age_of_a_batch_is_told_whatever_becomes_of_a_start(batch, folder, write, scripted_queue):
    def refuse(one: JobFolder) -> str:
        raise StartError("no such job")

    write(TICK, refused())
    folders, now = [JobFolder.parse(str(folder))], datetime.now(UTC) + timedelta(hours=2)
    found = sweep.sweep(folders, batch, scripted_queue(), refuse, now, starts_missed=False)
    assert (list(found.failed), found.batch_age_hours[JOB]) == ([JOB], pytest.approx(2, abs=0.02))


def test_a_start_that_is_refused_for_a_day_is_given_up(look, write):
    write(TICK, refused(hours_ago=24))
    assert look(0, starts_missed=False).started == {}


@pytest.mark.usefixtures("ran_before")
def test_a_start_that_a_commit_has_made_needless_is_not_tried_again(look, write):
    write(TICK, refused())
    assert look(0, starts_missed=False).started == {}


@pytest.mark.usefixtures("ran_before")
def test_a_batch_and_a_refused_start_are_one_run_together(look, write):
    write(TICK, refused(hours_ago=0))
    assert len(look(16).started) == 1
    assert look(31).started == {}


def test_a_start_that_died_is_tried_again_and_one_under_way_is_left_alone(look, write):
    write(TICK, refused(0, ""))
    assert look(14, starts_missed=False).started == {}
    assert look(16, starts_missed=False).started == {JOB: "jr_1"}


def test_what_a_later_start_has_made_needless_is_not_tried_again(look, write, folder):
    write(TICK, refused())
    os.utime(folder / TICK, (0, 0))
    write(LATER, {"batch": "by-hand-1", "at": "2026-11-21T09:00:00Z", "glueRun": "jr_9"})
    assert look(0, starts_missed=False).started == {}


def test_a_batch_that_a_later_run_has_read_is_not_missed(look, publish, commit):
    run = layout.new_run_id(datetime.now(UTC) + timedelta(minutes=5))
    commit(publish(run_id=run))
    assert look(16).started == {}


def test_a_folder_that_never_ran_is_for_a_person_to_start(look):
    """Or putting it there, to plan or to try it, would tell everyone."""
    assert look(16).started == {}


@pytest.mark.usefixtures("ran_before")
def test_the_sweep_starts_nothing_where_events_start_nothing(look):
    assert look(16, starts_missed=False).started == {}


@pytest.mark.usefixtures("ran_before")
def test_batches_of_several_solutions_start_nothing_and_are_told(batch, folder, scripted_queue):
    for solution in ("other", "sims"):
        batch("s3://mpe").put(f"{solution}/batch_{solution}_2026_11_22_03_00_00/a.out", b"{}")
    batch("s3://mpe").delete(f"{BATCH}/job_config.json.out")
    folders, now = [JobFolder.parse(str(folder))], datetime.now(UTC) + timedelta(minutes=16)
    found = sweep.sweep(folders, batch, scripted_queue(), no_start, now, starts_missed=True)
    assert (found.started, found.batch_age_hours) == ({}, {})
    assert "finished batches lie in several folders: other/, sims/" in found.failed[JOB]


def test_the_age_of_the_newest_batch_is_told(look):
    assert look(90, starts_missed=False).batch_age_hours[JOB] == pytest.approx(1.5, abs=0.02)


# ---- The handler, on S3 and SQS by moto


def metrics(text: str) -> dict[str, list[float]]:
    found = [json.loads(line) for line in text.splitlines()]
    return {
        name: one[name]
        for one in found
        for name in ("PublishedNotEnqueued", "HeldRuns", "BatchAgeHours")
        if name in one
    }


@pytest.fixture
def published(account, publish):
    """A run in the bucket, committed; its event is dropped."""
    storage = S3Storage("shop", f"etl_jobs/{JOB}")
    run = publish([ANN], storage=storage)
    pointer = {"version": 1, "runId": run.manifest.run_id, "manifest": run.key, "snapshot": []}
    storage.put(layout.pointer("braze"), json.dumps(pointer).encode())
    storage.put("config.json", b"{}")
    return run


def in_minutes(minutes: float) -> dict[str, str]:
    return {"task": "heal", "now": (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()}


def test_f22_the_sweep_counts_a_dropped_event_heals_it_and_counts_it_no_more(account, published, capsys):
    assert sweep.lambda_handler(in_minutes(14), None)["notEnqueued"] == 0
    assert metrics(capsys.readouterr().out) == {"PublishedNotEnqueued": [0.0], "HeldRuns": [0.0]}
    assert sweep.lambda_handler(in_minutes(16), None)["notEnqueued"] == 1
    assert metrics(capsys.readouterr().out)["PublishedNotEnqueued"] == [1.0]
    for queue in ("work", "work"):  # the event, and the part it fans out to
        assert enqueue.lambda_handler(account.received(queue), None) == {"batchItemFailures": []}
    [message] = account.received("braze")["Records"]
    assert json.loads(message["body"])["lines"] == [ANN]
    capsys.readouterr()
    assert sweep.lambda_handler(in_minutes(31), None)["notEnqueued"] == 0
    assert metrics(capsys.readouterr().out)["PublishedNotEnqueued"] == [0.0]


def test_dead_letters_are_read_through(account, published):
    account.sqs.send_message(QueueUrl=account.url("braze-dead"), MessageBody="poison")
    assert sweep.lambda_handler(in_minutes(0), None)["deadLettersRemoved"] == {"braze": 0}
    attributes = account.sqs.get_queue_attributes(QueueUrl=account.url("braze-dead"), AttributeNames=["All"])
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_a_dead_letter_that_cannot_be_accounted_for_is_an_error_after_all_else_was_done(account, published, capsys):
    other = published.manifest.model_copy(update={"run_id": "20261122T040000Z-000001"})
    key = layout.manifest("braze", other.run_id)
    published.storage.put(key, b"{")
    lines = {"from": 0, "to": 0, "lines": [ANN]}
    message = {"connector": "braze", "manifest": f"{published.storage.root}/{key}", "version": 1, "file": "x", **lines}
    account.sqs.send_message(QueueUrl=account.url("braze-dead"), MessageBody=json.dumps(message))
    with pytest.raises(sweep.SweepError, match=r"_manifest\.json is damaged"):
        sweep.lambda_handler(in_minutes(16), None)
    assert metrics(capsys.readouterr().out)["PublishedNotEnqueued"] == [1.0]


def test_old_runs_are_pruned_by_the_retention_of_the_stack(account, published, monkeypatch):
    storage = published.storage
    old = layout.receipts("braze", "20200101T000000Z-000001") + "a.jsonl"
    storage.put(old, b"")
    monkeypatch.setenv("RETENTION_DAYS", "30")
    assert sweep.lambda_handler({"task": "prune"}, None) == {"removed": {JOB: 1}}
    assert old not in {entry.key for entry in storage.list()}


def test_all_folders_together_lose_a_little_at_a_time(account, published, monkeypatch):
    for storage in (S3Storage("shop", "etl_jobs/related_items/other"), published.storage):
        for name in ("a", "b"):
            storage.put(f"{layout.receipts('braze', '20200101T000000Z-000001')}{name}.jsonl", b"")
    monkeypatch.setattr(retention, "AT_MOST", 3)
    removed = [sweep.lambda_handler({"task": "prune"}, None)["removed"] for _ in range(3)]
    assert removed == [{"related_items/other": 2, JOB: 1}, {JOB: 1}, {JOB: 0}]


def test_what_could_not_be_looked_at_is_an_error_after_all_else_was_done(account, published):
    S3Storage("shop", "etl_jobs/related_items/broken").put(layout.pointer("braze"), b"not a pointer")
    with pytest.raises(sweep.SweepError, match=r"related_items/broken: DamagedError: .*_current\.json is damaged"):
        sweep.lambda_handler(in_minutes(16), None)
    assert len(account.received("work")["Records"]) == 1


def test_an_unknown_task_is_named(account):
    with pytest.raises(sweep.SweepError, match="'sweep'; it should be heal or prune"):
        sweep.lambda_handler({"task": "sweep"}, None)


def test_the_patience_is_a_quarter_of_an_hour():
    """The template's alarm and schedule speak of it."""
    assert timedelta(minutes=15) == PATIENCE
