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
    return required(f"QUEUE_URL_{re.sub(r'[^A-Za-z0-9]', '_', connector).upper()}")


def concurrency() -> int:
    """How many requests one function has on their way at once.

    Raises:
        SettingsError: CONCURRENCY is no number.
    """
    return _number("CONCURRENCY", default=8, lowest=1)


def allow_loopback() -> bool:
    """Whether a destination may be on this machine: only where RECSYNC_ALLOW_LOOPBACK is 1."""
    return os.environ.get("RECSYNC_ALLOW_LOOPBACK") == "1"


def _number(name: str, *, default: int, lowest: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isascii() or not value.isdecimal() or int(value) < lowest:
        raise SettingsError(f"the environment variable {name} is {value!r}; it should be a number from {lowest}")
    return int(value)
