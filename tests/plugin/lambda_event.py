"""What Lambda hands to a function."""

from __future__ import annotations


def sqs_event(*bodies: str) -> dict[str, object]:
    """Messages of a queue, each once received."""
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"handle-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:braze",
                "awsRegion": "eu-central-1",
            }
            for number, body in enumerate(bodies)
        ]
    }
