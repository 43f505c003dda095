"""validate, plan, run, deliver: from settings to profiles."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from cli import embedded, show
from cli import run as work
from cli.console import Output, Voice
from cli.options import Folder, NoColorOption, OutputOption, QuietOption, command

_CHANGES = 6
FullOption = Annotated[bool, typer.Option("--full", help="Send everyone once; needs no readable snapshot.")]


@command(
    "recsync validate sample/etl_jobs/related_items/similar_items",
    "recsync validate --output json sample/etl_jobs/user_personalization/for_you",
)
def validate(
    folder: Folder, output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False
) -> None:
    """Name every mistake of a job's config.json. Reads nothing else, and needs no Spark."""
    voice = Voice(output, quiet, no_color)
    mistakes, warnings = work.check_config(work.local_folder(folder))
    for warning in warnings:
        voice.warn(warning)
    voice.data({"mistakes": mistakes, "warnings": warnings})
    if mistakes:
        voice.fail("\n".join(mistakes))
        raise typer.Exit(2)
    voice.stage("config.json is right")
    voice.next(f"recsync plan {shlex.quote(folder)}")


@command(
    "recsync plan sample/etl_jobs/related_items/similar_items",
    "recsync plan --detailed-exitcode --output json sample/etl_jobs/user_personalization/for_you",
)
def plan(
    folder: Folder,
    full: FullOption = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 6 when there is something to send.")
    ] = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Say what a run would do: who is told what, what it costs, what the guards say. Writes nothing but the plan."""
    voice = Voice(output, quiet, no_color)
    result = work.run_job(work.local_folder(folder), voice, is_full=full, is_plan=True)
    record = result.record
    for one in record.connectors:
        show.planned(one, voice)
    voice.data(record.model_dump(by_alias=True, mode="json"))
    show.stopped(result.stopped, voice)
    voice.next(f"recsync run --plan {record.run_id} {shlex.quote(folder)}")
    has_changes = any(one.counts.get("records") for one in record.connectors)
    raise typer.Exit(record.exit_code or (_CHANGES if detailed_exitcode and has_changes else 0))


@command(
    "recsync run sample/etl_jobs/related_items/similar_items",
    "recsync run --only-users test_profiles.txt sample/etl_jobs/user_personalization/for_you",
)
def run(
    folder: Folder,
    full: FullOption = False,
    plan_id: Annotated[
        str | None, typer.Option("--plan", help="Only if everything still is as this plan found it.")
    ] = None,
    only_users: Annotated[
        str | None, typer.Option("--only-users", metavar="FILE", help="A trial for these ids, one a line; no commit.")
    ] = None,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Compute what changed and publish it, on Spark on this machine. What a guard holds waits for `recsync approve`.

    With --only-users the users of a file are told their whole lists, as a trial: nothing is committed, nobody cleared.
    """
    voice = Voice(output, quiet, no_color)
    job = work.local_folder(folder)
    if only_users and (full or plan_id):
        raise work.UsageError("--only-users commits nothing; give it without --full and --plan")
    users = work.users_of(only_users) if only_users else None
    plan = work.plan_of(job, plan_id) if plan_id else None
    result = work.run_job(job, voice, is_full=full, plan=plan, only_users=users)
    for one in result.synced:
        show.synced(one, voice)
    for held in result.held:
        show.held(held, folder, voice)
    show.stopped(result.stopped, voice)
    voice.data(show.result_data(result))
    if not result.exit_code:
        voice.next(f"recsync deliver {shlex.quote(folder)}")
    raise typer.Exit(result.exit_code)


@command(
    "recsync deliver sample/etl_jobs/related_items/similar_items",
    "recsync deliver --output json sample/etl_jobs/user_personalization/for_you",
)
def deliver(
    folder: Folder, output: OutputOption = Output.TEXT, quiet: QuietOption = False, no_color: NoColorOption = False
) -> None:
    """Deliver what a job folder has published and no receipt speaks of.

    Braze is found by BRAZE_REST_ENDPOINT and BRAZE_API_KEY, a webhook by WEBHOOK_URL and WEBHOOK_SECRET.
    """
    voice = Voice(output, quiet, no_color)
    job = work.local_folder(folder)
    names = work.connectors_of(job)
    if not names:
        raise work.UsageError(f"{job.root} has published nothing yet; run it first: recsync run {folder}")
    deliveries = [one for name in names for one in work.deliver_job(job, work.destination_of(name, os.environ), voice)]
    for one in deliveries:
        voice.stage(f"{one.manifest.connector} run {one.manifest.run_id}: {one.skipped}") if one.skipped else None
        for trouble in dict.fromkeys(one.trouble):
            voice.warn(f"{one.manifest.connector} run {one.manifest.run_id}: {trouble}")
    counts = embedded.total(deliveries)
    figures = {name: counts[name] for name in ("sent", "delivered", "rejected", "waiting", "requests")}
    voice.table("All runs of this folder", ["", "count"], list(figures.items()))
    voice.data(figures)
    voice.next(f"recsync {'deliver' if counts['waiting'] else 'status'} {shlex.quote(folder)}")
    raise typer.Exit(1 if counts["waiting"] else 5 if counts["rejected"] else 0)
