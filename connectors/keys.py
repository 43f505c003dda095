"""Whether a key can be what somebody meant to set. It is judged before any call, and never shown."""

from __future__ import annotations

from connectors.errors import ConfigError


def checked_key(key: str, setting: str) -> str:
    """The key itself, once it can stand in a header as it is.

    Args:
        setting: What it was read from, for the message.

    Raises:
        ConfigError: It is empty, has blanks or line ends around it, or a character that no header carries.
    """
    if not key.strip():
        raise ConfigError(f"{setting} is empty; store the key there")
    if key != key.strip():
        raise ConfigError(f"{setting} has a blank or line end before or after the key; store the key alone")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{setting} holds a character that is not plain ASCII; copy the key anew from its source")
    return key
