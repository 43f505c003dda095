"""Gzip files read back, by igzip: it unpacks several times faster than Python's own."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from isal import igzip
from isal.igzip_lib import IsalError

_CUT: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, IsalError)  # type: ignore[assignment]


class CutError(ValueError):
    """A gzip file that ends early or is damaged."""


@contextmanager
def unpacking(packed: BinaryIO) -> Iterator[BinaryIO]:
    """What a gzip file holds, as a stream.

    Raises:
        CutError: The file ends early or is damaged; known when that place is read.
    """
    try:
        with igzip.open(packed) as stream:  # type: ignore[no-untyped-call]
            yield stream
    except _CUT as error:
        raise CutError(str(error)) from error
