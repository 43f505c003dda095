import pytest

from connectors.contract import layout, s3_storage
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage
from connectors.contract.run_record import read_record, run_ids
from connectors.contract.storage import StorageError
from glue_jobs import glue
from glue_jobs.arguments import RunArguments
from glue_jobs.errors import ConfigError
from glue_jobs.report import filing

FOLDER = "s3://bucket/etl_jobs/related_items/demo"


def argv(*arguments):
    return ["script", "--JOB_NAME", "demo", *arguments]


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_job_folder_comes_with_or_without_a_slash(slash):
    assert glue.job_folder("related_items", argv("--S3_JOB_PATH", FOLDER + slash)).root == FOLDER


def test_glues_own_arguments_are_tolerated():
    own = ["--job-bookmark-option", "job-bookmark-disable", "--TempDir", "s3://t/", "--enable-metrics", "true"]
    assert glue.job_folder("related_items", argv(*own, "--S3_JOB_PATH", FOLDER)).job == "related_items/demo"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "S3_JOB_PATH"),
        (["--S3_JOB_PATH", "s3://bucket/elsewhere/"], "should end in etl_jobs"),
        (["--S3_JOB_PATH", "s3://bucket/etl_jobs/user_personalization/demo"], "this script runs related_items jobs"),
    ],
)
def test_a_wrong_argument_is_named(arguments, said):
    with pytest.raises(ConfigError, match=said):
        glue.job_folder("related_items", argv(*arguments))


def test_an_s3_client_that_could_not_commit_stops_a_job_at_its_start(monkeypatch):
    def refuse():
        raise StorageError("boto3 1.34.131 cannot write on a condition")

    monkeypatch.setattr(s3_storage, "check_client", refuse)
    with pytest.raises(ConfigError, match=r"boto3 1\.34"):
        glue.check_storage(JobFolder.parse(FOLDER))
    glue.check_storage(JobFolder.parse("/srv/etl_jobs/related_items/demo"))


def test_a_job_that_could_not_commit_says_so_and_ends_with_2(monkeypatch):
    def refuse(folder):
        raise ConfigError("boto3 1.34.131 cannot write on a condition")

    monkeypatch.setattr(glue, "check_storage", refuse)
    assert glue.main("related_items", argv("--S3_JOB_PATH", FOLDER)) == 2


@pytest.fixture
def shop(job):
    made = job("user_personalization")
    made.config(braze={"itemMetadataFields": []})
    made.batch(*({"input": {"userId": user}, "output": {"recommendedItems": ["1"]}} for user in ("ann", "bob")))
    return made


def started(shop, *arguments):
    """The exit code of the job as Glue starts it."""
    return glue.main("user_personalization", argv("--S3_JOB_PATH", str(shop.path), *arguments))


def test_a_plan_on_glue_writes_nothing_but_itself_and_keeps_the_token(shop):
    before = {path for path in shop.path.rglob("*") if path.is_file()}
    assert started(shop, "--RUN_PLAN_ONLY", "true", "--RUN_TOKEN", "mine") == 0
    storage = LocalStorage(shop.path)
    (plan_id,) = run_ids(storage, is_plan=True)
    record = read_record(storage, layout.plan_record(plan_id))
    assert (record.token, record.connectors[0].outcome, record.connectors[0].counts["new"]) == ("mine", "planned", 2)
    written = {path for path in shop.path.rglob("*") if path.is_file()} - before
    assert {path.name for path in written} == {"plan.json", "_alias.key"}


def test_a_run_on_glue_does_what_a_plan_said_or_nothing(shop):
    started(shop, "--RUN_PLAN_ONLY", "true", "--RUN_FULL", "true")
    storage = LocalStorage(shop.path)
    (plan_id,) = run_ids(storage, is_plan=True)
    assert started(shop, "--RUN_AS_PLANNED", plan_id) == 0
    assert read_record(storage, layout.run_record(run_ids(storage)[0])).is_full is True
    assert started(shop, "--RUN_AS_PLANNED", plan_id, "--RUN_TOKEN", "late") == 4
    records = [read_record(storage, layout.run_record(run_id)) for run_id in run_ids(storage)]
    (late,) = [record for record in records if record.token == "late"]
    assert (late.exit_code, "changed since plan" in late.message) == (4, True)


def test_a_trial_on_glue_tells_whom_the_folder_names_and_commits_nothing(shop):
    shop.write("runs/_only_users/t.txt", "bob\n")
    assert started(shop, "--RUN_ONLY_USERS", "runs/_only_users/t.txt", "--RUN_TOKEN", "t") == 0
    storage = LocalStorage(shop.path)
    record = read_record(storage, layout.run_record(run_ids(storage)[0]))
    assert (record.token, record.connectors[0].outcome, record.connectors[0].counts["records"]) == ("t", "trial", 1)
    assert [key for key in shop.visible() if key.endswith("_current.json")] == []


@pytest.mark.parametrize(
    ("plan", "said"), [("{", "plan.json is damaged"), ('{"formatVersion": 99}', "run it with the newer release")]
)
def test_a_plan_that_cannot_be_read_is_named_and_ends_with_1(shop, caplog, plan, said):
    plan_id = "20261121T040000Z-3f9a2c"
    shop.write(layout.plan_record(plan_id), plan)
    assert started(shop, "--RUN_AS_PLANNED", plan_id) == 1
    assert said in caplog.records[-1].getMessage()


def test_a_record_that_cannot_be_written_is_named_and_ends_with_1(shop, caplog, monkeypatch):
    def refuse(*arguments, **more):
        raise StorageError("S3 answered AccessDenied to put_object of run.json")

    monkeypatch.setattr(filing, "write_record", refuse)
    assert started(shop) == 1
    assert "AccessDenied" in caplog.records[-1].getMessage()


def test_a_fault_of_ours_is_seen_whole(shop, monkeypatch):
    def fail(*arguments, **more):
        raise ZeroDivisionError

    monkeypatch.setattr(glue, "run_as_asked", fail)
    with pytest.raises(ZeroDivisionError):
        started(shop)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (RunArguments(plan_id="20261121T040000Z-3f9a2c"), "there is no plan 20261121T040000Z-3f9a2c"),
        (RunArguments(plan_id="../x"), "should look like"),
        (RunArguments(only_users="runs/_only_users/none.txt"), r"none\.txt cannot be read"),
        (RunArguments(only_users="../../x"), "leaves its folder"),
    ],
)
def test_what_is_asked_for_and_not_there_is_named(tmp_path, asked, said):
    folder = JobFolder.parse(str(tmp_path / "etl_jobs/related_items/demo"))
    with pytest.raises(ConfigError, match=said):
        glue.run_as_asked(folder, asked)
