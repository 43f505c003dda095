"""redeliver: what never arrived is sent again."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import typer

from cli.console import Output, Voice
from cli.delivery import connectors_of, destinations_of
from cli.exit_codes import FAILED, LOST_SOME
from cli.fate import FATE_NAMES
from cli.options import ConnectorOption, Folder, NoColorOption, OutputOption, QuietOption, command
from cli.redeliver import Again, find, send_again
from cli.typed import UsageError, any_folder
from connectors.base import Connector
from connectors.contract.layout import JobFolder
from connectors.contract.storage import Storage, open_storage
from connectors.http import Sender


@command(
    "recsync redeliver sample/etl_jobs/related_items/similar_items",
    "recsync redeliver --dry-run --limit 100 sample/etl_jobs/user_personalization/for_you",
)
def redeliver(
    folder: Folder,
    connector: ConnectorOption = None,
    run: Annotated[str | None, typer.Option("--run", help="This run; else the newest that was published.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many lines.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Send again what no receipt speaks of or what was given up, of the newest published run.

    Of a run that a newer one has replaced nothing is sent. Endpoint and key are found as for deliver.
    """
    voice, job = Voice(output, quiet, no_color), any_folder(folder)
    storage = open_storage(job.root)
    found = find(storage, connectors_of(job, connector), run, limit)
    if not found:
        raise UsageError(f"{job.root} has published nothing yet; run it first: recsync run {shlex.quote(folder)}")
    for one in found:
        _warn_of_repeats(job, one, voice)
    sending = [] if dry_run else [one.manifest.connector for one in found if one.count]
    to = destinations_of(sending, os.environ)
    outcomes = [Counter(one.fates) if dry_run else _sent(storage, one, to, voice) for one in found]
    runs = [_data(one, counts) for one, counts in zip(found, outcomes, strict=True)]
    for one, data in zip(found, runs, strict=True):
        what = "would be sent again" if dry_run else "sent again"
        voice.table(f"{one.manifest.connector}: {what} of run {one.manifest.run_id}", ["", "lines"], _rows(data))
        if one.skipped:
            voice.warn(f"{one.manifest.connector}: run {one.manifest.run_id}: {one.skipped}")
    voice.data({"dryRun": dry_run, "runs": runs})
    total = sum(outcomes, Counter[str]())
    untold = total["waiting"] + total["deadLettered"]  # which both were, before they were sent again
    is_left = untold + sum(one.left for one in found)
    named = [*(["--connector", connector] if connector else []), *(["--run", run] if run else [])]
    again = ["redeliver", *named] if is_left else ["status"]
    voice.next(shlex.join(["recsync", *again, folder]))
    raise typer.Exit(0 if dry_run else FAILED if untold else LOST_SOME if total["rejected"] else 0)


def _warn_of_repeats(job: JobFolder, again: Again, voice: Voice) -> None:
    waiting = again.fates.get("waiting")
    if again.count and waiting and job.is_on_s3:
        name = again.manifest.connector
        voice.warn(f"{name}: {waiting} of these lines may still wait in the stack's queue, and arrive a second time")


def _sent(storage: Storage, again: Again, to: Mapping[str, Connector], voice: Voice) -> Counter[str]:
    """Send a run's lines again, and say what the trouble is."""
    if not again.count:
        return Counter()
    name = again.manifest.connector
    counts, trouble = send_again(storage, again, to[name], Sender(), voice.stage)
    for one in dict.fromkeys(trouble):
        voice.warn(f"{name} run {again.manifest.run_id}: {one}")
    return counts


def _data(again: Again, counts: Counter[str]) -> dict[str, str | int]:
    """A run for a program."""
    outcomes = {name: counts[name] for name in (*FATE_NAMES.values(), "requests")}
    named: dict[str, str | int] = {"connector": again.manifest.connector, "run": again.manifest.run_id}
    return {**named, "lines": again.count, **outcomes, "beyondLimit": again.left, "skipped": again.skipped}


def _rows(data: dict[str, str | int]) -> list[list[object]]:
    return [[name, count] for name, count in data.items() if isinstance(count, int) and (count or name == "lines")]
