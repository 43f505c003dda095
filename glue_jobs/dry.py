"""A job folder that is read and not written: what a plan works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from connectors.contract.storage import Blob, Entry, Storage


@dataclass(frozen=True)
class DryStorage:
    """See connectors.contract.storage.Storage. What is put or deleted stays as it is."""

    folder: Storage

    @property
    def root(self) -> str:
        """See Storage."""
        return self.folder.root

    def uri(self, key: str) -> str:
        """See Storage."""
        return self.folder.uri(key)

    def get(self, key: str) -> Blob:
        """See Storage."""
        return self.folder.get(key)

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        return self.folder.open(key)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See Storage."""
        return self.folder.list(prefix)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        return self.folder.folders(prefix)

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write nothing."""
        return ""

    def delete(self, key: str) -> None:
        """Delete nothing."""
