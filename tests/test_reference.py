"""The reference of config.json names every setting that the models read, with its default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connectors import registry
from glue_jobs.config import ConfigFile, Guards

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "reference/config.md").read_text()
_TABLE = re.compile(r"^\| Key.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
_ROW = re.compile(r"^\| `([\w.]+)` \| ?(.*?) ?\|", re.MULTILINE)
ROOT, GUARDS, BRAZE = (dict(_ROW.findall(table)) for table in _TABLE.findall(PAGE))
# Guards have a table of their own; the name of the schema is explained above the tables.
_ELSEWHERE = {"guards", "$schema"}


def settings(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of a model and of those within it, by its key."""
    for name, field in model.model_fields.items():
        key, inner = f"{before}{field.alias or name}", field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not Guards:
            yield from settings(inner, f"{key}.")
        else:
            yield key, field


def shown_default(field: FieldInfo, *, of_none: str) -> str:
    """How a default stands in a table."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return of_none
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`" if isinstance(default, str) and default else f"`{json.dumps(default)}`"


def test_every_setting_stands_in_the_reference_with_its_default():
    wanted = {key: shown_default(field, of_none="none") for key, field in settings(ConfigFile) if key not in _ELSEWHERE}
    assert {**wanted, "guards": ""} == ROOT


def test_every_guard_stands_in_the_reference_with_its_default():
    assert {key: shown_default(field, of_none="`null`") for key, field in settings(Guards)} == GUARDS


def test_every_setting_of_braze_stands_in_the_reference_with_its_default():
    options = settings(registry.connector_class("braze").options_model)
    wanted = {key: shown_default(field, of_none="none") for key, field in options}
    assert {**wanted, "performDeltaCheck": "the root's"} == BRAZE


@pytest.mark.parametrize("name", registry.OURS)
def test_every_connector_stands_in_the_references(name):
    connector, commands = registry.connector_class(name), (DOCS / "reference/recsync.md").read_text()
    assert f"Under `connectors.{name}`" in PAGE
    assert f"`{connector.endpoint_variable}`" in commands and f"`{connector.secret_variable}`" in commands


def test_every_parameter_of_the_stack_stands_in_its_reference():
    declared = (DOCS.parent / "template.yaml").read_text().partition("\nParameters:")[2].partition("\nRules:")[0]
    shown = (DOCS / "reference/stack.md").read_text().partition("\n## Functions")[0]
    assert re.findall(r"^\| `(\w+)` \|", shown, re.MULTILINE) == re.findall(r"^  (\w+):$", declared, re.MULTILINE)
