"""Aliases: how users are named where people look: a keyed hash that only the job folder can undo."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress

from connectors.contract import layout
from connectors.contract.documents import DamagedError
from connectors.contract.storage import ConflictError, NotFoundError, Storage

_DIGEST_BYTES = 5


def alias(key: bytes, user_id: str) -> str:
    """A user's alias: ``u-3f9a2c81d0``, the same in every run of the job folder."""
    digest = hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, key=key)
    return f"u-{digest.hexdigest()}"


def alias_key(storage: Storage) -> bytes:
    """The job folder's key, made on first use. It never leaves the folder.

    Raises:
        DamagedError: It is no key.
    """
    with suppress(NotFoundError):
        return _read(storage)
    with suppress(ConflictError):  # another run may be faster
        storage.put(layout.ALIAS_KEY, secrets.token_hex(32).encode(), if_absent=True)
    return _read(storage)


def _read(storage: Storage) -> bytes:
    try:
        return bytes.fromhex(storage.get(layout.ALIAS_KEY).data.decode())
    except ValueError as error:
        address = f"{storage.root}/{layout.ALIAS_KEY}"
        raise DamagedError(f"{address} is damaged; remove it, and users get other aliases from now on") from error
