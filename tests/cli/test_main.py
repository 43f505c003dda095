"""What a person types, what he reads, and the exit code."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime

import pytest

from cli import run, typed
from cli.emulators.braze_account import Answer
from cli.local_spark import JavaError
from cli.options import app
from connectors.contract import layout
from connectors.contract.manifest import Pointer
from connectors.contract.receipts import Fate, Receipt, write_receipts
from connectors.contract.run_record import ConnectorRecord, RunRecord
from connectors.contract.storage import StorageError
from glue_jobs import errors, recording
from glue_jobs.ends import RunResult

COMMANDS = [
    "init",
    "doctor",
    "prepare",
    "validate",
    "plan",
    "run",
    "deliver",
    "approve",
    "discard",
    "wipe",
    "status",
    "runs",
    "report",
    "explain",
    "redeliver",
    "demo",
    "version",
]

RUN = "20261121T040000Z-3f9a2c"


@pytest.fixture
def job_run(monkeypatch):
    """Have the job of `recsync run` end like this, without Spark."""

    def ends(result):
        def run_job(folder, voice, **_):
            if isinstance(result, BaseException):
                raise result
            return result if isinstance(result, RunResult) else ended([result])

        monkeypatch.setattr(run, "run_job", run_job)

    return ends


def done(counts, manifest="m"):
    return ConnectorRecord(connector="braze", outcome="committed", version=1, counts=counts, manifest=manifest)


def ended(published=(), *, held=(), stopped=None):
    """How a run ended, with its record."""
    codes = [*(error.exit_code for error in (stopped or {}).values()), *(errors.HELD for _ in held)]
    at = datetime(2026, 11, 21, 4, tzinfo=UTC)
    parts = [*published, *(recording.of_stopped(name, error) for name, error in (stopped or {}).items())]
    record = RunRecord(
        run_id=RUN, job="j", started_at=at, finished_at=at, exit_code=errors.gravest(codes), connectors=parts
    )
    return RunResult(record, held, stopped or {})


def figures_of(text: str) -> dict[str, str]:
    """The rows of the table: name → figure."""
    rows = [line.split("│")[1:3] for line in text.splitlines() if line.startswith("│")]
    return {name.strip(): figure.strip() for name, figure in rows}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(recsync, command):
    code, out, _ = recsync(command, "--help")
    assert code == 0
    (begin,) = (number for number, line in enumerate(out.splitlines()) if line == "  Examples:")
    examples = out.splitlines()[begin + 1 : begin + 3]
    assert begin == 2
    assert all(line.startswith(f"    recsync {command}") for line in examples)


def test_the_commands_are_told_in_the_order_a_person_meets_them_in():
    assert [command.callback.__name__ for command in app.registered_commands] == COMMANDS


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_recsync_alone_says_what_it_can_do(recsync, words):
    code, out, err = recsync(*words)
    assert (code, err) == (0, "")
    assert all(f"\n  {command} " in out for command in COMMANDS)


def test_version_prints_the_version(recsync):
    code, out, _ = recsync("version")
    assert (code, out) == (0, "recsync 0.1.0\n")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["delivre"], "delivre"),
        (["run", "--fast"], "--fast"),
        (["run"], "folder"),
        (["deliver", "--output", "yaml", "x"], "yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_cannot_be_read_is_named_and_exits_2(recsync, words, named):
    code, out, err = recsync(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert named in err.lower()


@pytest.mark.parametrize("command", ["run", "deliver"])
def test_a_folder_that_is_not_there_exits_2(recsync, tmp_path, command):
    code, out, err = recsync(command, tmp_path / "none")
    assert (code, out, err) == (2, "", f"error: there is no folder {tmp_path / 'none'}\n")


def test_a_folder_of_another_shape_exits_2_and_says_which_shape(recsync, tmp_path):
    code, _, err = recsync("deliver", tmp_path)
    assert code == 2
    assert "etl_jobs/<job_type>/<job_name>" in err


@pytest.mark.parametrize("run_id", ["../../x", "../../../other/run", "%2e%2e", "newest"])
@pytest.mark.parametrize("words", [["explain", "--user", "ann"], ["report"], ["redeliver"]], ids=lambda words: words[0])
def test_a_run_that_no_run_can_be_called_is_refused_and_exits_2(recsync, publish, folder, words, run_id):
    publish()
    code, out, err = recsync(*words, "--run", run_id, folder)
    assert (code, out) == (2, "")
    assert err.splitlines() == [f"error: run id {run_id!r} should look like 20260131T020000Z-3f9a2c"]


@pytest.mark.parametrize("command", ["approve", "discard"])
def test_a_connector_that_leaves_its_folder_is_refused_and_exits_2(recsync, publish, folder, command):
    publish()
    code, _, err = recsync(command, "--yes", "--connector", "../../x", folder)
    assert (code, len(err.splitlines())) == (2, 1) and "has nothing of '../../x'" in err


def test_a_folder_may_be_named_in_many_ways(folder, monkeypatch):
    (folder / "input").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for text in (".", "input/..", f"{folder}/", f"{folder}/../demo"):
        assert typed.any_folder(text).root == str(folder)


@pytest.mark.usefixtures("braze")
def test_a_folder_that_has_published_nothing_exits_2_and_names_the_command(recsync, folder):
    folder.mkdir(parents=True)
    code, _, err = recsync("deliver", folder)
    assert code == 2
    assert f"recsync run {folder}" in err


def test_delivery_prints_its_figures(recsync, publish, braze, folder):
    published = publish(["ann", "bob"], ["cleo"])
    code, out, err = recsync("deliver", folder)
    assert code == 0
    none = dict.fromkeys(["rejected", "superseded", "deadLettered", "waiting"], "0")
    assert figures_of(out) == {"records": "3", "delivered": "3", **none, "requests": "2"}
    assert err.splitlines()[-1] == f"next: recsync status {folder}"
    assert published.fates() == [Fate.DELIVERED] * 3
    assert braze.account.profiles.keys() == {"ann", "bob", "cleo"}


@pytest.mark.usefixtures("braze")
def test_in_json_stdout_is_one_json_object_and_nothing_else(recsync, publish, folder):
    publish(["ann", "x" * 1000])
    code, out, err = recsync("deliver", folder, "--output", "json")
    assert code == 5
    none = dict.fromkeys(["superseded", "deadLettered", "waiting"], 0)
    assert json.loads(out) == {"records": 2, "delivered": 1, "rejected": 1, **none, "requests": 1}
    assert "delivering part 1 of 1" in err
    assert recsync("deliver", folder)[0] == 0, "nothing was refused this time"


@pytest.mark.usefixtures("braze")
def test_quiet_prints_the_result_only(recsync, publish, folder):
    publish(["ann"])
    code, out, err = recsync("deliver", folder, "--quiet")
    assert (code, err) == (0, "")
    assert figures_of(out)["delivered"] == "1"


@pytest.mark.usefixtures("braze")
def test_rejected_records_exit_5(recsync, publish, folder):
    publish(["ann", "x" * 1000])
    assert recsync("deliver", folder)[0] == 5


def test_records_that_wait_exit_1_with_the_reason_and_the_way_on(recsync, publish, braze, folder):
    published = publish(["ann"])
    braze.account.api_key = "another"
    code, _, err = recsync("deliver", folder)
    assert code == 1
    assert "warning: braze run 20261121T040001Z-3f9a2c: Braze refused the API key (401)" in err
    assert err.splitlines()[-1] == f"next: recsync deliver {folder}"
    assert published.fates() == [Fate.OPEN]


def test_a_key_never_stands_in_what_is_printed(recsync, publish, braze, folder):
    publish(["ann"])
    braze.account.api_key = "another"
    assert "key-canary" not in "".join(recsync("deliver", folder)[1:])


@pytest.mark.usefixtures("braze")
def test_the_next_command_can_be_pasted(recsync, publish, tmp_path, folder):
    publish(["ann"])
    spaced = tmp_path / "my shop"
    spaced.mkdir()
    folder.parents[1].rename(spaced / "etl_jobs")
    moved = spaced / "etl_jobs" / "user_personalization" / "demo"
    code, _, err = recsync("deliver", moved)
    assert code == 0
    assert shlex.split(err.splitlines()[-1]) == ["next:", "recsync", "status", str(moved)]


def test_a_newer_run_waits_while_an_older_one_does(recsync, publish, braze, folder, monkeypatch):
    older, newer = publish(["ann"], item_id="old"), publish(["ann", "bob"], version=2, item_id="new")
    with monkeypatch.context() as trouble:
        trouble.setattr(braze.account, "track", lambda headers, body: Answer(401, {}))
        code, out, err = recsync("deliver", folder)
    assert code == 1
    assert figures_of(out)["waiting"] == "3"
    assert figures_of(out)["requests"] == "1"
    assert f"braze run {newer.manifest.run_id}: waits for run {older.manifest.run_id}" in err
    assert recsync("deliver", folder)[0] == 0
    assert braze.account.profiles["ann"] == {"itemId": ["new"]}


def test_one_destination_is_delivered_to_where_the_others_key_is_not_there(recsync, publish, braze, folder):
    """One that was taken out of config.json still owes something, and must not keep the others from being told."""
    for connector in ("braze", "webhook"):
        publish(["ann"], connector=connector)
    code, _, err = recsync("deliver", folder)
    assert (code, braze.account.stats.calls) == (2, 0)
    assert "set WEBHOOK_URL and WEBHOOK_SECRET to deliver to webhook; with --connector NAME only that one" in err
    assert recsync("deliver", folder, "--connector", "braze")[0] == 0
    assert braze.account.stats.calls == 1
    code, _, err = recsync("deliver", folder, "--connector", "hook")
    assert (code, "has nothing of 'hook'; it has something of braze, webhook" in err) == (2, True)


def test_runs_are_delivered_oldest_first(recsync, publish, braze, folder):
    publish(["ann", "bob"], version=2, item_id="new")
    publish(["ann"], version=1, item_id="old")
    assert recsync("deliver", folder)[0] == 0
    assert braze.account.profiles["ann"] == {"itemId": ["new"]}


@pytest.mark.usefixtures("no_braze")
def test_a_run_that_someone_else_reads_is_left_alone_and_said_so(recsync, publish, folder):
    published = publish(["ann"], acknowledge="onWrite")
    code, out, err = recsync("deliver", folder)
    assert (code, published.fates()) == (0, [Fate.OPEN])
    assert "someone else reads its files" in err
    assert figures_of(out)["records"] == "0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "--limit", "0", "x"], "Invalid value for '--limit'"),
        (["status", "--output", "xml", "x"], "Invalid value for '--output'"),
        (["explain", "x"], "Missing option '--user'"),
        (["status"], "Missing argument 'JOB_FOLDER'"),
    ],
)
def test_what_was_typed_wrong_is_named_with_its_option(recsync, words, said):
    code, _, err = recsync(*words)
    assert (code, err.startswith(f"error: {said}")) == (2, True), err


@pytest.mark.usefixtures("no_braze")
def test_what_someone_elses_run_replaced_is_superseded_without_a_key(recsync, publish, folder):
    old, new = publish(["ann"]), publish(["ann"], version=2, acknowledge="onWrite")
    pointer = Pointer(version=2, run_id=new.manifest.run_id, manifest=new.key, snapshot=[])
    old.storage.put(layout.pointer("braze"), pointer.to_json().encode())
    code, out, _ = recsync("deliver", folder)
    assert (code, figures_of(out)["superseded"]) == (0, "1")


@pytest.mark.usefixtures("no_braze")
def test_where_nothing_is_open_no_key_is_asked_for(recsync, publish, folder):
    published = publish(["ann"])
    (file,) = published.manifest.files
    receipt = Receipt(file=file.key, first_line=0, last_line=0, outcome="settled", at=published.manifest.created_at)
    write_receipts(published.storage, published.manifest, [receipt])
    code, out, _ = recsync("deliver", folder)
    assert (code, figures_of(out)["delivered"]) == (0, "1")


def test_a_folder_has_one_name_whatever_way_leads_to_it(publish, folder, tmp_path):
    """Or its own input would be another folder's to whoever comes by another way."""
    publish(["ann"])
    (tmp_path / "link").symlink_to(tmp_path / "etl_jobs")
    by_link = tmp_path / "link" / "user_personalization" / "demo"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "etl_jobs").symlink_to(tmp_path / "etl_jobs")
    assert typed.any_folder(str(by_link.parent / ".." / "user_personalization" / "demo")).root == str(folder)
    assert typed.any_folder(str(tmp_path / "shop" / "etl_jobs" / "user_personalization" / "demo")).root == str(folder)


@pytest.mark.usefixtures("no_braze")
def test_missing_variables_are_all_named_and_exit_2(recsync, publish, folder, monkeypatch):
    publish(["ann"])
    code, _, err = recsync("deliver", folder)
    assert (code, err) == (2, "error: set BRAZE_REST_ENDPOINT and BRAZE_API_KEY to deliver to braze\n")
    monkeypatch.setenv("BRAZE_REST_ENDPOINT", "https://rest.iad-01.braze.com")
    assert recsync("deliver", folder)[2] == "error: set BRAZE_API_KEY to deliver to braze\n"


@pytest.mark.parametrize("endpoint", ["https://rest.iad-01.braze.com.attacker.example", "http://127.0.0.1:9", "x"])
def test_a_foreign_endpoint_is_refused_and_exits_2(recsync, publish, braze, folder, monkeypatch, endpoint):
    publish(["ann"])
    monkeypatch.delenv("RECSYNC_ALLOW_LOOPBACK")
    monkeypatch.setenv("BRAZE_REST_ENDPOINT", endpoint)
    code, _, err = recsync("deliver", folder)
    assert code == 2
    assert "not one of Braze's REST endpoints" in err
    assert braze.account.stats.calls == 0


@pytest.mark.usefixtures("braze")
def test_output_of_a_destination_that_nobody_knows_exits_2(recsync, publish, folder):
    published = publish(["ann"])
    lost = published.manifest.model_copy(update={"connector": "brase"})
    published.storage.put(layout.manifest("brase", lost.run_id), lost.to_json().encode())
    code, _, err = recsync("deliver", folder)
    assert (code, published.fates()) == (2, [Fate.OPEN])
    assert "did you mean 'braze'" in err


@pytest.mark.usefixtures("braze")
@pytest.mark.parametrize("kept", [slice(-12), slice(0), slice(5, None)], ids=["cut", "empty", "no gzip"])
def test_a_damaged_part_exits_1_and_is_named(recsync, publish, folder, kept):
    published = publish(["ann", "bob"])
    part = published.manifest.files[0].key
    published.storage.put(part, published.storage.get(part).data[kept])
    code, _, err = recsync("deliver", folder)
    assert code == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert part in err


def test_a_damaged_part_of_a_run_that_was_replaced_keeps_nothing_from_being_delivered(recsync, publish, braze, folder):
    older = publish(["ann"], item_id="old")
    older.storage.put(older.manifest.files[0].key, b"")
    assert recsync("deliver", folder)[0] == 1
    newer = publish(["ann"], version=2, item_id="new")
    pointer = Pointer(version=2, run_id=newer.manifest.run_id, manifest=newer.key, snapshot=[])
    newer.storage.put(layout.pointer("braze"), pointer.to_json().encode())
    code, out, _ = recsync("deliver", folder)
    assert (code, figures_of(out)["superseded"], figures_of(out)["delivered"]) == (0, "1", "1")
    assert braze.account.profiles["ann"] == {"itemId": ["new"]}


@pytest.mark.usefixtures("braze")
def test_a_run_of_a_newer_release_exits_1_and_says_so(recsync, publish, folder):
    publish(["ann"], format_version=2)
    code, _, err = recsync("deliver", folder)
    assert code == 1
    assert "format 2" in err


def test_a_run_prints_its_counts_and_the_next_command(recsync, folder, job_run):
    folder.mkdir(parents=True)
    job_run(done({"users": 1234, "records": 0}))
    code, out, err = recsync("run", folder)
    assert code == 0
    assert figures_of(out) == {"users": "1,234", "records": "0"}
    assert "nothing to send" in err
    assert err.splitlines()[-1] == f"next: recsync deliver {folder}"


def test_a_run_in_json_is_one_object(recsync, folder, job_run):
    folder.mkdir(parents=True)
    job_run(done({"records": 7}))
    _, out, _ = recsync("run", folder, "--output", "json")
    [result] = json.loads(out)["runs"]
    assert (result["connector"], result["version"], result["counts"]) == ("braze", 1, {"records": 7})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("wrong"), 2),
        (errors.NoInputError("wrong"), 1),
        (errors.StateError("wrong"), 1),
        (errors.ConflictError("wrong"), 4),
        (StorageError("wrong"), 1),
        (JavaError("wrong"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_one_sentence_and_its_exit_code(recsync, folder, job_run, error, code):
    folder.mkdir(parents=True)
    job_run(error)
    assert recsync("run", folder) == (code, "", "error: wrong\n")


def test_a_connector_that_stopped_is_told_beside_one_that_committed(recsync, folder, job_run):
    folder.mkdir(parents=True)
    committed = done({"records": 7})
    job_run(ended([committed], stopped={"webhook": errors.ConflictError("another run committed")}))
    code, out, err = recsync("run", folder, "--output", "json")
    assert code == 4
    assert json.loads(out)["stopped"] == {"webhook": "another run committed"}
    assert json.loads(out)["runs"][0]["counts"] == {"records": 7}
    assert "webhook: another run committed" in err


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ('{"version": 1, "batchInferencePath": "in/", "connectors": {"braze": {}}}', 0, "config.json is right"),
        (
            '{"version": 1, "batchInferencePth": "in/", "connectors": {"brase": {}}}',
            2,
            "did you mean 'batchInferencePath'",
        ),
        (
            '{"version": 1, "batchInferencePath": "in/", "connectors": {"braze": {}}, "connectors": {"webhook": {}}}',
            2,
            "connectors: stands 2 times",
        ),
        ("{", 2, "is not JSON"),
        (None, 2, "config.json is not there"),
    ],
)
def test_validate_names_every_mistake_and_runs_nothing(recsync, folder, config, code, said):
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.json").write_text(config)
    before = sorted(folder.rglob("*"))
    found, out, err = recsync("validate", folder)
    assert (found, out) == (code, "")
    assert said in err
    assert sorted(folder.rglob("*")) == before


def test_an_interruption_exits_130_and_says_that_nothing_is_half_done(recsync, folder, job_run):
    folder.mkdir(parents=True)
    job_run(KeyboardInterrupt())
    code, out, err = recsync("run", folder)
    assert (code, out) == (130, "")
    assert "interrupted" in err


def test_a_fault_of_ours_is_not_told_as_a_mistake_of_the_person(recsync, folder, job_run):
    folder.mkdir(parents=True)
    job_run(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        recsync("run", folder)


def test_a_trial_takes_ids_one_a_line(recsync, folder, job_run, monkeypatch, tmp_path):
    folder.mkdir(parents=True)
    given = {}
    monkeypatch.setattr(run, "run_job", lambda folder, voice, **how: given.update(how) or ended())
    (tmp_path / "users.txt").write_text("\ufeffann\n\n bob \nann\n")
    assert recsync("run", "--only-users", tmp_path / "users.txt", folder)[0] == 0
    assert given["only_users"] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("\n", [], "names 0 user(s)"),
        ("\n".join(map(str, range(1001))), [], "names 1001 user(s); a trial is for 1 to 1000"),
        (None, [], "cannot be read"),
        ("ann", ["--full"], "give it without --full"),
        ("ann", ["--plan", "p"], "give it without --full and --plan"),
    ],
)
def test_a_trial_that_cannot_be_is_named(recsync, folder, tmp_path, text, more, said):
    folder.mkdir(parents=True)
    if text is not None:
        (tmp_path / "users.txt").write_text(text)
    code, _, err = recsync("run", "--only-users", tmp_path / "users.txt", *more, folder)
    assert (code, said in err) == (2, True), err
