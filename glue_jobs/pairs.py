"""Pairs of a user and an item, as CSV: which files hold them, and one row after the other without Spark."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple, TextIO, TypeAlias

from connectors.contract.storage import Entry, Storage
from glue_jobs.errors import ConfigError, InputError, NoInputError
from glue_jobs.lines import check_packing, counting_files, input_folder, unpacked

COLUMNS = ("USER_ID", "ITEM_ID")
RANK = "RANK"
ENDINGS = (".csv", ".csv.gz")
# A whole number, as programs write it that know no other than those with a fraction.
_NUMBER = re.compile(r"([+-]?\d+)(?:\.0*)?", re.ASCII)
# What may fit into 64 bits, with a sign; and what surely does.
_MAX_DIGITS, _SAFE_DIGITS = 20, 18
# What no id holds: control characters, and what stands where the file is no UTF-8.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ufffd]")
_MAX_HEADER = 128 * 1024
_ROWS_AT_ONCE = 2_000
# Of one row, by the line ends in its quotes: one who opens a quote by mistake has no more read in vain.
_MAX_LINES = 100
# Fields of a row, the text it is, and the number of its last line.
_Record: TypeAlias = tuple[list[str], str, int]
_NO_HEADER = "its header cannot be read; write one line of less than 128 KB, and end lines in LF or CRLF"


class Row(NamedTuple):
    """One row; its text alone where it is broken.

    Attributes:
        text: The row as it stands, without its end; None of a good one.
        line: The number of its last line in the file, from 1.
    """

    user_id: str | None
    item_id: str | None
    rank: int | None
    text: str | None
    line: int


class Pair(NamedTuple):
    """One good row.

    Attributes:
        line: The number of its last line in the file, from 1.
    """

    user_id: str
    item_id: str
    rank: int | None
    line: int


class _Where(NamedTuple):
    """How many columns a file has, and the places of those that are read."""

    width: int
    user: int
    item: int
    rank: int | None


def header_of(storage: Storage, key: str) -> tuple[str, ...]:
    """The columns of a file; none of one that is empty, which its size does not say where it is packed.

    Raises:
        ConfigError: It lacks one that is needed, or has it twice.
        InputError: Its first line is no header, or the file ends early or is damaged.
    """
    with _opened(storage, key) as lines:
        return _header(lines, f"{storage.root}/{key}")


def _header(lines: TextIO, address: str) -> tuple[str, ...]:
    first = lines.readline(_MAX_HEADER)
    if not first:
        return ()
    try:
        header = tuple(name.strip() for name in next(csv.reader([first], strict=True), []))
    except csv.Error as error:
        raise InputError(f"{address}: {_NO_HEADER}") from error
    if len(first) == _MAX_HEADER:
        raise InputError(f"{address}: {_NO_HEADER}")
    for name in COLUMNS:
        if header.count(name) != 1:
            raise ConfigError(f"{address} should have a header with one {name}; its columns are {header}")
    return header


def rows_of(storage: Storage, key: str, *, ranked: bool) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a file that are not blank, in order: some thousands at a time, as the columns of `Row`.

    Lines end in LF or CRLF, in any mix of the two. What stands in quotes may hold line ends.

    Args:
        ranked: Whether a column RANK means anything.

    Raises:
        ConfigError: The file lacks a column.
        InputError: Its first line is no header, or the file ends early or is damaged.
    """
    with _opened(storage, key) as lines:
        header = _header(lines, f"{storage.root}/{key}")
        if not header:
            return
        user, item = (header.index(name) for name in COLUMNS)
        where = _Where(len(header), user, item, header.index(RANK) if ranked and RANK in header else None)
        records = _records(lines)
        while some := list(islice(records, _ROWS_AT_ONCE)):
            yield _quickly_read(some, where) or _slowly_read(some, where)


def pairs_of(storage: Storage, key: str, *, ranked: bool) -> Iterator[Pair]:
    """The good rows of a file: see `rows_of`."""
    for columns in rows_of(storage, key, ranked=ranked):
        for user_id, item_id, rank, text, line in zip(*columns, strict=True):
            if text is None:
                yield Pair(user_id, item_id, rank, line)


@contextmanager
def _opened(storage: Storage, key: str) -> Iterator[TextIO]:
    with unpacked(storage, key) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="\n")


def _records(lines: Iterable[str]) -> Iterator[_Record]:
    """Each row that is not blank. Of one that is no CSV only the first line is taken, and has no fields.

    What comes behind that line is read as ever: a quote that stands there by mistake swallows nobody.
    """
    source, again, taken, line = iter(lines), deque[str](), list[str](), 1
    while True:
        try:
            for row in csv.reader(_noting(source, again, taken), strict=True):
                line += len(taken)
                if row:
                    yield row, "".join(taken), line
                taken.clear()
        except csv.Error:
            line += 1
            yield [], taken[0], line
            again.extendleft(reversed(taken[1:]))
            taken.clear()
        else:
            return


def _noting(source: Iterator[str], again: deque[str], taken: list[str]) -> Iterator[str]:
    """Lines, those that are read again first; they end where a row would be longer than rows are.

    Raises:
        csv.Error: One that is read again may be the rest of a row, and no id is made of that.
    """
    while len(taken) < _MAX_LINES:
        is_again = bool(again)
        line = again.popleft() if is_again else next(source, None)
        if line is None:
            return
        taken.append(line)
        if is_again and line.count('"') % 2:
            raise csv.Error("a quote without another one")
        yield line


def _quickly_read(records: Sequence[_Record], where: _Where) -> Sequence[Sequence[Any]] | None:
    """The columns of rows, where it is sure that all are good; else None: what is refused here may still be good."""
    fields, _, lines = zip(*records, strict=True)
    if set(map(len, fields)) != {where.width}:
        return None
    columns = list(zip(*fields, strict=True))
    user_ids, item_ids = ([text.strip(" ") for text in columns[place]] for place in (where.user, where.item))
    ranks = _plain_ranks(columns[where.rank]) if where.rank is not None else [None] * len(records)
    are_ids = "" not in user_ids and "" not in item_ids and _is_fit("".join(user_ids + item_ids))
    return (user_ids, item_ids, ranks, [None] * len(records), lines) if ranks and are_ids else None


def _plain_ranks(texts: Sequence[str]) -> Sequence[int] | None:
    """Ranks of nothing but digits; None where one is not, or may be too long."""
    digits = "".join(texts)
    is_plain = digits.isascii() and digits.isdigit() and "" not in texts and max(map(len, texts)) <= _SAFE_DIGITS
    return list(map(int, texts)) if is_plain else None


def _slowly_read(records: Sequence[_Record], where: _Where) -> Sequence[Sequence[Any]]:
    """The columns of rows, each looked at for itself."""
    return list(zip(*(_row(*record, where) for record in records), strict=True))


def _row(fields: Sequence[str], text: str, line: int, where: _Where) -> Row:
    broken = Row(None, None, None, text.rstrip("\r\n"), line)
    if len(fields) != where.width:
        return broken
    user_id, item_id = fields[where.user].strip(" "), fields[where.item].strip(" ")
    rank = fields[where.rank] if where.rank is not None else ""
    number = _number(rank)
    is_good = user_id and item_id and _is_fit(user_id + item_id) and (number is not None or not rank)
    return Row(user_id, item_id, number, None, line) if is_good else broken


def _number(text: str) -> int | None:
    """A rank; None for what is no number of 64 bits."""
    match = _NUMBER.fullmatch(text.strip())
    number = int(match[1]) if match and len(match[1]) <= _MAX_DIGITS else None
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


def _is_fit(text: str) -> bool:
    """Whether a text may be of ids."""
    return (text.isascii() and text.isprintable()) or not _UNFIT.search(text)


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
    files = [file for file in counting_files(storage, "", ENDINGS) if not is_file or file.key == name]
    if not files:
        raise NoInputError(f"{setting} is {address!r}, and there is no .csv file; put USER_ID,ITEM_ID rows there")
    check_packing(storage, files)
    return storage, files
