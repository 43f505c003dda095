"""The examples are parsed, and what they name is what the template and the jobs know."""

from __future__ import annotations

import ast
import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from cloudformation import Stack, load

from connectors.contract.batches import newest_batch
from connectors.contract.layout import JobFolder
from connectors.contract.local_storage import LocalStorage

EXAMPLES = Path(__file__).parents[1] / "docs/examples"
JOB = "recsync-user_personalization"


@pytest.fixture(scope="module")
def job_names() -> set[str]:
    jobs = Stack().of_type("AWS::Glue::Job").values()
    return {job["Name"].replace("shop-sync", "recsync") for job in jobs}


def test_the_airflow_dag_starts_a_job_of_the_stack_and_never_twice(job_names):
    calls = [
        node for node in ast.walk(ast.parse((EXAMPLES / "airflow_dag.py").read_text())) if isinstance(node, ast.Call)
    ]
    (run,) = [call for call in calls if getattr(call.func, "id", "") == "GlueJobOperator"]
    told = {keyword.arg: keyword.value for keyword in run.keywords}
    assert ast.literal_eval(told["job_name"]) in job_names
    assert ast.literal_eval(told["retries"]) == 0
    (path,) = told["script_args"].values
    assert [ast.literal_eval(key) for key in told["script_args"].keys] == ["--S3_JOB_PATH"]
    bucket, rest = (part.value for part in (path.values[0], path.values[2]))
    assert JobFolder.parse(f"{bucket}my-bucket{rest}").job_type == "user_personalization"


def test_the_state_machine_is_whole_and_tells_held_from_failed(job_names):
    machine = json.loads((EXAMPLES / "step_functions.asl.json").read_text())
    states = machine["States"]
    named = {machine["StartAt"]} | {choice["Next"] for choice in states["Why"]["Choices"]} | {states["Why"]["Default"]}
    named |= {catch["Next"] for state in states.values() for catch in state.get("Catch", ())}
    assert named == states.keys()
    parameters = states["Run"]["Parameters"]
    assert parameters["JobName"] in job_names
    assert JobFolder.parse(parameters["Arguments"]["--S3_JOB_PATH"])

    def ends_in(cause: str) -> str:
        choices = states["Why"]["Choices"]
        return next(
            (one["Next"] for one in choices if fnmatchcase(cause, one["StringMatches"])), states["Why"]["Default"]
        )

    causes = ("SystemExit: 3", '{"ErrorMessage": "SystemExit: 4"}', "SystemExit: 1")
    assert [ends_in(cause) for cause in causes] == ["Held", "Conflict", "Failed"]
    assert states["Failed"]["Type"] == "Fail"


def test_the_rule_waits_until_a_batch_that_a_run_would_take_is_complete(tmp_path):
    rule = load(EXAMPLES / "eventbridge_rule.yaml")["Resources"]["BatchWritten"]["Properties"]
    (pattern,) = rule["EventPattern"]["detail"]["object"]["key"]
    key = "batch/shop/for-you/batch_for-you_2026_11_20_03_00_00/job_config.json.out"
    LocalStorage(tmp_path).put(key, b"{}")
    assert newest_batch(LocalStorage(tmp_path / "batch/shop/for-you").list()) is not None
    assert fnmatchcase(key.replace("job_config.json.out", "_SUCCESS"), pattern["wildcard"])
    assert not fnmatchcase(key, pattern["wildcard"])
    assert json.loads(rule["Targets"][0]["Input"]) == {"jobs": ["user_personalization/for_you"]}
