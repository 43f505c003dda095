"""The built functions under Lambda's own runtime: they start, answer, fail and time out the way Lambda expects."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from lambda_event import sqs_event
from lambda_runtime import Runtime

HANDLERS = {
    "EnqueueFunction": "functions.enqueue.lambda_handler",
    "DeliverBrazeFunction": "functions.deliver.lambda_handler",
    "StartSyncFunction": "functions.start_sync.lambda_handler",
    "SweepFunction": "functions.sweep.lambda_handler",
}
MANIFEST = "etl_jobs/related_items/a/output/braze/year=2026/month=11/day=21/time=040000-3f9a2c/_manifest.json"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes calls and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_enqueue_gives_back_only_the_message_that_failed(as_built, figures):
    with Runtime(as_built / "EnqueueFunction", HANDLERS["EnqueueFunction"], STACK_NAME="shop") as runtime:
        other = json.dumps(
            {"detail-type": "Object Created", "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}}
        )
        answer = runtime.invoke(sqs_event("no json", other))
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
        figures["cold start of enqueue, seconds"] = runtime.cold_start_s


@pytest.mark.parametrize("name", [name for name in HANDLERS if name != "EnqueueFunction"])
def test_a_missing_setting_is_an_error_that_names_it(as_built, figures, name):
    with Runtime(as_built / name, HANDLERS[name]) as runtime:
        answer = runtime.invoke(sqs_event() if name.startswith("Deliver") else {"task": "heal"})
        assert answer["errorType"] == "SettingsError"
        assert "environment variable" in answer["errorMessage"]
        figures[f"cold start of {name}, seconds"] = runtime.cold_start_s


def test_a_function_that_takes_too_long_is_ended_and_starts_afresh(as_built, silent):
    event = json.dumps(
        {"detail-type": "Object Created", "detail": {"bucket": {"name": "b"}, "object": {"key": MANIFEST}}}
    )
    settings = {"AWS_ENDPOINT_URL": silent, "WORK_QUEUE_URL": f"{silent}/q", "STACK_NAME": "shop"}
    with Runtime(as_built / "EnqueueFunction", HANDLERS["EnqueueFunction"], timeout_s=10, **settings) as runtime:
        assert "Task timed out after 10.00 seconds" in str(runtime.invoke(sqs_event(event)))
        assert runtime.invoke(sqs_event("no json")) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
