"""Fault matrix, whole runs: killed at any moment, out of disk, two at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from input_files import for_user

from cli import local_spark
from connectors.contract.layout import check_key

ROOT = Path(__file__).parents[2]
# `make faults FULL=1` kills as many runs as the fault matrix asks for.
KILLS = 200 if os.environ.get("RECSYNC_FULL") else 1
ITEMS = [{"id": str(n), "name": f"n{n}"} for n in range(20)]


@pytest.fixture
def users(job):
    made = job("user_personalization")
    made.config(braze={"itemMetadataFields": ["name"]})
    made.items(*ITEMS)
    made.batch(*[for_user(f"u{n}", str(n % 20), str(n % 7)) for n in range(2000)])
    return made


def start(job, *prefix):
    arguments = ["--JOB_NAME", "x", "--S3_JOB_PATH", str(job.path)]
    return subprocess.Popen(
        [*prefix, sys.executable, ROOT / "glue_jobs/user_personalization_etl.py", *arguments],
        env={**os.environ, **local_spark.environment(os.environ)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_f20_a_run_killed_at_a_random_moment_leaves_the_rerun_what_the_unkilled_run_gives(users):
    """SIGKILL to the whole process group. The seed of a failure stands in its message."""
    unkilled = users.records(users.run())
    began = time.monotonic()
    users.forget()
    start(users).communicate(timeout=180)
    length_s = time.monotonic() - began
    seed = random.randrange(10**6)
    for wait_s in [random.Random(f"{seed}-{n}").uniform(0.3, 1) * length_s for n in range(KILLS)]:
        users.forget()
        (users.path / "output").mkdir()
        process = start(users)
        time.sleep(wait_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        published = [json.loads(path.read_text()) for path in users.path.rglob("_manifest.json")]
        assert all(sum(file["records"] for file in one["files"]) == 2000 for one in published), seed
        assert users.records(users.run()) == unkilled, seed


def test_f31_a_run_that_cannot_write_changes_nothing_and_says_why(users):
    """A limit on the size of files stands in for a full disk: the parts do not fit, the pointer would."""
    users.run()
    before = {path: path.read_bytes() for path in users.path.rglob("_current.json")}
    users.config(braze={"itemMetadataFields": ["name"], "attributePrefix": "new_"})
    prlimit = shutil.which("prlimit")
    assert prlimit
    process = start(users, prlimit, "--fsize=2000")
    _, said = process.communicate(timeout=180)
    assert process.returncode not in (0, None)
    assert said
    assert {path: path.read_bytes() for path in users.path.rglob("_current.json")} == before
    assert len(list(users.path.rglob("_manifest.json"))) == 1


def test_f23_two_real_runs_at_once_end_with_one_commit_each_or_a_conflict(users):
    """Whoever commits second saw the pointer move, or ran after it."""
    processes = [start(users), start(users)]
    codes = sorted(process.wait(timeout=240) for process in processes)
    for process in processes:
        process.stderr.close()
    versions = sorted(json.loads(path.read_text())["version"] for path in users.path.rglob("_manifest.json"))
    assert (codes, versions) in [([0, 4], [1]), ([0, 0], [1, 2])]


@pytest.mark.parametrize("key", ["a/../b", "a/%2e%2e/b", "a/%252e%252e/b", "//a", "a//b", "../a", "a/.."])
def test_f33_no_key_leaves_its_folder(key):
    with pytest.raises(ValueError, match="leaves its folder"):
        check_key(key)
