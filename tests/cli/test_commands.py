"""status, runs, approve, discard, wipe as a person types them: what is printed, the exit code, and no Spark."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
from committed import AT, NEXT, RUN, held

from connectors.contract import layout
from connectors.contract.held import hold, newest_held
from connectors.contract.run_record import ConnectorRecord, RunRecord, write_record
from glue_jobs import state

# Leaves no way to Spark, as on a machine that has none.
WITHOUT_SPARK = "import sys; sys.modules.update(pyspark=None, py4j=None); from cli.main import main; main()"


def test_status_says_what_became_of_the_committed_run(recsync, job, folder):
    code, out, err = recsync("status", folder, "--output", "json")
    (braze,) = json.loads(out)["connectors"]
    assert code == 5
    assert braze["records"] == {"delivered": 1, "rejected": 1, "superseded": 0, "deadLettered": 0, "waiting": 1}
    assert (braze["version"], braze["users"], braze["published"], braze["held"]) == (1, 3, True, None)
    assert err.splitlines()[-1] == f"next: recsync deliver {folder}"


def test_status_warns_of_what_is_held_and_names_the_command(recsync, job, folder):
    held(job)
    _, out, err = recsync("status", folder)
    assert "version 1, run 20261121T040001Z-3f9a2c" in out
    assert f"run {NEXT} is held since 2026-11-21 04:00 UTC" in err
    assert err.splitlines()[-1] == f"next: recsync approve --connector braze --run {NEXT} {folder}"


def test_status_says_that_a_commit_was_never_published(recsync, job, folder):
    job.storage.delete(job.key)
    _, out, err = recsync("status", folder, "--output", "json")
    assert json.loads(out)["connectors"][0]["published"] is False
    assert "was committed and never published" in err


def test_status_of_a_damaged_state_names_the_repair(recsync, job, folder):
    job.storage.put(layout.pointer("braze"), b"{")
    code, out, err = recsync("status", folder)
    assert (code, err.splitlines()[-1]) == (1, f"next: recsync run --full {folder}")
    assert re.search(r"committed\W+cannot be read", out)


def test_status_of_a_damaged_manifest_names_what_mends_it_and_no_command_that_does_not(recsync, job, folder):
    job.storage.put(job.key, b"{")
    _, _, err = recsync("status", folder)
    assert "_manifest.json is damaged" in err
    assert "remove it: the next run sends again what it told" in err
    assert "next:" not in err


def test_status_counts_whom_the_committed_run_left_alone_and_opens_no_snapshot(recsync, job, folder):
    for entry in job.storage.list("output/braze/state/"):
        job.storage.delete(entry.key) if entry.key.endswith(".parquet") else None
    told = job.manifest.model_copy(update={"counts": {"records": 3, "resting": 2}})
    job.storage.put(job.key, told.to_json().encode())
    (braze,) = json.loads(recsync("status", folder, "--output", "json")[1])["connectors"]
    assert (braze["resting"], braze["users"], braze["trouble"]) == (2, 3, "")


def test_status_of_a_job_that_has_not_run_says_so(recsync, folder):
    folder.mkdir(parents=True)
    code, _, err = recsync("status", folder)
    assert (code, err.splitlines()) == (0, ["· this job has not run yet", f"next: recsync run {folder}"])


def test_runs_says_to_programs_too_what_became_of_what_was_held(recsync, job, folder):
    part = ConnectorRecord(connector="braze", outcome="held", manifest=layout.manifest("braze", NEXT))
    record = RunRecord(run_id=NEXT, job="demo", started_at=AT, finished_at=AT, exit_code=3, connectors=[part])
    write_record(job.storage, layout.run_record(NEXT), record)
    newest, oldest = json.loads(recsync("runs", folder, "--output", "json")[1])["runs"]
    assert [one["ending"] for one in newest["connectors"] + oldest["connectors"]] == ["dropped", "committed"]


def test_runs_lists_the_newest_first(recsync, job, folder):
    record = RunRecord(run_id=NEXT, job="demo", started_at=AT, finished_at=AT, exit_code=1, message="no usable line")
    write_record(job.storage, layout.run_record(NEXT), record)
    code, out, _ = recsync("runs", folder)
    told = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert told.index(NEXT) < told.index("stopped") < told.index(RUN) < told.index("committed")
    assert "usable" in told
    assert len(json.loads(recsync("runs", folder, "--limit", "1", "--output", "json")[1])["runs"]) == 1


def test_runs_gives_a_reason_whole_however_narrow_the_terminal(recsync, job, folder):
    reason = "no usable line: 5 read, 0 failed by the recommender, 5 unreadable; nothing was changed"
    record = RunRecord(run_id=NEXT, job="demo", started_at=AT, finished_at=AT, exit_code=1, message=reason)
    write_record(job.storage, layout.run_record(NEXT), record)
    assert recsync("runs", folder)[1].splitlines()[-2:] == ["Why", f"  {NEXT}  {reason}"]


def test_approve_without_a_terminal_needs_a_yes(recsync, job, folder):
    held(job)
    code, _, err = recsync("approve", folder)
    assert code == 2
    assert "give --yes" in err
    assert state.read_pointer(job.storage, "braze").version == 1


@pytest.mark.parametrize(("command", "done"), [("approve", "approved"), ("discard", "discarded")])
def test_a_no_leaves_everything_as_it_was_and_names_nothing_to_type_next(
    recsync, job, folder, monkeypatch, command, done
):
    was = held(job)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    code, out, err = recsync(command, "--output", "json", folder)
    assert (code, json.loads(out), "next: " in err) == (0, {done: []}, False)
    assert newest_held(job.storage, "braze") == was


def test_approve_publishes_what_is_held_and_says_what_comes_next(recsync, job, folder):
    held(job)
    code, out, err = recsync("approve", "--yes", folder)
    assert code == 0
    assert "maxCleared" in out
    assert err.splitlines()[-1] == f"next: recsync deliver {folder}"
    assert state.read_pointer(job.storage, "braze").version == 2
    assert recsync("approve", "--yes", folder)[0] == 4


def test_what_cannot_be_published_of_one_connector_keeps_no_other_from_being_published(recsync, job, folder):
    waiting = held(job)
    hold(job.storage, waiting.model_copy(update={"connector": "another", "tag": "of before"}))
    code, out, err = recsync("approve", "--yes", "--output", "json", folder)
    assert (code, json.loads(out)) == (4, {"approved": [{"connector": "braze", "run": NEXT}]})
    assert err.count(f"another: run {NEXT} was held before") == 1
    assert state.read_pointer(job.storage, "braze").version == 2


@pytest.mark.parametrize("command", ["approve", "discard"])
def test_a_connector_that_nobody_knows_is_a_mistake_and_no_conflict(recsync, job, folder, command):
    held(job)
    code, _, err = recsync(command, "--yes", "--connector", "brase", folder)
    assert (code, "has nothing of 'brase'; it has something of braze" in err) == (2, True)


def test_what_waited_is_named_when_a_wipe_takes_its_place(recsync, job, folder):
    held(job)
    _, _, err = recsync("wipe", folder)
    assert f"braze: run {NEXT} waited for a yes, and is dropped for this one" in err


@pytest.mark.parametrize("command", ["approve", "discard"])
@pytest.mark.parametrize("name", [RUN, ""])
def test_another_run_than_the_one_that_is_held_exits_4(recsync, job, folder, command, name):
    held(job)
    code, _, err = recsync(command, "--yes", "--run", name, folder)
    assert (code, err) == (4, f"error: run {name} is not held; run {NEXT} is\n")


def test_discard_forgets_what_is_held(recsync, job, folder):
    held(job)
    assert recsync("discard", "--yes", folder)[0] == 0
    assert recsync("discard", "--yes", folder)[0] == 4
    assert state.read_pointer(job.storage, "braze").version == 1


def test_wipe_waits_for_a_yes(recsync, job, folder):
    code, out, err = recsync("wipe", folder)
    assert code == 3
    assert "all 3 users lose every attribute we ever wrote" in " ".join(out.replace("│", " ").split())
    assert "recsync approve" in err
    assert recsync("wipe", "--connector", "klaviyo", folder)[0] == 2


def test_a_wipe_is_a_run_like_any_other(recsync, job, folder):
    code, out, _ = recsync("wipe", "--output", "json", folder)
    told = json.loads(out)
    assert (code, told["stopped"]) == (3, {})
    newest = json.loads(recsync("runs", "--output", "json", folder)[1])["runs"][0]
    assert newest["runId"] == told["held"][0]["run"]
    assert [part["outcome"] for part in newest["connectors"]] == ["held"]
    (status,) = json.loads(recsync("status", "--output", "json", folder)[1])["connectors"]
    assert status["lastRun"] == {"run": newest["runId"], "outcome": "held"}


@pytest.mark.parametrize(
    ("word", "version", "how", "said"),
    [("approve", 2, "approved", "held, then approved"), ("discard", 1, "dropped", "held, then dropped")],
)
def test_status_and_runs_know_what_was_decided_about_the_last_run(recsync, job, folder, word, version, how, said):
    run = json.loads(recsync("wipe", "--output", "json", folder)[1])["held"][0]["run"]
    recsync(word, "--yes", folder)
    (status,) = json.loads(recsync("status", "--output", "json", folder)[1])["connectors"]
    assert (status["version"], status["lastRun"]) == (version, {"run": run, "outcome": how})
    assert f"{run}: {said}" in " ".join(recsync("status", folder)[1].replace("│", " ").split())
    assert f"{run} braze {how}" in " ".join(recsync("runs", folder)[1].replace("│", " ").split())


def test_runs_lists_a_held_run_as_its_record_does_where_what_it_published_is_damaged(recsync, job, folder):
    run = json.loads(recsync("wipe", "--output", "json", folder)[1])["held"][0]["run"]
    job.storage.put(layout.manifest("braze", run), b"{")
    code, out, _ = recsync("runs", folder)
    assert code == 0
    assert f"{run} braze held" in " ".join(out.replace("│", " ").split())


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 5),
        (["runs"], 0),
        (["wipe"], 3),
        (["approve", "--yes"], 4),
        (["discard", "--yes"], 4),
        (["explain", "--user", "ann"], None),
        (["redeliver", "--dry-run"], None),
        (["validate"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_none_of_these_needs_spark(folder, words, code):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SPARK, *words, str(folder)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert code in (None, done.returncode), done.stderr
