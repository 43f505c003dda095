"""What is printed goes to a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
JOB = "sample/etl_jobs/user_personalization/for_you"


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["version"], ["status", JOB, "--output", "json"]], ids=" ".join)
def test_output_that_finds_no_room_is_told_in_one_sentence(words):
    with FULL.open("w") as nowhere:
        ended = subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1"},
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: what is printed cannot be written: No space left on device\n",
    )
