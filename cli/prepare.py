"""recsync prepare: the classes of Spark that a run uses, as Java keeps them ready, so that runs here start sooner.

Java reads and checks some twelve thousand classes at every start. What it made of them can be kept in an archive that
it maps into memory instead. An archive is for one Java and the very JARs it was made of: Java looks, and does without
one that does not fit any more.
Source: "The java Command", section "Application Class Data Sharing", JDK 17 tool specifications, read 2026-11-22.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli import local_spark
from cli.console import Voice
from cli.demo import demo


class PrepareError(Exception):
    """Nothing could be kept; what was there before stays."""

    exit_code = 1


def prepare(voice: Voice, environ: Mapping[str, str]) -> Path:
    """Keep the classes of the demo's runs ready.

    Returns:
        The archive.

    Raises:
        JavaError: There is no Java to run Spark with.
        PrepareError: The demo failed, or the archive cannot be written.
    """
    java, archive = local_spark.java_home(environ) / "bin" / "java", local_spark.kept_classes()
    with tempfile.TemporaryDirectory(prefix="recsync-prepare-") as folder:
        voice.stage("running the demo, to see which classes a run uses")
        listed = Path(folder) / "classes"
        class_path = _run_listed(listed, environ)
        voice.stage(f"keeping {len(listed.read_text().splitlines()):,} classes ready in {archive}")
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with local_spark.put_there_whole(archive) as made:
                keep_classes(java, class_path, listed, made)
        except OSError as error:
            raise PrepareError(f"{archive} cannot be written: {error.strerror}") from error
    return archive


def _run_listed(listed: Path, environ: Mapping[str, str]) -> str:
    """Run the demo in a process of its own, whose Java lists the classes it loads; the class path of that Java."""
    options = f"{local_spark.QUICK_START} {shlex.quote(f'-XX:DumpLoadedClassList={listed}')}"
    more = {"TMPDIR": str(listed.parent), "RECSYNC_JAVA_OPTIONS": options}
    return _done([sys.executable, "-m", __name__], {**environ, **more}).splitlines()[-1]


def keep_classes(java: Path, class_path: str, listed: Path, archive: Path) -> None:
    """Have Java write an archive.

    Args:
        class_path: Of the Java that will use it.
        listed: The classes' names, as ``-XX:DumpLoadedClassList`` writes them.

    Raises:
        PrepareError: It does not.
    """
    named = [f"-XX:SharedClassListFile={listed}", f"-XX:SharedArchiveFile={archive}"]
    _done([str(java), "-Xshare:dump", *named, *local_spark.QUICK_START.split(), "-cp", class_path], {})


def _done(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Run a program to its end; what it printed.

    Raises:
        PrepareError: It failed.
    """
    done = subprocess.run(command, env=environ, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise PrepareError(f"{' '.join(command[:4])} ended with {done.returncode}: {' '.join(last)}")
    return done.stdout


def _run_demo() -> None:
    """Run the demo, and print the class path of its Java: an archive is for this one alone."""
    from pyspark.sql import SparkSession

    demo(Voice(quiet=True))
    java: Any = SparkSession.builder.getOrCreate().sparkContext._jvm
    sys.stdout.write(f"{java.java.lang.System.getProperty('java.class.path')}\n")


if __name__ == "__main__":
    _run_demo()
