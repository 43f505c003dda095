"""Parameters of every kind of stack."""

SECRET = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:key-AbCdEf"
BRAZE = {"BrazeEndpoint": "https://rest.iad-01.braze.com"}
WEBHOOK = {"WebhookEndpoint": "https://hooks.example.com/x"}
KEY = "arn:aws-cn:kms:cn-north-1:123456789012:key/one"
KEY_OF_BATCHES = "arn:aws-cn:kms:cn-north-1:123456789012:key/batches"
STACKS = {
    "nothing": {},
    "braze": {**BRAZE, "BrazeApiKey": "key"},
    "braze_with_a_secret_of_its_own": {**BRAZE, "BrazeApiKeySecretArn": SECRET},
    "all": {
        **BRAZE,
        **WEBHOOK,
        "BrazeApiKeySecretArn": SECRET,
        "WebhookSecret": "whsec_x",
        "PersonalizeStackName": "mpe",
        "ScheduleExpression": "rate(1 day)",
        "KmsKeyArn": KEY,
        "BatchKmsKeyArn": KEY_OF_BATCHES,
        "ConnectorBucketName": "old-bucket",
        "AlarmEmail": "ops@example.com",
        "GlueVersion": "6.0",
    },
    "batches_from_a_bucket": {**WEBHOOK, "WebhookSecretArn": SECRET, "BatchBucketName": "batches"},
}
