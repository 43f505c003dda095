"""Pairs of a user and an item, as CSV: which files hold them, and one row after the other without Spark."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from connectors.contract.storage import Entry, Storage
from glue_jobs.errors import ConfigError, NoInputError
from glue_jobs.lines import input_folder, readable_files, unpacked

COLUMNS = ("USER_ID", "ITEM_ID")
RANK = "RANK"
ENDINGS = (".csv", ".csv.gz")
# What Spark reads as a whole number: a fraction is cut off.
_NUMBER = re.compile(r"([+-]?\d+)(?:\.\d*)?")


class Pair(NamedTuple):
    """One good row.

    Attributes:
        line: The number of its last line in the file, from 1.
    """

    user_id: str
    item_id: str
    rank: int | None
    line: int


def header_of(storage: Storage, key: str) -> tuple[str, ...]:
    """The columns of a file.

    Raises:
        ConfigError: It lacks one that is needed, or has it twice.
    """
    with unpacked(storage, key) as stream:
        first = stream.readline().decode("utf-8-sig", "replace")
    header = tuple(name.strip() for name in next(csv.reader(io.StringIO(first)), []))
    for name in COLUMNS:
        if header.count(name) != 1:
            raise ConfigError(f"{storage.root}/{key} should have a header with one {name}; its columns are {header}")
    return header


def pairs_of(storage: Storage, key: str, *, ranked: bool) -> Iterator[Pair]:
    """The good rows of a file, as `mapping` has Spark read them.

    Args:
        ranked: Whether a column RANK means anything.

    Raises:
        ConfigError: The file lacks a column.
        InputError: The file ends early or is damaged.
    """
    header = header_of(storage, key)
    user, item = (header.index(name) for name in COLUMNS)
    rank = header.index(RANK) if ranked and RANK in header else None
    with unpacked(storage, key) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline=""))
        next(rows, None)
        for row in rows:
            if len(row) == len(header):
                found = _pair(row[user], row[item], row[rank] if rank is not None else "", rows.line_num)
                yield from [found] if found else []


def _pair(user: str, item: str, rank: str, line: int) -> Pair | None:
    """A row's pair; None where it is not what it should be."""
    user_id, item_id = user.strip(" "), item.strip(" ")
    number = _NUMBER.fullmatch(rank.strip()) if rank else None
    is_good = user_id and item_id and "\ufffd" not in user_id + item_id and (number or not rank)
    return Pair(user_id, item_id, int(number[1]) if number else None, line) if is_good else None


def find_exclusions(address: str, job_folder: Storage) -> tuple[Storage, list[Entry]]:
    """The files that say which items single users do not get.

    Args:
        address: A folder, or one file, by its ending. Relative to the job folder where that is local.

    Returns:
        The storage they lie in, and what its listing says of them.

    Raises:
        InputError: A file is packed otherwise than its name says.
        NoInputError: There is none: whoever names them wants to be sure that they are heeded.
    """
    setting, name = "recommendations.excludeItems", address.rpartition("/")[2]
    is_file = name.endswith(ENDINGS)
    storage = input_folder(address.removesuffix(name) if is_file else address, job_folder, setting)
    files = readable_files(storage, "", (name,) if is_file else ENDINGS)
    files = [file for file in files if not is_file or file.key == name]
    if not files:
        raise NoInputError(f"{setting} is {address!r}, and there is no .csv file; put USER_ID,ITEM_ID rows there")
    return storage, files
