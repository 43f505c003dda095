"""Item metadata: read strictly, cut to what a connector sends, kept where every task can look it up.

A catalogue of ordinary size travels to the workers whole. One too large for that is kept on a shelf: a
SQLite file that Spark carries to every worker and that is read where it is needed (docs/decisions/0004).
"""

from __future__ import annotations

import atexit
import difflib
import shutil
import sqlite3
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

from pyspark import SparkFiles

from connectors.contract import layout
from connectors.contract.storage import Entry, Storage
from glue_jobs.decorate import Catalogue, Piece
from glue_jobs.errors import ConfigError, InputError
from glue_jobs.item_lines import ENDINGS, ItemLine, Wanted, parse_item
from glue_jobs.lines import (
    MAX_LINE_BYTES,
    LineError,
    decoded_object,
    place_of,
    readable_files,
    shown,
    unpacked,
)

# Up to this many bytes in the memory of each worker the catalogue travels whole.
SHELF_FROM_BYTES = 512 * 1024 * 1024
# What an item takes there beside its text and its hashes, with how the committed run knew it.
_BYTES_AN_ITEM = 500
_PEEK_LINES = 100
# Of the lines that cannot be read so many are kept to be looked at.
_MOST_BROKEN = 1_000
_TYPE_NAMES = {"s": "text", "n": "number", "b": "true/false", "a": "list", "o": "object"}


class BrokenLine(NamedTuple):
    """A line of metadata that cannot be read, where it stands, and why."""

    file: str
    text: str
    reason: str


@dataclass(frozen=True)
class Items:
    """A run's item metadata, for one connector.

    Attributes:
        counts: metadataLinesBroken, metadataDuplicates, metadataNotFinite, itemsWithMetadata.
        types: Field → the JSON types its values have, as letters of `item_lines.types_of`.
        is_shelved: Whether the catalogue is too large to travel.
        broken: Lines that cannot be read, the first thousand.
    """

    catalogue: Catalogue
    counts: Mapping[str, int]
    types: Mapping[str, str] = field(default_factory=dict)
    is_shelved: bool = False
    broken: Sequence[BrokenLine] = ()


def read_items(storage: Storage, wanted: Wanted, *, shelf_from_bytes: int, carry: Callable[[str], object]) -> Items:
    """The item metadata of a job folder, cut to the fields that records carry, and judged by the item filter.

    Args:
        shelf_from_bytes: From this size in memory on the catalogue is kept on a shelf.
        carry: Brings a file, by its path, to every worker.

    Raises:
        ConfigError: There is no metadata, a field that no item has, or a filter that can judge no item.
    """
    if not wanted.asking:
        return Items(wanted.catalogue({}), _figures(_Tally(wanted), 0))
    files = readable_files(storage, layout.METADATA, ENDINGS)
    if not files:
        asked = "; ".join(
            f"{setting} asks for {', '.join(fields) or 'ids'}" for setting, fields in wanted.asking.items()
        )
        raise ConfigError(f"{asked}, and {storage.root}/{layout.METADATA} holds no .json file")
    tally = _Tally(wanted)
    pieces = _kept(tally.good(_lines(storage, files)), shelf_from_bytes, carry)
    _check_fields(storage, files[0].key, tally)
    is_shelved = isinstance(pieces, Shelf)
    return Items(wanted.catalogue(pieces), _figures(tally, len(pieces)), tally.types(), is_shelved, tally.broken)


class _Tally:
    """Figures of the metadata, gathered while it is read once.

    Attributes:
        is_judged: Whether the item filter said yes or no of any item.
        broken: The first lines that cannot be read.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.counts: Counter[str] = Counter()
        self.is_judged = False
        self.broken: list[BrokenLine] = []
        self._letters: dict[str, set[str]] = {name: set() for name in wanted.fields}

    def good(self, lines: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Piece]]:
        """The items of some lines, each with its file's key; lines that are none are counted, and kept."""
        for key, line in lines:
            try:
                item = parse_item(line, self.wanted)
            except LineError as error:
                self._set_aside(key, line, str(error))
                continue
            if item is not None:
                self._note(item)
                yield item.item_id, item.piece

    def _set_aside(self, key: str, line: bytes, reason: str) -> None:
        self.counts["metadataLinesBroken"] += 1
        if len(self.broken) < _MOST_BROKEN:
            self.broken.append(BrokenLine(key.rpartition("/")[2], shown(line[:MAX_LINE_BYTES]), reason))

    def _note(self, item: ItemLine) -> None:
        self.counts["good"] += 1
        self.counts["metadataNotFinite"] += item.not_finite
        self.is_judged = self.is_judged or item.piece.fits is not None
        for seen, letter in zip(self._letters.values(), item.types, strict=True):
            seen.add(letter)

    def is_nowhere(self, name: str) -> bool:
        """Whether no item has a field."""
        return self._letters[name] <= {"-"}

    def letters(self, name: str) -> str:
        """The types of a field, a letter each."""
        return "".join(sorted(self._letters[name] - {"-", "0"}))

    def types(self) -> dict[str, str]:
        """Field that records carry → the letters of its types."""
        return {name: self.letters(name) for name in self.wanted.listed}


def _figures(tally: _Tally, items: int) -> dict[str, int]:
    figures = {name: tally.counts[name] for name in ("metadataLinesBroken", "metadataNotFinite")}
    return {"itemsWithMetadata": items, "metadataDuplicates": tally.counts["good"] - items, **figures}


def _lines(storage: Storage, files: Iterable[Entry]) -> Iterator[tuple[str, bytes]]:
    """Every line of some files, in order, each with its file's key."""
    for key in sorted((file.key for file in files), key=place_of):
        with unpacked(storage, key) as stream:
            yield from zip(repeat(key), stream, strict=False)


def _kept(
    found: Iterator[tuple[str, Piece]], shelf_from_bytes: int, carry: Callable[[str], object]
) -> Mapping[str, Piece]:
    """All pieces; in memory as long as they fit. Of several lines for an item the first one wins."""
    pieces, size_bytes = dict[str, Piece](), 0
    for item_id, piece in found:
        if item_id not in pieces:
            pieces[item_id] = piece
            size_bytes += len(piece.tail) + 2 * len(piece.hashes) + _BYTES_AN_ITEM
        if size_bytes >= shelf_from_bytes:
            return _shelved(chain(pieces.items(), found), carry)
    return pieces


def _shelved(found: Iterable[tuple[str, Piece]], carry: Callable[[str], object]) -> Shelf:
    """All pieces in a file that every worker gets. One at a time is in memory."""
    folder = tempfile.mkdtemp(prefix="recsync-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # Spark hands the file out for as long as it lives
    path = Path(folder) / f"items-{uuid.uuid4().hex}.sqlite"
    with closing(sqlite3.connect(path)) as shelf, shelf:
        shelf.execute("create table items (id text primary key, tail blob, hashes blob, fits integer) without rowid")
        rows = ((item_id, piece.tail, piece.hashes, piece.fits) for item_id, piece in found)
        shelf.executemany("insert or ignore into items values (?, ?, ?, ?)", rows)
    carry(str(path))
    return Shelf(path.name)


def _check_fields(storage: Storage, key: str, tally: _Tally) -> None:
    if not tally.counts["good"]:
        raise InputError(f"{storage.root}/{key} is not JSON Lines: no line is one object with an id")
    asking = tally.wanted.asking.items()
    missing = {setting: [name for name in fields if tally.is_nowhere(name)] for setting, fields in asking}
    if any(missing.values()):
        known = _known_fields(storage, key)
        said = "; ".join(f"{setting} asks for {_meant(names, known)}" for setting, names in missing.items() if names)
        raise ConfigError(f"{said}, which no item has; items have: {', '.join(known)}")
    if tally.wanted.item_filter and not tally.is_judged:
        types = ", ".join(f"{name!r} is {_named(tally.letters(name)) or 'null'}" for name in tally.wanted.filtered)
        raise ConfigError(
            f"recommendations.itemFilter says neither yes nor no of any item; compare each field with its type: {types}"
        )


def _meant(names: Sequence[str], known: Sequence[str]) -> str:
    """The names, each with the one that may have been meant."""
    close = {name: difflib.get_close_matches(name, known, 1) for name in names}
    return ", ".join(f"{name!r}" + (f" (did you mean {close[name][0]!r}?)" if close[name] else "") for name in names)


def _known_fields(storage: Storage, key: str) -> list[str]:
    """The fields of the first items, for a person who mistyped one."""
    known: dict[str, None] = {}
    with unpacked(storage, key) as stream:
        for line in islice(stream, _PEEK_LINES):
            with suppress(LineError):
                known.update(dict.fromkeys(decoded_object(line)[0] or ()))
    return [name for name in known if name != "id"]


@dataclass(frozen=True)
class Shelf(Mapping[str, Piece]):
    """Pieces in a SQLite file that Spark carried to this worker; the most wanted stay in memory."""

    file_name: str

    def __getitem__(self, item_id: str) -> Piece:
        piece = self._look_up(item_id)
        if piece is None:
            raise KeyError(item_id)
        return piece

    def __iter__(self) -> Iterator[str]:
        return (item_id for (item_id,) in self._connection.execute("select id from items"))

    def __len__(self) -> int:
        return int(self._connection.execute("select count(*) from items").fetchone()[0])

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{SparkFiles.get(self.file_name)}?mode=ro&immutable=1", uri=True)

    @cached_property
    def _look_up(self) -> Callable[[str], Piece | None]:
        def find(item_id: str) -> Piece | None:
            row = self._connection.execute("select tail, hashes, fits from items where id = ?", (item_id,)).fetchone()
            return Piece(row[0], row[1], None if row[2] is None else bool(row[2])) if row else None

        return lru_cache(maxsize=100_000)(find)

    def __reduce__(self) -> tuple[type[Shelf], tuple[str]]:
        """Travel as a name: each worker opens its own copy of the file."""
        return Shelf, (self.file_name,)


def check_types(was: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a run in which a field became another type for every item.

    A destination fixes an attribute's type by its first value and drops the others in silence, so such a
    change would look delivered and change nothing.

    Args:
        was: The types of the committed run, as `Items.types`.
        now: Today's.

    Raises:
        ConfigError: Field by field, both types.
    """
    changed = [name for name in now if was.get(name) and now[name] and not set(was[name]) & set(now[name])]
    if changed:
        said = [f"{name!r} was {_named(was[name])} and is {_named(now[name])}" for name in changed]
        raise ConfigError(
            f"item metadata changed its type: {'; '.join(said)}. The destination would drop the new values in silence; "
            "mend the metadata, or accept the new types with: recsync run --full"
        )


def types_to_keep(was: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The types that the next run is held against: today's, and of a field without values today those it had.

    Args:
        was: The types of the committed run, as `Items.types`; none where they are not to count.
        now: Today's.
    """
    return {**was, **{name: letters for name, letters in now.items() if letters}}


def _named(letters: str) -> str:
    return " or ".join(_TYPE_NAMES[letter] for letter in letters)
