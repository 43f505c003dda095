"""Documents of ours, read back: one that is damaged is named, with what mends it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from connectors.contract.storage import NotFoundError, Storage, StorageError
from connectors.contract.wire import WireModel

Document = TypeVar("Document", bound=WireModel)


class DamagedError(StorageError):
    """A document is not what we write."""


def read_document(storage: Storage, key: str, model: type[Document]) -> Document:
    """A document of a job folder.

    Raises:
        NotFoundError: It is not there.
        DamagedError: It is not what we write.
        NewerFormatError: A newer release wrote it.
    """
    return read_tagged(storage, key, model)[0]


def find_document(storage: Storage, key: str, model: type[Document]) -> Document | None:
    """The same; None where it is not there."""
    try:
        return read_document(storage, key, model)
    except NotFoundError:
        return None


def read_tagged(storage: Storage, key: str, model: type[Document]) -> tuple[Document, str]:
    """The same as `read_document`, and the tag to swap it by."""
    blob = storage.get(key)
    return parsed(blob.data, model, f"{storage.root}/{key}"), blob.tag


def parsed(data: bytes, model: type[Document], address: str) -> Document:
    """A document, or a line of one.

    Args:
        address: Where it stands.

    Raises:
        DamagedError: It is not what we write.
        NewerFormatError: A newer release wrote it.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise DamagedError(f"{address} is damaged ({said}); {model.mend}") from error
