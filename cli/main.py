"""recsync: commands, options and exit codes. What the commands do stands in the rooms beside this one."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.metadata import version as package_version
from typing import Annotated

import typer

from cli import embedded
from cli.console import Output, Voice
from cli.local_spark import JavaError
from cli.run import (
    UsageError,
    check_config,
    connectors_of,
    deliver_job,
    destination_of,
    local_folder,
    run_job,
)
from connectors.contract.storage import StorageError
from connectors.contract.wire import NewerFormatError
from connectors.errors import ConnectorError
from functions.enqueue import EnqueueError

app = typer.Typer(
    name="recsync",
    help="Reverse ETL for recommendations: batch inference goes in, up-to-date customer profiles come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_INTERRUPTED = 130

Folder = Annotated[str, typer.Argument(metavar="JOB_FOLDER", help="…/etl_jobs/<job_type>/<job_name>")]
OutputOption = Annotated[Output, typer.Option("--output", help="How the result is printed on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Nothing on stderr but warnings and errors.")]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="Plain text. NO_COLOR=1 does the same.")]


@app.command()
def validate(
    folder: Folder, output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False
) -> None:
    """Name every mistake of a job's config.json. Reads nothing else, and needs no Spark.

    Example: recsync validate sample/etl_jobs/related_items/similar_items
    """
    voice = Voice(output, quiet, no_color)
    mistakes, warnings = check_config(local_folder(folder))
    for warning in warnings:
        voice.warn(warning)
    voice.data({"mistakes": mistakes, "warnings": warnings})
    if mistakes:
        voice.fail("\n".join(mistakes))
        raise typer.Exit(2)
    voice.stage("config.json is right")
    voice.next(f"recsync run {shlex.quote(folder)}")


@app.command()
def run(
    folder: Folder,
    full: Annotated[bool, typer.Option("--full", help="Send everyone once; needs no readable snapshot.")] = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Compute what changed and publish it, on Spark on this machine.

    Example: recsync run sample/etl_jobs/related_items/similar_items
    """
    voice = Voice(output, quiet, no_color)
    result = run_job(local_folder(folder), voice, is_full=full)
    for one in result.synced:
        title = f"{one.connector}: run {one.run_id}, version {one.version}"
        voice.table(title, ["", "count"], [[name, value] for name, value in one.counts.items()])
        if not one.counts["records"]:
            voice.stage(f"{one.connector}: nothing to send, 0 records: every user was told this before")
    stopped = {name: str(error) for name, error in result.stopped.items()}
    for name, reason in stopped.items():
        voice.fail(f"{name}: {reason}")
    runs = [{**vars(one), "counts": dict(one.counts)} for one in result.synced]
    voice.data({"runs": runs, "stopped": stopped})
    if stopped:
        raise typer.Exit(result.exit_code)
    voice.next(f"recsync deliver {shlex.quote(folder)}")


@app.command()
def deliver(
    folder: Folder, output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False
) -> None:
    """Deliver what a job folder has published and no receipt speaks of.

    Braze is found by BRAZE_REST_ENDPOINT and BRAZE_API_KEY.

    Example: recsync deliver sample/etl_jobs/related_items/similar_items
    """
    voice = Voice(output, quiet, no_color)
    job = local_folder(folder)
    names = connectors_of(job)
    if not names:
        raise UsageError(f"{job.root} has published nothing yet; run it first: recsync run {folder}")
    deliveries = [one for name in names for one in deliver_job(job, destination_of(name, os.environ), voice)]
    for one in deliveries:
        voice.stage(f"{one.manifest.connector} run {one.manifest.run_id}: {one.skipped}") if one.skipped else None
        for trouble in dict.fromkeys(one.trouble):
            voice.warn(f"{one.manifest.connector} run {one.manifest.run_id}: {trouble}")
    counts = embedded.total(deliveries)
    figures = {name: counts[name] for name in ("sent", "delivered", "rejected", "waiting", "requests")}
    voice.table("All runs of this folder", ["", "count"], list(figures.items()))
    voice.data(figures)
    if counts["waiting"]:
        voice.next(f"recsync deliver {shlex.quote(folder)}")
        raise typer.Exit(1)
    voice.next(f"recsync run {shlex.quote(folder)}")
    if counts["rejected"]:
        raise typer.Exit(5)


@app.command()
def demo(output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False) -> None:
    """Two days of a made-up shop, from batch output to profiles on a Braze emulator. Needs nothing but Python.

    Example: recsync demo
    """
    from cli.demo import demo as run_demo

    raise typer.Exit(run_demo(Voice(output, quiet, no_color)))


@app.command()
def version() -> None:
    """Print the version.

    Example: recsync version
    """
    typer.echo(f"recsync {package_version('recsync')}")


def main() -> None:
    """The command line: errors become one sentence and an exit code."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        code = int(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        told = _code_of(error)
        if told is None:
            raise
        Voice().fail(str(error))
        return told
    if code == _INTERRUPTED:
        Voice().fail("interrupted; what was committed stays, the rest is not visible")
    return code


def _code_of(error: Exception) -> int | None:
    """The exit code of an error that is told in a sentence; None for one that is a fault of ours."""
    exit_code = getattr(error, "exit_code", None)
    if isinstance(exit_code, int):
        return exit_code
    if isinstance(error, (UsageError, ConnectorError, JavaError)):
        return 2
    return 1 if isinstance(error, (StorageError, EnqueueError, NewerFormatError)) else None


if __name__ == "__main__":
    main()
