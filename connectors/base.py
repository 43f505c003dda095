"""What every destination's connector is: settings, limits, and a sandwich of pure, send, pure.

`requests` turns records into requests as data, `connectors.http` sends them, `outcomes` reads each reply
into one Outcome per record. A connector opens no socket, reads no file and keeps no state between calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from connectors.contract.manifest import Acknowledge
from connectors.contract.records import ITEM_ID, SyncRecord

# How a person is told which values a setting takes.
_TYPE_NAMES: Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number"}


class Verdict(Enum):
    """What is to be done about a record after a call."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    RETRY = "retry"
    SPLIT = "split"  # refused as part of this request: send it again among fewer; alone it is rejected


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record in one call.

    Attributes:
        code: A short name of ours for the reason; empty when delivered.
        reason: The destination's own words, cut to 120 characters.
        retry_after_s: How long the destination asked us to wait; None when it did not say.
    """

    verdict: Verdict
    code: str = ""
    reason: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A record as the destination will keep it whole, or why it would lose it in silence.

    Attributes:
        record: The record to send: as it was, or trimmed. None when it is refused.
        refusal: A REJECTED outcome whose reason names the fix; None unless it is refused.
        warnings: Codes of what a person should know of; the record is sent all the same.
    """

    record: SyncRecord | None
    refusal: Outcome | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold, as the destination documents it.

    Attributes:
        requests_a_minute: How many of them it takes; None where it names no number.
    """

    max_records: int
    max_bytes: int
    requests_a_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call, as data.

    Attributes:
        sent: Which of the records given to `requests` it carries, by position.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent: Sequence[int]
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, as data.

    Attributes:
        status: The HTTP status; 0 when no whole answer came, and `failure` says why.
        headers: Names in lower case.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to send, and with which key. The key is never part of a text made from this."""

    endpoint: str
    secret: str = field(repr=False)
    allow_loopback: bool = False


class OptionsModel(BaseModel):
    """Settings as a person writes them: camelCase; an unknown key is a mistake, and so is a value of another type."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _check_type(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """Pydantic would read true as 1, and a text of digits as a number."""
        found = read(value)
        expected = _TYPE_NAMES.get(type(found))
        if expected and _TYPE_NAMES.get(type(value)) != expected:
            raise PydanticCustomError("other_type", f"Input should be {expected}")
        return found


class ChangePolicy(OptionsModel):
    """What counts as a change worth sending.

    Attributes:
        compare: What counts as a change: ``exact`` any difference, ``set`` all but the order, ``topK`` only the first
            `k` items.
        k: How many items ``topK`` compares.
        refresh_after_days: Tell an unchanged user again after that many days, and within as many more: a fixed day for
            each user, so that no night repeats everyone.
    """

    compare: Literal["exact", "set", "topK"] = "exact"
    k: int | None = Field(default=None, ge=1)
    refresh_after_days: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.compare == "topK") != (self.k is not None):
            raise ValueError('"k" says how many items "topK" compares: give both or neither')
        return self

    def comparison(self) -> ChangePolicy:
        """How lists are compared, and nothing else."""
        return self.model_copy(update={"refresh_after_days": None})


class SyncOptions(OptionsModel):
    """The settings under `connectors.<name>` of config.json that every connector shares.

    Attributes:
        item_metadata_fields: Fields of the item metadata that every recommendation carries, beside ``itemId``.
        perform_delta_check: Overrides the root's `performDeltaCheck` for this connector.
        acknowledge: ``onDelivery``: a user counts as told once a receipt says so. ``onWrite``: someone else reads the
            files, and our delivery leaves them alone.
        on_user_removed: A user who left the input keeps his recommendations (``keep``), or loses every attribute we
            ever wrote, and only those (``clear``).
        change_policy: What counts as a change worth sending.
    """

    item_metadata_fields: list[str] = Field(default_factory=list)
    perform_delta_check: bool | None = None
    acknowledge: Acknowledge = "onDelivery"
    on_user_removed: Literal["keep", "clear"] = "keep"
    change_policy: ChangePolicy = ChangePolicy()

    # What a config.json without "version" means where it is silent; by key.
    historic_defaults: ClassVar[Mapping[str, Any]] = {}
    # Settings that say when to send, not what: changing one sends nobody anew.
    _rules: ClassVar[set[str]] = {"perform_delta_check", "acknowledge", "on_user_removed", "change_policy"}

    def payload_settings(self) -> dict[str, Any]:
        """The settings that shape what is sent. Changing any of them sends every user anew."""
        return self.model_dump(by_alias=True, mode="json", exclude=self._rules)

    def item_fields(self) -> list[str]:
        """The metadata fields that an item carries beside its id, in order."""
        return [name for name in dict.fromkeys(self.item_metadata_fields) if name != ITEM_ID]

    def attribute_names(self) -> list[str]:
        """The attributes of a profile that we write."""
        return []

    def holdout_attribute(self) -> str | None:
        """The attribute that marks a user in the holdout; None where the destination is given records."""
        return None


class Connector(ABC):
    """Our code for one destination.

    Attributes:
        name: How config.json calls it.
        limits: What one request may hold.
        options_model: Its settings in config.json.
        endpoint_variable: The environment variable that holds the endpoint, on a machine of one's own.
        secret_variable: The one that holds the key.
    """

    name: ClassVar[str]
    limits: ClassVar[Limits]
    options_model: ClassVar[type[SyncOptions]]
    endpoint_variable: ClassVar[str]
    secret_variable: ClassVar[str]

    @abstractmethod
    def __init__(self, destination: Destination) -> None:
        """Take the endpoint and key. Raises ConfigError for an endpoint that is not the destination's."""

    def fit(self, record: SyncRecord, options: SyncOptions) -> Fitted:
        """What the destination would accept and then drop in silence is caught here, before it is sent."""
        return Fitted(record)

    @classmethod
    def billed(cls, record: SyncRecord, options: SyncOptions, retired: Sequence[str] = ()) -> Mapping[str, int]:
        """What the destination bills for a record, by attribute; nothing where it bills otherwise."""
        return {}

    @abstractmethod
    def requests(
        self, records: Sequence[SyncRecord], options: SyncOptions, retired: Sequence[str] = (), *, run_id: str
    ) -> list[Request]:
        """The calls that carry these records: each record in exactly one, in order, within the limits.

        Args:
            records: No user twice.
            options: An instance of `options_model`.
            retired: Attributes we once wrote that an upsert does not write, the holdout's mark among them; a clear
                removes them too.
            run_id: The run whose records they are: the same for every try, and another one for what comes later.
        """

    @abstractmethod
    def outcomes(self, reply: Reply, sent: Sequence[SyncRecord]) -> list[Outcome]:
        """What the reply says about each record of its request, in the order sent.

        Raises:
            ConfigError: The destination refused our settings, not these records.
        """


def quoted(prose: str) -> str:
    """A destination's own words, cut to what a receipt may hold."""
    return prose if len(prose) <= 120 else prose[:119] + "…"
