"""What mends a call that AWS refused, or that never reached it. Judged by names alone: nothing of AWS is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Source: IAM User Guide, "Troubleshoot access denied error messages".
_DENIED = re.compile(r"not authorized to perform: (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>\S+))?")
_KEYS = "name a profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_DENIALS = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})
# Codes of AWS, and errors of botocore by name.
_FIXES: Mapping[str, str] = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired"), "the credentials have expired, get new ones"
    ),
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        f"AWS does not know these credentials: {_KEYS}",
    ),
    "NoCredentialsError": _KEYS,
    "PartialCredentialsError": _KEYS,
    "CredentialRetrievalError": "look after the profile that AWS_PROFILE names: aws configure list",
    "ProfileNotFound": "mend AWS_PROFILE: aws configure list-profiles",
    **dict.fromkeys(("SSOError", "TokenRetrievalError"), "log in again: aws sso login"),
    "NoRegionError": "set AWS_REGION to the region of the stack, or give the profile one: aws configure set region",
    "EndpointConnectionError": "look after the network, and AWS_REGION",
}


def fix_of(error: Exception, action: str, resource: str = "") -> str:
    """What mends an error that no repeat mends; empty where nothing is known to.

    Args:
        error: One of botocore.
        action: The IAM action of the call, such as ``s3:GetObject``.
        resource: What it was called on; the error's own word for it comes first.
    """
    code = code_of(error)
    if code in _DENIALS:
        return f"allow {_denied(error, action, resource)}"
    names = [code, *(kind.__name__ for kind in type(error).__mro__)]
    return next((_FIXES[name] for name in names if name in _FIXES), "")


def code_of(error: Exception) -> str:
    """AWS's own name for the error; empty where AWS was not reached."""
    return str(_answer(error).get("Code", ""))


def _denied(error: Exception, action: str, resource: str) -> str:
    """Which right is missing: the call may need another one than its own, such as a key's."""
    said = _DENIED.search(str(_answer(error).get("Message", "")))
    named = said["action"] if said else action
    place = (said["resource"] or "").strip("\"'.,") if said else ""
    return f"{named} on {place}" if place else f"{named} on {resource}" if resource else f"{named} there"


def _answer(error: Exception) -> Mapping[str, object]:
    # Of a connection that broke botocore has a response, which is None.
    response: Mapping[str, Mapping[str, object]] = getattr(error, "response", None) or {}
    return response.get("Error", {})
