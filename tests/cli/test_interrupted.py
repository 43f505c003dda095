"""Ctrl-C in the middle of a run, as a terminal sends it: to the whole process group."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("stage", ["starting Spark", "writing"])
def test_an_interrupted_run_ends_with_one_sentence_and_leaves_nothing_running(tmp_path, stage):
    job = tmp_path / "etl_jobs/related_items/similar_items"
    shutil.copytree(ROOT / "sample/etl_jobs/related_items/similar_items", job)
    command = [sys.executable, "-m", "cli.main", "run", str(job)]
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert running.stdout is not None
    next(line for line in running.stdout if stage in line)
    os.killpg(running.pid, signal.SIGINT)
    rest, _ = running.communicate(timeout=60)  # what is left running would hold the pipe open
    assert running.returncode == 130
    assert rest.splitlines()[-1].startswith("error: interrupted;")
    assert "Traceback" not in rest and "Exception" not in rest
    assert not (job / "output/braze/state").exists()
