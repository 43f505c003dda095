"""What `sam build` made: whole, small, and for the right machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from emulator import ROOT

FUNCTIONS = ["EnqueueFunction", "DeliverBrazeFunction", "DeliverWebhookFunction", "StartSyncFunction", "SweepFunction"]
# Source: "Executable and Linkable Format", e_machine.
X86_64, AARCH64 = 62, 183
LAMBDA_PYTHON = ROOT / ".tools/lambda/bin/python"


def zipped_bytes(folder: Path) -> int:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return len(stream.getvalue())


def machines(files: dict[str, bytes]) -> set[int]:
    """The processors that compiled files are for."""
    return {struct.unpack_from("<H", data, 18)[0] for data in files.values() if data[:4] == b"\x7fELF"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_small(as_built, name):
    assert zipped_bytes(as_built / name) < 10_000_000


def test_the_publisher_is_small_enough_to_be_deployed(as_built):
    assert (
        zipped_bytes(as_built / "GlueAssetsFunction") < 40_000_000 / 1.5
    )  # what both Glue versions take stands once in it


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_files_are_for_the_processor_of_the_functions(as_built, name):
    files = {path.name: path.read_bytes() for path in (as_built / name).rglob("*.so")}
    assert files
    assert machines(files) == {X86_64}
    assert {name for name in files if "cpython-313" not in name and "_pydantic_core" in name} == set()


@pytest.mark.parametrize(("version", "python"), [("5.1", "cp311"), ("6.0", "cp313")])
def test_wheels_are_for_the_python_and_processor_of_glue(as_built, version, python):
    folder = as_built / "GlueAssetsFunction" / "wheels"
    wheels = [*(folder / version).glob("*.whl"), *(folder / "any").glob("*.whl")]
    assert {wheel.name.split("-")[0] for wheel in wheels} >= {"boto3", "botocore", "pydantic", "pydantic_core"}
    compiled = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            found = {name: archive.read(name) for name in archive.namelist() if name.endswith(".so")}
        assert not found or f"-{python}-{python}-manylinux" in wheel.name
        compiled |= found
    assert machines(compiled) == {X86_64}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_that_a_function_does_not_need_is_in_it(as_built, name):
    tops = {path.name for path in (as_built / name).iterdir()}
    assert (
        tops & {"glue_jobs", "cli", "tests", "sample", "pyspark", "pyarrow", "pandas", "boto3", "botocore", "typer"}
        == set()
    )
    assert not list((as_built / name).rglob("__pycache__"))
    assert not list((as_built / name).rglob("aws_xray_sdk"))


@pytest.mark.parametrize("module", ["enqueue", "deliver", "start_sync", "sweep"])
def test_a_function_starts_from_what_was_built_alone(as_built, module):
    """With the Python of Lambda, nothing else on the path, and no client built."""
    heavy = ["typer", "rich", "pandas", "pyarrow", "pyspark", "boto3", "aws_xray_sdk"]
    code = f"import sys; sys.path.insert(0, '.'); import functions.{module} as m; m.lambda_handler"
    code += f"; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [LAMBDA_PYTHON, "-S", "-I", "-c", code],
        cwd=as_built / "SweepFunction",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_f60_a_wheel_that_was_swapped_is_refused(repository, tmp_path):
    """One changed byte: pip knows every file by its hash, and the build stops."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    shutil.copytree(repository / "build/wheels/5.1", wheels, dirs_exist_ok=True)
    victim = next(wheels.glob("jmespath-*.whl"))
    fetch = ["make", "--no-print-directory", "build/wheels/5.1/.ready"]
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    shutil.rmtree(repository / "build/wheels/5.1")
    good = subprocess.run(fetch, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    shutil.move(repository / "build/wheels/5.1", tmp_path / "good")
    bad = subprocess.run(fetch, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    shutil.rmtree(repository / "build/wheels/5.1", ignore_errors=True)
    shutil.move(tmp_path / "good", repository / "build/wheels/5.1")
    assert bad.returncode != 0
    assert "DO NOT MATCH THE HASHES" in bad.stderr
    assert "jmespath" in bad.stderr


def test_building_twice_gives_the_same_code(as_built, tmp_path):
    """Or every deployment would publish Glue's code anew."""
    code = (
        "import sys; sys.path.insert(0, '.'); from functions import publish_glue_assets as p; from pathlib import Path"
    )
    code += "; print(p.prefix(p.assets(Path('.'))))"
    copy = shutil.copytree(as_built / "GlueAssetsFunction", tmp_path / "copy", copy_function=shutil.copyfile)
    prefixes = [
        subprocess.run(
            [LAMBDA_PYTHON, "-I", "-B", "-c", code], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        for folder in (as_built / "GlueAssetsFunction", copy)
    ]
    assert prefixes[0] == prefixes[1]
    assert json.dumps(prefixes[0]).startswith('"glue/')
