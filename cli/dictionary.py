"""The data dictionary: every document and table a job folder holds, field by field, made from the models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from cli.descriptions import schema_of
from connectors.contract.health import Health
from connectors.contract.held import Held
from connectors.contract.manifest import Message, Pointer, RunManifest
from connectors.contract.receipts import Receipt
from connectors.contract.records import SyncRecord
from connectors.contract.run_record import RunRecord
from functions.enqueue import Marker
from glue_jobs.tables import ITEMS_ARROW, USER_ARROW

PAGE = Path(__file__).parents[1] / "docs/reference/data-dictionary.md"
# Where it lies → what it is.
_DOCUMENTS: Mapping[str, type[BaseModel]] = {
    "output/<connector>/<partition>/part-*.jsonl.gz, a line": SyncRecord,
    "output/<connector>/<partition>/_manifest.json": RunManifest,
    "output/<connector>/state/_current.json": Pointer,
    "receipts/<connector>/run=<run_id>/*.jsonl, a line": Receipt,
    "held/<connector>/<run_id>.json": Held,
    "health/<connector>.json": Health,
    "enqueued/<connector>/run=<run_id>/<part>.json": Marker,
    "a message on a connector's queue": Message,
    "runs/<run_id>/run.json, plan.json": RunRecord,
}
_TABLES: Mapping[str, pa.Schema] = {
    "output/<connector>/state/<version>-<run_id>/*.parquet, a user a row": USER_ARROW,
    "output/<connector>/state/<version>-<run_id>/items.parquet, an item a row": ITEMS_ARROW,
}
_HEAD = """# Data dictionary

Everything a job folder holds beside its input, field by field. Made from the models by `make schemas`; what the keys
mean stands in [The job folder](job-folder.md). Readers pass over fields they do not know, and refuse a `formatVersion`
that is newer than theirs.
"""


def dictionary() -> str:
    """The page."""
    parts = [_HEAD]
    described: set[str] = set()
    for where, model in _DOCUMENTS.items():
        schema = schema_of(model, "validation")
        parts += [_section(where, model.__name__, schema)]
        for name, below in schema.get("$defs", {}).items():
            if name not in described and "properties" in below:
                described.add(name)
                parts += [_section("", name, below)]
    parts += [_table(where, schema) for where, schema in _TABLES.items()]
    return "\n".join(parts)


def _section(where: str, name: str, schema: Mapping[str, Any]) -> str:
    place = f"\n`{where}`\n" if where else ""
    said = _plain(schema.get("description", ""))
    rows = [
        f"| `{field}` | {_type(found)} | {_plain(found.get('description', ''))} |" for field, found in _fields(schema)
    ]
    return "\n".join([f"## {name}", f"{place}\n{said}\n", "| Field | Type | Meaning |", "|---|---|---|", *rows, ""])


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return iter(schema.get("properties", {}).items())


def _type(found: Mapping[str, Any]) -> str:
    """A field's type in a word or two."""
    if "anyOf" in found:
        return " or ".join(_type(one) for one in found["anyOf"])
    if "$ref" in found:
        return str(found["$ref"]).rpartition("/")[2]
    if "enum" in found or "const" in found:
        return ", ".join(f"`{one}`" for one in found.get("enum", [found.get("const")]))
    kind = str(found.get("format") or found.get("type") or "any")
    if kind == "array":
        return f"list of {_type(found.get('items', {}))}"
    return "map" if kind == "object" else kind


def _table(where: str, schema: pa.Schema) -> str:
    rows = [f"| `{field.name}` | {field.type} |" for field in schema]
    return "\n".join(
        [f"## {where.partition(', ')[2].capitalize()}", f"\n`{where}`\n", "| Column | Type |", "|---|---|", *rows, ""]
    )


def _plain(text: str) -> str:
    """Text as a cell may hold it."""
    return re.sub(r"\s+", " ", text.replace("``", "`")).replace("|", "\\|").strip()
