"""explain: one user's story."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from cli.console import Output, Voice
from cli.explanation import in_words
from cli.options import Folder, NoColorOption, OutputOption, QuietOption, RunOption, command
from cli.typed import UsageError, any_folder
from glue_jobs.lines import is_text


@command(
    "recsync explain sample/etl_jobs/related_items/similar_items --user=124",
    "recsync explain --user u-3f9a2c81d0 --output json s3://shop-connector/etl_jobs/user_personalization/for_you",
)
def explain(
    folder: Folder,
    user: Annotated[str, typer.Option("--user", help="The user's id, or the alias that reports name him by.")],
    run: RunOption = None,
    show_ids: Annotated[bool, typer.Option("--show-ids", help="Name the user by the id, not by the alias.")] = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Tell one user's story: what the input says of him, what a run decided and why, and what became of it.

    Reads the files that the run's record lists, and only those that are still what they were. Needs no Spark.
    """
    from cli import explain as work

    voice = Voice(output, quiet, no_color)
    if not is_text(user):
        raise UsageError("--user is no text in UTF-8, and so no user's id")
    told = work.explain(any_folder(folder), user, run, show_ids=show_ids)
    for address in told.changed_inputs:
        voice.warn(f"{address} is not what run {told.run_id} read")
    for title, facts in in_words(told):
        voice.facts(title, facts)
    voice.data(told.model_dump(by_alias=True, mode="json"))
    voice.next(f"recsync status {shlex.quote(folder)}")
