"""What the template tells a function through its environment."""

from __future__ import annotations

import os
import re


class SettingsError(Exception):
    """An environment variable is missing or wrong."""


def required(name: str) -> str:
    """A variable that has to be there.

    Raises:
        SettingsError: It is not.
    """
    value = os.environ.get(name)
    if not value:
        raise SettingsError(f"the environment variable {name} is not set; the template should set it")
    return value


def queue_url(connector: str) -> str:
    """The queue of a connector: QUEUE_URL_BRAZE for braze."""
    return required(f"QUEUE_URL_{_upper(connector)}")


def has_queue(connector: str) -> bool:
    """Whether the stack delivers to a connector's destination."""
    return f"QUEUE_URL_{_upper(connector)}" in os.environ


def dead_letter_queue_url(connector: str) -> str:
    """Where a connector's dead letters rest; empty where the stack has no such connector."""
    return os.environ.get(f"DEAD_LETTER_QUEUE_URL_{_upper(connector)}", "")


def glue_job(job_type: str) -> str:
    """The Glue job of a job type: GLUE_JOB_RELATED_ITEMS for related_items."""
    return required(f"GLUE_JOB_{_upper(job_type)}")


def scheduled_jobs() -> list[str]:
    """The jobs that the schedule starts; empty for all."""
    return [job.strip() for job in os.environ.get("SCHEDULED_JOBS", "").split(",") if job.strip()]


def starts_missed() -> bool:
    """Whether the sweep starts runs that an event should have started: only where STARTS_MISSED is 1."""
    return os.environ.get("STARTS_MISSED") == "1"


def retention_days() -> int:
    """How long runs are kept.

    Raises:
        SettingsError: RETENTION_DAYS is no number.
    """
    return _number("RETENTION_DAYS", default=90, lowest=1)


def concurrency() -> int:
    """How many requests one function has on their way at once.

    Raises:
        SettingsError: CONCURRENCY is no number.
    """
    return _number("CONCURRENCY", default=8, lowest=1)


def allow_loopback() -> bool:
    """Whether a destination may be on this machine: only where RECSYNC_ALLOW_LOOPBACK is 1."""
    return os.environ.get("RECSYNC_ALLOW_LOOPBACK") == "1"


def _upper(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _number(name: str, *, default: int, lowest: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isascii() or not value.isdecimal() or int(value) < lowest:
        raise SettingsError(f"the environment variable {name} is {value!r}; it should be a number from {lowest}")
    return int(value)
