"""Which key of a job folder holds what.

Text in, text out: no file is touched here. Every other room asks this one for its keys, so the
folder's shape can be read, and changed, in one place. Times in keys are UTC.
"""

from __future__ import annotations

import functools
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

CONFIG = "config.json"
MAPPING = "input/user_item_mapping/"
METADATA = "input/item_metadata/"
OUTPUT = "output/"
HELD = "held/"
RUNS = "runs/"
STARTED = "started/"
ALIAS_KEY = f"{RUNS}_alias.key"
# What names of files end in that hold users to be cleared: once they are, and as they were, for where no clear is sent.
CLEARS, WITHHELD = "-clear", "-withheld"
JOB_TYPES = ("related_items", "user_personalization")

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}", re.ASCII)
_PARTITION = re.compile(r"(?:^|/)year=(\d{4})/month=(\d\d)/day=(\d\d)/time=(\d{6})-([0-9a-f]{6})/")
_RUN_IN_KEY = re.compile(r"(?<=[/=-])\d{8}T\d{6}Z-[0-9a-f]{6}(?=[/.])")
_MANIFEST = re.compile(
    r"output/(?P<connector>[^/]+)/year=\d{4}/month=\d\d/day=\d\d/time=\d{6}-[0-9a-f]{6}/_manifest\.json"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


class LayoutError(ValueError):
    """A path or key that no job folder can hold."""


def is_name(text: str) -> bool:
    """Whether a job or connector may be called this."""
    return _NAME.fullmatch(text) is not None and text not in {".", ".."}


def check_key(key: str) -> str:
    """The key itself, once it is known to stay inside the folder it is read from.

    Percent-encoding is undone before looking, as often as it was done, so that ``%252e%252e`` is seen
    for what it is.

    Raises:
        LayoutError: The key is empty, absolute, climbs with ``..``, or has an empty part, a backslash or a
            control character.
    """
    plain = key
    while (decoded := unquote(plain)) != plain:
        plain = decoded
    for text in {key, plain}:
        if _CONTROL.search(text) or any(part in {"", ".", ".."} for part in text.split("/")):
            raise LayoutError(f"key {key!r} leaves its folder or has an empty part; use plain names and single slashes")
    return key


@dataclass(frozen=True)
class JobFolder:
    """Where a job lives: ``s3://bucket/etl_jobs/<job_type>/<job_name>`` or a local folder of that shape.

    Attributes:
        root: The folder without a trailing slash.
    """

    root: str
    job_type: str
    job_name: str

    @classmethod
    def parse(cls, text: str) -> JobFolder:
        """Read a job folder's path, with or without a trailing slash.

        Raises:
            LayoutError: The path does not end in ``etl_jobs/<job_type>/<job_name>``.
        """
        root = text.rstrip("/")
        scheme, bare = ("s3://", root[5:]) if root.startswith("s3://") else ("", root)
        *above, folder, job_type, job_name = ["", "", *bare.split("/")]
        is_shaped = folder == "etl_jobs" and job_type in JOB_TYPES and is_name(job_name)
        is_placed = len(above) == 3 and is_name(above[2]) if scheme else "://" not in bare
        if not is_shaped or not is_placed:
            raise LayoutError(
                f"job folder {text!r} should end in etl_jobs/<job_type>/<job_name>, "
                "below s3://bucket or a local folder, "
                f"with a job_type of {' or '.join(JOB_TYPES)} and a job_name of A-Z a-z 0-9 . _ -"
            )
        return cls(root, job_type, job_name)

    @property
    def is_on_s3(self) -> bool:
        """Whether it is one of a bucket."""
        return self.root.startswith("s3://")

    @property
    def job(self) -> str:
        """``<job_type>/<job_name>``: how people name the job."""
        return f"{self.job_type}/{self.job_name}"


def new_run_id(now: datetime) -> str:
    """A name for one run: its second in UTC, and six random hex digits to keep two of one second apart."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@functools.lru_cache  # many keys name the same few runs
def time_of_run(run_id: str) -> datetime:
    """When a run began, by its name.

    Raises:
        LayoutError: The text is not a run id.
    """
    with suppress(ValueError):  # no such day, or time
        if _RUN_ID.fullmatch(run_id):
            return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    raise LayoutError(f"run id {run_id!r} should look like 20260131T020000Z-3f9a2c")


def is_run_id(text: str) -> bool:
    """Whether a run may be called this."""
    try:
        time_of_run(text)
    except LayoutError:
        return False
    return True


def run_of_key(key: str) -> str | None:
    """The run that a key belongs to; None for what no single run left."""
    if match := _PARTITION.search(key):
        run_id = "{}{}{}T{}Z-{}".format(*match.groups())
    else:
        run_id = match[0] if (match := _RUN_IN_KEY.search(key)) else ""
    return run_id if is_run_id(run_id) else None


def partition(run_id: str) -> str:
    """``year=/month=/day=/time=`` of a run. The run's random digits ride along, so no two runs share one.

    Raises:
        LayoutError: The text is not a run id.
    """
    time_of_run(run_id)
    year, month, day, time, digits = run_id[:4], run_id[4:6], run_id[6:8], run_id[9:15], run_id[17:]
    return f"year={year}/month={month}/day={day}/time={time}-{digits}"


def output(connector: str, run_id: str) -> str:
    """The folder of one run's parts and manifest, without a trailing slash."""
    return f"{OUTPUT}{connector}/{partition(run_id)}"


def part(connector: str, run_id: str, name: str) -> str:
    """One part: gzipped SyncRecords, one a line."""
    return f"{output(connector, run_id)}/part-{name}.jsonl.gz"


def manifest(connector: str, run_id: str) -> str:
    """The manifest: written last, and the only key that starts delivery."""
    return f"{output(connector, run_id)}/_manifest.json"


def connector_of_manifest(key: str) -> str | None:
    """The connector a manifest key belongs to; None for every other key."""
    match = _MANIFEST.fullmatch(key)
    return match["connector"] if match and is_name(match["connector"]) else None


def split_manifest_uri(uri: str) -> tuple[JobFolder, str]:
    """A manifest's full address, as (job folder, key in it).

    Raises:
        LayoutError: The address is not that of a manifest.
    """
    root, *parts = uri.rsplit("/", 7)
    key = "/".join(parts)
    if connector_of_manifest(key) is None or root.endswith("/"):
        raise LayoutError(f"{uri!r} is not a manifest's address")
    return JobFolder.parse(root), key


def state_folder(connector: str) -> str:
    """The folder of a connector's pointer and snapshots, with a trailing slash."""
    return f"{OUTPUT}{connector}/state/"


def pointer(connector: str) -> str:
    """The pointer to the committed snapshot: swapping it is the commit."""
    return f"{state_folder(connector)}_current.json"


def snapshot(connector: str, version: int, run_id: str) -> str:
    """The folder of one snapshot, without a trailing slash."""
    return f"{state_folder(connector)}{version}-{run_id}"


def items(connector: str, version: int, run_id: str) -> str:
    """The items as a run knew them, beside its snapshot's users."""
    return f"{snapshot(connector, version, run_id)}/items.parquet"


def receipts(connector: str, run_id: str) -> str:
    """The folder of one run's receipts, with a trailing slash."""
    return f"receipts/{connector}/run={run_id}/"


def enqueued_folder(connector: str, run_id: str) -> str:
    """The folder of one run's markers, with a trailing slash."""
    return f"enqueued/{connector}/run={run_id}/"


def enqueued(connector: str, run_id: str, part_key: str) -> str:
    """Enqueue's marker of one part: how far it came, or that it is done."""
    return f"{enqueued_folder(connector, run_id)}{part_key.rpartition('/')[2]}.json"


def started(batch: str) -> str:
    """The marker of a batch that a run was started for."""
    return f"{STARTED}{batch}.json"


def health(connector: str) -> str:
    """The open circuit of a destination in trouble."""
    return f"health/{connector}.json"


def held_folder(connector: str) -> str:
    """The folder of a connector's commits that wait for a yes, with a trailing slash."""
    return f"{HELD}{connector}/"


def held(connector: str, run_id: str) -> str:
    """A commit that waits for a yes."""
    return f"{held_folder(connector)}{run_id}.json"


def run_record(run_id: str) -> str:
    """What a run did and found."""
    return f"{RUNS}{run_id}/run.json"


def plan_record(run_id: str) -> str:
    """What a run would do."""
    return f"{RUNS}{run_id}/plan.json"


def only_users(token: str) -> str:
    """The ids that a trial is for. The token begins with its time, so that what is too old is known by its name."""
    return f"{RUNS}_only_users/{token}.txt"


def report(run_id: str) -> str:
    """The page about a run."""
    return f"{RUNS}{run_id}/report.html"


def errors(run_id: str) -> str:
    """The folder of the lines that the recommender failed, without a trailing slash."""
    return f"errors/{partition(run_id)}"


def quarantine(run_id: str) -> str:
    """The folder of the lines that we could not read, without a trailing slash."""
    return f"quarantine/{partition(run_id)}"
