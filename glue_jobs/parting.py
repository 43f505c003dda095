"""How many parts a run's users fall into, and in which files of the snapshot those of each part stand.

A user's part is Spark's hash of his id, modulo the number of parts. A run leaves its snapshot part by part. So the
next one, parted alike, finds beside the users of today those who were told before, and no snapshot has to travel.
Source: Spark's `HashPartitioning` (Murmur3, what is left by division), by which its bucketed tables are laid out too:
the same in every release, or these could not be read; tests/glue_jobs/test_parting.py holds it to that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.contract.manifest import PartFile, Pointer

# What a part should hold, in bytes of the lines that users get their lists from: at least, and at most. Each part is a
# task, some files, and a last request that is not full.
_LEAST_BYTES, _MOST_BYTES = 4 * 1024 * 1024, 16 * 1024 * 1024
# How much too few, and too many, parts may be before a snapshot is laid out anew.
_TOO_FEW, _TOO_MANY = 2, 4


@dataclass(frozen=True)
class Parting:
    """How the users of a run are parted.

    Attributes:
        number: How many parts there are.
        is_as_before: Whether the committed snapshot is parted alike.
    """

    number: int
    is_as_before: bool


def parting_of(pointer: Pointer | None, size_bytes: int, cores: int) -> Parting:
    """How a run is to be parted: as the committed one where that still suits.

    Args:
        size_bytes: Of the lines that users get their lists from.
        cores: How many parts are worked on at once.
    """
    size_bytes = max(size_bytes, 1)
    wanted = min(math.ceil(size_bytes / _LEAST_BYTES), cores * math.ceil(size_bytes / _MOST_BYTES / cores))
    was = pointer.partitions if pointer else 0
    suits = was * _TOO_FEW >= wanted and was <= wanted * _TOO_MANY
    return Parting(was if suits else wanted, suits)


def name_of(part: int, attempt: int) -> str:
    """What the files of an attempt at a part begin with."""
    return f"{part:05d}-{attempt}"


def files_of_parts(pointer: Pointer | None) -> Mapping[int, Sequence[PartFile]]:
    """The files of a snapshot that is parted, by part."""
    found: dict[int, list[PartFile]] = defaultdict(list)
    for file in pointer.snapshot if pointer else ():
        found[int(file.key.rpartition("/")[2].partition("-")[0])].append(file)
    return found
