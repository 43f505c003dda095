"""demo, version: to begin with."""

from __future__ import annotations

from importlib.metadata import version as package_version

import typer

from cli.console import Output, Voice
from cli.options import NoColorOption, OutputOption, QuietOption, command


@command(
    "recsync demo",
    "recsync demo --output json",
)
def demo(output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False) -> None:
    """Two days of a made-up shop, from batch output to profiles on a Braze emulator. Needs nothing but Python."""
    from cli.demo import demo as run_demo

    raise typer.Exit(run_demo(Voice(output, quiet, no_color)))


@command(
    "recsync version",
    "recsync version --help",
)
def version() -> None:
    """Print the version."""
    typer.echo(f"recsync {package_version('recsync')}")
