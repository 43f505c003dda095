"""Reading files without guessing: which count, whether they are what their names say, one strict line at a time.

Lines are parsed in Python, since Spark's own JSON reader is kinder than we can afford: it keeps the first of
two objects on a line and drops the second, turns long ids into other numbers, and repairs invalid UTF-8 in
silence (docs/decisions/0001). So a line means the same to a run and to whoever looks into its input afterwards.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from connectors.contract import layout
from connectors.contract.gzipped import CutError, unpacking
from connectors.contract.storage import Entry, Storage, at_once, is_hidden_input, open_storage
from glue_jobs.errors import ConfigError, InputError

MAX_LINE_BYTES = 16 * 1024 * 1024
# Objects and lists in one another. Python's own limit is another one in each release, and for each way of walking.
_MAX_DEPTH = 100
_GZIP_FACTOR = 10
_GZIP_MAGIC = b"\x1f\x8b"
# Every digit becomes a 0. An integer of fewer digits than this fits into 64 bits.
_ZEROS, _LONG_NUMBER = bytes.maketrans(b"123456789", b"0" * 9), b"0" * 19


class LineError(ValueError):
    """A line that cannot be read; the text says why."""


def decoded_object(line: bytes) -> tuple[dict[str, Any] | None, bool]:
    """One line of JSON Lines, read strictly.

    Args:
        line: The line, with or without its end.

    Returns:
        The object, and whether a key stood in it twice (the last one counts). None when the line is blank.
        NaN and Infinity, which JSON does not know, are read as numbers.

    Raises:
        LineError: It is not one JSON object in UTF-8, or too long to be a line of ours.
    """
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"a line of {len(line)} bytes; at most {MAX_LINE_BYTES} are read")
    data = _quickly_decoded(line)
    return (data, False) if data is not None else _slowly_decoded(line)


def _quickly_decoded(line: bytes) -> dict[str, Any] | None:
    """The object, where it is sure that the slow way would read the same and see no key twice; else None.

    Sure is a line that is, byte for byte, what its object is written as; and any other of as many keys as it has quotes
    before a colon, without a number so long that it is rounded. Neither may hold so many brackets that it could be too
    deep. What is refused here may still be fine: the slow way judges.
    """
    opened = line.count(b"{")
    if opened + line.count(b"[") > _MAX_DEPTH:
        return None
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict):
        return None
    return data if orjson.dumps(data) == line.rstrip() or _has_each_key_once(line, data, opened) else None


def _has_each_key_once(line: bytes, data: dict[str, Any], opened: int) -> bool:
    """Whether a line holds as many keys as its object, and no number that might be rounded.

    Args:
        opened: How many braces the line opens, those in texts included.
    """
    flat = line.translate(_ZEROS, b" \t\r\n")
    if _LONG_NUMBER in flat:
        return False
    return flat.count(b'":') == _count_keys(data, opened)


def _count_keys(data: dict[str, Any], opened: int) -> int:
    """The keys of an object and of all it holds. Nearly always there is nothing below its own values."""
    inner = [value for value in data.values() if isinstance(value, dict)]
    if len(inner) + 1 == opened:
        return len(data) + sum(map(len, inner))
    found: list[Any] = [data]
    for one in found:
        found += _held_by(one)
    return sum(len(one) for one in found if isinstance(one, dict))


def _held_by(one: dict[str, Any] | list[Any]) -> list[Any]:
    """The objects and lists that stand right in an object or a list."""
    return [value for value in (one.values() if isinstance(one, dict) else one) if isinstance(value, dict | list)]


def _slowly_decoded(line: bytes) -> tuple[dict[str, Any] | None, bool]:
    repeated = False

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated = repeated or len(found) < len(pairs)
        return found

    try:
        text = line.decode("utf-8").removeprefix("\ufeff").strip()
        data = json.loads(text, object_pairs_hook=checked) if text else None
    except (ValueError, RecursionError) as error:
        raise LineError(f"not a JSON line in UTF-8: {error}") from error
    if text and not isinstance(data, dict):
        raise LineError("not a JSON object")
    if data is not None and _is_deep(data):
        raise LineError(f"objects and lists stand in one another more than {_MAX_DEPTH} deep")
    return data, repeated


def _is_deep(data: dict[str, Any]) -> bool:
    """Whether there are more than _MAX_DEPTH objects and lists in one another."""
    level: list[Any] = [data]
    for _ in range(_MAX_DEPTH):
        level = [value for one in level for value in _held_by(one)]
        if not level:
            return False
    return True


def id_of(value: Any) -> str | None:
    """An id as text; None for what is none. Python's integers keep every digit; half a surrogate pair is no text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value and is_text(value) else None


def is_text(value: str) -> bool:
    """Whether a text can be written in UTF-8."""
    return value.isascii() or value == value.encode("utf-8", "replace").decode()


def input_folder(address: str, job_folder: Storage, setting: str) -> Storage:
    """A folder that a setting names.

    Args:
        address: ``s3://…`` or a local path; relative to the job folder where that is local.
        setting: What to call it in an error.

    Raises:
        ConfigError: It leaves the job folder, or does not lie on S3 as that does.
    """
    if why := misplaced(address, job_folder.root, setting):
        raise ConfigError(why)
    if address.startswith("s3://") or Path(address).is_absolute():
        return open_storage(address)
    below = address.rstrip("/")
    return open_storage(f"{job_folder.root}/{below}") if below else job_folder


def misplaced(address: str, root: str, setting: str) -> str:
    """Why a folder that a setting names cannot be read from a job folder; empty where it can.

    Args:
        root: Where the job folder lies.
    """
    if address.startswith("s3://"):
        return ""
    if "://" in address:
        return f"{setting} is {address!r}; it should be the path of a folder, or start with s3://"
    if root.startswith("s3://"):
        return f"{setting} is {address!r}; beside a job folder on S3 it should start with s3://"
    below = address.rstrip("/")
    try:
        if below and not Path(address).is_absolute():
            layout.check_key(below)
    except layout.LayoutError as error:
        return f"{setting}: {error}"
    return ""


def readable_files(storage: Storage, prefix: str, endings: tuple[str, ...]) -> list[Entry]:
    """The files of an input folder that count: by their ending, and not hidden.

    Raises:
        InputError: A file is packed otherwise than its name says.
    """
    found = counting_files(storage, prefix, endings)
    check_packing(storage, found)
    return found


def counting_files(storage: Storage, prefix: str, endings: tuple[str, ...]) -> list[Entry]:
    """The same by the listing alone: none of them is opened."""
    return [entry for entry in listed(storage, prefix) if entry.key.endswith(endings) and entry.size_bytes]


def listed(storage: Storage, prefix: str) -> Iterator[Entry]:
    """Whatever lies in an input folder and is not hidden."""
    return (entry for entry in storage.list(prefix) if not is_hidden_input(entry.key.removeprefix(prefix)))


def place_of(key: str) -> tuple[str, str]:
    """What a run orders files by: their names, and of one name their keys."""
    return key.rpartition("/")[2], key


def plain_bytes(entries: Iterable[Entry]) -> int:
    """What some files come to when they are unpacked: gzip counts tenfold."""
    return sum(entry.size_bytes * (_GZIP_FACTOR if entry.key.endswith(".gz") else 1) for entry in entries)


def check_packing(storage: Storage, entries: Sequence[Entry]) -> None:
    """Each file's first bytes have to say what its name says: Spark unpacks by the name alone.

    Raises:
        InputError: They do not, or the name is none that a key may have.
    """
    heads = at_once(functools.partial(_head, storage), [entry.key for entry in entries])
    for entry, head in zip(entries, heads, strict=True):
        is_gzip = head == _GZIP_MAGIC
        if is_gzip != entry.key.endswith(".gz"):
            said = "is gzip, and its name does not end in .gz" if is_gzip else "ends in .gz, and is not gzip"
            raise InputError(f"{storage.root}/{entry.key} {said}; rename it")


def _head(storage: Storage, key: str) -> bytes:
    try:
        with storage.open(key) as stream:
            return stream.read(len(_GZIP_MAGIC))
    except layout.LayoutError as error:
        raise InputError(f"{storage.root} holds a file that cannot be read: {error}") from error


def cut_files(storage: Storage, keys: Iterable[str]) -> list[str]:
    """The addresses of those files, packed as gzip, that end early or are damaged. Reads them whole."""
    return [f"{storage.root}/{key}" for key in keys if key.endswith(".gz") and _is_cut(storage, key)]


def _is_cut(storage: Storage, key: str) -> bool:
    try:
        with unpacked(storage, key) as stream:
            while stream.read(1 << 20):
                pass
    except InputError:
        return True
    return False


@contextmanager
def unpacked(storage: Storage, key: str) -> Iterator[BinaryIO]:
    """A file's bytes as a stream, unpacked where its name ends in .gz.

    Raises:
        InputError: The file ends early or is damaged.
    """
    with storage.open(key) as raw:
        if not key.endswith(".gz"):
            yield raw
            return
        try:
            with unpacking(raw) as stream:
                yield stream
        except CutError as error:
            raise InputError(f"{storage.root}/{key}: cut or damaged; write it again") from error


def shown(line: bytes) -> str:
    """A line as a person may read it: what is no UTF-8 stands as U+FFFD."""
    return line.decode("utf-8", "replace").rstrip("\r\n")
