import sys

import pytest

from benchmarks import measure
from benchmarks.measure import FailedError

# A parent that never hears of its child's end, as Spark's daemon of Python workers is one.
_DEAF = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    until = time.process_time() + 1.0
    while time.process_time() < until:
        pass
    time.sleep(0.5)
    os._exit(0)
time.sleep({parent_s})
"""


@pytest.mark.parametrize("parent_s", [0, 3])
def test_the_cpu_of_a_child_that_nobody_waits_for_is_counted(tmp_path, parent_s):
    script = _DEAF.format(parent_s=parent_s)
    cost = measure.run([sys.executable, "-c", script], log=tmp_path / "log")
    assert cost.cpu_of["worker"] >= 0.9
    assert cost.cpu_s >= cost.cpu_of["worker"]


def test_memory_is_that_of_all_processes(tmp_path):
    held = "import time; held = b'x' * (64 << 20); time.sleep(2.5)"
    assert measure.run([sys.executable, "-c", held], log=tmp_path / "log").peak_mib > 64


def test_a_program_that_fails_says_why(tmp_path):
    with pytest.raises(FailedError, match="no such table"):
        measure.run([sys.executable, "-c", "raise SystemExit('no such table')"], log=tmp_path / "log")
