"""What Spark raises → our errors, with the sentence a person can act on.

An error inside a task reaches the driver as text, wrapped by Python, by Java, or by both.
"""

from __future__ import annotations

import re

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from connectors.contract.layout import LayoutError
from connectors.contract.storage import StorageError
from connectors.contract.wire import NewerFormatError
from glue_jobs import errors
from glue_jobs.errors import InputError, StateError, SyncError

_OURS = re.compile(r"(?:glue_jobs\.errors|connectors\.contract\.storage)\.(\w+): ([^\n]+)")
_CUT = re.compile(r"java\.io\.EOFException|ZipException|incorrect (?:data|header) check|invalid (?:block|stored)", re.I)
_OS = re.compile(r"(?:OSError|MemoryError|PermissionError)(?:: [^\n]+)?")


class CutFileError(InputError):
    """Some gzip file ends early or is damaged. Spark does not say which."""


def in_our_words(error: Exception) -> SyncError | None:
    """The error as one of ours; None for one that is a fault of ours, to be seen whole."""
    if isinstance(error, SyncError):
        return error
    if isinstance(error, NewerFormatError):
        return _chained(StateError(f"{error}; run it with the newer release"), error)
    if isinstance(error, (StorageError, LayoutError)):
        return _chained(SyncError(str(error)), error)
    if isinstance(error, (Py4JJavaError, PySparkException)):
        return _of_spark(str(error), error)
    return None


def _of_spark(text: str, error: Exception) -> SyncError | None:
    if found := _OURS.search(text):
        kind = getattr(errors, found[1], SyncError)
        return _chained(kind(found[2]), error)
    if _CUT.search(text):
        return _chained(CutFileError("a .gz file is cut or damaged; write it again"), error)
    if found := _OS.search(text):
        return _chained(SyncError(f"a task could not go on: {found[0]}; nothing was committed"), error)
    return None


def _chained(ours: SyncError, cause: Exception) -> SyncError:
    ours.__cause__ = cause
    return ours
