"""Which Glue job was deployed for a job folder on S3: asked of the stack that made the folder's bucket."""

from __future__ import annotations

from collections.abc import Mapping

from cli import aws
from cli.aws import AwsError
from cli.typed import UsageError
from connectors.contract.layout import JobFolder

# job_type → the stack's output that names its Glue job.
JOB_OUTPUTS = {"related_items": "RelatedItemsJobName", "user_personalization": "UserPersonalizationJobName"}
BUCKET_OUTPUT = "Bucket"
# Source: AWS CloudFormation User Guide, "Resource tags": set on every resource of a stack that takes tags.
STACK_TAG = "aws:cloudformation:stack-name"


def glue_job(folder: JobFolder, stack: str | None) -> str:
    """The name of the Glue job that runs a folder's job.

    Args:
        stack: The stack; the one that the bucket's tag names when None.

    Raises:
        UsageError: No stack is known, or it is not the folder's.
        AwsError: AWS could not be asked.
    """
    bucket = folder.root.removeprefix("s3://").partition("/")[0]
    name = stack or stack_of(bucket)
    return job_in(outputs_of(name), name, folder, bucket)


def job_in(outputs: Mapping[str, str], stack: str, folder: JobFolder, bucket: str) -> str:
    """The same, of a stack's outputs.

    Raises:
        UsageError: It is another stack's folder, or no stack of ours.
    """
    job = outputs.get(JOB_OUTPUTS[folder.job_type])
    if not job or BUCKET_OUTPUT not in outputs:
        raise UsageError(
            f"stack {stack} has no outputs {BUCKET_OUTPUT} and {JOB_OUTPUTS[folder.job_type]}, "
            "so it is not recsync's; name that one: --stack NAME"
        )
    if outputs[BUCKET_OUTPUT] != bucket:
        raise UsageError(
            f"stack {stack} works on bucket {outputs[BUCKET_OUTPUT]}, and {folder.root} is in another one; "
            "name the stack of that one: --stack NAME"
        )
    return job


def stack_of(bucket: str) -> str:
    """The stack that made a bucket, by the tag that CloudFormation gave it.

    Raises:
        UsageError: It has no such tag: it was there before the stack.
        AwsError: The tags could not be read.
    """
    s3 = aws.client("s3")
    try:
        with aws.in_words("s3:GetBucketTagging", f"arn:{s3.meta.partition}:s3:::{bucket}"):
            tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except AwsError as error:
        if error.code != "NoSuchTagSet":
            raise AwsError(f"{error}; or name the stack: --stack NAME", error.code) from error
        tags = []
    named = [tag["Value"] for tag in tags if tag["Key"] == STACK_TAG]
    if not named:
        raise UsageError(
            f"bucket {bucket} has no tag {STACK_TAG}, which CloudFormation sets on a bucket that it makes; "
            "name the stack that works on it: --stack NAME"
        )
    return str(named[0])


def outputs_of(stack: str) -> dict[str, str]:
    """A stack's outputs.

    Raises:
        UsageError: There is no such stack.
        AwsError: It could not be asked.
    """
    cloudformation = aws.client("cloudformation")
    try:
        with aws.in_words("cloudformation:DescribeStacks", aws.arn(cloudformation, "stack", f"{stack}/*")):
            (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except AwsError as error:
        if error.code != "ValidationError":
            raise
        region = cloudformation.meta.region_name
        raise UsageError(
            f"there is no stack {stack!r} in {region}; name it with --stack, and its region in AWS_REGION"
        ) from error
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
