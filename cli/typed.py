"""What a person typed, and what is meant by it: a job folder, a file of users, one of several connectors."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from connectors.contract.layout import JobFolder, LayoutError
from connectors.contract.storage import Storage
from glue_jobs.trial import users_in


class UsageError(Exception):
    """What was typed, or set in the environment, cannot be done. Exit code 2."""


def any_folder(text: str) -> JobFolder:
    """A job folder on this machine or on S3, by its address.

    Raises:
        UsageError: It is not there, or is not shaped like one.
    """
    path = None if text.startswith("s3://") else path_of(text)
    if path and not path.is_dir():
        raise UsageError(f"there is no folder {path}")
    try:
        return JobFolder.parse(_place(path) if path else text)
    except LayoutError as error:
        raise UsageError(str(error)) from error


def _place(path: Path) -> str:
    """Where a folder really is, so that it has one name; as it is named, where only that is a job folder's."""
    real = str(path.resolve())
    try:
        return JobFolder.parse(real).root
    except LayoutError:
        return os.path.normpath(path)


def path_of(text: str) -> Path:
    """A path on this machine, whole.

    Raises:
        UsageError: It begins with the home of someone who has none.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}") from error


def users_of(path: str) -> list[str]:
    """The user ids of a file, one a line.

    Raises:
        UsageError: It cannot be read.
        ConfigError: It names nobody, or more than a trial is for.
    """
    try:
        text = path_of(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return users_in(text, path)


def known(connector: str, names: Collection[str]) -> str:
    """The connector, once it is known that the job has it.

    Raises:
        UsageError: It has not.
    """
    if connector not in names:
        raise UsageError(f"config.json names no connector {connector!r}; it names {', '.join(sorted(names))}")
    return connector


def meant(storage: Storage, only: str | None, names: Collection[str]) -> list[str]:
    """Those of a job folder's connectors that are meant: the one that is named, or all.

    Raises:
        UsageError: The one that is named is none of them.
    """
    if only is not None and only not in names:
        others = ", ".join(sorted(names)) or "none"
        raise UsageError(f"{storage.root} has nothing of {only!r}; it has something of {others}")
    return sorted(names) if only is None else [only]
