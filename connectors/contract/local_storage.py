"""The objects of one folder on a local disk: see `storage`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from connectors.contract.layout import LayoutError, check_key
from connectors.contract.storage import (
    Blob,
    ConflictError,
    Entry,
    NotFoundError,
    StorageError,
    check_prefix,
    is_hidden,
)


@dataclass(frozen=True)
class LocalStorage:
    """A folder on a local disk. Names starting with "." are its own (temporary files, locks), never listed."""

    folder: Path

    @property
    def root(self) -> str:
        """See Storage."""
        return str(self.folder)

    def uri(self, key: str) -> str:
        """See Storage."""
        return f"file://{self._path(key)}"

    def get(self, key: str) -> Blob:
        """See Storage."""
        with self.open(key) as stream, _on_disk("read", self.folder / key):
            data = stream.read()
        return Blob(data, _checksum(data))

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        with _on_disk("read", self.folder / key):
            try:
                return self._path(key).open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise NotFoundError(f"{self.root}/{key} is not there") from error

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See Storage."""
        top = self._path(check_prefix(prefix).rstrip("/")) if prefix else self.folder
        with _on_disk("listed", top):
            paths = [Path(folder, name) for folder, _, names in os.walk(top, onerror=_refuse) for name in names]
            found = sorted((path.relative_to(self.folder).as_posix(), path) for path in paths)
            entries = [_entry(key, path) for key, path in found if not is_hidden(key)]
        yield from filter(None, entries)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See Storage. A folder with nothing in it does not count, as on S3."""
        top = self._path(check_prefix(prefix).rstrip("/")) if prefix else self.folder
        with _on_disk("listed", top):
            paths = sorted(top.iterdir()) if top.is_dir() else ()
            names = [path.name for path in paths if path.is_dir() and not is_hidden(path.name)]
        yield from (name for name in names if next(self.list(f"{prefix}{name}/"), None))

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """See Storage. First writes use a hard link, swaps a lock beside the file: both are atomic."""
        path = self._path(key)
        with _on_disk("written", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path, data) as temporary:
                if if_absent:
                    self._link(temporary, path)
                else:
                    with self._locked(path, if_match):
                        temporary.replace(path)
        return _checksum(data)

    def delete(self, key: str) -> None:
        """See Storage."""
        path = self._path(key)
        if path.parent.is_dir():
            with _on_disk("removed", path):
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = self.folder / check_key(key)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise LayoutError(f"key {key!r} is a link that leads out of {self.folder}")
        return path

    def _link(self, temporary: Path, path: Path) -> None:
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise ConflictError(f"{path} is there already") from error

    @contextmanager
    def _locked(self, path: Path, if_match: str | None) -> Iterator[None]:
        """Hold the file's lock while the condition is checked and the change is made."""
        if if_match is None:
            yield
            return
        with (path.parent / f".{path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.is_file() or _checksum(path.read_bytes()) != if_match:
                raise ConflictError(f"{path} is not what was read")
            yield


@contextmanager
def _on_disk(action: str, path: Path) -> Iterator[None]:
    """Tell what went wrong on the disk in the words of this room, with the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be {action}: {error.strerror or error}") from error


def _entry(key: str, path: Path) -> Entry | None:
    """A file of a listing; None for what is no file, or went away meanwhile."""
    with suppress(FileNotFoundError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            mark = f"{found.st_mtime_ns}-{found.st_size}"
            return Entry(key, found.st_size, mark, datetime.fromtimestamp(found.st_mtime, UTC))
    return None


def _refuse(error: OSError) -> None:
    """A folder that cannot be read is not an empty one; one that went away meanwhile is."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """A file beside `path` holding the data, on disk before it gets its name; gone afterwards.

    It is opened like any file, so that it may be read by those whom the umask lets.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
