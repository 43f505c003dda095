"""validate, plan, run, deliver: from settings to profiles."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from itertools import chain
from typing import Annotated

import typer

from cli import embedded, local_spark, remote, show
from cli import run as work
from cli.console import Output, Voice
from cli.delivery import after_publishing, check_deliverable, connectors_of, deliver_job, destinations_of
from cli.exit_codes import CHANGES, FAILED, IMPOSSIBLE, LOST_SOME
from cli.fate import FATE_NAMES
from cli.options import (
    AttachOption,
    ConnectorOption,
    Folder,
    NoColorOption,
    OutputOption,
    QuietOption,
    StackOption,
    command,
)
from cli.typed import UsageError, any_folder, users_of
from connectors.contract.held import Held
from connectors.contract.layout import JobFolder
from connectors.contract.run_record import RunRecord
from connectors.contract.storage import Storage, open_storage
from glue_jobs.approval import read_plan
from glue_jobs.arguments import RunArguments

_NO_LOCAL_RUN = (
    "a run has no --local: the folder on S3 knows nothing of what a copy commits, and its next run would send that "
    "again; look with: recsync plan --local {folder}, then: recsync run {folder}"
)
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
    mistakes, warnings = work.check_config(any_folder(folder))
    for warning in warnings:
        voice.warn(warning)
    voice.data({"mistakes": mistakes, "warnings": warnings})
    for mistake in mistakes:
        voice.fail(mistake)
    if mistakes:
        raise typer.Exit(IMPOSSIBLE)
    voice.stage("config.json is right")
    voice.next(f"recsync plan {shlex.quote(folder)}")


@command(
    "recsync plan --detailed-exitcode sample/etl_jobs/related_items/similar_items",
    "recsync plan --output json s3://shop-connector/etl_jobs/user_personalization/for_you",
)
def plan(
    folder: Folder,
    full: FullOption = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 6 when there is something to send.")
    ] = False,
    stack: StackOption = None,
    attach: AttachOption = None,
    local: Annotated[
        bool, typer.Option("--local", help="Of a folder on S3, on Spark here: on a copy of at most 2 GB.")
    ] = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Say what a run would do: who is told what, what it costs, what the guards say. Writes nothing but the plan.

    Of a folder on S3 the deployed Glue job makes the plan; Ctrl-C leaves that running.
    """
    voice, job = Voice(output, quiet, no_color), any_folder(folder)
    _check_place(job, stack=stack, attach=attach, local=local)
    _check_attached(attach, full)
    if local:
        record = _planned_on_copy(job, voice, is_full=full)
    elif job.is_on_s3:
        record = _ended_on_glue(job, RunArguments(is_full=full, is_plan=True), voice, stack=stack, attach=attach)
    else:
        record = work.run_job(job, voice, is_full=full, is_plan=True).record
    for one in record.connectors:
        show.planned(one, voice)
    voice.data(record.model_dump(by_alias=True, mode="json"))
    show.stopped(record, voice)
    as_planned = ["--full"] * full if local else ["--plan", record.run_id]
    if not record.exit_code:
        voice.next(shlex.join(["recsync", "run", *as_planned, *_named(stack), folder]))
    has_changes = any(one.counts.get("records") for one in record.connectors)
    raise typer.Exit(record.exit_code or (CHANGES if detailed_exitcode and has_changes else 0))


@command(
    "recsync run sample/etl_jobs/related_items/similar_items",
    "recsync run --stack recsync s3://shop-connector/etl_jobs/user_personalization/for_you",
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
    stack: StackOption = None,
    attach: AttachOption = None,
    local: Annotated[bool, typer.Option("--local", hidden=True)] = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Compute what changed and publish it, on Spark on this machine. What a guard holds waits for `recsync approve`.

    Of a folder on S3 the deployed Glue job runs; Ctrl-C leaves that running.

    With --only-users the users of a file are told their whole lists, as a trial: nothing is committed, nobody cleared.
    """
    voice, job = Voice(output, quiet, no_color), any_folder(folder)
    _check_place(job, stack=stack, attach=attach, local=local)
    if local:
        raise UsageError(_NO_LOCAL_RUN.format(folder=shlex.quote(folder)))
    if only_users and (full or plan_id):
        raise UsageError("--only-users commits nothing; give it without --full and --plan")
    _check_attached(attach, full, plan_id, only_users)
    users = users_of(only_users) if only_users else None
    plan = read_plan(open_storage(job.root), plan_id) if plan_id else None
    if job.is_on_s3:
        asked = RunArguments(is_full=full, plan_id=plan_id or "")
        record = _ended_on_glue(job, asked, voice, stack=stack, attach=attach, users=users or ())
        waiting: Sequence[Held] = remote.held_by(record, open_storage(job.root))
    else:
        result = work.run_job(job, voice, is_full=full, plan=plan, only_users=users)
        record, waiting = result.record, result.held
    show.ended(record, waiting, folder, voice)
    voice.data(show.ended_data(record, waiting))
    if not record.exit_code:
        voice.next(after_publishing(folder))
    raise typer.Exit(record.exit_code)


def _check_place(job: JobFolder, *, stack: str | None, attach: str | None, local: bool) -> None:
    """Refuse what does not go with the folder's place.

    Raises:
        UsageError: It is for folders on S3, or one thing and its opposite.
    """
    if not job.is_on_s3 and (stack or attach or local):
        raise UsageError(f"--stack, --attach and --local are for folders on S3; {job.root} is on this machine")
    if local and (stack or attach):
        raise UsageError("--local needs no Glue job; give it without --stack and --attach")


def _check_attached(attach: str | None, *asked: object) -> None:
    """A run that was started goes on as it was asked for.

    Raises:
        UsageError: More is asked for now.
    """
    if attach and any(asked):
        raise UsageError("--attach goes back to a run as it is; give it without --full, --plan and --only-users")


def _planned_on_copy(job: JobFolder, voice: Voice, *, is_full: bool) -> RunRecord:
    local_spark.java_home(os.environ)  # so that nothing is copied where nothing can be planned
    from cli.copied import copy_of

    with copy_of(job, voice) as copy:
        return work.run_job(copy, voice, is_full=is_full, is_plan=True).record


def _ended_on_glue(
    job: JobFolder,
    asked: RunArguments,
    voice: Voice,
    *,
    stack: str | None,
    attach: str | None,
    users: Sequence[str] = (),
) -> RunRecord:
    """The record of the run that was attached to, or else of one that is started."""
    there = remote.find(job, stack)
    run_id = attach or remote.start(there, asked, users)
    if not attach:
        voice.stage(f"started {there.job.name}, run {run_id}; Ctrl-C leaves it running")
    return remote.result_of(there, run_id, voice, is_plan=asked.is_plan)


def _named(stack: str | None) -> list[str]:
    return ["--stack", stack] if stack else []


@command(
    "recsync deliver sample/etl_jobs/related_items/similar_items",
    "recsync deliver --output json sample/etl_jobs/user_personalization/for_you",
)
def deliver(
    folder: Folder,
    connector: ConnectorOption = None,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Deliver what a job folder has published and no receipt speaks of.

    Braze is found by BRAZE_REST_ENDPOINT and BRAZE_API_KEY, a webhook by WEBHOOK_URL and WEBHOOK_SECRET.
    """
    voice, job = Voice(output, quiet, no_color), any_folder(folder)
    check_deliverable(job)
    storage, names = open_storage(job.root), connectors_of(job, connector)
    if not names:
        raise UsageError(f"{job.root} has published nothing yet; run it first: recsync run {shlex.quote(folder)}")
    ours = _ours(storage, names, voice)
    embedded.supersede_replaced(storage, chain(*ours.values()))
    standing = {name: embedded.as_it_stands(storage, runs) for name, runs in ours.items()}
    owing = [name for name, found in standing.items() if any(one.waiting for one in found)]
    to = destinations_of(owing, os.environ)
    standing |= {name: deliver_job(storage, ours[name], one, voice) for name, one in to.items()}
    deliveries = list(chain(*standing.values()))
    for one in deliveries:
        for trouble in dict.fromkeys(one.trouble):
            voice.warn(f"{one.manifest.connector} run {one.manifest.run_id}: {trouble}")
    counts = embedded.total(deliveries)
    figures = {name: counts[name] for name in ("records", *FATE_NAMES.values(), "requests")}
    voice.table("All runs of this folder", ["", "count"], list(figures.items()))
    voice.data(figures)
    voice.next(f"recsync {'deliver' if counts['waiting'] else 'status'} {shlex.quote(folder)}")
    raise typer.Exit(FAILED if counts["waiting"] else LOST_SOME if any(one.lost for one in deliveries) else 0)


def _ours(storage: Storage, names: Sequence[str], voice: Voice) -> dict[str, list[embedded.Published]]:
    """Each connector's published runs that are for us to deliver; the others are named."""
    found: dict[str, list[embedded.Published]] = {}
    for key, manifest in chain.from_iterable(embedded.published(storage, name) for name in names):
        if manifest.acknowledge == "onWrite":
            voice.stage(f"{manifest.connector} run {manifest.run_id}: {embedded.NOT_OURS}")
        else:
            found.setdefault(manifest.connector, []).append((key, manifest))
    return found
