"""status, runs: how a job stands. Neither needs Spark."""

from __future__ import annotations

import functools
import shlex
from typing import Annotated, Any

import typer

from cli import show
from cli.console import Output, Voice
from cli.ending import ending
from cli.exit_codes import FAILED, LOST_SOME
from cli.options import Folder, NoColorOption, OutputOption, QuietOption, command
from cli.status import read_status
from cli.typed import any_folder
from connectors.contract import layout
from connectors.contract.run_record import ConnectorRecord, RunRecord, read_record, run_ids
from connectors.contract.storage import Storage, open_storage
from glue_jobs.errors import StateError


@command(
    "recsync status sample/etl_jobs/related_items/similar_items",
    "recsync status --output json s3://shop-connector/etl_jobs/user_personalization/for_you",
)
def status(
    folder: Folder, output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False
) -> None:
    """Say how a job stands: what was committed, what became of it, what waits, rests, is held or in trouble."""
    voice, storage = Voice(output, quiet, no_color), open_storage(any_folder(folder).root)
    found = read_status(storage)
    for one in found:
        show.status(one, voice)
    voice.data({"connectors": [one.data() for one in found]})
    if not found:
        voice.stage("this job has not run yet")
        voice.next(f"recsync run {shlex.quote(folder)}")
    for one in found:
        if command := one.next_command(folder):
            voice.next(command)
    if any(one.trouble for one in found):
        raise typer.Exit(FAILED)
    raise typer.Exit(LOST_SOME if any(one.fates["rejected"] + one.fates["deadLettered"] for one in found) else 0)


@command(
    "recsync runs sample/etl_jobs/related_items/similar_items",
    "recsync runs --limit 30 --output json s3://shop-connector/etl_jobs/user_personalization/for_you",
)
def runs(
    folder: Folder,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 10,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """List the newest runs of a job, and how each ended."""
    voice, storage = Voice(output, quiet, no_color), open_storage(any_folder(folder).root)
    found = [read_record(storage, layout.run_record(run_id)) for run_id in run_ids(storage)[:limit]]
    records = [record for record in found if record]
    show.runs(records, functools.partial(_ending, storage), voice)
    voice.data({"runs": [_as_data(storage, record) for record in records]})


def _as_data(storage: Storage, record: RunRecord) -> dict[str, Any]:
    """A run's record, and of each connector how it ended as is known by now."""
    data = record.model_dump(by_alias=True, mode="json")
    for one, told in zip(record.connectors, data["connectors"], strict=True):
        told["ending"] = _ending(storage, one)
    return data


def _ending(storage: Storage, one: ConnectorRecord) -> str:
    """How a run ended; as its record says it, where nobody can tell what came after."""
    try:
        return ending(storage, one)
    except StateError:
        return one.outcome
