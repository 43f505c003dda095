"""The published schema of run.json describes each property, and so does the reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from cli.descriptions import schema_of
from cli.schemas import run_schema
from connectors.contract import held, run_record

ROOT = Path(__file__).parents[2]


def test_a_property_is_described_by_its_line_of_the_docstring():
    schema = run_schema()
    assert schema["description"] == "A run, whole."
    assert schema["properties"]["inputs"]["description"] == "Every object that was read."
    minutes = schema["$defs"]["Estimate"]["properties"]["minutes"]["description"]
    assert minutes == "At the destination's own rate limit; null where it names none."


def test_a_docstring_about_a_field_that_is_not_there_is_found():
    class Wrong(BaseModel):
        """A model.

        Attributes:
            there: It is.
            not_there: It is not.
        """

        there: int

    with pytest.raises(KeyError):
        schema_of(Wrong)


@pytest.mark.parametrize(
    "model",
    [
        run_record.RunRecord,
        run_record.ConnectorRecord,
        run_record.Sample,
        run_record.Estimate,
        run_record.ItemCount,
        run_record.Stage,
        held.GuardReading,
        held.InputObject,
    ],
    ids=lambda model: model.__name__,
)
def test_the_reference_lists_every_field_in_order(model):
    page = (ROOT / "docs/reference/run-record.md").read_text()
    (table,) = re.findall(rf"^### .*`{model.__name__}`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert listed == [field.alias for field in model.model_fields.values()]
