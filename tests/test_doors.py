"""Which room may import what. Read from the source, so that an import inside a function counts too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pytest

TOP = Path(__file__).parent.parent
ROOMS = ("connectors", "glue_jobs", "functions", "cli", "benchmarks")

_SPARK = {"pyspark", "awsglue", "pyarrow", "pandas"}
_SCREEN = {"typer", "rich"}
_SOCKETS = {"requests", "urllib3", "urllib.request", "http.client", "socket"}
_AWS = {"boto3", "botocore"}
FORBIDDEN = {
    "connectors": {"glue_jobs", "functions", "cli", "sample", "benchmarks", "tests"}
    | _SPARK
    | _SCREEN
    | _SOCKETS
    | _AWS,
    "glue_jobs": {"functions", "cli", "sample", "benchmarks", "tests", "awsglue"} | _SCREEN | _SOCKETS | _AWS,
    "functions": {"glue_jobs", "cli", "sample", "benchmarks", "tests"} | _SPARK | _SCREEN,
    "cli": {"benchmarks", "tests"},
    "benchmarks": {"tests"},
}
# The one file of a room that may, and whether only inside its functions.
EXCEPTIONS = {
    "connectors/http.py": (_SOCKETS, "anywhere"),
    "connectors/contract/s3_storage.py": (_AWS, "in functions"),
    "glue_jobs/glue.py": ({"awsglue"}, "in functions"),
}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}

Place = Literal["module", "function", "typing"]


@dataclass(frozen=True)
class Import:
    """One imported name: ``from http import client`` is ``http.client``."""

    name: str
    line: int
    place: Place

    def is_of(self, modules: set[str]) -> bool:
        return any(self.name == module or self.name.startswith(f"{module}.") for module in modules)


def imports_of(source: str, path: str) -> Iterator[Import]:
    package = list(PurePosixPath(path).parent.parts)
    yield from _below(ast.parse(source), package, "module")


def _below(node: ast.AST, package: list[str], place: Place) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _names(child, package):
            yield Import(name, getattr(child, "lineno", 0), place)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _below(child, package, "function")
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _below(child, package, "typing" if place == "module" else place)
        else:
            yield from _below(child, package, place)


def _names(node: ast.AST, package: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        return [".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func).rpartition(".")[2]
        return [str(node.args[0].value)] if called in {"import_module", "__import__"} else []
    return []


def wrong_imports(source: str, path: str) -> list[str]:
    """What a file imports and should not, as ``path:line name``."""
    forbidden = FORBIDDEN[PurePosixPath(path).parts[0]]
    allowed, where = EXCEPTIONS.get(path, (set(), ""))
    return [
        f"{path}:{found.line} {found.name}"
        for found in imports_of(source, path)
        if found.is_of(forbidden)
        and not (found.is_of(allowed) and (where == "anywhere" or found.place in ("function", "typing")))
    ]


def files_of(room: str) -> list[str]:
    return sorted(path.relative_to(TOP).as_posix() for path in (TOP / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_doors_let_in(room):
    files = files_of(room)
    assert files
    assert [wrong for path in files for wrong in wrong_imports((TOP / path).read_text(), path)] == []


@pytest.mark.parametrize("path", sorted(EXCEPTIONS))
def test_a_file_that_may_do_more_is_still_there_and_still_needs_it(path):
    allowed, _ = EXCEPTIONS[path]
    assert any(found.is_of(allowed) for found in imports_of((TOP / path).read_text(), path))


@pytest.mark.parametrize("room", [*ROOMS, "sample", "tests"])
def test_no_room_is_called_utils_helpers_or_common(room):
    names = {part for path in files_of(room) for part in PurePosixPath(path).with_suffix("").parts}
    assert names & NAMELESS == set()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("connectors/base.py", "import glue_jobs"),
        ("connectors/base.py", "import os, pyspark.sql as sql"),
        ("connectors/base.py", "from cli.emulators import braze"),
        ("cli/main.py", "from benchmarks import race"),
        ("connectors/base.py", "def f():\n    from functions import aws"),
        ("connectors/base.py", "class A:\n    import rich"),
        ("connectors/base.py", "try:\n    import pyarrow\nexcept ImportError:\n    pass"),
        ("connectors/base.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from glue_jobs import sync"),
        ("connectors/base.py", "from .. import cli"),
        ("connectors/contract/wire.py", "from ...glue_jobs import sync"),
        ("connectors/contract/wire.py", "from ... import functions"),
        ("connectors/base.py", "import importlib\nimportlib.import_module('glue_jobs.sync')"),
        ("connectors/base.py", "__import__('boto3')"),
        ("connectors/braze/connector.py", "import requests"),
        ("connectors/braze/connector.py", "from http import client"),
        ("connectors/braze/connector.py", "def f():\n    import socket"),
        ("connectors/braze/connector.py", "def f():\n    import boto3"),
        ("connectors/contract/s3_storage.py", "import boto3"),
        ("connectors/contract/s3_storage.py", "from botocore.exceptions import ClientError"),
        ("connectors/contract/s3_storage.py", "def f():\n    import requests"),
        ("glue_jobs/sync.py", "def f():\n    import awsglue.utils"),
        ("glue_jobs/glue.py", "from awsglue.utils import getResolvedOptions"),
        ("glue_jobs/sync.py", "from functions.deliver import deliver"),
        ("glue_jobs/sync.py", "def f():\n    import boto3"),
        ("functions/deliver.py", "from glue_jobs import sync"),
        ("functions/deliver.py", "from ..glue_jobs import sync"),
        ("functions/deliver.py", "import pyarrow.parquet"),
    ],
)
def test_the_checker_sees_a_forbidden_import(path, source):
    assert len(wrong_imports(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("connectors/base.py", "from connectors.contract import layout\nfrom .errors import ConfigError"),
        ("connectors/base.py", "from connectors.http import Sender\nfrom urllib.parse import urlsplit\nimport http"),
        ("connectors/http.py", "import requests"),
        ("connectors/contract/s3_storage.py", "def f():\n    import boto3\nif TYPE_CHECKING:\n    import botocore"),
        ("glue_jobs/glue.py", "def f():\n    from awsglue.utils import getResolvedOptions"),
        ("glue_jobs/sync.py", "import pyspark\nfrom connectors import registry"),
        ("functions/aws.py", "import boto3\nfrom connectors.http import Sender"),
        ("cli/main.py", "import glue_jobs.sync, functions.deliver, connectors.registry, typer, boto3"),
    ],
)
def test_the_checker_lets_the_rest_pass(path, source):
    assert wrong_imports(source, path) == []
