"""Who is measured, and how each is started: prepare a fresh place, run, say where the records lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Cost
from connectors.contract import layout
from connectors.contract.manifest import Pointer, RunManifest

# The same for every program on Spark.
ENVIRON = {"SPARK_LOCAL_IP": "127.0.0.1", "RECSYNC_DRIVER_MEMORY": os.environ.get("RECSYNC_DRIVER_MEMORY", "4g")}
# Others run on Java as it comes: what we tell ours to save at the start would cost them more later.
_OTHERS = {**ENVIRON, "RECSYNC_JAVA_OPTIONS": ""}


@dataclass(frozen=True)
class Attempt:
    """One run of one contender.

    Attributes:
        records: The files it wrote.
        state_bytes: What it keeps of users for the next day; 0 where it keeps nothing.
    """

    cost: Cost
    records: Sequence[Path] = ()
    state_bytes: int = 0


# A job folder, and an empty folder to work in → what it took.
Contender = Callable[[Path, Path], Attempt]


def ours(job: Path, work: Path) -> Attempt:
    """Our job on a copy of the folder: what an earlier run left in it counts as told."""
    copy = work.joinpath(*job.parts[-3:])
    shutil.copytree(job, copy, copy_function=os.link)
    cost = measure.run(measure.python("cli.main", "run", copy), environ=ENVIRON, log=work / "log")
    pointer = Pointer.model_validate_json((copy / layout.pointer("braze")).read_bytes())
    manifest = RunManifest.model_validate_json((copy / pointer.manifest).read_bytes())
    state = sum(file.size_bytes for file in pointer.snapshot)
    return Attempt(cost, [copy / file.key for file in manifest.files], state)


def reference(job: Path, work: Path) -> Attempt:
    """The algorithm of 2022. Where the day before kept its state, only what differs, and the state anew."""
    return _reference(job, work, *_as_of_yesterday(job, work))


def reference_with_state(job: Path, work: Path) -> Attempt:
    """The same, and it keeps its state for the next day."""
    return _reference(job, work, "--state", work / STATE)


STATE = "state"  # beside a job folder: what the reference kept


def _as_of_yesterday(job: Path, work: Path) -> list[object]:
    previous = job.parents[2] / STATE
    return ["--previous", previous, "--state", work / STATE] if previous.is_dir() else []


def _reference(job: Path, work: Path, *arguments: object) -> Attempt:
    command = measure.python("benchmarks.contenders.reference", job, work, *arguments)
    cost = measure.run(command, environ=_OTHERS, log=work / "log")
    state = sum(path.stat().st_size for path in work.glob(f"{STATE}/*.json.gz"))
    return Attempt(cost, sorted(work.glob("records/*.json.gz")), state)


def _single(module: str) -> Contender:
    """A program without Spark that writes its one file."""

    def contender(job: Path, work: Path) -> Attempt:
        command = measure.python(f"benchmarks.contenders.{module}", job, work)
        return Attempt(measure.run(command, log=work / "log"), [work / "part-0.jsonl.gz"])

    return contender


def bare(job: Path, work: Path) -> Attempt:
    """A Spark session that does next to nothing."""
    return Attempt(measure.run(measure.python("benchmarks.contenders.bare"), environ=_OTHERS, log=work / "log"))


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "reference": reference,
    "duckdb": _single("duck"),
    "polars": _single("polars_lazy"),
    "limit": _single("limit"),
    "bare": bare,
}
