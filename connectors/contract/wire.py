"""How our models look on the wire: camelCase keys, unknown keys ignored, a format version where it can grow."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from connectors.contract import layout

FORMAT_VERSION = 1


def _a_name(text: str) -> str:
    if not layout.is_name(text):
        raise ValueError("should be a name of A-Z a-z 0-9 . _ -")
    return text


def _a_run_id(text: str) -> str:
    if not layout.is_run_id(text):
        raise ValueError("should look like 20260131T020000Z-3f9a2c")
    return text


# What keys are made of: a document that would lead elsewhere is refused where it is read.
ConnectorName = Annotated[str, AfterValidator(_a_name)]
RunId = Annotated[str, AfterValidator(_a_run_id)]


class NewerFormatError(Exception):
    """Written by a newer release than this one: wait for the rollout, or finish the rollback."""


class WireModel(BaseModel):
    """A line or document that crosses from one half to the other. Frozen; snake_case here, camelCase there."""

    # What to do where one that we keep is damaged.
    mend: ClassVar[str] = "put it back as it was"
    # What cannot be read is never quoted: it may be a user.
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    def to_json(self) -> str:
        """One line of JSON text."""
        return self.model_dump_json(by_alias=True)


class VersionedModel(WireModel):
    """A document that names the format it was written in."""

    newest_known: ClassVar[int] = FORMAT_VERSION
    format_version: int = Field(default=FORMAT_VERSION, ge=1, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_newer(cls, data: Any) -> Any:
        """Look at the version before the fields: a newer document may hold what we would misread."""
        found = data.get("formatVersion", 1) if isinstance(data, dict) else 1
        if isinstance(found, int) and found > cls.newest_known:
            raise NewerFormatError(f"{cls.__name__} is of format {found}; this release reads up to {cls.newest_known}")
        return data
