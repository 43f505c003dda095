"""A deployed Glue job: starting a run of it, looking how one stands, and where its logs are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli import aws
from cli.aws import AwsError
from cli.typed import UsageError
from connectors.contract.layout import JobFolder
from glue_jobs.arguments import RunArguments

# Source: AWS Glue Developer Guide, "Jobs API", JobRun, JobRunState.
_ENDED = frozenset({"STOPPED", "SUCCEEDED", "FAILED", "TIMEOUT", "ERROR", "EXPIRED"})
FOLDER = "--S3_JOB_PATH"
# The job's argument that says below which name its two log groups are: see template.yaml.
_LOGS = "--custom-logGroup-prefix"


@dataclass(frozen=True)
class GlueRun:
    """How a run of a Glue job stands.

    Attributes:
        arguments: What it was started with.
        started_at: When it was asked for, by Glue's clock.
        ended_at: When it ended; None while it has not.
        message: Glue's own words about a failure.
    """

    job: str
    run_id: str
    state: str
    started_at: datetime
    ended_at: datetime | None = None
    arguments: Mapping[str, str] | None = None
    message: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in _ENDED

    @property
    def folder(self) -> str:
        """The job folder's address, without a trailing slash; empty for a run of something else."""
        return (self.arguments or {}).get(FOLDER, "").rstrip("/")


class GlueJob:
    """A job on AWS Glue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._glue = aws.client("glue")
        self._arn = aws.arn(self._glue, "job", name)

    def start(self, folder: JobFolder, asked: RunArguments) -> str:
        """Start a run, and give Glue's id of it.

        Raises:
            AwsError: Glue refused.
        """
        arguments = {FOLDER: f"{folder.root}/", **asked.to_glue()}
        try:
            with aws.in_words("glue:StartJobRun", self._arn):
                return str(self._glue.start_job_run(JobName=self.name, Arguments=arguments)["JobRunId"])
        except AwsError as error:
            if error.code == "ConcurrentRunsExceededException":
                raise AwsError(
                    f"{self.name} has as many runs as it may have at once; wait for one to end, "
                    "or deploy with a larger GlueMaxConcurrentRuns",
                    error.code,
                ) from error
            raise

    def look(self, run_id: str) -> GlueRun:
        """How a run stands now.

        Raises:
            UsageError: There is no such run.
            AwsError: Glue could not be asked.
        """
        try:
            with aws.in_words("glue:GetJobRun", self._arn):
                answer = self._glue.get_job_run(JobName=self.name, RunId=run_id)["JobRun"]
        except AwsError as error:
            if error.code == "EntityNotFoundException":
                raise UsageError(f"Glue knows no run {run_id} of job {self.name}; its id begins with jr_") from error
            raise
        return _read(self.name, run_id, answer)

    def logs(self, run_id: str) -> str:
        """Where a run's errors are, in words: the command that shows them, or why that is not known."""
        try:
            with aws.in_words("glue:GetJob", self._arn):
                told = self._glue.get_job(JobName=self.name)["Job"]["DefaultArguments"]
        except AwsError as error:
            return f"its logs lie where the job {self.name} says ({error})"
        group = f"{told.get(_LOGS, '/aws-glue/jobs')}/error"
        return f"its log: aws logs tail {group} --log-stream-name-prefix {run_id} --since 1d"


def _read(job: str, run_id: str, answer: Mapping[str, Any]) -> GlueRun:
    state, message = answer["JobRunState"], " ".join(answer.get("ErrorMessage", "").split())
    times = (answer["StartedOn"], answer.get("CompletedOn"))
    return GlueRun(job, run_id, state, *times, answer.get("Arguments", {}), message)
