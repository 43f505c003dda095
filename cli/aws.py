"""AWS as recsync asks it: its clients, and its refusals in words. boto3 is loaded once a folder on S3 is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connectors.contract.mending import code_of, fix_of
from connectors.contract.s3_storage import TRIES


class AwsError(Exception):
    """AWS refused a call, or could not be asked.

    Attributes:
        code: AWS's own name for the refusal; empty where it was not reached.
    """

    exit_code = 1

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


def client(service: str, **how: Any) -> Any:
    """A client of one of AWS's services.

    Raises:
        AwsError: There are no credentials, or no region.
    """
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": TRIES}, **how.pop("config", {}))
    with in_words(f"{service}:*", "*"):
        return boto3.client(service, config=config, **how)


def arn(client: Any, kind: str, name: str) -> str:
    """How IAM knows a resource of a client's service, in whatever account: ``arn:aws:glue:eu-west-1:*:job/nightly``."""
    meta = client.meta
    return f"arn:{meta.partition}:{meta.service_model.service_name}:{meta.region_name}:*:{kind}/{name}"


@contextmanager
def in_words(action: str, resource: str) -> Iterator[None]:
    """Tell what goes wrong in a sentence that names the call, what it was for, and the fix.

    Args:
        action: The IAM action of the call, such as ``glue:StartJobRun``.
        resource: Its ARN.

    Raises:
        AwsError: The call failed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        fix = fix_of(error, action, resource)
        said = code_of(error) if fix and code_of(error) else " ".join(str(error).split())
        raise AwsError(f"{action} failed: {said}{f'; {fix}' if fix else ''}", code_of(error)) from error
