"""Connector name → connector class, imported when first asked for.

Ours are listed here, so that they are found in a zip without package metadata. A package of someone else
adds its own with an entry point in the group "recsync.connectors".
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from typing import cast

from connectors.base import Connector
from connectors.errors import UnknownConnectorError

GROUP = "recsync.connectors"
# Name → module and class.
OURS = {
    "braze": "connectors.braze.connector:BrazeConnector",
    "webhook": "connectors.webhook.connector:WebhookConnector",
}


def names() -> list[str]:
    """The connectors there are."""
    return sorted({*OURS, *(point.name for point in importlib.metadata.entry_points(group=GROUP))})


def connector_class(name: str) -> type[Connector]:
    """The class of a connector.

    Raises:
        UnknownConnectorError: Nobody has that name; the message lists those there are.
    """
    if name not in OURS:
        return _of_others(name)
    module, _, attribute = OURS[name].partition(":")
    return cast(type[Connector], getattr(importlib.import_module(module), attribute))


def _of_others(name: str) -> type[Connector]:
    for point in importlib.metadata.entry_points(group=GROUP, name=name):
        return cast(type[Connector], point.load())
    close = difflib.get_close_matches(name, names(), 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names())}"
    raise UnknownConnectorError(f"no connector is called {name!r}; {hint}")
