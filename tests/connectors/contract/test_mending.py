"""What mends a call that AWS refused, or that never reached it."""

from __future__ import annotations

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from connectors.contract.mending import code_of, fix_of

BY_IAM = (
    "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: glue:StartJobRun on resource: "
    "arn:aws:glue:eu-west-1:123456789012:job/nightly because no identity-based policy allows it"
)
BY_KEY = (
    'User: arn:aws:iam::1:user/dev is not authorized to perform: kms:Decrypt on resource: "arn:aws:kms:x:1:key/2"'
    " because no resource-based policy allows the kms:Decrypt action"
)


def refused(code, message=""):
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartJobRun")


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (
            refused("AccessDeniedException", BY_IAM),
            "allow glue:StartJobRun on arn:aws:glue:eu-west-1:123456789012:job/nightly",
        ),
        (refused("AccessDenied", BY_KEY), "allow kms:Decrypt on arn:aws:kms:x:1:key/2"),
        (refused("AccessDenied", "Access Denied"), "allow s3:GetObject on arn:aws:s3:::shop"),
        (refused("AccessDenied", "not authorized to perform: s3:PutObject"), "allow s3:PutObject on arn:aws:s3:::shop"),
        (refused("ExpiredTokenException"), "the credentials have expired, get new ones"),
        (refused("ThrottlingException"), ""),
    ],
)
def test_f30_a_refusal_is_mended_by_the_right_it_names(error, fix):
    assert fix_of(error, "s3:GetObject", "arn:aws:s3:::shop") == fix


def test_f30_without_a_resource_the_right_is_missing_where_the_call_went():
    assert fix_of(refused("AccessDenied"), "s3:GetObject") == "allow s3:GetObject there"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (exceptions.NoCredentialsError(), "AWS_PROFILE"),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), "AWS_SECRET_ACCESS_KEY"),
        (exceptions.ProfileNotFound(profile="shop"), "aws configure list-profiles"),
        (exceptions.NoRegionError(), "AWS_REGION"),
        (exceptions.EndpointConnectionError(endpoint_url="https://glue"), "network"),
        (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="no"), "aws sso login"),
        (refused("UnrecognizedClientException"), "AWS_PROFILE"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_never_reached_aws_is_mended_here(error, word):
    assert word in fix_of(error, "glue:GetJobRun")


def test_a_code_is_that_of_aws():
    assert code_of(refused("Throttling")) == "Throttling"
    assert code_of(exceptions.NoRegionError()) == ""
