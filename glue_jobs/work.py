"""What a run has in hand: who runs it, what it reads, and what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import SparkSession

from connectors.contract import layout
from connectors.contract.held import InputObject
from connectors.contract.storage import Entry, Storage
from glue_jobs import inference
from glue_jobs.inputs import inputs_of, objects_of
from glue_jobs.lines import listed, plain_bytes
from glue_jobs.pairs import find_exclusions
from glue_jobs.proposal import JobRun

Report = Callable[[str], None]

# A row of the mapping brings a whole list to its user: that many times its own bytes.
_LINE_FOR_ROW = 12


@dataclass(frozen=True)
class Work:
    """A run, and what it takes to do it.

    Attributes:
        session: Starts Spark.
        excluded: Where the items stand that single users do not get, file by file; None where nothing names them.
        inputs: Everything it reads, as it was before it was read.
        size_bytes: What of it becomes users' lists: lines of the batch, or one for each row of the mapping.
        alias_key: What users are named by in its record.
        is_plan: Whether it only says what it would do.
        only_users: The only users that are told anything, and nothing is committed; None for a run like any other.
    """

    run: JobRun
    session: Callable[[], SparkSession]
    report: Report
    batch: Storage
    files: Sequence[Entry]
    excluded: tuple[Storage, Sequence[Entry]] | None
    inputs: list[InputObject]
    size_bytes: int
    alias_key: bytes
    is_plan: bool
    only_users: Collection[str] | None

    @cached_property
    def spark(self) -> SparkSession:
        """The session, started where it is asked for first."""
        self.report("starting Spark")
        return self.session()

    @property
    def input_age_h(self) -> float:
        """Hours since the newest file of the batch was written."""
        return (self.run.now - max(entry.modified_at for entry in self.files)).total_seconds() / 3600


def find_work(
    run: JobRun,
    session: Callable[[], SparkSession],
    report: Report,
    alias_key: bytes,
    *,
    is_plan: bool,
    only_users: Collection[str] | None,
) -> Work:
    """Find what there is to read.

    Args:
        session: Starts Spark; it is not needed for this.
        alias_key: What users are named by in the run's record.

    Raises:
        ConfigError: The settings name a folder that cannot be one.
        NoInputError: There is no batch, or a file that the settings name is not there.
        InputError: A file is packed otherwise than its name says.
    """
    for warning in run.config.warnings:
        report(f"warning: {warning}")
    batch, files = inference.find_batch(run.config.batch_inference_path, run.storage)
    mapping = list(listed(run.storage, layout.MAPPING)) if run.folder.job_type == "related_items" else []
    inputs = inputs_of(run.storage, [*listed(run.storage, layout.METADATA), *mapping], batch, files)
    address = run.config.recommendations.exclude_items
    excluded = find_exclusions(address, run.storage) if address else None
    inputs += objects_of(*excluded) if excluded else ()
    size_bytes = plain_bytes(files) + _LINE_FOR_ROW * plain_bytes(mapping)
    return Work(run, session, report, batch, files, excluded, inputs, size_bytes, alias_key, is_plan, only_users)
