"""The JSON Schema of run.json, made from the models that write it; their docstrings describe its properties."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel

from connectors.contract.run_record import RunRecord

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTES = "\n\nAttributes:\n"
_ENTRY = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def run_schema() -> dict[str, Any]:
    """The schema of a run.json, and of a plan.json: both have one form."""
    return {"$schema": _DIALECT, **schema_of(RunRecord), "title": "run.json of a recsync run"}


def schema_of(model: type[BaseModel], mode: Literal["validation", "serialization"] = "serialization") -> dict[str, Any]:
    """The schema of what a model writes, or of what it reads.

    Raises:
        KeyError: A docstring describes an attribute that the model does not have.
    """
    schema = model.model_json_schema(by_alias=True, mode=mode)
    aliases = {name: info.alias for one in _models(model) for name, info in one.model_fields.items() if info.alias}
    for one in (schema, *schema.get("$defs", {}).values()):
        _describe(one, aliases)
    return schema


def _models(model: Any) -> Iterator[type[BaseModel]]:
    """A model and those its fields are made of."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield model
        for info in model.model_fields.values():
            yield from _models(info.annotation)
    for below in get_args(model):
        yield from _models(below)


def _describe(schema: dict[str, Any], aliases: Mapping[str, str]) -> None:
    """Move the attributes of a docstring to the properties they are about."""
    for found in schema.get("properties", {}).values():
        found.pop("title", None)
    said, _, attributes = schema.get("description", "").partition(_ATTRIBUTES)
    for name, text in _entries(attributes):
        schema["properties"][aliases.get(name, name)]["description"] = text
    if said:
        schema["description"] = said


def _entries(attributes: str) -> Iterator[tuple[str, str]]:
    for name, text in _ENTRY.findall(attributes):
        yield name, re.sub(r"\bNone\b", "null", " ".join(text.split()))
