"""init, doctor: before the first run."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from cli.console import Output, Voice
from cli.options import NoColorOption, OutputOption, QuietOption, command


@command(
    "recsync init shop/etl_jobs/user_personalization/for_you",
    "recsync init shop --type related_items",
)
def init(
    folder: Annotated[str, typer.Argument(metavar="JOB_FOLDER", help="…/etl_jobs/<job_type>/<job_name>, or above it")],
    job_type: Annotated[
        str | None, typer.Option("--type", help="related_items or user_personalization, where the path does not say.")
    ] = None,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Make a job folder that validates and runs: settings, and the input of a small made-up shop.

    Change its config.json as you like: an editor that knows JSON Schema completes the keys. Writes over nothing.
    """
    from cli import init as work

    voice = Voice(output, quiet, no_color)
    made = work.new_folder(folder, job_type)
    work.write_job(made)
    voice.stage(f"made {made.root}")
    voice.data({"folder": made.root, "jobType": made.job_type})
    voice.next(f"recsync validate {shlex.quote(made.root)}")
