"""Writes what is made from the models: the JSON Schemas, and the data dictionary. python -m cli.schemas."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cli.config_schema import config_schema
from cli.descriptions import DIALECT, schema_of
from cli.dictionary import PAGE, dictionary
from connectors import registry
from connectors.contract.run_record import RunRecord
from connectors.contract.wire import FORMAT_VERSION

FOLDER = Path(__file__).parents[1] / "schemas"


def run_schema() -> dict[str, Any]:
    """The schema of a run.json, and of a plan.json: both have one form."""
    return {"$schema": DIALECT, **schema_of(RunRecord), "title": "run.json of a recsync run"}


# File name → what makes its content.
SCHEMAS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "config.v1.json": lambda: config_schema(registry.OURS),
    f"run.v{FORMAT_VERSION}.json": run_schema,
}


def as_text(schema: Mapping[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write every schema."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in SCHEMAS.items():
        (folder / name).write_text(as_text(make()), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    PAGE.write_text(dictionary(), encoding="utf-8")
