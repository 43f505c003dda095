"""approve, discard, wipe: a person's word about what waits."""

from __future__ import annotations

import shlex
import sys

import typer

from cli import run as work
from cli import show
from cli.console import Output, Voice
from cli.delivery import after_publishing
from cli.options import ConnectorOption, Folder, NoColorOption, OutputOption, QuietOption, RunOption, YesOption, command
from cli.typed import UsageError, any_folder, known, meant
from connectors.contract import layout
from connectors.contract.held import Held, newest_held
from connectors.contract.storage import Storage, open_storage
from glue_jobs.errors import SyncError


@command(
    "recsync approve sample/etl_jobs/related_items/similar_items",
    "recsync approve --yes --connector braze sample/etl_jobs/user_personalization/for_you",
)
def approve(
    folder: Folder,
    connector: ConnectorOption = None,
    run: RunOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Commit and publish the run that a guard held: exactly that, or nothing if something changed. Needs no Spark."""
    from glue_jobs import approval

    voice, storage = Voice(output, quiet, no_color), open_storage(any_folder(folder).root)
    done, refused = [], list[SyncError]()
    for held in _waiting(storage, connector, run):
        show.held_numbers(held, voice)
        if not _is_meant(
            f"Publish run {held.run_id} for {held.connector}: {held.manifest.counts['records']} record(s)?", yes
        ):
            continue
        try:
            done.append(approval.approve(storage, held.connector, held.run_id))
        except SyncError as error:  # what cannot be published of one connector keeps no other
            refused.append(error)
        else:
            voice.stage(f"{held.connector}: published run {held.run_id} as version {held.manifest.version}")
    voice.data({"approved": [{"connector": one.connector, "run": one.run_id} for one in done]})
    for other in refused[1:]:
        voice.warn(str(other))
    if refused:
        raise refused[0]
    if done:
        voice.next(after_publishing(folder))


@command(
    "recsync discard sample/etl_jobs/related_items/similar_items",
    "recsync discard --yes --connector braze sample/etl_jobs/user_personalization/for_you",
)
def discard(
    folder: Folder,
    connector: ConnectorOption = None,
    run: RunOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Forget the run that a guard held. Nobody is told anything; the next run decides anew. Needs no Spark."""
    from glue_jobs import approval

    voice, storage = Voice(output, quiet, no_color), open_storage(any_folder(folder).root)
    done = []
    for held in _waiting(storage, connector, run):
        if not _is_meant(f"Forget run {held.run_id} for {held.connector}?", yes):
            continue
        done.append(approval.discard(storage, held.connector, held.run_id))
        voice.stage(f"{held.connector}: run {held.run_id} is forgotten")
    voice.data({"discarded": [{"connector": one.connector, "run": one.run_id} for one in done]})
    if done:
        voice.next(f"recsync run {shlex.quote(folder)}")


@command(
    "recsync wipe sample/etl_jobs/related_items/similar_items",
    "recsync wipe --connector braze sample/etl_jobs/user_personalization/for_you",
)
def wipe(
    folder: Folder,
    connector: ConnectorOption = None,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Prepare to clear every attribute we ever wrote, of everyone. Held until approved. Needs no Spark."""
    from glue_jobs.wipe import wipe as hold_wipe

    voice, run = Voice(output, quiet, no_color), work.job_run(any_folder(folder))
    names = [known(connector, run.config.connectors)] if connector else list(run.config.connectors)
    wiped = hold_wipe(run, names, work.reporter(voice))
    for held in wiped.held:
        show.held(held, folder, voice)
    show.stopped(wiped.record, voice)
    voice.data(
        {
            "held": [{"connector": one.connector, "run": one.run_id} for one in wiped.held],
            "stopped": {name: str(error) for name, error in wiped.stopped.items()},
        }
    )
    raise typer.Exit(wiped.record.exit_code)


def _waiting(storage: Storage, connector: str | None, run_id: str | None) -> list[Held]:
    """The held runs that are meant.

    Raises:
        OutOfDateError: There is none.
        UsageError: Nothing in the folder is of that connector.
    """
    from glue_jobs.errors import OutOfDateError

    names = meant(storage, connector, {*storage.folders(layout.HELD), *storage.folders(layout.OUTPUT)})
    found = [held for name in names if (held := newest_held(storage, name))]
    if not found:
        raise OutOfDateError(f"no run of {storage.root} is held{f' for {connector}' if connector else ''}")
    if run_id is not None and run_id not in {held.run_id for held in found}:
        raise OutOfDateError(f"run {run_id} is not held; run {found[0].run_id} is")
    return [held for held in found if run_id in (None, held.run_id)]


def _is_meant(question: str, yes: bool) -> bool:
    """Whether the answer is yes.

    Raises:
        UsageError: There is nobody to ask.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("this needs a yes: type it on a terminal, or give --yes")
    return yes or typer.confirm(question, err=True)
