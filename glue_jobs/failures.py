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

_OURS = re.compile(r"(glue_jobs\.errors|connectors\.contract\.\w+)\.(\w+): ([^\n]+)")
_WORKER_DIED = re.compile(r"Python worker exited unexpectedly")
# Source: Hadoop's `DecompressorStream` and zlib, in what they raise for a file that ends early; read 2026-11-23.
_CUT = re.compile(
    r"EOFException: Unexpected end|ZipException|incorrect (?:data|header) check|invalid (?:block|stored)", re.IGNORECASE
)
_SPARK = re.compile(r"(?:SparkException|Exception|Error): ([^\n]{1,200})")
_OS = re.compile(r"(?:OSError|MemoryError|PermissionError)(?:: [^\n]+)?")


class CutFileError(InputError):
    """Some gzip file ends early or is damaged. Spark does not say which."""


class SparkError(SyncError):
    """Spark gave up for a reason that no sentence of ours is for. What it said is this error's cause."""


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


def _of_spark(text: str, error: Exception) -> SyncError:
    if found := _OURS.search(text):
        room, name, said = found.groups()
        kind = getattr(errors, name, SyncError) if room == errors.__name__ else SyncError
        return _chained(kind(said), error)
    if _WORKER_DIED.search(text):
        said = "a task died, as one does that runs out of memory; nothing was committed: give it a larger worker"
        return _chained(SyncError(said), error)
    if _CUT.search(text):
        return _chained(CutFileError("a .gz file is cut or damaged; write it again"), error)
    if found := _OS.search(text):
        return _chained(SyncError(f"a task could not go on: {found[0]}; nothing was committed"), error)
    said = found[1].rstrip(" .:") if (found := _SPARK.search(text)) else type(error).__name__
    return _chained(SparkError(f"Spark gave up: {said}; the log has all of it, and nothing was committed"), error)


def _chained(ours: SyncError, cause: Exception) -> SyncError:
    ours.__cause__ = cause
    return ours
