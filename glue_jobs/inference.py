"""Batch inference: which files to read, and their lines as rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from connectors.contract.batches import SeveralSolutionsError, newest_batch
from connectors.contract.storage import Entry, Storage
from glue_jobs.batch_lines import parse_batch_line
from glue_jobs.errors import InputError, NoInputError
from glue_jobs.lines import MAX_LINE_BYTES, check_packing, input_folder, shown
from glue_jobs.meeting import packed_list
from glue_jobs.schemas import BATCH_LINE
from glue_jobs.sources import parsed_lines


def find_batch(address: str, job_folder: Storage) -> tuple[Storage, list[Entry]]:
    """The finished output files of a batch inference job.

    Args:
        address: The folder of one job, or of a solution: then its newest job that has finished output.
            Relative to the job folder where that is local.

    Returns:
        The storage they lie in, and what its listing says of them.

    Raises:
        NoInputError: No file ends in ``.out``: the job failed or is still running.
        InputError: The folder is that of several solutions, or a file is packed otherwise than its name says.
    """
    storage = input_folder(address, job_folder, "batchInferencePath")
    try:
        batch = newest_batch(storage.list())
    except SeveralSolutionsError as error:
        raise InputError(f"{storage.root}: {error}") from error
    if batch is None:
        raise NoInputError(
            f"{storage.root}, which batchInferencePath names, holds no finished batch inference: no file ends in .out, "
            "here or in a job's folder"
        )
    check_packing(storage, batch.entries)
    return storage, list(batch.entries)


def read_batch(spark: SparkSession, uris: Sequence[str], key_name: str, *, keeps_scores: bool = True) -> DataFrame:
    """Every line of the batch that is not blank, as BATCH_LINE.

    Args:
        keeps_scores: Whether anyone asks for the scores: they are as many bytes as the ids.
    """
    parse = functools.partial(batch_row, key_name=key_name, keeps_scores=keeps_scores)
    return parsed_lines(spark, uris, parse, BATCH_LINE)


def batch_row(line: bytes, key_name: str, *, keeps_scores: bool = True) -> tuple[Any, ...] | None:
    """One line of batch inference as a row of BATCH_LINE without its position; None when it is blank."""
    read = parse_batch_line(line, key_name, keeps_scores=keeps_scores)
    if read is None:
        return None
    text = None if read.kind == "good" else shown(line[:MAX_LINE_BYTES])
    listed = None if read.item_ids is None else packed_list(read.item_ids, read.scores)
    return (read.kind, read.key, listed, text, read.reason)
