"""Messages as the queue gave them → what can be delivered: their records, and the run they belong to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from connectors.base import Connector, SyncOptions
from connectors.contract import layout
from connectors.contract.documents import DamagedError, read_document
from connectors.contract.manifest import Message, RunManifest
from connectors.contract.records import SyncRecord
from connectors.contract.storage import NotFoundError, OpenFolder, Storage
from connectors.contract.wire import NewerFormatError
from functions.reading import read_message, read_record


class PoisonError(Exception):
    """A message that nobody can ever read; its text is the code of the reason, see docs/explanation/delivery.md."""


@dataclass(frozen=True)
class Received:
    """A message as the queue gave it.

    Attributes:
        receives: How often the queue has handed it out, this time included.
    """

    message_id: str
    body: str
    receives: int = 1


@dataclass(frozen=True)
class Run:
    """What is the same for all messages of a run.

    Attributes:
        options_model: The connector's settings, as this release knows them.
    """

    storage: Storage
    manifest: RunManifest
    options_model: type[SyncOptions]

    @functools.cached_property
    def options(self) -> SyncOptions:
        """The settings of the run.

        Raises:
            NewerFormatError: Another release wrote them, in words that this one does not know.
        """
        try:
            return self.options_model.model_validate(self.manifest.options)
        except ValidationError as error:
            raise NewerFormatError(f"the settings of run {self.manifest.run_id} are not of this release") from error


@dataclass(frozen=True)
class Work:
    """A message that can be read, and its records."""

    received: Received
    message: Message
    records: Sequence[SyncRecord]
    run: Run


def work_of(received: Received, connector: Connector, run_of: Callable[[str], Run]) -> Work:
    """A message, read.

    Args:
        run_of: The run of a manifest, by its address: see `open_run`.

    Raises:
        PoisonError: Nobody can ever read it.
        NewerFormatError: A newer release can.
        StorageError: Its run cannot be read this time.
    """
    message = _message(received.body, connector)
    return Work(received, message, _records(message), run_of(message.manifest))


def _message(body: str, connector: Connector) -> Message:
    try:
        message = read_message(body)
    except ValidationError as error:
        is_json = error.errors(include_input=False, include_url=False)[0]["type"] != "json_invalid"
        raise PoisonError("not_a_message" if is_json else "not_json") from error
    if message.connector != connector.name:
        raise PoisonError("wrong_connector")
    if message.last_line - message.first_line + 1 != len(message.lines):
        raise PoisonError("wrong_range")
    return message


def _records(message: Message) -> Sequence[SyncRecord]:
    try:
        return [read_record(line) for line in message.lines]
    except ValidationError as error:
        raise PoisonError("not_a_record") from error


def open_run(connector: Connector, open_folder: OpenFolder, address: str) -> Run:
    """The run of a manifest.

    Raises:
        PoisonError: It can never be read.
        NewerFormatError: Another release can.
        StorageError: It cannot be read this time.
    """
    try:
        folder, key = layout.split_manifest_uri(address)
        storage = open_folder(folder.root)
        return Run(storage, read_document(storage, key, RunManifest), connector.options_model)
    except NotFoundError as error:
        raise PoisonError("manifest_gone") from error
    except layout.LayoutError as error:
        raise PoisonError("not_a_manifest") from error
    except DamagedError as error:
        raise PoisonError("manifest_unreadable") from error
