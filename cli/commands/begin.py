"""init, doctor, prepare: before the first run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Output, Voice
from cli.exit_codes import FAILED
from cli.options import NoColorOption, OutputOption, QuietOption, command
from cli.typed import any_folder
from connectors.contract.storage import open_storage

if TYPE_CHECKING:
    from cli.doctor import Finding


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


@command(
    "recsync doctor",
    "recsync doctor --output json sample/etl_jobs/related_items/similar_items",
)
def doctor(
    folder: Annotated[str | None, typer.Argument(metavar="[JOB_FOLDER]", help="…/etl_jobs/<type>/<name>")] = None,
    secret: Annotated[
        str | None, typer.Option("--secret", help="A secret on AWS, by name or ARN: can it be read?")
    ] = None,
    queue: Annotated[
        str | None, typer.Option("--queue", help="A connector's queue on SQS, by URL: does it keep what is relied on?")
    ] = None,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Look whether this machine, a job folder and its destinations are ready, and say what to do where they are not.

    No destination is called. One object is written into the folder, swapped, and removed again. Of a folder on S3
    the stack has Spark, endpoints and keys, so here they are not looked for.
    """
    voice = Voice(output, quiet, no_color)
    found = list(_findings(folder, secret, queue))
    words = [("ok" if one.is_well else "problem", f"{one.name}: {one.said}{_fix(one)}") for one in found]
    voice.facts("recsync doctor", words)
    voice.data({"findings": [{**vars(one), "ok": one.is_well} for one in found]})
    if not all(one.is_well for one in found):
        raise typer.Exit(FAILED)
    voice.next(f"recsync run {shlex.quote(folder)}" if folder else "recsync init my_shop")


@command(
    "recsync prepare",
    "recsync prepare --quiet",
)
def prepare(output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False) -> None:
    """Keep Spark's classes ready for Java on this machine: each run here then starts some three seconds sooner.

    Takes a minute and 130 MB, once; again after an update of Spark or Java. Runs on AWS have no use for it.
    """
    from cli import prepare as work

    voice = Voice(output, quiet, no_color)
    archive = work.prepare(voice, os.environ)
    voice.data({"archive": str(archive), "bytes": archive.stat().st_size})
    voice.next("recsync demo")


def _fix(one: Finding) -> str:
    return "" if one.is_well else f" → {one.fix}"


def _findings(folder: str | None, secret: str | None, queue: str | None) -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    from cli import doctor as work

    job = any_folder(folder) if folder else None
    runs_here = job is None or not job.is_on_s3
    yield from work.of_machine(sys.version_info[:2], os.environ, runs_here=runs_here)
    if job is not None:
        storage = open_storage(job.root)
        yield from work.of_folder(storage)
        findings, config = work.of_config(storage)
        yield from findings
        if config and runs_here:
            yield from (work.of_connector(name, os.environ) for name in config.connectors)
    if secret is not None:
        yield work.of_secret(secret)
    if queue is not None:
        yield from work.of_queue(queue)
