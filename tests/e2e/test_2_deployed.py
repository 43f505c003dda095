"""From a job folder on S3 to profiles in Braze, all by what was deployed, under the roles that were deployed.

The tests are a story: each goes on where the one before it ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from emulator import ROOT
from glue_runner import GlueRun, RunsOfGlue, run_job
from stack import BRAZE, KEY, Deployed, build, for_emulator, point_at, wait_until

from cli import aws, main
from connectors.contract import s3_storage

JOB = "user_personalization/for_you"
FOLDER = f"etl_jobs/{JOB}"


class Bucket:
    """The stack's bucket, as the story needs it."""

    def __init__(self, stack: Deployed) -> None:
        self.name = stack.outputs["Bucket"]
        self._s3 = stack.emulator.client("s3")

    @property
    def path(self) -> str:
        return f"s3://{self.name}/{FOLDER}/"

    def put(self, key: str, text: str) -> None:
        self._s3.put_object(Bucket=self.name, Key=f"{FOLDER}/{key}", Body=text.encode())

    def get(self, key: str) -> str:
        return self._s3.get_object(Bucket=self.name, Key=key)["Body"].read().decode()

    def keys(self, below: str = "") -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{FOLDER}/{below}")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def manifests(self) -> list[dict[str, Any]]:
        """What was published, oldest first."""
        found = [json.loads(self.get(key)) for key in self.keys("output/") if key.endswith("/_manifest.json")]
        return sorted(found, key=lambda manifest: manifest["version"])

    def settled(self) -> int:
        """Lines of the newest run that a receipt speaks of."""
        run = self.manifests()[-1]["runId"]
        lines = [line for key in self.keys(f"receipts/braze/run={run}/") for line in self.get(key).splitlines()]
        return len({(one["file"], at) for one in map(json.loads, lines) for at in range(one["from"], one["to"] + 1)})


@pytest.fixture(scope="session")
def bucket(stack: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    """With the sample of a shop in it, uploaded as the how-to says."""
    made = Bucket(stack)
    shop = tmp_path_factory.mktemp("shop")
    run = [
        str(ROOT / ".venv/bin/python"),
        "-m",
        "sample.generate",
        str(shop),
        "--users",
        "1000",
        "--items",
        "200",
        "--seed",
        "7",
    ]
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    for path in (shop / FOLDER).rglob("*"):
        if path.is_file():
            text = path.read_text()
            if path.name == "config.json":
                text = text.replace('"input/batch_inference', f'"{made.path}input/batch_inference')
            made.put(str(path.relative_to(shop / FOLDER)), text)
    return made


@pytest.fixture
def run(stack: Deployed, bucket: Bucket, tmp_path: Path):
    """Run the deployed Glue job as Glue would."""

    def once(**more: str) -> GlueRun:
        done = run_job(
            stack.emulator, f"{stack.name}-user_personalization", tmp_path / "glue", S3_JOB_PATH=bucket.path, **more
        )
        assert done.exit_code == 0, done.log[-4000:]
        return done

    return once


def attribute(stack: Deployed, queue: str, name: str) -> int:
    found = stack.emulator.client("sqs").get_queue_attributes(QueueUrl=stack.physical(queue), AttributeNames=[name])
    return int(found["Attributes"][name])


def dead_letters(stack: Deployed) -> int:
    queues = ("BrazeDeadLetterQueue", "WorkDeadLetterQueue")
    return sum(attribute(stack, queue, "ApproximateNumberOfMessages") for queue in queues)


def test_a_batch_becomes_profiles(stack, bucket, run, braze, figures):
    run()
    (manifest,) = bucket.manifests()
    records = manifest["counts"]["records"]
    assert records > 900
    wait_until(lambda: bucket.settled() == records)
    assert len(braze.account.profiles) == records
    assert all(profile["recs_items"] for profile in braze.account.profiles.values())
    figures |= {"rows in": manifest["counts"]["linesRead"], "delivered": len(braze.account.profiles)}
    figures["duplicates"] = braze.account.stats.objects - records
    figures["dead letters"] = dead_letters(stack)
    assert (figures["duplicates"], figures["dead letters"]) == (0, 0)


def test_the_same_batch_again_tells_nobody(bucket, run, braze):
    calls = braze.account.stats.calls
    run()
    assert bucket.manifests()[-1]["counts"]["records"] == 0
    assert braze.account.stats.calls == calls


@pytest.fixture
def recsync(stack: Deployed, tmp_path: Path, monkeypatch, capsys):
    """Type a command on a machine that knows the account, with the runner in Glue's place: (exit code, its JSON)."""
    build, glue = aws.client, RunsOfGlue(stack.emulator, tmp_path)
    monkeypatch.setattr(aws, "client", lambda service, **how: glue if service == "glue" else build(service, **how))
    for name, value in stack.emulator.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    s3_storage._s3.cache_clear()

    def type_in(*words: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["recsync", *words, "--output", "json"])
        code = main._exit_code()
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    yield type_in
    s3_storage._s3.cache_clear()


def test_recsync_finds_the_deployed_job_plans_and_runs_what_was_planned(stack, bucket, recsync, braze):
    change_a_price(bucket, 0.12)
    folder, published = bucket.path.rstrip("/"), len(bucket.manifests())
    code, plan = recsync("plan", "--stack", stack.name, folder)
    (planned,) = plan["connectors"]
    assert (code, len(bucket.manifests())) == (0, published)
    assert 0 < planned["counts"]["changed"] == planned["counts"]["records"] < 900
    code, done = recsync("run", "--stack", stack.name, "--plan", plan["runId"], folder)
    assert code == 0
    assert done["runs"][0]["counts"] == planned["counts"]
    wait_until(lambda: bucket.settled() == planned["counts"]["records"])
    assert recsync("run", "--stack", stack.name, "--attach", "jr_1", folder) == (0, done)
    assert recsync("status", folder)[0] == 0
    assert recsync("run", "--stack", stack.name, "--plan", plan["runId"], folder)[0] == 4


def test_a_deployment_without_a_change_changes_nothing(stack):
    said, _ = stack.deploy(**BRAZE)
    assert "No changes to deploy" in said


def test_f43_a_poison_message_rests_with_its_reason(stack):
    sqs = stack.emulator.client("sqs")
    sqs.send_message(QueueUrl=stack.physical("BrazeQueue"), MessageBody="no json")
    wait_until(lambda: attribute(stack, "BrazeDeadLetterQueue", "ApproximateNumberOfMessages") == 1)
    dead = stack.physical("BrazeDeadLetterQueue")
    (message,) = sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"]
    assert message["Body"] == "no json"
    assert message["MessageAttributes"]["reason"]["StringValue"] == "not_json"
    sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])


def change_a_price(bucket: Bucket, price: float) -> None:
    key = "input/item_metadata/items.json"
    first, *rest = bucket.get(f"{FOLDER}/{key}").splitlines()
    bucket.put(key, "\n".join([json.dumps(json.loads(first) | {"price": price}), *rest, ""]))


def test_f54_a_rotated_key_is_read_anew_while_nothing_waits(stack, bucket, run, braze):
    braze.account.api_key = "key-canary-2"
    secrets = stack.emulator.client("secretsmanager")
    secrets.put_secret_value(SecretId=stack.physical("BrazeOwnSecret"), SecretString="key-canary-2")
    change_a_price(bucket, 1.23)
    run()
    records = bucket.manifests()[-1]["counts"]["records"]
    assert 0 < records < 900
    wait_until(lambda: bucket.settled() == records)
    assert dead_letters(stack) == 0


def test_f53_a_revoked_key_opens_the_circuit_and_dead_letters_nothing(stack, bucket, run, braze):
    braze.account.api_key = "another"
    change_a_price(bucket, 2.34)
    run()
    wait_until(lambda: bucket.keys("health/") != [])
    assert json.loads(bucket.get(f"{FOLDER}/health/braze.json"))["openUntil"]
    assert (bucket.settled(), dead_letters(stack)) == (0, 0)
    braze.account.api_key = "key-canary-2"
    records = bucket.manifests()[-1]["counts"]["records"]
    wait_until(lambda: bucket.settled() == records, within_s=150)
    assert bucket.keys("health/") == []


def test_f30_a_right_that_is_missing_is_named_and_nothing_is_lost(stack, bucket, run):
    """Without the right to write receipts nothing counts as delivered; with it, everything is."""
    iam, role = stack.emulator.client("iam"), stack.physical("EnqueueRole")
    policy = iam.get_role_policy(RoleName=role, PolicyName="Enqueue")["PolicyDocument"]
    told = [one for one in policy["Statement"] if one["Sid"] != "KeepMarkers"]
    iam.put_role_policy(RoleName=role, PolicyName="Enqueue", PolicyDocument=json.dumps(policy | {"Statement": told}))
    change_a_price(bucket, 3.45)
    run()
    logs = stack.emulator.client("logs")

    def is_named() -> bool:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{stack.name}-Enqueue")["events"]
        return any("AccessDenied" in one["message"] and "enqueued/braze" in one["message"] for one in events)

    wait_until(is_named)
    assert bucket.settled() == 0
    iam.put_role_policy(RoleName=role, PolicyName="Enqueue", PolicyDocument=json.dumps(policy))
    manifest = bucket.manifests()[-1]
    ahead = (datetime.now(UTC) + timedelta(minutes=16)).isoformat()
    functions = stack.emulator.client("lambda")
    payload = json.dumps({"task": "heal", "now": ahead}).encode()
    answer = functions.invoke(FunctionName=stack.outputs["SweepFunctionName"], Payload=payload)
    swept = json.loads(answer["Payload"].read())
    assert swept["notEnqueued"] == 1, swept
    wait_until(lambda: bucket.settled() == manifest["counts"]["records"], within_s=150)


def test_changed_code_of_the_jobs_moves_with_the_stack_and_the_old_one_stays(stack, repository, tmp_path, run, bucket):
    glue, s3 = stack.emulator.client("glue"), stack.emulator.client("s3")
    name = f"{stack.name}-user_personalization"
    before = glue.get_job(JobName=name)["Job"]["Command"]["ScriptLocation"]
    script = repository / "glue_jobs/user_personalization_etl.py"
    script.write_text(script.read_text() + "\n# A change.\n")
    changed = Deployed(stack.emulator, stack.name, repository, build(stack.emulator, repository, tmp_path))
    for_emulator(tmp_path / "built")
    changed.deploy(**BRAZE)
    after = glue.get_job(JobName=name)["Job"]["Command"]["ScriptLocation"]
    assert after != before
    for address in (before, after):
        assets, _, key = address.removeprefix("s3://").partition("/")
        s3.head_object(Bucket=assets, Key=key)
    run()


def test_a_second_stack_stands_beside_the_first(stack, repository, built):
    second = Deployed(stack.emulator, "shop-two", repository, built)
    second.deploy()
    assert second.outputs["Bucket"] != stack.outputs["Bucket"]
    assert "BrazeDeadLetterQueueUrl" not in second.outputs
    assert "BrazeDeadLetterQueueUrl" in stack.outputs
    second.delete()
    assert stack.outputs["Bucket"]


def test_deleted_and_deployed_again_on_its_bucket_the_next_run_is_a_delta(stack, bucket, run, braze):
    stack.delete()
    assert bucket.manifests()
    bucket_name = bucket.name
    stack.emulator.client("s3").put_bucket_notification_configuration(
        Bucket=bucket_name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    stack.deploy(**(BRAZE | {"ConnectorBucketName": bucket_name, "BrazeApiKey": "key-canary-2"}))
    point_at(stack, braze)
    assert stack.outputs["Bucket"] == bucket_name
    change_a_price(bucket, 4.56)
    run()
    records = bucket.manifests()[-1]["counts"]["records"]
    assert 0 < records < 900
    wait_until(lambda: bucket.settled() == records)


def test_f58_no_key_and_no_user_ever_stands_in_a_log(stack, bucket, braze):
    logs = stack.emulator.client("logs")
    told = stack.emulator.log
    for group in logs.describe_log_groups()["logGroups"]:
        told += "".join(one["message"] for one in logs.filter_log_events(logGroupName=group["logGroupName"])["events"])
    assert KEY not in told
    user = next(iter(braze.account.profiles))
    assert f'"{user}"' not in told
