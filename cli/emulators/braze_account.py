"""What Braze does with one call of ``POST /users/track``, and what it does not say about it.

No socket here. A call is read, every object in it is judged, and only then are the profiles changed. Of
an update that Braze drops the answer says nothing, so what went missing is counted in `Stats`.

Left out: updates of part of a value (``inc``, ``add``, ``$add``, ``_merge_objects``), which are taken as
whole values, and everything of a profile but its custom attributes.

Source: Braze Docs, "POST: Track users" and "API limits" for the calls; "Nested custom attributes", "Array
of objects", "Custom attributes" and "Data points" for the values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_OBJECTS = 75  # over the three arrays together
MAX_EXTERNAL_ID_BYTES = 987
MAX_TEXT_CHARS = 255  # of names, keys and values alike
MAX_ARRAY_ELEMENTS = 500
MAX_VALUE_BYTES = 100 * 1024

_REQUIRED = {
    "attributes": (),
    "events": ("name", "time"),
    "purchases": ("product_id", "currency", "price", "time"),
}
_PRIMARY = ("external_id", "braze_id", "user_alias")
_NOT_CUSTOM = frozenset({
    "alias_label", "alias_name", "braze_id", "country", "current_location", "date_of_first_session",
    "date_of_last_session", "dob", "email", "email_click_tracking_disabled", "email_open_tracking_disabled",
    "email_subscribe", "external_id", "facebook", "first_name", "gender", "home_city", "language", "last_name",
    "marked_email_as_spam_at", "phone", "push_subscribe", "push_token_import", "push_tokens",
    "subscription_groups", "time_zone", "twitter", "user_alias", "_merge_objects", "_update_existing_only",
})  # fmt: skip

Sent = dict[str, list[Any]]
Problem = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. The body is sent as JSON."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stats:
    """What the account saw since it was opened.

    Attributes:
        calls: Calls of the endpoint, refused ones included.
        objects: Attribute, event and purchase objects in calls that could be read.
        data_points: What Braze would bill; updates that were dropped are billed too.
        dropped: Attribute updates that were not applied although the answer was "success".
        refused: Objects that the answer listed under "errors".
    """

    calls: int = 0
    objects: int = 0
    data_points: int = 0
    dropped: int = 0
    refused: int = 0


class BrazeAccount:
    """One workspace: its key, its profiles, and the type of every attribute. Safe to call from many threads.

    Attributes:
        profiles: external_id → custom attribute → value. Users with other identifiers are accepted, not kept.
        stats: What the account saw so far.
    """

    def __init__(self, api_key: str) -> None:
        self.profiles: dict[str, dict[str, Any]] = {}
        self.stats = Stats()
        self.api_key = api_key
        self._kinds: dict[str, str] = {}
        self._lock = Lock()

    def track(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one call, and change the profiles as Braze would. Header names may be in any case."""
        sent = read_call(self.api_key, headers, body)
        with self._lock:
            self.stats.calls += 1
            return sent if isinstance(sent, Answer) else self._take(sent)

    def _take(self, sent: Sent) -> Answer:
        problems = find_problems(sent)
        refused = {(problem["input_array"], problem["index"]) for problem in problems}
        self.stats.objects += sum(map(len, sent.values()))
        self.stats.refused += len(problems)
        for array, objects in sent.items():
            for index, thing in enumerate(objects):
                if (array, index) not in refused:
                    self._apply(array, thing)
        return answer(sent, problems)

    def _apply(self, array: str, thing: dict[str, Any]) -> None:
        user_id = thing.get("external_id")
        if user_id not in self.profiles and thing.get("_update_existing_only") is True:
            return
        profile = {} if user_id is None else self.profiles.setdefault(user_id, {})
        if array != "attributes":
            self.stats.data_points += 1
            return
        for name, value in thing.items():
            if name not in _NOT_CUSTOM:
                self.stats.data_points += data_points(value)
                self._update(profile, name.strip(), value)

    def _update(self, profile: dict[str, Any], name: str, sent: Any) -> None:
        if sent is None:
            profile.pop(name, None)
            return
        value = as_set(sent) if kind(sent) == "array" else sent
        if len(name) <= MAX_TEXT_CHARS and is_storable(value) and self._is_of_its_kind(name, value):
            profile[name] = value
        else:
            self.stats.dropped += 1

    def _is_of_its_kind(self, name: str, value: Any) -> bool:
        """Whether the value's type is that of the attribute's first value. An empty array suits both arrays."""
        if value == []:
            return self._kinds.get(name, "array").startswith("array")
        return self._kinds.setdefault(name, kind(value)) == kind(value)


def read_call(api_key: str, headers: Mapping[str, str], body: bytes) -> Sent | Answer:
    """The objects sent, by array; or the answer, when the call is refused whole."""
    given = {name.lower(): value.strip() for name, value in headers.items()}
    scheme, _, key = given.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or key.strip() != api_key:
        return Answer(401, {"message": "Invalid API key"})
    if len(body) > MAX_BODY_BYTES:
        return Answer(413, {"message": "Request body is larger than 4 MB"})
    if given.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Answer(415, {"message": "Content-Type must be application/json"})
    return _read_body(body)


def _read_body(body: bytes) -> Sent | Answer:
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Answer(400, {"message": "Invalid JSON"})
    given = content if isinstance(content, dict) else {}
    sent = {array: given[array] for array in _REQUIRED if isinstance(given.get(array), list)}
    if sum(map(len, sent.values())) > MAX_OBJECTS:
        return Answer(400, {"message": "Max Input Length Exceeded"})
    return sent


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def find_problems(sent: Sent) -> list[Problem]:
    """The objects Braze will not take, at most one entry for each: {type, input_array, index}."""
    return [
        {"type": problem, "input_array": array, "index": index}
        for array, objects in sent.items()
        for index, thing in enumerate(objects)
        if (problem := _problem(thing, _REQUIRED[array]))
    ]


def _problem(thing: Any, required: tuple[str, ...]) -> str | None:
    if not isinstance(thing, dict):
        return "The provided value is not an object."
    missing = [name for name in required if thing.get(name) in (None, "")]
    return _identity_problem(thing) or (f"'{missing[0]}' is required" if missing else None)


def _identity_problem(thing: dict[str, Any]) -> str | None:
    """Exactly one primary identifier is needed; email and phone identify only where there is none."""
    primary = [name for name in _PRIMARY if name in thing] or [n for n in ("email", "phone") if n in thing][:1]
    if len(primary) > 1:
        return "only one of 'external_id', 'braze_id' or 'user_alias' can be given"
    if not primary or not _is_identifier(primary[0], thing[primary[0]]):
        return "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
    is_too_large = primary == ["external_id"] and _size_bytes(thing["external_id"]) > MAX_EXTERNAL_ID_BYTES
    return "EXTERNAL_USER_ID_TOO_LARGE" if is_too_large else None


def _is_identifier(name: str, value: Any) -> bool:
    if name != "user_alias":
        return isinstance(value, str) and value != ""
    alias = value if isinstance(value, dict) else {}
    return all(_is_identifier(part, alias.get(part)) for part in ("alias_name", "alias_label"))


def answer(sent: Sent, problems: list[Problem]) -> Answer:
    """What Braze says. It counts here what it took; whether it really counts the refused ones is not documented."""
    if len(problems) == sum(map(len, sent.values())):
        message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
        return Answer(400, {"message": message, "errors": problems})
    refused = [problem["input_array"] for problem in problems]
    processed = {f"{array}_processed": len(objects) - refused.count(array) for array, objects in sent.items()}
    errors = {"errors": problems} if problems else {}
    return Answer(201, {"message": "success", **processed, **errors})


def kind(value: Any) -> str:
    """The type Braze gives to an attribute whose first value this is."""
    if isinstance(value, list):
        return "array of objects" if any(isinstance(element, dict) for element in value) else "array"
    names = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object"}
    return names[type(value)]


def is_storable(value: Any) -> bool:
    """Whether Braze applies an update to this value; it drops all others without a word."""
    is_small = not isinstance(value, (list, dict)) or _size_bytes(_json(value)) <= MAX_VALUE_BYTES
    return is_small and _is_clean(value)


def _is_clean(value: Any) -> bool:
    match value:
        case None:
            return False
        case str():
            return len(value) <= MAX_TEXT_CHARS
        case list():
            return all(map(_is_clean, value))
        case {"$time": moment} if len(value) == 1:
            return _is_moment(moment)
        case dict():
            return all(_is_key(key) and _is_clean(nested) for key, nested in value.items())
    return True


def _is_key(key: str) -> bool:
    return len(key) <= MAX_TEXT_CHARS and not any(character in ".$ " for character in key)


def _is_moment(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text) is not None
    except (TypeError, ValueError):
        return False


def as_set(elements: list[Any]) -> list[Any]:
    """How an array of scalars is kept: no nulls, every element once and where it stood last, the last 500.

    Source: Braze Docs, "Custom attributes": an element that is there already moves to the end; in a full
    array the first one gives way.
    """
    last = {_json(element): element for element in reversed(elements) if element is not None}
    return list(last.values())[:MAX_ARRAY_ELEMENTS][::-1]


def data_points(value: Any) -> int:
    """What sending a value costs: 1, but 1 for every key of an object; a key that holds an object costs its keys.

    10 items of 5 fields cost 50. An array of scalars costs 1, however long it is.
    """
    if isinstance(value, dict):
        return max(1, sum(map(data_points, value.values())))
    if isinstance(value, list) and kind(value) == "array of objects":
        return sum(map(data_points, value))
    return 1


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _size_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))  # JSON can hold half of a surrogate pair
