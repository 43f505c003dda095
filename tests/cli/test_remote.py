"""plan and run for a folder on S3: the Glue job that is started, what is shown of it, and how one comes back to it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from deployed import FOLDER, JOB, OUTPUTS, STACK, TAG, RefusedError, leaves

from cli import remote, run, show
from cli.console import Voice
from connectors.contract import layout, s3_storage
from connectors.contract.held import GuardReading, Held, hold
from connectors.contract.manifest import Pointer, RunManifest
from connectors.contract.run_record import ConnectorRecord, RunRecord, read_record, run_ids, write_record
from connectors.contract.storage import open_storage
from glue_jobs.arguments import RunArguments
from glue_jobs.ends import RunResult

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
PLAN = "20261121T040000Z-3f9a2c"
MANIFEST = layout.manifest("braze", PLAN)
COUNTS = {"records": 2, "new": 2, "users": 2}
READING = GuardReading(name="maxCleared", number=3, limit=1, is_breached=True, note="3 of 3 users lose it")
NO_WAY_TO_SPARK = "import sys; sys.modules.update(pyspark=None, py4j=None); from cli.main import main; main()"


def record(outcome="committed", *, exit_code=0, reason="", message="", counts=COUNTS):
    parts = [
        ConnectorRecord(connector="braze", outcome=outcome, version=1, counts=counts, manifest=MANIFEST, reason=reason)
    ]
    return RunRecord(
        run_id=PLAN,
        job="user_personalization/demo",
        started_at=AT,
        finished_at=AT,
        exit_code=exit_code,
        message=message,
        connectors=[] if message else parts,
    )


def is_held():
    manifest = RunManifest(
        job="user_personalization/demo",
        run_id=PLAN,
        connector="braze",
        version=1,
        acknowledge="onDelivery",
        options={},
        records_per_request=75,
        counts=COUNTS,
        files=[],
        digest="0",
        created_at=AT,
    )
    pointer = Pointer(version=1, run_id=PLAN, manifest=MANIFEST, snapshot=[])
    hold(
        open_storage(FOLDER),
        Held(
            connector="braze",
            run_id=PLAN,
            tag=None,
            pointer=pointer,
            manifest=manifest,
            guards=[READING],
            inputs=[],
            held_at=AT,
        ),
    )


def given(stack):
    """What the one run was started with, but for its token and its folder."""
    (made,) = stack.runs.values()
    assert made.arguments["--S3_JOB_PATH"] == f"{FOLDER}/"
    assert layout.time_of_run(made.arguments["--RUN_TOKEN"])
    return {name: value for name, value in made.arguments.items() if name not in ("--S3_JOB_PATH", "--RUN_TOKEN")}


# ---- What is started, and what is shown


def test_a_plan_is_made_by_the_glue_job_of_the_stack_that_made_the_bucket(recsync, stack):
    stack.ends = leaves(record("planned"))
    code, out, err = recsync("plan", "--output", "json", FOLDER)
    assert (code, given(stack)) == (0, {"--RUN_PLAN_ONLY": "true"})
    (plan_id,) = run_ids(open_storage(FOLDER), is_plan=True)
    assert json.loads(out) == read_record(open_storage(FOLDER), layout.plan_record(plan_id)).model_dump(
        by_alias=True, mode="json"
    )
    assert re.sub(r"\d+ s\b", "so long", err).splitlines() == [
        f"· started {JOB}, run jr_1; Ctrl-C leaves it running",
        "· Glue: STARTING, so long",
        "· Glue: RUNNING, so long",
        "· Glue: SUCCEEDED after so long",
        f"next: recsync run --plan {plan_id} {FOLDER}",
    ]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_is_printed_is_what_a_run_here_prints(recsync, stack, folder, monkeypatch, command):
    ended = record("planned" if command == "plan" else "committed")
    folder.mkdir(parents=True)
    monkeypatch.setattr(run, "run_job", lambda *_, **__: RunResult(ended))
    here = recsync(command, folder)
    stack.ends = leaves(ended)
    there = recsync(command, FOLDER)
    (run_id,) = run_ids(open_storage(FOLDER), is_plan=command == "plan")
    assert there[:2] == (here[0], here[1].replace(PLAN, run_id))
    assert "records" in there[1]


def test_a_plan_with_changes_exits_6_when_asked_to(recsync, stack):
    stack.ends = leaves(record("planned"))
    assert recsync("plan", "--detailed-exitcode", "--full", FOLDER)[0] == 6
    assert given(stack) == {"--RUN_PLAN_ONLY": "true", "--RUN_FULL": "true"}


def test_a_run_that_committed_is_delivered_by_the_stack_so_its_status_comes_next(recsync, stack):
    stack.ends = leaves(record())
    code, out, err = recsync("run", "--full", "--output", "json", FOLDER)
    (run_id,) = run_ids(open_storage(FOLDER))
    shown = {"runId": run_id, "connector": "braze", "version": 1, "counts": COUNTS, "manifest": MANIFEST}
    assert (code, json.loads(out)) == (0, {"runs": [shown], "held": [], "stopped": {}})
    assert given(stack) == {"--RUN_FULL": "true"}
    assert err.splitlines()[-1] == f"next: recsync status {FOLDER}"


def test_a_run_that_a_guard_held_exits_3_and_waits_for_a_word(recsync, stack):
    stack.states = ["RUNNING", "FAILED"]
    is_held()
    stack.ends = leaves(record("held", exit_code=3), "SystemExit: 3")
    code, out, err = recsync("run", FOLDER)
    assert (code, "maxCleared" in out) == (3, True)
    assert f"next: recsync approve --connector braze --run {PLAN} {FOLDER}" in err


def test_a_held_run_that_was_decided_about_meanwhile_is_told_so(recsync, stack):
    stack.states = ["FAILED"]
    stack.ends = leaves(record("held", exit_code=3), "SystemExit: 3")
    code, _, err = recsync("run", FOLDER)
    assert (code, "a guard held this run, and it was decided about since" in err) == (3, True)


def test_a_run_that_met_another_one_exits_4_and_names_it(recsync, stack):
    stack.states = ["FAILED"]
    stack.ends = leaves(record("stopped", exit_code=4, reason="another run committed"), "SystemExit: 4")
    code, out, err = recsync("run", "--output", "json", FOLDER)
    assert (code, json.loads(out)["stopped"]) == (4, {"braze": "another run committed"})
    assert "error: braze: another run committed" in err


@pytest.mark.parametrize("exit_code", [1, 2, 4])
def test_a_run_that_found_nothing_to_run_on_ends_with_its_own_sentence_and_code(recsync, stack, exit_code):
    stack.states = ["FAILED"]
    stack.ends = leaves(record(exit_code=exit_code, message="no usable line"), f"SystemExit: {exit_code}")
    code, out, err = recsync("run", FOLDER)
    assert (code, out, err.splitlines()[-1]) == (exit_code, "", "error: no usable line")


def test_a_run_does_what_a_plan_in_the_folder_said(recsync, stack):
    write_record(open_storage(FOLDER), layout.plan_record(PLAN), record("planned"))
    stack.ends = leaves(record())
    assert recsync("run", "--plan", PLAN, FOLDER)[0] == 0
    assert given(stack) == {"--RUN_AS_PLANNED": PLAN}


def test_a_plan_that_is_not_there_starts_nothing(recsync, stack):
    code, _, err = recsync("run", "--plan", PLAN, FOLDER)
    assert (code, stack.runs) == (2, {})
    assert f"there is no plan {PLAN} in {FOLDER}; make one: recsync plan {FOLDER}" in err


def test_a_trial_puts_the_ids_into_the_folder_and_not_into_arguments(recsync, stack, bucket, tmp_path):
    (tmp_path / "users.txt").write_text("ann\nbob\n")
    stack.ends = leaves(record("trial"))
    code, out, _ = recsync("run", "--only-users", tmp_path / "users.txt", FOLDER)
    assert (code, "version 1" in out) == (0, True)
    ((name, key),) = given(stack).items()
    assert name == "--RUN_ONLY_USERS"
    assert open_storage(FOLDER).get(key).data == b"ann\nbob\n"
    assert "ann" not in str(stack.runs)


# ---- Which Glue job it is


def test_a_stack_that_is_named_is_taken_and_the_bucket_is_not_asked(recsync, stack):
    stack.tags, stack.ends = [], leaves(record("planned"))
    code, _, err = recsync("plan", "--stack", STACK, FOLDER)
    (plan_id,) = run_ids(open_storage(FOLDER), is_plan=True)
    assert (code, "GetBucketTagging" in stack.calls) == (0, False)
    assert err.splitlines()[-1] == f"next: recsync run --plan {plan_id} --stack {STACK} {FOLDER}"


def test_each_type_of_job_has_a_glue_job_of_its_own(stack):
    there = remote.find(layout.JobFolder.parse(FOLDER.replace("user_personalization", "related_items")), None)
    assert there.job.name == f"{STACK}-related_items"


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"tags": []}, [], "bucket shop has no tag aws:cloudformation:stack-name"),
        ({"tags": [{"Key": "team", "Value": "data"}]}, [], "--stack NAME"),
        ({"tags": [{**TAG, "Value": "gone"}]}, [], "there is no stack 'gone' in eu-west-1"),
        ({}, ["--stack", "typo"], "there is no stack 'typo' in eu-west-1; name it with --stack, and its region in"),
        ({"outputs": {**OUTPUTS, "Bucket": "other"}}, [], "works on bucket other, and s3://shop/etl_jobs"),
        ({"outputs": {"Bucket": "shop"}}, [], "has no outputs Bucket and UserPersonalizationJobName"),
        ({"outputs": {}}, [], "so it is not recsync's"),
    ],
)
def test_where_no_glue_job_is_known_nothing_starts_and_the_way_out_is_named(recsync, stack, changes, words, said):
    for name, value in changes.items():
        setattr(stack, name, value)
    code, out, err = recsync("run", *words, FOLDER)
    assert (code, out, stack.runs) == (2, "", {})
    assert said in err
    assert len(err.splitlines()) == 1


# ---- While it runs


@pytest.fixture
def impatient(monkeypatch):
    """Somebody who presses Ctrl-C while he waits."""

    def interrupt(seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patience:
        patience.setattr(remote, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=interrupt))
        yield patience


@pytest.mark.parametrize(("command", "outcome"), [("plan", "planned"), ("run", "committed")])
def test_ctrl_c_leaves_the_run_running_and_names_the_way_back(recsync, stack, impatient, command, outcome):
    stack.ends = leaves(record(outcome))
    code, out, err = recsync(command, FOLDER)
    assert (code, out) == (130, "")
    back = err.splitlines()[-1].partition("come back to it: ")[2]
    assert back == f"recsync {command} --attach jr_1 {FOLDER}"
    impatient.undo()
    code, out, err = recsync(*shlex.split(back)[1:])
    assert (code, len(stack.runs)) == (0, 1)
    assert "records" in out
    assert "started" not in err


def test_the_way_back_names_the_stack_that_was_named(recsync, stack, impatient):
    err = recsync("run", "--stack", STACK, FOLDER)[2]
    assert err.splitlines()[-1].endswith(f"recsync run --attach jr_1 --stack {STACK} {FOLDER}")


def test_a_look_that_fails_leaves_the_run_running_and_names_the_way_back(recsync, stack, monkeypatch):
    there = remote.find(layout.JobFolder.parse(FOLDER), None)
    run_id = remote.start(there, RunArguments())

    def expires(seconds):
        stack.refused["GetJobRun"] = RefusedError("ExpiredTokenException", "expired")

    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=expires)
    with pytest.raises(
        remote.StillRunningError, match=r"credentials have expired, get new ones; .*--attach jr_1"
    ) as at:
        remote.result_of(there, run_id, Voice(), is_plan=False, clock=clock)
    assert at.value.exit_code == 1


def test_broken_off_while_glue_was_asked_says_that_it_is_not_known(recsync, stack):
    stack.refused["StartJobRun"] = KeyboardInterrupt()
    code, _, err = recsync("run", FOLDER)
    assert code == 130
    assert f"see whether it did: recsync runs {FOLDER}" in err


def test_an_ended_run_shows_its_result_again(recsync, stack):
    stack.ends = leaves(record())
    first = recsync("run", FOLDER)
    again = recsync("run", "--attach", "jr_1", FOLDER)
    assert again[:2] == first[:2]
    assert len(stack.runs) == 1


def test_of_one_start_that_was_repeated_each_run_shows_its_own_record(recsync, stack):
    """A run that is started anew in Glue's console has the same arguments, and so the same token."""
    told = {"--S3_JOB_PATH": f"{FOLDER}/", **RunArguments(token="t").to_glue()}
    storage, now = open_storage(FOLDER), datetime.now(UTC)
    for hours, users in ((3, 7), (1, 8)):
        began = now - timedelta(hours=hours)
        stack.has_run(told, ["SUCCEEDED"], timedelta(hours=hours))
        stack.runs[f"jr_{len(stack.runs)}"].ended_at = began + timedelta(minutes=5)
        run_id = layout.new_run_id(began + timedelta(minutes=1))
        kept = record(counts={"records": users}).model_copy(update={"token": "t", "run_id": run_id})
        write_record(storage, layout.run_record(run_id), kept)
    for name, users in (("jr_1", 7), ("jr_2", 8)):
        out = recsync("run", "--attach", name, "--output", "json", FOLDER)[1]
        assert json.loads(out)["runs"][0]["counts"] == {"records": users}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"--S3_JOB_PATH": f"{FOLDER}2/", "--RUN_TOKEN": "t"}, f"works on {FOLDER}2"),
        (
            {"--S3_JOB_PATH": FOLDER},
            "was not started by recsync, so its record is not known by its token; see: recsync",
        ),
        (
            {"--S3_JOB_PATH": FOLDER, "--RUN_TOKEN": "t", "--RUN_PLAN_ONLY": "true"},
            f"is a plan; type: recsync plan --attach jr_1 {FOLDER}",
        ),
    ],
)
def test_a_run_that_is_not_meant_is_not_waited_for(recsync, stack, arguments, said):
    stack.has_run(arguments, ["RUNNING", "SUCCEEDED"])
    code, _, err = recsync("run", "--attach", "jr_1", FOLDER)
    assert (code, said in err) == (2, True), err


def test_a_run_that_glue_does_not_know_is_named(recsync, stack):
    code, _, err = recsync("run", "--attach", "jr_9", FOLDER)
    assert (code, err) == (2, f"error: Glue knows no run jr_9 of job {JOB}; its id begins with jr_\n")


# ---- What goes wrong


@pytest.mark.parametrize(
    ("state", "message", "said"),
    [
        (
            "FAILED",
            "IllegalArgumentException:\n no such bucket",
            "FAILED: IllegalArgumentException: no such bucket; it",
        ),
        ("TIMEOUT", "", "ended TIMEOUT; it left no record"),
        ("STOPPED", "", "ended STOPPED; it left no record"),
    ],
)
def test_a_run_without_a_record_names_its_state_glues_words_and_the_logs(recsync, stack, state, message, said):
    stack.states, stack.ends = ["RUNNING", state], lambda arguments: message
    code, out, err = recsync("run", FOLDER)
    assert (code, out) == (1, "")
    assert said in err
    assert "aws logs tail /aws-glue/recsync/up/error --log-stream-name-prefix jr_1" in err


def test_where_the_logs_are_is_not_known_without_the_right_to_look(recsync, stack):
    stack.states = ["ERROR"]
    stack.refused["GetJob"] = RefusedError("AccessDeniedException", "no")
    err = recsync("run", FOLDER)[2]
    assert f"allow glue:GetJob on arn:aws:glue:eu-west-1:*:job/{JOB}" in err


@pytest.mark.parametrize(
    ("operation", "right"),
    [
        ("GetBucketTagging", "s3:GetBucketTagging on arn:aws:s3:::shop; or name the stack: --stack NAME"),
        ("DescribeStacks", f"cloudformation:DescribeStacks on arn:aws:cloudformation:eu-west-1:*:stack/{STACK}/*"),
        ("StartJobRun", f"glue:StartJobRun on arn:aws:glue:eu-west-1:*:job/{JOB}"),
        ("GetJobRun", f"glue:GetJobRun on arn:aws:glue:eu-west-1:*:job/{JOB}"),
    ],
)
def test_f30_a_missing_right_is_named_as_the_action_and_where(recsync, stack, operation, right):
    stack.refused[operation] = RefusedError("AccessDeniedException", "User is not authorized", 403)
    code, out, err = recsync("run", FOLDER)
    assert (code, out) == (1, "")
    assert f"allow {right}" in err.splitlines()[-1]


def test_a_run_that_was_started_and_may_not_be_looked_at_is_not_lost(recsync, stack):
    stack.refused["GetJobRun"] = RefusedError("AccessDeniedException", "no")
    err = recsync("run", FOLDER)[2]
    assert err.splitlines()[-1].endswith(f"come back to it: recsync run --attach jr_1 {FOLDER}")


def test_a_run_that_committed_and_failed_afterwards_is_told_as_both(recsync, stack):
    stack.states, stack.ends = ["FAILED"], leaves(record(), "lost a worker while it ended")
    code, out, err = recsync("run", FOLDER)
    assert (code, "records" in out) == (0, True)
    assert "warning: Glue says FAILED (lost a worker while it ended), and the run's record that all is done" in err


def test_f30_the_right_that_aws_names_comes_first(recsync, stack):
    said = "User: me is not authorized to perform: glue:StartJobRun on resource: arn:aws:glue:x:1:job/y"
    stack.refused["StartJobRun"] = RefusedError("AccessDeniedException", said)
    assert "allow glue:StartJobRun on arn:aws:glue:x:1:job/y" in recsync("run", FOLDER)[2]


def test_too_many_runs_at_once_are_named_with_the_parameter(recsync, stack):
    stack.refused["StartJobRun"] = RefusedError("ConcurrentRunsExceededException", "Concurrent runs exceeded")
    code, _, err = recsync("run", FOLDER)
    assert (code, "deploy with a larger GlueMaxConcurrentRuns" in err) == (1, True)


@pytest.mark.parametrize("words", [["plan"], ["run"], ["status"], ["report", "--link"], ["validate"]], ids=" ".join)
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "name a profile in AWS_PROFILE, or set AWS_ACCESS",
        ),
        ({"AWS_PROFILE": "typo"}, "aws configure list-profiles"),
    ],
)
def test_f30_missing_credentials_are_named_with_the_fix(recsync, bucket, monkeypatch, tmp_path, words, variables, said):
    no_account(monkeypatch, tmp_path, variables)
    code, out, err = recsync(*words, FOLDER)
    assert (code, out) == (1, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_missing_region_is_named_with_the_fix(recsync, bucket, monkeypatch, tmp_path):
    no_account(monkeypatch, tmp_path, {"AWS_DEFAULT_REGION": None})
    code, _, err = recsync("run", "--stack", STACK, FOLDER)
    assert (code, "set AWS_REGION to the region of the stack" in err) == (1, True), err


def no_account(monkeypatch, tmp_path, variables):
    """A machine that has nothing of AWS but these variables."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    s3_storage._s3.cache_clear()


# ---- What does not go together


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "--attach", "jr_1", "--full", FOLDER], "give it without --full"),
        (["run", "--attach", "jr_1", "--plan", PLAN, FOLDER], "give it without --full, --plan"),
        (["plan", "--local", "--stack", STACK, FOLDER], "--local needs no Glue job"),
        (["run", "--local", FOLDER], "a run has no --local: the folder on S3 knows nothing of what a copy commits"),
        (["deliver", FOLDER], f"recsync redeliver {FOLDER}"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_on_s3_says_why_and_what_can(recsync, stack, words, said):
    code, _, err = recsync(*words)
    assert (code, said in err, stack.calls) == (2, True, []), err


@pytest.mark.parametrize(
    "words", [["plan", "--local"], ["plan", "--attach", "jr_1"], ["run", "--stack", STACK]], ids=" ".join
)
def test_what_is_for_s3_is_refused_of_a_folder_here(recsync, folder, words):
    folder.mkdir(parents=True)
    code, _, err = recsync(*words, folder)
    assert (code, "are for folders on S3" in err) == (2, True)


def test_neither_spark_nor_java_is_needed_and_without_s3_no_boto3(folder):
    folder.mkdir(parents=True)
    loaded = "; import atexit; atexit.register(lambda: print('boto3' in sys.modules))"
    code = NO_WAY_TO_SPARK.replace("; from cli", f"{loaded}; from cli")
    asked = [["validate", str(folder)], ["status", str(folder)], ["run", "--attach", "jr_1", FOLDER]]
    done = [
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, env=NOBODY)
        for words in asked
    ]
    assert [one.stdout.splitlines()[-1] for one in done] == ["False", "False", "True"]
    assert "Traceback" not in "".join(one.stderr for one in done)


NOBODY = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"}


def test_the_record_says_all_that_a_result_does():
    ended = record()
    assert show.ended_data(ended, [])["runs"][0].keys() == {"connector", "runId", "version", "counts", "manifest"}
