"""What is ready, what is not, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import boto3
import pytest
from moto import mock_aws

from cli import doctor
from connectors.contract.local_storage import LocalStorage
from connectors.contract.storage import StorageError

CONFIG = {"version": 1, "batchInferencePath": "in/", "connectors": {"braze": {}}}


@pytest.fixture
def ready(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def findings(recsync, *words):
    code, out, _ = recsync("doctor", "--output", "json", *words)
    return code, {one["name"]: one for one in json.loads(out)["findings"]}


@pytest.mark.usefixtures("braze")
def test_all_is_well_on_a_machine_that_runs_these_tests(recsync, ready):
    code, found = findings(recsync, ready)
    assert code == 0, found
    assert list(found) == ["python", "spark", "java", "readable", "writable", "config.json", "braze"]
    assert [entry.key for entry in LocalStorage(ready).list()] == ["config.json"]


def test_without_a_folder_only_the_machine_is_looked_at(recsync):
    code, found = findings(recsync)
    assert (code, list(found)) == (0, ["python", "spark", "java"])


def test_each_line_says_ok_or_a_problem_with_its_fix(recsync, ready, no_braze):
    code, out, _ = recsync("doctor", ready)
    lines = out.splitlines()
    assert code == 1
    assert lines[1].split()[:2] == ["ok", "python:"]
    assert lines[-1].startswith("  problem  braze: ")
    assert lines[-1].endswith("→ set BRAZE_REST_ENDPOINT and BRAZE_API_KEY to deliver to braze")


@pytest.mark.usefixtures("braze")
def test_every_mistake_of_the_config_is_a_problem(recsync, ready):
    (ready / "config.json").write_text('{"version": 1, "batchInferencePth": "in/", "connectors": {"brase": {}}}')
    code, out, _ = recsync("doctor", ready)
    problems = [line for line in out.splitlines() if line.startswith("  problem  config.json")]
    assert (code, len(problems)) == (1, 3)
    assert any("did you mean 'batchInferencePath'" in line for line in problems)


def test_an_endpoint_that_is_none_is_a_problem_and_is_not_called(recsync, ready, braze, monkeypatch):
    monkeypatch.setenv("BRAZE_REST_ENDPOINT", "https://braze.example.com")
    code, found = findings(recsync, ready)
    assert (code, found["braze"]["ok"]) == (1, False)
    assert "not one of Braze's REST endpoints" in found["braze"]["said"]
    assert braze.account.stats.calls == 0


def test_a_key_is_never_shown(recsync, ready, braze):
    assert "key-canary" not in "".join(recsync("doctor", ready)[1:])


@pytest.mark.parametrize(("python", "is_well"), [((3, 11), True), ((3, 12), False), ((3, 13), True), ((3, 10), False)])
def test_a_python_that_spark_is_not_for_is_a_problem(python, is_well):
    assert next(doctor.of_machine(python, {})).is_well is is_well


@pytest.mark.parametrize(
    ("python", "versions", "said"),
    [
        ((3, 11), {}, "pyspark, pyarrow, pandas not installed"),
        ((3, 11), {"pyspark": "3.5.6", "pyarrow": "20"}, "pandas not installed"),
        ((3, 13), {"pyspark": "3.5.6", "pyarrow": "20", "pandas": "2"}, "3.5.6"),
    ],
)
def test_a_spark_that_cannot_run_is_a_problem(monkeypatch, python, versions, said):
    monkeypatch.setattr(doctor, "_version_of", versions.get)
    spark = list(doctor.of_machine(python, {}))[1]
    assert (spark.said, "recsync[local]" in spark.fix) == (said, True)


@pytest.mark.parametrize(
    ("says", "is_well"),
    [
        ('openjdk version "17.0.9" 2023-10-17', True),
        ('java version "1.8.0_392"', True),
        ('openjdk version "21.0.1"', False),
        ("no version at all", False),
    ],
)
def test_a_java_that_spark_is_not_for_is_a_problem(tmp_path, monkeypatch, says, is_well):
    monkeypatch.setattr(doctor, "_version_of", {"pyspark": "3.5.6"}.get)
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    *_, found = doctor.of_machine((3, 11), {"RECSYNC_JAVA_HOME": str(tmp_path)})
    assert found.is_well is is_well, found


def test_a_java_that_is_not_there_is_a_problem(tmp_path):
    *_, found = doctor.of_machine((3, 11), {"RECSYNC_JAVA_HOME": str(tmp_path)})
    assert (found.is_well, "there is no bin/java" in found.said) == (False, True)


@dataclass(frozen=True)
class Careless(LocalStorage):
    """Writes whatever the condition."""

    def put(self, key, data, *, if_absent=False, if_match=None):
        return super().put(key, data)


@dataclass(frozen=True)
class Shut(LocalStorage):
    """May be read only."""

    def put(self, key, data, *, if_absent=False, if_match=None):
        raise StorageError("S3 answered AccessDenied to put_object")


def test_a_folder_that_heeds_no_condition_is_a_problem_and_nothing_stays_in_it(tmp_path):
    readable, writable = doctor.of_folder(Careless(tmp_path))
    assert (readable.is_well, writable.is_well) == (True, False)
    assert "two runs could commit at once" in writable.said
    assert [entry.key for entry in LocalStorage(tmp_path).list()] == []


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path):
    readable, writable = doctor.of_folder(Shut(tmp_path))
    assert (readable.is_well, writable.said) == (True, "S3 answered AccessDenied to put_object")
    assert "right to get, put and delete" in writable.fix


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


@pytest.mark.usefixtures("aws")
def test_a_secret_is_read_and_never_shown():
    client = boto3.client("secretsmanager")
    client.create_secret(Name="braze", SecretString="key-canary")
    client.create_secret(Name="blank", SecretString=" ")
    found = doctor.of_secret("braze")
    assert found.is_well
    assert "key-canary" not in str(found)
    assert "as plain text" in doctor.of_secret("blank").fix
    assert "GetSecretValue" in doctor.of_secret("none").fix


@pytest.mark.usefixtures("aws", "no_braze")
def test_a_bucket_is_reached_or_named(recsync):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    key = "etl_jobs/user_personalization/demo/config.json"
    s3.put_object(Bucket="shop", Key=key, Body=json.dumps(CONFIG | {"batchInferencePath": "s3://shop/in/"}))
    code, found = findings(recsync, f"s3://shop/{key.rpartition('/')[0]}")
    assert (code, list(found)) == (0, ["python", "readable", "writable", "config.json"])  # the stack has all else
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="shop")["Contents"]] == [key]
    code, found = findings(recsync, "s3://shut/etl_jobs/user_personalization/demo")
    assert (code, found["readable"]["ok"], "NoSuchBucket" in found["readable"]["said"]) == (1, False, True)


@pytest.mark.usefixtures("aws")
def test_a_queue_is_held_against_what_delivery_relies_on():
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 100})
    good = {"DelaySeconds": "30", "VisibilityTimeout": "1860", "RedrivePolicy": redrive}
    assert all(one.is_well for one in doctor.of_queue(sqs.create_queue(QueueName="good", Attributes=good)["QueueUrl"]))
    fixes = [one.fix for one in doctor.of_queue(sqs.create_queue(QueueName="plain")["QueueUrl"])]
    assert [
        word in fix for word, fix in zip(("DelaySeconds", "VisibilityTimeout", "maxReceiveCount"), fixes, strict=True)
    ]
    (gone,) = doctor.of_queue(dead.replace("dead", "none"))
    assert "sqs:GetQueueAttributes" in gone.fix
