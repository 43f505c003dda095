"""Which endpoints are Braze's, and what its settings mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import Destination
from connectors.braze.config import HOSTS, LIMITS, BrazeOptions, checked_endpoint
from connectors.braze.connector import BrazeConnector
from connectors.errors import ConfigError

BRAZE = "https://rest.iad-01.braze.com"

# Endpoints


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_every_instance_of_braze_is_an_endpoint(host):
    assert checked_endpoint(f"https://{host}", allow_loopback=False) == f"https://{host}"


@pytest.mark.parametrize(
    "endpoint", [BRAZE, f"{BRAZE}/", f"{BRAZE}:443", f"{BRAZE}:443/", "HTTPS://rest.iad-01.braze.com", BRAZE.upper()]
)
def test_f55_another_spelling_of_the_same_host_is_that_host(endpoint):
    assert checked_endpoint(endpoint, allow_loopback=False) == BRAZE


HOSTILE = [
    "",
    "https://",
    "https:///",
    "rest.iad-01.braze.com",
    "//rest.iad-01.braze.com",
    "http://rest.iad-01.braze.com",
    "ftp://rest.iad-01.braze.com",
    "javascript://rest.iad-01.braze.com",
    f"{BRAZE}:80",
    f"{BRAZE}:8443",
    f"{BRAZE}:0",
    f"{BRAZE}:99999",
    f"{BRAZE}:443x",
    f"{BRAZE}.",
    f"{BRAZE}.attacker.io",
    "https://rest.iad-01.braze.attacker.io",
    "https://attacker.io/rest.iad-01.braze.com",
    "https://rest-iad-01.braze.com",
    "https://xrest.iad-01.braze.com",
    "https://rest.iad-09.braze.com",
    "https://rest.fra-01.braze.com",
    "https://rest.iad-01.braze.eu",
    "https://braze.com",
    "https://key@rest.iad-01.braze.com",
    "https://user:key@rest.iad-01.braze.com",
    "https://@rest.iad-01.braze.com",
    f"{BRAZE}@attacker.io",
    f"{BRAZE}:443@169.254.169.254/",
    "https://rest.fra-01.braze.eu@169.254.169.254/",
    f"https://attacker.io#@{BRAZE[8:]}",
    f"https://attacker.io\\@{BRAZE[8:]}",
    f"https://attacker.io?{BRAZE}",
    f"{BRAZE}/users/track",
    f"{BRAZE}//",
    f"{BRAZE}/..",
    f"{BRAZE}?key=1",
    f"{BRAZE}#top",
    f"{BRAZE}%2eattacker.io",
    f"{BRAZE}%00.attacker.io",
    f"{BRAZE}\\.attacker.io",
    "https://rest。iad-01。braze.com",
    "https://rest.iad-01.brаze.com",  # noqa: RUF001 - a Cyrillic a
    "https://rest.ıad-01.braze.com",  # noqa: RUF001 - a dotless i
    "https://rest.iad-01.braze.com\u2044.attacker.io",
    "https://169.254.169.254",
    "https://[::1]",
    "https://[rest.iad-01.braze.com]",
    "https://[::1",
    "https://2130706433",
    "https://127.0.0.1",
    "https://localhost",
]


@pytest.mark.parametrize("allow_loopback", [False, True])
@pytest.mark.parametrize("endpoint", HOSTILE)
def test_f55_any_other_endpoint_is_refused(endpoint, allow_loopback):
    with pytest.raises(
        ConfigError, match=r"use the one of your instance, for example https://rest\.iad-01\.braze\.com"
    ):
        checked_endpoint(endpoint, allow_loopback=allow_loopback)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080", "http://localhost:8080/", "HTTP://LOCALHOST:1"])
def test_f55_loopback_is_an_endpoint_only_where_it_is_allowed(endpoint):
    assert checked_endpoint(endpoint, allow_loopback=True) == endpoint.lower().rstrip("/")
    with pytest.raises(ConfigError):
        checked_endpoint(endpoint, allow_loopback=False)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "https://127.0.0.1:8080",
        "http://127.0.0.2:8080",
        "http://127.1:8080",
        "http://0.0.0.0:8080",
        "http://[::1]:8080",
        "http://localhost.attacker.io:8080",
        "http://localhost:8080@attacker.io:80",
        "http://user@localhost:8080",
        "http://localhost:8080/users/track",
        "http://rest.iad-01.braze.com:8080",
        "http://169.254.169.254:80",
    ],
)
def test_f55_loopback_is_two_names_over_http_with_a_port(endpoint):
    with pytest.raises(ConfigError):
        checked_endpoint(endpoint, allow_loopback=True)


_PIECES = [
    "https://",
    "http://",
    "rest.iad-01.braze.com",
    "attacker.io",
    "localhost",
    ":443",
    ":80",
    *"@/\\?#.:%[] \t\n",
]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(_PIECES), max_size=7).map("".join))
def test_f55_what_is_accepted_is_sent_to_one_of_the_hosts_and_nowhere_else(endpoint):
    try:
        accepted = checked_endpoint(endpoint, allow_loopback=False)
    except ConfigError:
        return
    assert accepted == BRAZE


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://user:canary@attacker.io",
        "https://user:can@canary@attacker.io",
        "https://user:canary/canary@attacker.io",
        "https://attacker.io/canary",
        f"{BRAZE}/users/track?api_key=canary",
        f"{BRAZE}#canary",
        f"{BRAZE}\\canary",
        "canary-4f1c-92ab",
        "Bearer canary",
    ],
)
def test_f58_a_refusal_never_repeats_what_may_be_a_key(endpoint):
    with pytest.raises(ConfigError) as caught:
        checked_endpoint(endpoint, allow_loopback=False)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("canary-key\n", "store the key alone"),
        ("canary-key ", "store the key alone"),
        ("\tcanary-key", "store the key alone"),
        ("canary-key\r\n", "store the key alone"),
        ("canary\nkey", "copy the key anew"),
        ("canary-key-€", "copy the key anew"),
        ("canary-key-é", "copy the key anew"),
        ("canary\u200bkey", "copy the key anew"),
        ("Bearer canary-key", "leave out Bearer"),
    ],
)
def test_f58_a_key_that_no_header_carries_is_refused_with_the_fix_and_not_shown(key, told):
    with pytest.raises(ConfigError, match=rf"BRAZE_API_KEY.*{told}") as caught:
        BrazeConnector(Destination(BRAZE, key))
    assert "canary" not in str(caught.value)


def test_a_refusal_names_the_host_that_was_wrong():
    with pytest.raises(ConfigError, match=r"'https://rest\.iad-99\.braze\.com' is not one of Braze's"):
        checked_endpoint("https://rest.iad-99.braze.com/", allow_loopback=False)


# Settings


def test_the_least_that_can_be_said_means_objects_kept_on_removal():
    options = BrazeOptions.model_validate({})
    assert (options.payload_shape, options.on_user_removed, options.acknowledge) == ("objects", "keep", "onDelivery")
    assert options.attribute_names() == ["items"]


def test_the_shape_of_2022_is_what_a_historic_file_means():
    assert BrazeOptions.historic_defaults == {"payloadShape": "arrays"}


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("objects", ["recs_items", "campaign"]),
        ("arrays", ["recs_itemId", "recs_name", "recs_price", "campaign"]),
        ("ids", ["recs_itemId", "campaign"]),
    ],
)
def test_the_attributes_we_write_follow_from_shape_fields_and_prefix(shape, names):
    options = BrazeOptions(
        payload_shape=shape,
        attribute_prefix="recs_",
        item_metadata_fields=["name", "itemId", "price", "name"],
        other_attributes={"campaign": "autumn"},
    )
    assert options.attribute_names() == names


def test_settings_that_say_when_to_send_are_no_part_of_what_is_sent():
    plain = BrazeOptions().payload_settings()
    timing = {
        "performDeltaCheck": False,
        "acknowledge": "onWrite",
        "onUserRemoved": "clear",
        "changePolicy": {"compare": "set", "refreshAfterDays": 3},
    }
    assert BrazeOptions.model_validate(timing).payload_settings() == plain
    for shaping in ({"attributePrefix": "a"}, {"payloadShape": "ids"}, {"otherAttributes": {"a": 1}}):
        assert BrazeOptions.model_validate(shaping).payload_settings() != plain


def test_settings_come_back_from_the_manifest_as_they_were():
    options = BrazeOptions(
        attribute_prefix="recs_", other_attributes={"a": [1, {"b": "c"}]}, item_metadata_fields=["x"]
    )
    assert BrazeOptions.model_validate(options.model_dump(by_alias=True, mode="json")) == options


@pytest.mark.parametrize(
    "raw",
    [
        {"attributePrefx": "recs_"},
        {"payloadShape": "table"},
        {"itemMetadataFields": "name"},
        {"otherAttributes": ["campaign"]},
        {"changePolicy": {"k": 0}},
        {"changePolicy": {"unknown": 1}},
        {"otherAttributes": {"score": float("nan")}},
    ],
)
def test_a_mistake_in_the_settings_is_found(raw):
    with pytest.raises(ValidationError):
        BrazeOptions.model_validate(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"otherAttributes": {"external_id": "x"}},
        {"otherAttributes": {"user_alias": {}}},
        {"otherAttributes": {"braze_id": "1"}},
        {"otherAttributes": {"_merge_objects": True}},
        {"payloadShape": "arrays", "itemMetadataFields": ["external_id"]},
        {"payloadShape": "arrays", "attributePrefix": "external_", "itemMetadataFields": ["id"]},
    ],
)
def test_an_attribute_may_not_take_the_place_of_the_users_own_id(raw):
    with pytest.raises(ValidationError, match="choose another name"):
        BrazeOptions.model_validate(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"otherAttributes": {"recs_items": "x"}, "attributePrefix": "recs_"},
        {"otherAttributes": {"name": "x"}, "payloadShape": "arrays", "itemMetadataFields": ["name"]},
    ],
)
def test_a_constant_may_not_take_the_place_of_the_recommendations(raw):
    with pytest.raises(ValidationError, match="choose another name"):
        BrazeOptions.model_validate(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"otherAttributes": {"email": "shop@example.com"}},
        {"otherAttributes": {"country": "DE"}},
        {"otherAttributes": {"time_zone": "UTC"}},
        {"payloadShape": "arrays", "itemMetadataFields": ["language"]},
        {"payloadShape": "arrays", "itemMetadataFields": ["name"], "attributePrefix": "first_"},
    ],
)
def test_an_attribute_may_not_overwrite_a_field_of_the_profile(raw):
    with pytest.raises(ValidationError, match="has a meaning already; choose another name or prefix"):
        BrazeOptions.model_validate(raw)


def test_a_prefix_makes_an_attribute_of_what_would_be_a_field_of_the_profile():
    own = {"payloadShape": "arrays", "itemMetadataFields": ["language"], "attributePrefix": "recs_"}
    assert BrazeOptions.model_validate(own).attribute_names() == ["recs_itemId", "recs_language"]
    assert BrazeOptions.model_validate({"itemMetadataFields": ["language"]}).attribute_names() == ["items"]


@pytest.mark.parametrize(
    "raw",
    [
        {"otherAttributes": {"x" * 256: 1}},
        {"otherAttributes": {"": 1}},
        {"otherAttributes": {"$campaign": 1}},
        {"otherAttributes": {"campaign ": 1}},
        {"attributePrefix": " recs_"},
        {"attributePrefix": "$recs_"},
        {"attributePrefix": "x" * 251},
        {"attributePrefix": "x" * 249},  # the mark of the holdout would have 256
        {"payloadShape": "arrays", "itemMetadataFields": ["name\n"]},
    ],
)
def test_a_name_braze_would_not_keep_is_refused(raw):
    with pytest.raises(ValidationError, match="Braze keeps names of 1 to 255 characters"):
        BrazeOptions.model_validate(raw)


@pytest.mark.parametrize("name", ["on.sale", "list price", "$x", "x" * 256])
def test_a_field_that_braze_would_drop_of_everyone_is_refused_by_name(name):
    raw = {"itemMetadataFields": ["name", name]}
    with pytest.raises(ValidationError, match=r"itemMetadataFields: Braze would drop .* in silence: a key inside"):
        BrazeOptions.model_validate(raw)
    if name != "$x":  # which is no name of an attribute either
        assert BrazeOptions.model_validate({**raw, "payloadShape": "ids"}).item_fields() == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * 256, "a text of over 255"),
        ({"a": None}, "a null inside"),
        ([1, {"b": [None]}], "a null inside"),
        ({"a.b": 1}, "a key inside"),
        ({"on": {"$time": "soon"}}, "a \\$time"),
        (list(range(501)), "501 elements; 500 are kept"),
        (["x" * 255] * 400, "over 100 KB"),
    ],
)
def test_a_constant_braze_would_drop_of_everyone_is_refused_by_name(value, why):
    with pytest.raises(ValidationError) as caught:
        BrazeOptions(other_attributes={"campaign": value})
    (told,) = [error["msg"] for error in caught.value.errors()]
    assert re.search(rf"Braze would drop otherAttributes\.campaign in silence: .*{why}", told)


@pytest.mark.parametrize("value", [None, "", 1, True, [], "x" * 255, {"on": {"$time": "2026-11-21"}}, [{"a": "b"}]])
def test_a_constant_braze_keeps_is_a_good_one(value):
    assert BrazeOptions(other_attributes={"campaign": value}).other_attributes == {"campaign": value}


def test_the_limits_leave_room_below_what_braze_documents():
    assert LIMITS.max_records == 75
    assert LIMITS.max_bytes <= 4_000_000 * 0.95
