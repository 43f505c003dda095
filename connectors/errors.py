"""Errors named by what to do next.

    ConnectorError
    ├── ConfigError              settings are wrong       → stop; the batch goes back whole, an alarm rings
    └── UnknownConnectorError    nobody has that name     → stop; the message lists those there are

What a reply says about single records is no exception: see Outcome in `connectors.base`.
"""

from __future__ import annotations


class ConnectorError(Exception):
    """Something between us and a destination is wrong."""


class ConfigError(ConnectorError):
    """The settings are wrong (endpoint, key, rights): no repeat will help before someone mends them."""


class UnknownConnectorError(ConnectorError):
    """No connector has this name."""
