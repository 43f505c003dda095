"""The published schemas are those of the code: `make schemas` writes them anew."""

from __future__ import annotations

import json

import pytest

from cli.config_schema import config_schema
from cli.dictionary import PAGE, dictionary
from cli.schemas import FOLDER, SCHEMAS, as_text, write
from connectors import registry
from glue_jobs.config import ConfigFile, Guards, Recommendations


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_published_schema_is_that_of_the_code(name):
    assert (FOLDER / name).read_text() == as_text(SCHEMAS[name]()), "run: make schemas"


def test_schemas_are_written_where_they_are_wanted(tmp_path):
    write(tmp_path / "schemas")
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == set(SCHEMAS)


@pytest.fixture
def schema():
    return config_schema(registry.OURS)


def keys(model):
    return {info.alias or name for name, info in model.model_fields.items()}


def test_every_key_of_the_format_is_known_and_no_other_one(schema):
    named = schema["$defs"]
    assert set(schema["properties"]) == keys(ConfigFile) >= {"$schema", "version", "batchInferencePath"}
    assert set(named["Guards"]["properties"]) == keys(Guards)
    assert set(named["Recommendations"]["properties"]) == keys(Recommendations)
    assert schema["additionalProperties"] is named["Guards"]["additionalProperties"] is False
    assert set(schema["required"]) == {"batchInferencePath", "connectors"}


@pytest.mark.parametrize("name", registry.OURS)
def test_a_connectors_settings_stand_below_its_name(schema, name):
    reference = schema["properties"]["connectors"]["properties"][name]["$ref"]
    settings = schema["$defs"][reference.rpartition("/")[2]]
    assert set(settings["properties"]) == keys(registry.connector_class(name).options_model)
    assert settings["additionalProperties"] is False


def test_settings_of_a_connector_of_someone_else_are_taken_as_they_are(schema):
    assert schema["properties"]["connectors"]["additionalProperties"] == {"type": "object"}


def properties_of(schema, path=""):
    """Every property in a schema as (path, what is said of it)."""
    if isinstance(schema, dict):
        for name, found in schema.get("properties", {}).items():
            yield f"{path}.{name}", found
        for name, below in schema.items():
            yield from properties_of(below, f"{path}.{name}")


def test_an_editor_says_what_each_key_means(schema):
    found = dict(properties_of(schema))
    assert len(found) > 45
    assert [path for path, said in found.items() if not said.get("description", "").endswith(".")] == []
    assert not [path for path, said in found.items() if "None" in said["description"] or "``" in said["description"]]


def test_a_setting_that_a_connector_shares_is_described_for_it_too(schema):
    for model in ("BrazeOptions", "WebhookOptions"):
        said = schema["$defs"][model]["properties"]["onUserRemoved"]["description"]
        assert said.startswith("A user who left the input keeps his recommendations (`keep`)")


def test_every_reference_leads_to_a_definition(schema):
    text = json.dumps(schema)
    for name in text.split('"#/$defs/')[1:]:
        assert name.partition('"')[0] in schema["$defs"]


def test_the_data_dictionary_is_that_of_the_code():
    assert PAGE.read_text() == dictionary(), "run: make schemas"


def test_the_data_dictionary_says_what_every_document_is():
    page = dictionary()
    for section in page.split("\n## ")[1:]:
        assert "| Field | Type | Meaning |" in section or "| Column | Type |" in section
        assert section.count("\n| `") > 1
    assert "| `userId` | string |" in page
    assert page.count("## SyncRecord") == 1
