"""The JSON Schema of config.json, made from the models that read it: an editor completes keys and names mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from cli.descriptions import DIALECT, Described
from connectors import registry
from connectors.base import OptionsModel
from glue_jobs.config import ConfigFile

_REFERENCE = "#/$defs/{model}"


def config_schema(connectors: Iterable[str]) -> dict[str, Any]:
    """The schema of a config.json.

    Args:
        connectors: Those whose settings it knows, by name. Settings of others are taken as they are.
    """
    options = {name: registry.connector_class(name).options_model for name in connectors}
    models: list[type[OptionsModel]] = [ConfigFile, *options.values()]
    places, made = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE, schema_generator=Described
    )
    definitions = made["$defs"]
    root = definitions.pop(places[ConfigFile, "validation"]["$ref"].rpartition("/")[2])
    root["properties"]["connectors"] |= {
        "properties": {
            name: {**places[model, "validation"], "description": f"The settings of {name}."}
            for name, model in options.items()
        },
        "additionalProperties": {"type": "object"},
    }
    return {
        "$schema": DIALECT,
        **root,
        "title": "config.json of a recsync job",
        "description": "The settings of a job. A file without version is read as one of 2022.",
        "$defs": definitions,
    }
