"""What a process costs with everything it starts: CPU, wall and memory, read from /proc while it runs.

The children's times that a parent is told of are no use here: Spark's daemon of Python workers ignores its
children's ends, so their CPU never reaches anyone. Every process of the session is looked at by itself instead.
What a process does after the last look at it is missing: at most one interval for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY_S = 0.1
_MEMORY_EVERY = 10  # looks at memory: one in so many, since it costs more
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        cpu_s: User and system time of all processes, in seconds.
        cpu_of: The same by kind of process: ``java``, ``python`` (the one that was started), ``worker`` (Spark's).
        peak_mib: The most memory they had at once; shared pages count once (PSS).
        load: The machine's load average when it began: what others did.
    """

    wall_s: float
    cpu_s: float
    cpu_of: Mapping[str, float]
    peak_mib: float
    load: float


class FailedError(Exception):
    """A program ended with another exit code than 0."""


@dataclass(frozen=True)
class _Process:
    """A process, and what it has used so far. Two never have both number and start in common."""

    pid: int
    started: int
    kind: str
    cpu_s: float


def run(command: Sequence[str], *, environ: Mapping[str, str] | None = None, log: Path) -> Cost:
    """Run a program to its end.

    Args:
        environ: Set for it, beside what is set already.
        log: Gets what it prints.

    Raises:
        FailedError: Its exit code is not 0; the end of what it printed says why.
    """
    load, began_s = os.getloadavg()[0], time.monotonic()
    with log.open("wb") as printed:
        process = subprocess.Popen(  # noqa: S603 - programs of our own
            command,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
        )
        watch = _Watch(process.pid)
        watch.start()
        exit_code = process.wait()
        wall_s = time.monotonic() - began_s
        watch.finish()
    if exit_code:
        raise FailedError(f"{' '.join(command)} ended with {exit_code}: {log.read_text(errors='replace')[-2000:]}")
    of_kind = watch.cpu_of()
    return Cost(round(wall_s, 2), round(sum(of_kind.values()), 2), of_kind, round(watch.peak_mib, 1), round(load, 2))


class _Watch(threading.Thread):
    """Looks at every process of a session until it is told to stop."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self._session = session
        self._is_over = threading.Event()
        self._seen: dict[tuple[int, int], _Process] = {}
        self.peak_mib = 0.0

    def run(self) -> None:
        looks = 0
        while not self._is_over.wait(_EVERY_S):
            alive = self._look()
            if looks % _MEMORY_EVERY == 0:
                self.peak_mib = max(self.peak_mib, sum(map(_pss_mib, alive)))
            looks += 1

    def finish(self) -> None:
        """Look until none is left: workers end a little after the one that was started."""
        self._is_over.set()
        self.join()
        until_s = time.monotonic() + 10
        while self._look() and time.monotonic() < until_s:
            time.sleep(_EVERY_S)

    def cpu_of(self) -> dict[str, float]:
        """CPU seconds by kind of process."""
        found: dict[str, float] = {}
        for process in self._seen.values():
            found[process.kind] = found.get(process.kind, 0.0) + process.cpu_s
        return {kind: round(cpu_s, 2) for kind, cpu_s in sorted(found.items())}

    def _look(self) -> list[int]:
        processes = list(_of_session(self._session))
        self._seen.update({(process.pid, process.started): process for process in processes})
        return [process.pid for process in processes]


def _of_session(session: int) -> Iterator[_Process]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (process := _process(int(entry.name), session)):
            yield process


def _process(pid: int, session: int) -> _Process | None:
    """A process of the session that is not over; None for any other.

    Source: proc_pid_stat(5): state is field 3, session 6, utime 14, stime 15, starttime 22; the name before them
    stands in brackets and may hold anything.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = stat.rpartition(")")
    fields = rest.split()
    if int(fields[3]) != session or fields[0] == "Z":
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
    return _Process(pid, int(fields[19]), _kind(pid, session, name.partition("(")[2]), cpu_s)


def _kind(pid: int, session: int, name: str) -> str:
    if name.startswith("python"):
        return "python" if pid == session else "worker"
    return "java" if name == "java" else "other"


def _pss_mib(pid: int) -> float:
    """Memory in MiB; 0 for a process that just ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    sizes = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    return sum(sizes) / 1024


def python(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of ours with this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]
