"""The command line itself, and the options that commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from cli.console import Output

app = typer.Typer(
    name="recsync",
    help="Reverse ETL for recommendations: batch inference goes in, up-to-date customer profiles come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def command(*examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put a function on the command line. Its help begins with examples; its docstring follows."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        told = inspect.cleandoc(function.__doc__ or "")
        shown = "\n".join(f"  {example}" for example in examples)
        first = told.partition("\n")[0]
        app.command(help=f"\b\nExamples:\n{shown}\n\n{told}", short_help=first)(function)
        return function

    return register


Folder = Annotated[str, typer.Argument(metavar="JOB_FOLDER", help="…/etl_jobs/<job_type>/<job_name>")]
OutputOption = Annotated[Output, typer.Option("--output", help="How the result is printed on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Nothing on stderr but warnings and errors.")]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="Plain text. NO_COLOR=1 does the same.")]
StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack", metavar="NAME", help="Of a folder on S3: the stack whose Glue job runs; else its bucket's."
    ),
]
AttachOption = Annotated[
    str | None,
    typer.Option(
        "--attach", metavar="JR_ID", help="Start nothing: wait for this run of the Glue job, or show its end."
    ),
]
ConnectorOption = Annotated[str | None, typer.Option("--connector", help="Only this one; all of them otherwise.")]
RunOption = Annotated[str | None, typer.Option("--run", help="This run; the newest otherwise.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
