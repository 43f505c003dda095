"""Delivery from this machine: which connectors owe something, where their destinations are, run by run."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping, Sequence

from cli import embedded
from cli.console import Voice
from cli.typed import UsageError, meant
from connectors import registry
from connectors.base import Connector, Destination
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.storage import Storage, open_storage
from connectors.http import Sender

CONCURRENCY = 8


def after_publishing(folder: str) -> str:
    """What a person types once a run is published: on S3 the stack delivers it by itself."""
    return f"recsync {'status' if folder.startswith('s3://') else 'deliver'} {shlex.quote(folder)}"


def check_deliverable(folder: JobFolder) -> None:
    """Two who deliver at once send the same twice.

    Raises:
        UsageError: The folder is on S3, where the stack delivers.
    """
    if folder.is_on_s3:
        raise UsageError(
            f"the stack delivers what is published in {folder.root}, and two who deliver send the same twice; "
            f"see how it stands: recsync status {shlex.quote(folder.root)}; "
            f"what was given up is sent again by: recsync redeliver {shlex.quote(folder.root)}"
        )


def deliver_job(
    storage: Storage, runs: Sequence[embedded.Published], connector: Connector, voice: Voice
) -> list[embedded.Delivery]:
    """Deliver what no receipt speaks of.

    Args:
        runs: What was published for the connector, as `embedded.published` has it.
    """
    send = Sender()
    deliver = functools.partial(embedded.deliver_run, concurrency=CONCURRENCY, report=voice.stage)
    deliveries: list[embedded.Delivery] = []
    for key, manifest in runs:
        waits_for = next((one.manifest.run_id for one in deliveries if one.waiting), "")
        deliveries.append(deliver(storage, key, manifest, connector, send, waits_for=waits_for))
    return deliveries


def connectors_of(folder: JobFolder, only: str | None = None) -> list[str]:
    """The connectors that have output in a job folder, or the one of them that is meant.

    Raises:
        UsageError: That one has none.
    """
    storage = open_storage(folder.root)
    return meant(storage, only, set(storage.folders(layout.OUTPUT)))


def destinations_of(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, Connector]:
    """Some connectors, all of them before anything is sent.

    Raises:
        UsageError: A variable of one is not set.
        ConfigError: An endpoint is not the destination's.
    """
    try:
        return {name: destination_of(name, environ) for name in names}
    except UsageError as error:
        if len(names) == 1:
            raise
        raise UsageError(f"{error}; with --connector NAME only that one is delivered to") from error


def destination_of(name: str, environ: Mapping[str, str]) -> Connector:
    """A connector, with its endpoint and key from the environment.

    Raises:
        UsageError: A variable is not set.
        ConfigError: The endpoint is not the destination's.
    """
    connector = registry.connector_class(name)
    missing = [v for v in (connector.endpoint_variable, connector.secret_variable) if not environ.get(v)]
    if missing:
        raise UsageError(f"set {' and '.join(missing)} to deliver to {name}")
    allow_loopback = environ.get("RECSYNC_ALLOW_LOOPBACK") == "1"
    endpoint, secret = environ[connector.endpoint_variable], environ[connector.secret_variable]
    return connector(Destination(endpoint, secret, allow_loopback))
