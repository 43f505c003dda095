"""report: the page about a run, written again with what became of it by now. Needs no Spark."""

from __future__ import annotations

import shlex
import tempfile
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli import aws
from cli.console import Output, Voice
from cli.options import Folder, NoColorOption, OutputOption, QuietOption, RunOption, command
from cli.records import record_of
from cli.typed import UsageError, any_folder
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.storage import open_storage
from glue_jobs.report.filing import file_report

LINK_LIFE_S = 3600
# Without the addressing style botocore names no region in the host of an address that it signs.
_REGIONAL = {"signature_version": "s3v4", "s3": {"addressing_style": "virtual"}}
OpenOption = Annotated[bool, typer.Option("--open", help="Show it in a browser; of a folder on S3, a copy.")]
LinkOption = Annotated[
    bool,
    typer.Option(
        "--link",
        help="Of a folder on S3: an address that shows it to whoever has it, for an hour at the most; "
        "it ends earlier with the credentials it is made with.",
    ),
]


@command(
    "recsync report sample/etl_jobs/related_items/similar_items",
    "recsync report --open --run 20261121T040000Z-3f9a2c s3://shop-connector/etl_jobs/user_personalization/for_you",
)
def report(
    folder: Folder,
    run: RunOption = None,
    show: OpenOption = False,
    link: LinkOption = False,
    output: OutputOption = Output.TEXT,
    quiet: QuietOption = False,
    no_color: NoColorOption = False,
) -> None:
    """Write the page about a run or a plan again, with what the receipts say by now, and print its address."""
    voice, job = Voice(output, quiet, no_color), any_folder(folder)
    if link and not job.is_on_s3:
        raise UsageError(f"--link is for folders on S3; {job.root} is on this machine, see it with --open")
    storage = open_storage(job.root)
    record = record_of(storage, run, or_plan=True)
    address = f"{storage.root}/{file_report(storage, record, datetime.now(UTC))}"
    linked = link_to(address) if link else None
    voice.say(linked or address)
    voice.data({"run": record.run_id, "report": address, **({"link": linked} if linked else {})})
    if show:
        open_page(job, layout.report(record.run_id), voice)
    voice.next(f"recsync status {shlex.quote(folder)}")


def open_page(job: JobFolder, key: str, voice: Voice) -> None:
    """Show a page of a job folder in a browser."""
    path = Path(job.root) / key
    if job.is_on_s3:
        path = Path(tempfile.mkdtemp(prefix="recsync-")) / Path(key).name
        path.write_bytes(open_storage(job.root).get(key).data)
    if not webbrowser.open(path.as_uri()):
        voice.warn(f"there is no browser here; open {path}")


def link_to(address: str) -> str:
    """An https address that shows an object of S3 to whoever has it, for LINK_LIFE_S.

    It is signed for the bucket's own region and names that in the host: one that is sent on to there would be refused.

    Raises:
        AwsError: The bucket cannot be asked where it is.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    s3 = aws.client("s3")
    with aws.in_words("s3:ListBucket", f"arn:{s3.meta.partition}:s3:::{bucket}"):
        region = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"]
        there = aws.client("s3", region_name=region, config=_REGIONAL)
        how = {"Params": {"Bucket": bucket, "Key": key}, "ExpiresIn": LINK_LIFE_S}
        return str(there.generate_presigned_url("get_object", **how))
