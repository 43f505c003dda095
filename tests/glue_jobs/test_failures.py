"""What Spark says → a sentence that a person can act on, and never the wrong one."""

from __future__ import annotations

import pytest
from pyspark.errors import PySparkException

from connectors.contract.wire import NewerFormatError
from glue_jobs import errors
from glue_jobs.failures import CutFileError, SparkError, in_our_words

ABORTED = "Job aborted due to stage failure: Task 3 in stage 2.0 failed 4 times, most recent failure: Lost task 3.3"
IN_A_TASK = f"org.apache.spark.SparkException: {ABORTED}\nTraceback (most recent call last):\n"


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("glue_jobs.errors.StateError: a is damaged; mend it", errors.StateError, "a is damaged; mend it"),
        ("connectors.contract.storage.ConflictError: a is not what was read", errors.SyncError, "not what was read"),
        ("connectors.contract.documents.DamagedError: a is damaged", errors.SyncError, "a is damaged"),
        ("java.io.EOFException: Unexpected end of input stream", CutFileError, "cut or damaged"),
        ("java.util.zip.ZipException: invalid block type", CutFileError, "cut or damaged"),
        (
            "SparkException: Python worker exited unexpectedly (crashed)\nCaused by: java.io.EOFException",
            errors.SyncError,
            "runs out of memory",
        ),
        ("OSError: [Errno 28] No space left on device", errors.SyncError, "No space left on device"),
        ("KeyError: 'user-4711'", SparkError, "Spark gave up: Job aborted due to stage failure"),
    ],
)
def test_what_stopped_a_task_is_told_by_its_cause(said, kind, text):
    told = in_our_words(PySparkException(IN_A_TASK + said))
    assert type(told) is kind
    assert text in str(told)
    assert "4711" not in str(told)


def test_what_a_newer_release_wrote_is_not_for_this_one():
    told = in_our_words(NewerFormatError("RunManifest is of format 2; this release reads up to 1"))
    assert (type(told), told.exit_code) == (errors.StateError, 1)
    assert "run it with the newer release" in str(told)


def test_a_fault_of_ours_is_seen_whole():
    assert in_our_words(KeyError("name")) is None
