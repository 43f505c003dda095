"""report: the page about a run, written again with what became of it by now. Needs no Spark."""

from __future__ import annotations

import shlex
import tempfile
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cli.console import Output, Voice
from cli.options import Folder, NoColorOption, OutputOption, QuietOption, RunOption, command
from cli.run import UsageError, any_folder
from connectors.contract import layout
from connectors.contract.layout import LayoutError
from connectors.contract.run_record import RunRecord, read_record, run_ids
from connectors.contract.storage import Storage, StorageError, open_storage
from glue_jobs.report.filing import file_report

OpenOption = Annotated[bool, typer.Option("--open", help="Show it in a browser; of a folder on S3, a copy.")]


@command(
    "recsync report sample/etl_jobs/related_items/similar_items",
    "recsync report --open --run 20261121T040000Z-3f9a2c s3://shop-connector/etl_jobs/user_personalization/for_you",
)
def report(
    folder: Folder,
    run: RunOption = None,
    show: OpenOption = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Write the page about a run or a plan again, with what the receipts say by now, and print its address."""
    voice, storage = Voice(output, quiet, no_color), open_storage(any_folder(folder).root)
    record = record_of(storage, run)
    address = f"{storage.root}/{file_report(storage, record, datetime.now(UTC))}"
    voice.say(address)
    voice.data({"run": record.run_id, "report": address})
    if show:
        open_page(storage, layout.report(record.run_id), voice)
    voice.next(f"recsync status {shlex.quote(folder)}")


def record_of(storage: Storage, run_id: str | None) -> RunRecord:
    """The record of a run or a plan; without a name that of the newest run.

    Raises:
        UsageError: There is none.
        StorageError: It is damaged.
    """
    if run_id is None and not (run_id := next(iter(run_ids(storage)), None)):
        raise UsageError(f"{storage.root} has not run yet; run it first: recsync run {shlex.quote(storage.root)}")
    try:
        layout.time_of_run(run_id)
    except LayoutError as error:
        raise UsageError(str(error)) from error
    for key in (layout.run_record(run_id), layout.plan_record(run_id)):
        if record := _read(storage, key):
            return record
    raise UsageError(f"{storage.root} has no run {run_id}; see: recsync runs {shlex.quote(storage.root)}")


def _read(storage: Storage, key: str) -> RunRecord | None:
    try:
        return read_record(storage, key)
    except ValidationError as error:
        raise StorageError(f"{storage.root}/{key} is not the record of a run; run the job again") from error


def open_page(storage: Storage, key: str, voice: Voice) -> None:
    """Show a page of a job folder in a browser."""
    path = Path(storage.root) / key
    if storage.root.startswith("s3://"):
        path = Path(tempfile.mkdtemp(prefix="recsync-")) / Path(key).name
        path.write_bytes(storage.get(key).data)
    if not webbrowser.open(path.as_uri()):
        voice.warn(f"there is no browser here; open {path}")
