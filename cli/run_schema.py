"""The JSON Schema of run.json, made from the models that write it; their docstrings describe its properties."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from cli.descriptions import Described
from connectors.contract.run_record import RunRecord

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_schema() -> dict[str, Any]:
    """The schema of a run.json, and of a plan.json: both have one form."""
    return {"$schema": _DIALECT, **schema_of(RunRecord), "title": "run.json of a recsync run"}


def schema_of(model: type[BaseModel], mode: Literal["validation", "serialization"] = "serialization") -> dict[str, Any]:
    """The schema of what a model writes, or of what it reads.

    Raises:
        KeyError: A docstring describes an attribute that the model does not have.
    """
    return model.model_json_schema(by_alias=True, mode=mode, schema_generator=Described)
