"""What the docstrings of models say of their attributes → the descriptions of a JSON Schema's properties."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTES = "Attributes:\n"
_ENTRY = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)

_JSON = {"None": "null", "True": "true", "False": "false"}
_VALUE = re.compile(rf"\b({'|'.join(_JSON)})\b")


def schema_of(model: type[BaseModel], mode: Literal["validation", "serialization"] = "serialization") -> dict[str, Any]:
    """The schema of what a model writes, or of what it reads.

    Raises:
        KeyError: A docstring describes an attribute that the model does not have.
    """
    return model.model_json_schema(by_alias=True, mode=mode, schema_generator=Described)


class Described(GenerateJsonSchema):
    """Every property says what its model's docstring says of it. Keys are their own titles."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """See GenerateJsonSchema."""
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """See GenerateJsonSchema.

        Raises:
            KeyError: A docstring describes an attribute that the model does not have.
        """
        model: type[BaseModel] = schema["cls"]
        made = super().model_schema(schema)
        for name, text in _described(model):
            made["properties"][model.model_fields[name].alias or name]["description"] = text
        made["description"] = _in_json(made.get("description", "").partition(_ATTRIBUTES)[0].strip())
        return made


def _described(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The attributes that a model's docstring describes, and those of the models it derives from."""
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            for name, text in _ENTRY.findall(inspect.cleandoc(one.__doc__ or "").partition(_ATTRIBUTES)[2]):
                yield name, _in_json(" ".join(text.split()))


def _in_json(text: str) -> str:
    """A docstring's text in the words of JSON."""
    return _VALUE.sub(lambda found: _JSON[found[0]], text).replace("``", "`")
