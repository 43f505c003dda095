"""What only AWS has: queues, parameters, secrets, logs and metrics. Clients are built on first use.

Events are never logged: they hold users and what they are recommended.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parameters import GetParameterError, get_parameter, get_secret
from botocore.exceptions import BotoCoreError, ClientError

from connectors import registry
from connectors.base import Connector, Destination
from connectors.contract.layout import JobFolder
from connectors.contract.s3_storage import TRIES
from connectors.errors import ConfigError
from connectors.http import Sender
from functions import settings
from functions.calls import Pause
from functions.deliver import Settlement
from functions.start_sync import StartError

_LOGGER = Logger(service="recsync")
_SECRET_MAX_AGE_S = 300
_LONGEST_VISIBILITY_S = 43_200
# Longer than the sweep takes to read a dead-letter queue through: a person who looks meanwhile sees none of it.
_READING_S = 120
# Without a wait SQS asks some of its servers only, and may find nothing where there is something.
# Source: Amazon SQS developer guide, "Amazon SQS short and long polling", read 2026-11-23.
_WAIT_S = 1
# Said even where they are 0: an alarm divides one by the other.
_ENDS = {"delivered": 0, "rejected": 0}


class SqsQueue:
    """A queue on SQS."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, bodies: Sequence[str], *, delay_s: int = 0) -> list[int]:
        """See Queue. Entry ids are positions: user ids stand only in bodies. Without a delay the queue's own holds."""
        delay = {"DelaySeconds": delay_s} if delay_s else {}
        entries = [{"Id": str(at), "MessageBody": body, **delay} for at, body in enumerate(bodies)]
        answer = _sqs().send_message_batch(QueueUrl=self._url, Entries=entries)
        return sorted(int(failed["Id"]) for failed in answer.get("Failed", ()))


class DeadLetters:
    """A dead-letter queue, to be read through."""

    def __init__(self, url: str) -> None:
        self._url = url

    def receive(self) -> list[tuple[str, str]]:
        """Some messages as (handle, body), hidden for a while; none once all were seen."""
        asked = {"MaxNumberOfMessages": 10, "VisibilityTimeout": _READING_S}
        answer = _sqs().receive_message(QueueUrl=self._url, WaitTimeSeconds=_WAIT_S, **asked)
        return [(message["ReceiptHandle"], message["Body"]) for message in answer.get("Messages", ())]

    def delete(self, handle: str) -> None:
        """Remove one that was received."""
        _sqs().delete_message(QueueUrl=self._url, ReceiptHandle=handle)


def start_run(folder: JobFolder) -> str:
    """Start the Glue job of a job folder, and give the run's id.

    Raises:
        StartError: Glue refused, or did not answer: then it may have started all the same.
    """
    name = settings.glue_job(folder.job_type)
    try:
        answer = _glue().start_job_run(JobName=name, Arguments={"--S3_JOB_PATH": f"{folder.root}/"})
    except (BotoCoreError, ClientError) as error:
        raise StartError(f"{name} could not be started for {folder.job}: {error}") from error
    return str(answer["JobRunId"])


def batch_output(arn: str) -> str | None:
    """Where a batch inference job wrote its output; None when it is not done."""
    answer = _personalize().describe_batch_inference_job(batchInferenceJobArn=arn)
    job = answer["batchInferenceJob"]
    return str(job["jobOutput"]["s3DataDestination"]["path"]) if job["status"] == "ACTIVE" else None


def connect(fresh: bool) -> Connector:
    """The connector of this function, with its endpoint and key; when `fresh`, both are read anew.

    Raises:
        ConfigError: They cannot be read, or are not of the destination's form.
    """
    endpoint = _setting("ssm:GetParameter", get_parameter, settings.required("ENDPOINT_PARAMETER"), fresh)
    secret = _setting("secretsmanager:GetSecretValue", get_secret, settings.required("SECRET_ID"), fresh)
    return _connector(settings.required("DESTINATION"), Destination(endpoint, secret, settings.allow_loopback()))


def _setting(action: str, read: Callable[..., Any], name: str, fresh: bool) -> str:
    try:
        return str(read(name, max_age=_SECRET_MAX_AGE_S, force_fetch=fresh))
    except GetParameterError as error:  # which is what both readers raise, whatever happened
        cause = error.__context__
        code = cause.response["Error"]["Code"] if isinstance(cause, ClientError) else type(cause).__name__
        raise ConfigError(
            f"{name} cannot be read ({code}); check that it is there and that the function may {action} it"
        ) from error


@functools.lru_cache(maxsize=1)
def _connector(name: str, destination: Destination) -> Connector:
    """The same connector for the same endpoint and key: whoever reads them anew sees whether they changed."""
    return registry.connector_class(name)(destination)


def for_each_record(event: dict[str, Any], context: Any, handle: Callable[[str], None]) -> Any:
    """Give each SQS body to `handle`; those it raises for come back, the others do not."""

    def one(record: SQSRecord) -> None:
        try:
            handle(record.body)
        except Exception:
            _LOGGER.exception("message failed", extra={"message_id": record.message_id})
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, one, processor, context)


def settle(event: dict[str, Any], settlement: Settlement) -> list[str]:
    """Make messages wait as long as they should, bury poison, and say in figures what happened.

    Returns:
        The ids of the messages that come again.
    """
    records = {record["messageId"]: record for record in event["Records"]}
    for message_id, wait_s in settlement.waits_s.items():
        _make_wait(message_id, records[message_id]["receiptHandle"], wait_s)
    _log_trouble(settlement)
    connector = settings.required("DESTINATION")
    for job, counts in settlement.counts_by_job.items():
        for name, value in {**_ENDS, **counts}.items():
            count(name.title() if name == "requests" else f"Records{name.title()}", value, connector, job)
    count("CircuitOpen", int(bool(settlement.refused or settlement.left_alone)), connector)
    for code, value in settlement.warnings.items():
        _LOGGER.warning("records to look at", extra={"code": code, "count": value})
    unburied = [name for name, reason in settlement.poison.items() if not _bury(records[name], reason, connector)]
    return [*settlement.waits_s, *unburied]


def _log_trouble(settlement: Settlement) -> None:
    for message_id, reason in settlement.unread.items():
        _LOGGER.error("message waits", extra={"message_id": message_id, "reason": reason})
    for message_id, fault in settlement.faults.items():
        _LOGGER.error("connector failed", extra={"message_id": message_id, "reason": fault})
    if settlement.health_lost:
        _LOGGER.warning("health of the destination not kept", extra={"reason": settlement.health_lost})
    if settlement.refused:
        _LOGGER.error("destination refuses our settings", extra={"reason": settlement.refused})


def _bury(record: dict[str, Any], reason: str, connector: str) -> bool:
    """Put a poison message into the dead-letter queue with its reason; where that fails it comes again."""
    _LOGGER.error("poison message", extra={"message_id": record["messageId"], "reason": reason})
    count("MessagesDeadLettered", 1, connector)
    try:
        _sqs().send_message(
            QueueUrl=settings.required("DEAD_LETTER_QUEUE_URL"),
            MessageBody=record["body"],
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
        )
    except (BotoCoreError, ClientError, settings.SettingsError) as error:
        _LOGGER.error("dead-letter queue refused", extra={"reason": type(error).__name__})
        return False
    return True


def _make_wait(message_id: str, handle: str, wait_s: float) -> None:
    """Have the queue hide a message for a while. Where it cannot, the queue's own timeout holds."""
    queue_url = settings.queue_url(settings.required("DESTINATION"))
    timeout_s = min(int(wait_s) + 1, _LONGEST_VISIBILITY_S)
    try:
        _sqs().change_message_visibility(QueueUrl=queue_url, ReceiptHandle=handle, VisibilityTimeout=timeout_s)
    except (BotoCoreError, ClientError) as error:
        extra = {"message_id": message_id, "reason": type(error).__name__}
        _LOGGER.warning("wait not set", extra=extra)


def count(name: str, value: float, connector: str = "", job: str = "") -> None:
    """A metric, under [Stack, Connector] for alarms and, where the job is known, [Stack, Connector, Job] for people."""
    dimensions = {"Stack": settings.required("STACK_NAME")} | ({"Connector": connector} if connector else {})
    metrics = AmazonCloudWatchEMFProvider(namespace="recsync", dimension_set=dict(dimensions))
    if job:
        metrics.add_dimensions(**dimensions, Job=job)
    metrics.add_metric(name, MetricUnit.Count, value)
    metrics.flush_metrics()


def log(message: str, **fields: Any) -> None:
    """One line of log: ids and counts, never records."""
    _LOGGER.info(message, extra=fields)


@functools.cache
def _sqs() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("sqs", config=Config(retries={"mode": "standard", "total_max_attempts": TRIES}))


@functools.cache
def _glue() -> Any:
    import boto3

    return boto3.client("glue")


@functools.cache
def _personalize() -> Any:
    import boto3

    return boto3.client("personalize")


@functools.cache
def sender() -> Sender:
    """The one sender of this process, whose connections stay alive."""
    return Sender()


@functools.cache
def pause() -> Pause:
    """How long this process is to make no call, since the destination asked for it."""
    return Pause()
