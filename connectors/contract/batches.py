"""Finished batch inference: which job of a solution is the newest, told from a listing alone.

A job writes its output as ``<input>.out`` when it is done; `_CHECK` beside it says nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.storage import Entry, is_hidden_input

ENDINGS = (".out", ".out.gz")

# Source: "Maintaining Personalized Experiences with Machine Learning" v1.4.5: a job's folder is
# batch_<solution>_<UTC time>; its README leaves the first word out.
_JOB = re.compile(r"(?:batch_)?.+_(\d{4}(?:_\d{2}){5})")


class SeveralSolutionsError(Exception):
    """A folder is too high: the finished jobs below it are of several solutions, and none says which one is meant."""


@dataclass(frozen=True)
class Batch:
    """A finished job.

    Attributes:
        folder: Its folder below the address that was listed, without a trailing slash; empty for that itself.
        entries: Its output files.
    """

    folder: str
    entries: Sequence[Entry]

    @property
    def finished_at(self) -> datetime:
        """When the last of its files was written."""
        return max(entry.modified_at for entry in self.entries)


def newest_batch(entries: Iterable[Entry]) -> Batch | None:
    """The finished job of a listing: of the folder itself, else of its newest job folder. None when there is none.

    Raises:
        SeveralSolutionsError: The job folders do not lie side by side. Below them older ones may be kept.
    """
    finished = _finished(entries)
    if "" in finished:
        return Batch("", finished[""])
    jobs = {folder: match[1] for folder in finished if (match := _JOB.fullmatch(folder))}
    if not jobs:
        return None
    newest = max(jobs, key=lambda folder: (jobs[folder], folder))
    nearest = min(folder.count("/") for folder in jobs)
    _check_side_by_side([newest, *(folder for folder in jobs if folder.count("/") == nearest)])
    return Batch(newest, finished[newest])


def _finished(entries: Iterable[Entry]) -> Mapping[str, Sequence[Entry]]:
    """The output files of a listing, by their folder."""
    finished: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        folder, _, name = entry.key.rpartition("/")
        if name.endswith(ENDINGS) and not is_hidden_input(entry.key):
            finished[folder].append(entry)
    return finished


def _check_side_by_side(jobs: Iterable[str]) -> None:
    above = {job.rpartition("/")[0] for job in jobs}
    if len(above) > 1:
        named = ", ".join(f"{folder or '.'}/" for folder in sorted(above))
        raise SeveralSolutionsError(
            f"finished batches lie in several folders: {named}; let batchInferencePath name the one that is meant"
        )
