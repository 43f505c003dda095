"""The check that listens to every test hears a leak wherever it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LEAKS = """
import logging, os, subprocess, sys
import pytest

def fail(text):
    raise ValueError(text)

def test_log(): logging.warning("key is %s", "canary-4f1c")
def test_log_of_another_logger(): logging.getLogger("a.b").error("canary")
def test_log_extra(): logging.warning("refused", extra={"reason": {"user": ["ann"]}})
def test_log_exception():
    try:
        fail("no user bob")
    except ValueError:
        logging.exception("failed")
def test_stdout(): print('{"_aws": {}, "User": "ann"}')
def test_stderr(): print("CANARY", file=sys.stderr)
def test_descriptor(): os.write(2, b"Bearer canary-1")
def test_child(): subprocess.run([sys.executable, "-c", "print('user-17')"], check=True)
def test_taken_by_capsys(capsys):
    print("cleo")
    assert capsys.readouterr().out == "cleo\\n"
def test_left_in_capfd(capfd): os.write(1, b"cleo")
def test_webhook_secret(): print("whsec_Y2FuYXJ5Y2FuYXJ5")
def test_error():
    with pytest.raises(ValueError): fail("canary")
def test_cause():
    with pytest.raises(RuntimeError):
        try:
            fail("ann")
        except ValueError as error:
            raise RuntimeError("no") from error
def test_group():
    with pytest.raises(ExceptionGroup): raise ExceptionGroup("several", [ValueError("ann")])
def test_run_record(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run.json").write_text('{"user": "ann"}')
@pytest.fixture
def late():
    yield
    print("ann")
def test_teardown(late): pass
@pytest.mark.shows("users", reason="asked for")
def test_key_where_users_are_shown(): print("ann canary")
@pytest.mark.shows("keys", reason="asked for")
def test_user_where_keys_are_shown(): print("ann canary")
"""

CLEAN = """
def test_clean_words(): print("annual report of bobsled, ids and counts; u-3f9a2c")
def test_clean_output_for_machines(tmp_path): (tmp_path / "part.jsonl").write_text('{"userId": "ann"}')
def test_clean_after_a_leak(): logging.warning("3 records")
@pytest.mark.shows("users", reason="explain shows the user it is asked for")
def test_clean_users(): print("ann")
@pytest.mark.shows("users", "keys", reason="both")
def test_clean_both(): print("ann canary")
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run some tests with nothing but the check: the names of those that ended so, by outcome."""

    def start(source: str) -> dict[str, set[str]]:
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "plugin"))
        pytester.makepyfile(source)
        told = pytester.runpytest_subprocess("-p", "canaries", "-rA", "--strict-markers").outlines
        lines = [re.match(r"(PASSED|FAILED|ERROR) [^:]+::(\w+)", line) for line in told]
        by_outcome: dict[str, set[str]] = {"PASSED": set(), "FAILED": set(), "ERROR": set()}
        for line in filter(None, lines):
            by_outcome[line[1]].add(line[2])
        return by_outcome

    return start


@pytest.mark.shows("users", "keys", reason="the leaks that the check has to find are printed by the inner run")
def test_f58_the_check_hears_every_leak_and_nothing_else(run):
    source = LEAKS + CLEAN
    found = run(source)
    assert found["ERROR"] == set(re.findall(r"def (test_\w+)", LEAKS))
    assert found["FAILED"] == set()
    assert found["PASSED"] == set(re.findall(r"def (test_\w+)", source))


@pytest.mark.parametrize("mark", ['"users"', '"users", reason=""', '"everything", reason="x"', 'reason="x"'])
def test_f58_what_is_said_on_purpose_needs_a_reason(pytester, monkeypatch, mark):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "plugin"))
    pytester.makepyfile(f"import pytest\n@pytest.mark.shows({mark})\ndef test_it(): pass")
    told = pytester.runpytest_subprocess("-p", "canaries").errlines
    assert any("mark it as shows" in line for line in told)
