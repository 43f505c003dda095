"""A job folder in memory, whose callers may crash right before and right after each call."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cli.simulation.world import World
from connectors.contract.layout import check_key
from connectors.contract.storage import Blob, ConflictError, Entry, NotFoundError, StorageError


class SimulatedStorage:
    """See connectors.contract.storage.Storage. Puts are told to whoever listens, as S3 does."""

    def __init__(self, world: World, root: str, on_put: Callable[[str], None]) -> None:
        self._world, self.root, self._on_put = world, root, on_put
        self.objects: dict[str, bytes] = {}

    def uri(self, key: str) -> str:
        """See Storage."""
        return f"{self.root}/{check_key(key)}"

    def get(self, key: str) -> Blob:
        """See Storage."""
        self._trouble()
        if key not in self.objects:
            raise NotFoundError(f"{self.uri(key)} is not there")
        return Blob(self.objects[key], _tag(self.objects[key]))

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        return io.BytesIO(self.get(key).data)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See Storage."""
        self._trouble()
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield Entry(key, len(self.objects[key]), _tag(self.objects[key]), self._world.now())

    def folders(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        self._trouble()
        below = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        yield from sorted({key.partition("/")[0] for key in below if "/" in key})

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """See Storage."""
        self._trouble()
        self._check(key, if_absent=if_absent, if_match=if_match)
        self.objects[check_key(key)] = data
        self._on_put(key)
        self._world.may_crash()
        return _tag(data)

    def delete(self, key: str) -> None:
        """See Storage."""
        self._trouble()
        self.objects.pop(key, None)

    def _check(self, key: str, *, if_absent: bool, if_match: str | None) -> None:
        there = self.objects.get(key)
        if (if_absent and there is not None) or (if_match is not None and (there is None or _tag(there) != if_match)):
            raise ConflictError(f"{self.uri(key)} is not what was read")

    def _trouble(self) -> None:
        self._world.may_crash()
        if self._world.goes_wrong("storage answers 503"):
            raise StorageError(f"S3 answered SlowDown for {self.root}")


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
