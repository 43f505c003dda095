"""Where a webhook may lead, and what a secret looks like."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from urllib3.util import parse_url

from connectors.errors import ConfigError
from connectors.webhook.config import WebhookOptions, checked_endpoint, secrets_of
from glue_jobs.config import parse_config

HOOK = "https://hooks.example.com/recommendations"


def secret(size: int, byte: bytes = b"k") -> str:
    return f"whsec_{base64.b64encode(byte * size).decode()}"


# Endpoints


@pytest.mark.parametrize(
    ("endpoint", "checked"),
    [
        (HOOK, HOOK),
        ("HTTPS://Hooks.Example.com/Recommendations", "https://hooks.example.com/Recommendations"),
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("https://hooks.example.com:8443/a/b?token=1&x=@", "https://hooks.example.com:8443/a/b?token=1&x=@"),
        ("https://hooks.example.com/@acme", "https://hooks.example.com/@acme"),
        ("https://xn--bcher-kva.example.com/", "https://xn--bcher-kva.example.com/"),
        ("https://8.8.8.8/hook", "https://8.8.8.8/hook"),
        ("https://[2606:4700:4700::1111]:8443/hook", "https://[2606:4700:4700::1111]:8443/hook"),
    ],
)
def test_any_public_host_is_an_endpoint(endpoint, checked):
    assert checked_endpoint(endpoint, allow_loopback=False) == checked


PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1"),  # noqa: S104
    *("169.254.169.254", "192.0.2.1", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("[::1]", "[::]", "[fe80::1]", "[fe80::1%25eth0]", "[2606:4700::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]"),
    *("[ff02::1]", "[2001:db8::1]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:808:808::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]"),
    *("127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "127.0.0.1.", "1.2.3"),
    *("localhost", "localhost.", "LOCALHOST", "a.localhost", "localhost.localdomain", "metadata", "intranet"),
    *("metadata.google.internal", "instance-data.ec2.internal", "printer.local", "nas.lan", "router.home.arpa"),
    *("a.test", "a.invalid", "a.onion", "example.com.", ".example.com", "-a.example.com", "a..example.com"),
]


@pytest.mark.parametrize("allow_loopback", [False, True])
@pytest.mark.parametrize("host", PRIVATE)
def test_f55_no_endpoint_leads_to_a_private_place(host, allow_loopback):
    with pytest.raises(ConfigError, match="is not a public https address; use one such as"):
        checked_endpoint(f"https://{host}/hook", allow_loopback=allow_loopback)


@pytest.mark.parametrize("allow_loopback", [False, True])
@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "https://",
        "https:///hook",
        "hooks.example.com",
        "//hooks.example.com",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "https://user@hooks.example.com/",
        "https://user:key@hooks.example.com/",
        "https://@hooks.example.com/",
        "https://hooks.example.com:443@169.254.169.254/",
        "https://hooks.example.com#@169.254.169.254/",
        "https://169.254.169.254\\@hooks.example.com/",
        "https://hooks.example.com\\.attacker.io/",
        "https://hooks.example.com/#top",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:443x/",
        "https://hooks.exam\nple.com/",
        " https://hooks.example.com/",
        "https://hooks.example.com/ a",
        "https://hooks。example。com/",
        "https://hooks.exаmple.com/",  # noqa: RUF001 - a Cyrillic a
        "https://hooks.example.com%2eattacker.io/",
        "https://[hooks.example.com]/",
        "https://[::1",
        "https://①②⑦.⓪.⓪.①/",
    ],
)
def test_f55_what_is_no_plain_https_address_is_refused(endpoint, allow_loopback):
    with pytest.raises(ConfigError, match="is not a public https address; use one such as"):
        checked_endpoint(endpoint, allow_loopback=allow_loopback)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080/hook", "http://localhost:8080/"])
def test_f55_loopback_is_an_endpoint_only_where_it_is_allowed(endpoint):
    assert checked_endpoint(endpoint, allow_loopback=True) == endpoint
    with pytest.raises(ConfigError):
        checked_endpoint(endpoint, allow_loopback=False)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1/", "http://127.0.0.2:8080/", "http://[::1]:8080/", "http://localhost.a.io:8080/"]
)
def test_f55_loopback_is_two_names_over_http_with_a_port(endpoint):
    with pytest.raises(ConfigError):
        checked_endpoint(endpoint, allow_loopback=True)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["https://", "a.io", "8.8.8.8", "10.0.0.1", "localhost", *"@/\\?#.:%[]\t"]), max_size=7)
)
def test_f55_who_calls_what_is_accepted_reads_the_same_public_host(pieces):
    try:
        accepted = checked_endpoint("".join(pieces), allow_loopback=False)
    except ConfigError:
        return
    called = parse_url(requests.Request("POST", accepted).prepare().url)
    assert (called.scheme, called.host, called.auth) == ("https", urlsplit(accepted).hostname, None)
    assert called.host not in {"10.0.0.1", "localhost"}


@pytest.mark.parametrize(
    "endpoint", ["http://hooks.example.com/canary?canary", "https://u:canary@hooks.example.com", "canary-4f1c"]
)
def test_f58_a_refusal_never_repeats_what_may_be_a_key(endpoint):
    with pytest.raises(ConfigError) as caught:
        checked_endpoint(endpoint, allow_loopback=False)
    assert "canary" not in str(caught.value)


# Secrets


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_is_24_to_64_bytes_in_base64(size):
    assert secrets_of(secret(size)) == [b"k" * size]


def test_several_secrets_stand_with_spaces_between_while_one_replaces_another():
    assert secrets_of(f"{secret(8, b'new')} {secret(8, b'old')}") == [b"new" * 8, b"old" * 8]


@pytest.mark.parametrize(
    "text",
    [
        secret(23),
        secret(65),
        secret(24).removeprefix("whsec_"),
        secret(24).replace("whsec_", "whsk_"),
        "whsec_",
        "whsec_canary canary",
        "whsec_can*ry" + "a" * 40,
        secret(25).rstrip("="),
        f"{secret(24)} canary",
        f"{secret(24)},{secret(24)}",
    ],
)
def test_f58_any_other_secret_is_refused_and_not_shown(text):
    with pytest.raises(ConfigError, match="not of the form whsec_") as caught:
        secrets_of(text)
    assert "canary" not in str(caught.value) and secret(24)[6:20] not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (secret(24) + "\n", "store the key alone"),
        (" " + secret(24), "store the key alone"),
        (secret(24) + "\r\n", "store the key alone"),
        (f"{secret(24)} {secret(24)}\t", "store the key alone"),
        ("whsec_" + "é" * 40, "copy the key anew"),
        (secret(24).replace("whsec", "whsec\u200b"), "copy the key anew"),
    ],
)
def test_f58_a_secret_with_something_around_it_is_refused_with_the_fix_and_not_shown(text, told):
    with pytest.raises(ConfigError, match=rf"WEBHOOK_SECRET.*{told}") as caught:
        secrets_of(text)
    assert secret(24)[6:20] not in str(caught.value)


# Settings


def test_a_webhook_has_the_settings_every_connector_has_and_writes_no_attributes():
    options = WebhookOptions.model_validate({"itemMetadataFields": ["name"], "onUserRemoved": "clear"})
    assert (options.attribute_names(), options.item_fields()) == ([], ["name"])
    with pytest.raises(ValidationError):
        WebhookOptions.model_validate({"payloadShape": "ids"})


def test_a_job_may_have_both_connectors():
    own = {"braze": {"attributePrefix": "recs_"}, "webhook": {"itemMetadataFields": ["name"]}}
    config = parse_config({"version": 1, "batchInferencePath": "s3://b/batch/", "connectors": own})
    assert isinstance(config.connectors["webhook"], WebhookOptions)
    assert list(config.connectors) == ["braze", "webhook"]
