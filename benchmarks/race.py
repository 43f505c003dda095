"""One race: contenders take turns, round after round, once it is proven that they write the same records.

    python -m benchmarks.race full --size Q --rounds 3

Figures are comparable within a race only: what else the machine does changes from hour to hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONTENDERS, STATE, ours, reference_with_state
from benchmarks.data import write_for_you, write_similar
from benchmarks.digest import Digest, digest
from benchmarks.jobs import SIZES, Size, batch_file
from benchmarks.measure import Cost

RESULTS = Path(__file__).parent / "results"
# Race → who takes part when nobody is named.
KINDS = {
    "full": ("ours", "reference", "duckdb", "polars", "limit"),
    "delta": ("ours", "reference"),
    "fixed": ("ours", "bare"),
    "related": ("ours",),
    "related-shared": ("ours",),
}
_PROOF = Size(2_000, 1_500)


class DisagreementError(Exception):
    """Contenders wrote different records: there is nothing to compare."""


@dataclass(frozen=True)
class Race:
    """What is measured.

    Attributes:
        kind: One of KINDS.
        size: A name of SIZES.
    """

    kind: str
    size: str
    rounds: int
    names: Sequence[str]


@dataclass(frozen=True)
class Measured:
    """One attempt of one contender.

    Attributes:
        digest: Of its records; None where they were not looked at.
    """

    name: str
    cost: Cost
    state_bytes: int
    output_bytes: int
    digest: Digest | None


def prove(race: Race, folder: Path) -> None:
    """Run all contenders once on a small job, and hold their records against each other.

    Raises:
        DisagreementError: They differ.
    """
    job = prepared(race, _PROOF, folder / "proof")
    _check_same(f"{race.kind} small", [_attempt(name, job, folder) for name in race.names])


def run(race: Race, folder: Path) -> Iterator[Measured]:
    """Each attempt, as soon as it is over. Who begins a round changes from round to round.

    Raises:
        DisagreementError: Two wrote different records. Looked at in the first round only: it costs time.
    """
    job = prepared(race, SIZES[race.size], folder / "data")
    first_round: list[Measured] = []
    for turn in range(race.rounds):
        first = turn % len(race.names)
        for name in [*race.names[first:], *race.names[:first]]:
            measured = _attempt(name, job, folder, is_digested=turn == 0)
            first_round += [measured] if turn == 0 else []
            _check_same(f"{race.kind} {race.size}", first_round)
            yield measured


def _check_same(what: str, attempts: Sequence[Measured]) -> None:
    found = {one.name: one.digest for one in attempts if one.digest is not None}
    if len(set(found.values())) > 1:
        raise DisagreementError(f"{what}: {found}")


def prepared(race: Race, size: Size, folder: Path) -> Path:
    """The job folder of a race. For a delta its first day has been run, by all who take part."""
    if race.kind.startswith("related"):
        return write_similar(folder, size, is_shared=race.kind == "related-shared")
    job = write_for_you(folder, size)
    if race.kind == "delta":
        _run_first_day(race, job, folder)
        write_for_you(folder, size, day=2)
        shutil.rmtree((job / batch_file(1)).parent)
    return job


def _run_first_day(race: Race, job: Path, folder: Path) -> None:
    with _place(folder) as work:
        if "reference" in race.names:
            reference_with_state(job, work)
            shutil.copytree(work / STATE, folder / STATE)
    with _place(folder) as work:
        if "ours" in race.names:
            ours(job, work)
            shutil.copytree(work.joinpath(*job.parts[-3:], "output"), job / "output")


def _attempt(name: str, job: Path, folder: Path, *, is_digested: bool = True) -> Measured:
    with _place(folder) as work:
        attempt = CONTENDERS[name](job, work)
        output_bytes = sum(path.stat().st_size for path in attempt.records)
        found = digest(attempt.records) if is_digested and attempt.records else None
        return Measured(name, attempt.cost, attempt.state_bytes, output_bytes, found)


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """A folder to work in, gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        yield Path(work)


def _row(race: Race, measured: Measured) -> dict[str, Any]:
    size = SIZES[race.size]
    return {"kind": race.kind, "size": race.size, "users": size.users, **asdict(measured)}


def machine() -> dict[str, Any]:
    """What it ran on, and with which versions."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    packages = ("pyspark", "pyarrow", "duckdb", "polars", "orjson", "isal")
    return {
        "cpu": model.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "memoryMib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main() -> int:
    """Run one race, tell each attempt, and keep all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--size", choices=SIZES, default="Q")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="", help="contenders, with commas between")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, default=None, help="where data and output lie while it runs")
    parser.add_argument("--add", action="store_true", help="keep the attempts of an earlier race beside these")
    given = parser.parse_args()
    race = Race(given.kind, given.size, given.rounds, given.only.split(",") if given.only else KINDS[given.kind])
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="recsync-race-") as folder:
        prove(race, Path(folder))
        sys.stdout.write(f"{race.kind}: all write the same records\n")
        rows = list(_told(race, Path(folder)))
    path = given.results / f"{race.kind}-{race.size}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = json.loads(path.read_text())["attempts"] if given.add else []
    kept = {"began": began.isoformat(timespec="seconds"), "machine": machine(), "attempts": [*earlier, *rows]}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    return 0


def _told(race: Race, folder: Path) -> Iterator[dict[str, Any]]:
    for one in run(race, folder):
        cost = one.cost
        sys.stdout.write(f"{one.name:10} {cost.cpu_s:8.1f} CPU-s {cost.wall_s:8.1f} s {cost.peak_mib:7.0f} MiB\n")
        sys.stdout.flush()
        yield _row(race, one)


if __name__ == "__main__":
    sys.exit(main())
