"""recsync doctor: whether a machine, a job folder and its destinations are ready. No destination is called."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cli import aws, local_spark
from cli.aws import AwsError
from cli.delivery import destination_of
from cli.local_spark import JavaError
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.storage import ConflictError, Storage, StorageError
from connectors.errors import ConnectorError
from glue_jobs.config import JobConfig, load_config
from glue_jobs.errors import ConfigError

_PYTHONS = ((3, 11), (3, 13))
# Spark's major version → the versions of Java it runs on.
# Source: Spark 3.5.6 and 4.1.1, Overview, "Downloading", read 2026-11-21.
_JAVAS: Mapping[int, tuple[int, ...]] = {3: (8, 11, 17), 4: (17, 21)}
_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')
_TRIED = f"{layout.RUNS}_doctor"
_JAVA_TIMEOUT_S = 30
# What template.yaml gives a connector's queue: see docs/explanation/delivery.md.
_QUEUE_DELAY_S, _VISIBILITY_S, _RECEIVES = 30, 1860, 100
_LOCAL_EXTRA = "pip install 'recsync[local]'"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        fix: What to do about it; empty when it is as it should be.
    """

    name: str
    said: str
    fix: str = ""

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to do."""
        return not self.fix


def of_machine(python: tuple[int, int], environ: Mapping[str, str], *, runs_here: bool = True) -> Iterator[Finding]:
    """Python; and Spark and Java, where jobs are to run here."""
    has = ".".join(map(str, python))
    wanted = " or ".join(".".join(map(str, one)) for one in _PYTHONS)
    yield Finding("python", has, "" if python in _PYTHONS else f"use Python {wanted}")
    if not runs_here:
        return
    spark = _version_of("pyspark")
    yield _of_spark(python, spark)
    yield _of_java(int((spark or "3").partition(".")[0]), environ)


def _of_spark(python: tuple[int, int], spark: str | None) -> Finding:
    missing = [name for name in ("pyspark", "pyarrow", "pandas") if _version_of(name) is None]
    if spark is None or missing:
        return Finding("spark", f"{', '.join(missing)} not installed", _LOCAL_EXTRA)
    is_old = python >= (3, 12) and spark.startswith("3.")
    return Finding("spark", spark, f"Spark 3 does not run on this Python: {_LOCAL_EXTRA}" if is_old else "")


def _version_of(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _of_java(spark: int, environ: Mapping[str, str]) -> Finding:
    """The Java that would run Spark, by what it says of itself."""
    try:
        home = local_spark.java_home(environ)
        said = _said_by(home / "bin" / "java")
    except (JavaError, OSError, subprocess.SubprocessError) as error:
        return Finding("java", str(error), f"unset RECSYNC_JAVA_HOME, and {_LOCAL_EXTRA}")
    found = _JAVA_VERSION.search(said)
    takes = _JAVAS.get(spark, ())
    if found is None or int(found[1]) not in takes:
        wanted = " or ".join(map(str, takes))
        return Finding("java", said.partition("\n")[0] or str(home), f"Spark {spark} takes Java {wanted}")
    return Finding("java", f"{found[1]}, {home}")


def _said_by(java: Path) -> str:
    done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_JAVA_TIMEOUT_S, check=True)  # noqa: S603
    return done.stderr + done.stdout


def of_folder(storage: Storage) -> Iterator[Finding]:
    """Whether a job folder can be read, written, and swapped: without that there is no commit."""
    yield _tried("readable", storage.root, lambda: next(storage.list(), None), "mend the address, or the rights to it")
    yield _tried("writable", storage.root, lambda: _swap(storage), "give the right to get, put and delete objects")


def _tried(name: str, said: str, attempt: Callable[[], object], fix: str) -> Finding:
    try:
        attempt()
    except (StorageError, OSError) as error:
        return Finding(name, str(error), fix)
    return Finding(name, said)


def _swap(storage: Storage) -> None:
    """Write an object once, swap it, and see that nobody can do either twice. It is removed again.

    Raises:
        StorageError: It cannot be written, or a condition was not heeded.
    """
    storage.delete(_TRIED)  # of a call that was broken off
    try:
        first = storage.put(_TRIED, b"1", if_absent=True)
        storage.put(_TRIED, b"2", if_match=first)
        _refused(storage, lambda: storage.put(_TRIED, b"3", if_absent=True))
        _refused(storage, lambda: storage.put(_TRIED, b"3", if_match=first))
    finally:
        storage.delete(_TRIED)


def _refused(storage: Storage, attempt: Callable[[], object]) -> None:
    try:
        attempt()
    except ConflictError:
        return
    raise StorageError(f"{storage.root} does not heed conditions: two runs could commit at once")


def of_config(storage: Storage) -> tuple[list[Finding], JobConfig | None]:
    """What is wrong in config.json, mistake by mistake; and the settings where nothing is."""
    try:
        config = load_config(storage)
    except ConfigError as error:
        return [Finding(layout.CONFIG, said, "mend it") for said in error.mistakes], None
    except (StorageError, OSError) as error:
        return [Finding(layout.CONFIG, str(error), "give the right to read it")], None
    return [Finding(layout.CONFIG, f"{len(config.connectors)} connector(s), {len(config.warnings)} warning(s)")], config


def of_connector(name: str, environ: Mapping[str, str]) -> Finding:
    """Whether a destination's endpoint and key are set and well-formed. They are not tried."""
    try:
        destination_of(name, environ)
    except UsageError as error:
        return Finding(name, "its endpoint or key is not set", str(error))
    except ConnectorError as error:
        return Finding(name, str(error), "mend the variable")
    return Finding(name, "endpoint and key are set and well-formed")


def of_secret(secret_id: str) -> Finding:
    """Whether a secret on AWS can be read with the credentials at hand."""
    action = "secretsmanager:GetSecretValue"
    try:
        with aws.in_words(action, secret_id):
            found = aws.client("secretsmanager").get_secret_value(SecretId=secret_id)
    except AwsError as error:
        return Finding("secret", f"{secret_id}: {error}", f"mend its name or the right {action}")
    is_text = bool(found.get("SecretString", "").strip())
    return Finding("secret", secret_id, "" if is_text else "store the key in it as plain text")


def of_queue(url: str) -> Iterator[Finding]:
    """Whether a connector's queue on SQS keeps what delivery relies on."""
    action = "sqs:GetQueueAttributes"
    try:
        with aws.in_words(action, url):
            told = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    except AwsError as error:
        yield Finding("queue", f"{url}: {error}", f"mend its URL or the right {action}")
        return
    redrive = json.loads(told.get("RedrivePolicy", "{}"))
    yield _at_least("new messages wait", int(told["DelaySeconds"]), _QUEUE_DELAY_S, "DelaySeconds")
    yield _at_least(
        "one that was handed out is hidden for", int(told["VisibilityTimeout"]), _VISIBILITY_S, "VisibilityTimeout"
    )
    receives = int(redrive.get("maxReceiveCount", 0))
    fix = "" if receives >= _RECEIVES else f"give it a dead-letter queue with a maxReceiveCount of {_RECEIVES}"
    yield Finding("queue", f"a message is dead-lettered after {receives} receives", fix)


def _at_least(what: str, found_s: int, least_s: int, name: str) -> Finding:
    return Finding("queue", f"{what} {found_s} s", "" if found_s >= least_s else f"set {name} to {least_s} or more")
