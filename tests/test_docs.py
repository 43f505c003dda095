"""Every code block of the docs is run or parsed, and every link leads somewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import Session
from typer.main import get_command

from cli.main import app
from connectors.contract.receipts import Receipt
from connectors.contract.records import SyncRecord
from glue_jobs.config import parse_config
from glue_jobs.item_filter import parse
from glue_jobs.output import together

ROOT = Path(__file__).parents[1]
_PLACES = ("*.md", "docs/**/*.md", "sample/*.md", "benchmarks/*.md", "connectors/*/*.md")
PAGES = sorted(page for place in _PLACES for page in ROOT.glob(place))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


def blocks(language):
    found = [
        pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}")
        for page in PAGES
        for number, (kind, text) in enumerate(_BLOCK.findall(page.read_text()))
        if kind == language
    ]
    assert found
    return found


def commands(text):
    """The commands of a block, each as words."""
    lines = text.replace("\\\n", " ").replace("&&", "\n").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if line.strip()]
    return [[word for word in line if not re.fullmatch(r"[A-Z_]+=.*", word)] for line in words]


def test_only_languages_that_are_checked_are_used():
    used = {kind for page in PAGES for kind, _ in _BLOCK.findall(page.read_text())}
    assert used <= {"bash", "json", "python", "text", "toml"}  # python, toml: connectors/test_build_a_destination.py


@pytest.mark.parametrize("text", blocks("json"))
def test_json_is_what_it_shows(text):
    shown = json.loads(text)
    if "connectors" in shown:
        assert parse_config(shown).warnings == []
    elif "op" in shown:
        assert SyncRecord.model_validate(shown)
    else:
        assert Receipt.model_validate(shown)


@pytest.mark.parametrize("text", blocks("bash"))
def test_commands_exist(text):
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = get_command(app).commands
    for words in commands(text):
        if words[0] == "make":
            assert set(words[1:]) <= targets
        elif words[0].endswith("recsync"):
            assert words[1] in known
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2])
        elif words[0] in {"aws", "sam"}:
            assert_that_aws_knows(words)
        else:
            assert words[0] in {"git", "cd", "cp", "mkdir", "rm", "sed", "zcat", "export"}


def assert_that_aws_knows(words):
    """Whether a command of AWS's tools is there, and the template has its parameters."""
    if words[0] == "sam":
        assert words[1] in {"build", "deploy"}
        declared = re.findall(r"^  (\w+):$", (ROOT / "template.yaml").read_text(), re.MULTILINE)
        assert {word.partition("=")[0] for word in words if "=" in word} <= set(declared)
    elif words[1] == "s3":
        assert words[2] in {"cp", "ls", "sync"}
    elif words[1:3] != ["logs", "tail"]:  # these two are the tool's own
        model = Session().get_service_model(words[1])
        operations = {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}
        members = {xform_name(name, "-") for name in operations[words[2]].input_shape.members}
        own = {"query", "output", "cli-binary-format"}
        assert {word[2:] for word in words if word.startswith("--")} <= members | own


def test_every_command_stands_in_the_reference_with_its_exit_codes():
    page = (ROOT / "docs/reference/recsync.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .+ \| ([^|]+) \|$", page, re.MULTILINE)
    exits = {name: codes for names, codes in rows for name in re.findall(r"\w+", names)}
    assert exits.keys() == get_command(app).commands.keys()
    assert all(codes.startswith(("0", "3 held")) for codes in exits.values())


def test_the_tutorial_says_what_happens(tmp_path, spark):
    """Its commands are run in order, as they stand, but for the folder; its figures are those of the text."""
    page = (ROOT / "docs/tutorial.md").read_text().replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    script = "\n".join(text for kind, text in _BLOCK.findall(page) if kind == "bash")
    script = script.replace("make .venv/.ready", "true").replace(".venv/bin/recsync", "python -m cli.main")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = [dict(re.findall(r"│ (\w+) +│ +(\d+) │", run)) for run in done.stdout.split("braze: run ")[1:]]
    assert [(run["new"], run["changed"], run["unchanged"], run["records"]) for run in figures] == [
        ("4", "0", "0", "4"),
        ("0", "0", "0", "4"),
        ("0", "1", "3", "1"),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_parameter_of_the_stack_is_explained():
    declared = (ROOT / "template.yaml").read_text().partition("\nParameters:\n")[2].partition("\nRules:\n")[0]
    explained = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference/stack.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"^  (\w+):$", declared, re.MULTILINE)) <= set(explained)


def test_every_figure_of_a_run_is_explained_once():
    page = (ROOT / "docs/reference/figures.md").read_text()
    explained = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    written = together([]).settled()[1]
    of_sync = {"mappingItemsUnmatched", "itemsWithMetadata"} | {
        f"metadata{what}" for what in ("Duplicates", "LinesBroken", "NotFinite")
    }
    assert sorted(explained) == sorted({*written, *of_sync})


def test_every_predicate_of_the_reference_is_one():
    rows = re.findall(
        r"^\| (?!fields).* \| (`.*) \|$", (ROOT / "docs/reference/item-filter.md").read_text(), re.MULTILINE
    )
    predicates = [text for row in rows for text in re.findall(r"`([^`]+)`", row) if " " in text]
    assert len(predicates) == 7
    for text in predicates:
        assert parse(text).fields
