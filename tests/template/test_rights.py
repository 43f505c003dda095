"""Who may do what: nothing wider than its use, and everything its use needs."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest
from cloudformation import Stack, statements
from stacks import KEY_OF_BATCHES

from connectors import registry
from connectors.contract import layout

RUN_ID = "20261121T040000Z-3f9a2c"
FOLDER = "etl_jobs/user_personalization/demo"
PART = layout.part("braze", RUN_ID, "0")
BUCKET = "arn:aws-cn:s3:::${ConnectorBucket}"


def policies(stack: Stack):
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for policy in role["Policies"]:
            yield name, policy["PolicyDocument"]


def is_allowed(stack: Stack, role: str, action: str, resource: str) -> bool:
    """Whether a role's own policies allow an action; conditions aside."""
    return any(
        action in told["Action"] and any(fnmatchcase(resource, pattern) for pattern in told["Resource"])
        for policy in stack.properties(role)["Policies"]
        for told in statements(policy["PolicyDocument"])
        if told["Effect"] == "Allow"
    )


def test_f59_no_right_is_wider_than_a_name(stack):
    for role, document in policies(stack):
        for told in statements(document):
            assert [action for action in told["Action"] if "*" in action] == [], role
            assert [resource for resource in told["Resource"] if resource.strip("arn:*/") == ""] == [], role
            # An account's own resources, each named down to its kind: buckets by name, jobs and queues by their own.
            assert [one for one in told["Resource"] if one.startswith("arn:") and ":::*" in one] == [], role


def test_f59_no_policy_of_aws_is_attached_and_sam_adds_none(stack):
    for name, role in stack.of_type("AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role, name
    for name, function in stack.of_type("AWS::Serverless::Function").items():
        assert "Policies" not in function, name
        assert function["Role"] == f"${{{name.removesuffix('Function')}Role.Arn}}"


def test_each_function_and_job_has_a_role_of_its_own(stack):
    users = [one["Role"] for one in stack.of_type("AWS::Serverless::Function").values()]
    users += [one["Role"] for one in stack.of_type("AWS::Glue::Job").values()]
    assert len(set(users)) == len(users) == len(stack.of_type("AWS::IAM::Role"))


def test_a_role_is_taken_by_one_service(stack):
    for name, role in stack.of_type("AWS::IAM::Role").items():
        (told,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = "glue" if name.endswith("JobRole") else "lambda"
        assert (told["Principal"], told["Action"]) == ({"Service": f"{service}.amazonaws.com"}, "sts:AssumeRole")


def test_policies_fit_into_a_role(stack):
    """Source: IAM user guide, "IAM and AWS STS quotas": 10,240 characters of inline policies a role."""
    for role, document in policies(stack):
        assert len(json.dumps(document, separators=(",", ":"))) < 8_000, role


def test_f59_everything_is_encrypted_private_and_spoken_to_over_tls(stack):
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name
        assert denies_plain_http(stack.properties(f"{name}Policy")["PolicyDocument"]), name
    for name, bucket in stack.of_type("AWS::S3::Bucket").items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, name
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in {"AES256", "aws:kms"}, name
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}, name
        assert denies_plain_http(stack.properties(f"{name}Policy")["PolicyDocument"]), name
    assert denies_plain_http(stack.properties("AlarmsPolicy")["PolicyDocument"])


def denies_plain_http(document) -> bool:
    return any(
        told["Effect"] == "Deny" and told["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for told in statements(document)
    )


# EventBridge may not get through to a topic whose policy sets it conditions.
_WITHOUT_CONDITION = {"EventBridgeMayPublish"}


def test_only_denials_are_for_everyone(stack):
    for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"):
        for name, policy in stack.of_type(kind).items():
            for told in statements(policy["PolicyDocument"]):
                assert told["Effect"] == "Deny" or told["Principal"] != "*", name
                assert told["Effect"] == "Deny" or told["Sid"] in _WITHOUT_CONDITION or told["Condition"], name


def test_buckets_stay_and_their_lifecycle_ends_only_what_nobody_sees(stack):
    for name, told in stack.resources.items():
        if told["Type"] == "AWS::S3::Bucket":
            (rule,) = told["Properties"]["LifecycleConfiguration"]["Rules"]
            ends = {"NoncurrentVersionExpiration", "ExpiredObjectDeleteMarker", "AbortIncompleteMultipartUpload"}
            assert rule.keys() == {"Id", "Status", *ends}
            assert "BucketName" not in told["Properties"], name
        if told["Type"] in ("AWS::S3::Bucket", "AWS::S3::BucketPolicy"):
            assert (told["DeletionPolicy"], told["UpdateReplacePolicy"]) == ("Retain", "Retain"), name


def test_the_one_key_is_granted_through_the_services_that_use_it(stacks):
    for name in ("nothing", "braze"):
        granted = [action for _, told in policies(stacks[name]) for one in statements(told) for action in one["Action"]]
        assert [action for action in granted if action.startswith("kms:")] == []
    whole = stacks["all"]
    for role, document in policies(whole):
        (grant,) = [told for told in statements(document) if told.get("Sid") == "OneKey"]
        assert grant["Resource"] == [whole.parameters["KmsKeyArn"]], role
        via = grant["Condition"]["StringEquals"]["kms:ViaService"]
        assert set(via) <= {f"{service}.cn-north-1.amazonaws.com.cn" for service in ("s3", "secretsmanager")}, role


def test_only_the_jobs_may_use_the_key_of_batches_and_only_to_read_objects(stacks):
    using = [(role, told) for role, document in policies(stacks["all"]) for told in statements(document)]
    found = {role: told for role, told in using if told["Resource"] == [KEY_OF_BATCHES]}
    assert sorted(found) == ["RelatedItemsJobRole", "UserPersonalizationJobRole"]
    assert [told["Action"] for told in found.values()] == [["kms:Decrypt"]] * 2
    via = {told["Condition"]["StringEquals"]["kms:ViaService"][0] for told in found.values()}
    assert via == {"s3.cn-north-1.amazonaws.com.cn"}


ALLOWED = [
    ("EnqueueRole", "s3:GetObject", layout.manifest("braze", RUN_ID)),
    ("EnqueueRole", "s3:GetObject", PART),
    ("EnqueueRole", "s3:PutObject", layout.enqueued("braze", RUN_ID, PART)),
    ("EnqueueRole", "s3:GetObject", layout.enqueued("braze", RUN_ID, PART)),
    ("EnqueueRole", "s3:PutObject", layout.receipts("braze", RUN_ID) + "a.jsonl"),
    ("DeliverBrazeRole", "s3:GetObject", layout.manifest("braze", RUN_ID)),
    ("DeliverBrazeRole", "s3:GetObject", layout.pointer("braze")),
    ("DeliverBrazeRole", "s3:PutObject", layout.receipts("braze", RUN_ID) + "a.jsonl"),
    ("DeliverBrazeRole", "s3:PutObject", layout.health("braze")),
    ("DeliverBrazeRole", "s3:DeleteObject", layout.health("braze")),
    ("StartSyncRole", "s3:GetObject", layout.CONFIG),
    ("StartSyncRole", "s3:PutObject", layout.started("batch_for-you_2026_11_20_03_00_00")),
    ("SweepRole", "s3:GetObject", layout.pointer("braze")),
    ("SweepRole", "s3:PutObject", layout.receipts("braze", RUN_ID) + "a.jsonl"),
    ("SweepRole", "s3:PutObject", layout.started("batch_for-you_2026_11_20_03_00_00")),
    ("SweepRole", "s3:DeleteObject", PART),
    ("SweepRole", "s3:DeleteObject", layout.errors(RUN_ID) + "/part-0"),
    ("UserPersonalizationJobRole", "s3:PutObject", layout.pointer("braze")),
    ("UserPersonalizationJobRole", "s3:GetObject", "input/item_metadata/items.json"),
    ("UserPersonalizationJobRole", "s3:PutObject", layout.quarantine(RUN_ID) + "/part-0"),
    ("UserPersonalizationJobRole", "s3:GetObject", layout.only_users(RUN_ID)),
    ("SweepRole", "s3:DeleteObject", layout.only_users(RUN_ID)),
]
DENIED = [
    ("EnqueueRole", "s3:PutObject", PART),
    ("EnqueueRole", "s3:DeleteObject", PART),
    ("EnqueueRole", "s3:GetObject", layout.CONFIG),
    ("DeliverBrazeRole", "s3:GetObject", layout.manifest("webhook", RUN_ID)),
    ("DeliverBrazeRole", "s3:PutObject", layout.pointer("braze")),
    ("DeliverBrazeRole", "s3:PutObject", layout.health("webhook")),
    ("DeliverBrazeRole", "s3:GetObject", "input/item_metadata/items.json"),
    ("StartSyncRole", "s3:GetObject", PART),
    ("StartSyncRole", "s3:DeleteObject", layout.started("batch_for-you_2026_11_20_03_00_00")),
    ("SweepRole", "s3:PutObject", layout.pointer("braze")),
    ("SweepRole", "s3:DeleteObject", layout.CONFIG),
    ("SweepRole", "s3:DeleteObject", "input/item_metadata/items.json"),
    ("RelatedItemsJobRole", "s3:PutObject", layout.pointer("braze")),
    ("GlueAssetsRole", "s3:GetObject", PART),
]


@pytest.mark.parametrize(("role", "action", "key"), ALLOWED)
def test_each_role_may_do_what_its_code_does(stacks, role, action, key):
    assert is_allowed(stacks["braze"], role, action, f"{BUCKET}/{FOLDER}/{key}")


@pytest.mark.parametrize(("role", "action", "key"), DENIED)
def test_no_role_may_do_what_its_code_does_not(stacks, role, action, key):
    assert not is_allowed(stacks["braze"], role, action, f"{BUCKET}/{FOLDER}/{key}")


@pytest.mark.parametrize(
    "role", ["EnqueueRole", "DeliverBrazeRole", "StartSyncRole", "SweepRole", "RelatedItemsJobRole"]
)
def test_f30_a_missing_key_is_told_from_a_forbidden_one(stacks, role):
    """S3 answers 403 for a missing key to whoever may not list the bucket; a condition on prefixes is no such right."""
    (told,) = [
        one
        for policy in stacks["braze"].properties(role)["Policies"]
        for one in statements(policy["PolicyDocument"])
        if one.get("Sid") == "ListBucket"
    ]
    assert told["Resource"] == ["${ConnectorBucket.Arn}"]
    assert "Condition" not in told


@pytest.mark.parametrize("name", registry.names())
def test_deliver_reads_its_own_secret_and_endpoint_only(whole, name):
    role = f"Deliver{name.title()}Role"
    parameter = f"arn:aws-cn:ssm:cn-north-1:123456789012:parameter/shop-sync/{name}/endpoint"
    assert is_allowed(whole, role, "ssm:GetParameter", parameter)
    assert whole.properties(f"{name.title()}EndpointParameter")["Name"] == f"/shop-sync/{name}/endpoint"
    secrets = {
        resource
        for policy in whole.properties(role)["Policies"]
        for told in statements(policy["PolicyDocument"])
        if told["Action"] == ["secretsmanager:GetSecretValue"]
        for resource in told["Resource"]
    }
    function = whole.properties(f"Deliver{name.title()}Function")
    assert secrets == {function["Environment"]["Variables"]["SECRET_ID"]}


@pytest.mark.parametrize(
    ("kind", "bucket"),
    [("batches_from_a_bucket", "batches"), ("all", "${import:mpe-PersonalizeBucketName}")],
)
def test_the_jobs_may_read_batches_and_nothing_more_of_that_bucket(stacks, kind, bucket):
    arn = f"arn:aws-cn:s3:::{bucket}"
    for role in ("RelatedItemsJobRole", "UserPersonalizationJobRole"):
        assert is_allowed(stacks[kind], role, "s3:GetObject", f"{arn}/batch/shop/for-you/x/job_config.json.out")
        assert is_allowed(stacks[kind], role, "s3:ListBucket", arn)
        assert not is_allowed(stacks[kind], role, "s3:GetObject", f"{arn}/train/shop/interactions.csv")
        assert not is_allowed(stacks[kind], role, "s3:PutObject", f"{arn}/batch/shop/for-you/x")
