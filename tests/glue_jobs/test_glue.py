import pytest

from connectors.contract import storage as stores
from connectors.contract.layout import JobFolder
from glue_jobs import glue
from glue_jobs.errors import ConfigError

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
        raise stores.StorageError("boto3 1.34.131 cannot write on a condition")

    monkeypatch.setattr(stores, "check_client", refuse)
    with pytest.raises(ConfigError, match=r"boto3 1\.34"):
        glue.check_storage(JobFolder.parse(FOLDER))
    glue.check_storage(JobFolder.parse("/srv/etl_jobs/related_items/demo"))


def test_a_job_that_could_not_commit_says_so_and_ends_with_2(monkeypatch):
    def refuse(folder):
        raise ConfigError("boto3 1.34.131 cannot write on a condition")

    monkeypatch.setattr(glue, "check_storage", refuse)
    assert glue.main("related_items", argv("--S3_JOB_PATH", FOLDER)) == 2
