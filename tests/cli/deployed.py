"""A stack as recsync meets it: its bucket by moto; CloudFormation and Glue by answers of our own.

moto runs no Glue job. The clients are boto3's all the same: what they are given and what they are answered is checked
against AWS's own models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.validate import validate_parameters

from connectors.contract import layout
from connectors.contract.run_record import RunRecord, write_record
from connectors.contract.storage import open_storage
from glue_jobs.arguments import RunArguments

BUCKET, STACK = "shop", "recsync"
JOB = f"{STACK}-user_personalization"
FOLDER = f"s3://{BUCKET}/etl_jobs/user_personalization/demo"
GOING = frozenset({"STARTING", "RUNNING", "WAITING", "STOPPING"})
TAG = {"Key": "aws:cloudformation:stack-name", "Value": STACK}
OUTPUTS = {
    "Bucket": BUCKET,
    "RelatedItemsJobName": f"{STACK}-related_items",
    "UserPersonalizationJobName": JOB,
    "SweepFunctionName": f"{STACK}-Sweep",
}


class RefusedError(Exception):
    """AWS refuses a call."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


@dataclass
class Run:
    """A run of the Glue job.

    Attributes:
        states: Those it still goes through; the last one stays.
    """

    arguments: Mapping[str, str]
    states: list[str]
    started_at: datetime
    ended_at: datetime | None = None
    message: str = ""


@dataclass
class Deployed:
    """The stack.

    Attributes:
        states: What a run goes through.
        ends: Is called when a run ends, with its arguments; gives Glue's message.
        refused: Operation → why AWS refuses it.
    """

    tags: list[Mapping[str, str]] = field(default_factory=lambda: [TAG])
    outputs: dict[str, str] = field(default_factory=lambda: dict(OUTPUTS))
    states: list[str] = field(default_factory=lambda: ["STARTING", "RUNNING", "RUNNING", "SUCCEEDED"])
    ends: Callable[[Mapping[str, str]], str] = lambda arguments: ""
    refused: dict[str, BaseException] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def answer_for(self, client: Any) -> Any:
        """Have a client answered from here, where there is an answer."""
        for name in ("GetBucketTagging", "DescribeStacks", "StartJobRun", "GetJobRun", "GetJob"):
            service = client.meta.service_model.service_id.hyphenize()
            client.meta.events.register(f"provide-client-params.{service}.{name}", self._given)
            client.meta.events.register(f"before-call.{service}.{name}", self._answered)
        return client

    def _given(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["given"] = params

    def _answered(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        self.calls.append(model.name)
        try:
            if model.name in self.refused:
                raise self.refused[model.name]
            answer = getattr(self, f"_{model.name}")(context["given"])
        except RefusedError as refusal:
            told = {"Error": {"Code": refusal.code, "Message": refusal.message}}
            return SimpleNamespace(status_code=refusal.status), told | _metadata(refusal.status)
        validate_parameters(answer, model.output_shape)
        return SimpleNamespace(status_code=200), answer | _metadata(200)

    def _GetBucketTagging(self, given: Any) -> dict[str, Any]:  # noqa: N802
        if not self.tags:
            raise RefusedError("NoSuchTagSet", "The TagSet does not exist", 404)
        return {"TagSet": self.tags}

    def _DescribeStacks(self, given: Any) -> dict[str, Any]:  # noqa: N802
        if given["StackName"] != STACK:
            raise RefusedError("ValidationError", f"Stack with id {given['StackName']} does not exist")
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]
        stack = {"StackName": STACK, "CreationTime": datetime.now(UTC), "StackStatus": "CREATE_COMPLETE"}
        return {"Stacks": [{**stack, "Outputs": outputs}]}

    def _StartJobRun(self, given: Any) -> dict[str, Any]:  # noqa: N802
        assert given["JobName"] in self.outputs.values()
        return {"JobRunId": self.has_run(given["Arguments"], self.states)}

    def has_run(self, arguments: Mapping[str, str], states: list[str], ago: timedelta = timedelta()) -> str:
        """Have a run been started, some time ago."""
        run_id = f"jr_{len(self.runs) + 1}"
        self.runs[run_id] = Run(arguments, list(states), datetime.now(UTC) - ago)
        return run_id

    def _GetJobRun(self, given: Any) -> dict[str, Any]:  # noqa: N802
        run = self.runs.get(given["RunId"])
        if run is None:
            raise RefusedError("EntityNotFoundException", "Job Run not found")
        state = run.states.pop(0) if len(run.states) > 1 else run.states[0]
        if state not in GOING and run.ended_at is None:
            run.message = self.ends(run.arguments)
            run.ended_at = datetime.now(UTC)
        answer = {"Id": given["RunId"], "JobName": JOB, "JobRunState": state, "Arguments": dict(run.arguments)}
        times = {"StartedOn": run.started_at} | ({"CompletedOn": run.ended_at} if run.ended_at else {})
        return {"JobRun": answer | times | ({"ErrorMessage": run.message} if run.message else {})}

    def _GetJob(self, given: Any) -> dict[str, Any]:  # noqa: N802
        return {"Job": {"Name": JOB, "DefaultArguments": {"--custom-logGroup-prefix": "/aws-glue/recsync/up"}}}


def _metadata(status: int) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0}}


def leaves(record: RunRecord, message: str = "") -> Callable[[Mapping[str, str]], str]:
    """A run that leaves this record, as the job does: under its token, in its folder."""

    def end(arguments: Mapping[str, str]) -> str:
        asked = RunArguments.of_glue(arguments)
        key_of = layout.plan_record if asked.is_plan else layout.run_record
        run_id = layout.new_run_id(datetime.now(UTC))
        kept = record.model_copy(update={"token": asked.token, "run_id": run_id})
        write_record(open_storage(arguments["--S3_JOB_PATH"]), key_of(run_id), kept)
        return message

    return end
