"""recsync init: a job folder that validates and runs, to be changed into one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.config_schema import config_schema
from cli.schemas import as_text
from cli.typed import UsageError, path_of
from connectors import registry
from connectors.contract import layout
from connectors.contract.layout import JobFolder, LayoutError
from sample.generate import write_for_you, write_similar_items
from sample.shop import Shop

# The schema stands beside the settings, so that an editor finds it without network.
SCHEMA = "config.schema.json"
DEFAULT_TYPE = "user_personalization"
_DEFAULT_NAME = "first_job"
_USERS, _ITEMS, _SEED = 60, 40, 7
_WRITE: Mapping[str, Callable[[Path, Shop], None]] = {
    "related_items": write_similar_items,
    "user_personalization": write_for_you,
}


def new_folder(text: str, job_type: str | None) -> JobFolder:
    """The job folder to make.

    Args:
        text: Its path; or any other folder, then one is made below it.
        job_type: Its type, where the path does not say.

    Raises:
        UsageError: It is on S3, the path says another type, or there is something in it.
        LayoutError: It is nearly the path of a job folder.
    """
    if text.startswith("s3://"):
        raise UsageError("init writes on this machine; copy the folder to S3 when it is what you want")
    path = path_of(text)
    if "etl_jobs" in path.parts[-3:] and not _parsed(path):
        return JobFolder.parse(str(path))  # which says what is wrong with it
    folder = _parsed(path) or _parsed(path / "etl_jobs" / (job_type or DEFAULT_TYPE) / _DEFAULT_NAME)
    if folder is None:
        raise UsageError(f"there is no job type {job_type!r}; there are: {', '.join(layout.JOB_TYPES)}")
    if job_type not in (None, folder.job_type):
        raise UsageError(f"{folder.root} is the place of a {folder.job_type} job; leave --type {job_type} out")
    if Path(folder.root).exists() and (not Path(folder.root).is_dir() or any(Path(folder.root).iterdir())):
        raise UsageError(f"{folder.root} is there already, and not empty; nothing was written")
    return folder


def _parsed(path: Path) -> JobFolder | None:
    try:
        return JobFolder.parse(str(path))
    except LayoutError:
        return None


def write_job(folder: JobFolder) -> None:
    """Write settings, their schema and the input of a small made-up shop.

    Raises:
        UsageError: It cannot be written there.
    """
    try:
        _write_job(folder)
    except OSError as error:
        raise UsageError(f"{folder.root} cannot be written: {error}") from error


def _write_job(folder: JobFolder) -> None:
    path = Path(folder.root)
    _WRITE[folder.job_type](path, Shop(_USERS, _ITEMS, _SEED))
    config = path / layout.CONFIG
    settings = {"$schema": f"./{SCHEMA}", **json.loads(config.read_text(encoding="utf-8"))}
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (path / SCHEMA).write_text(as_text(config_schema(registry.names())), encoding="utf-8")
