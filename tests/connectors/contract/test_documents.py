import pytest

from connectors.contract import aliases, layout
from connectors.contract.documents import DamagedError, parsed, read_document
from connectors.contract.held import Held, newest_held
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, Pointer, RunManifest
from connectors.contract.receipts import Receipt
from connectors.contract.run_record import RunRecord, read_record
from connectors.contract.storage import NotFoundError
from connectors.contract.wire import NewerFormatError
from functions.enqueue import Marker

PART = PartFile(key="a", records=1, size_bytes=2, checksum="c")
KEPT = (Pointer, RunManifest, Receipt, RunRecord, Held, Marker)


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def test_a_document_is_read_as_it_was_written(storage):
    storage.put("a", PART.to_json().encode())
    assert read_document(storage, "a", PartFile) == PART


def test_a_document_that_is_not_there_is_no_damaged_one(storage):
    with pytest.raises(NotFoundError):
        read_document(storage, "a", PartFile)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", r"Invalid JSON: EOF"),
        (PART.to_json().encode()[:-5], r"Invalid JSON: EOF"),
        (b"\xff", r"Invalid JSON"),
        (b"[]", r"Input should be an object"),
        (b'{"key":"a","records":-1,"bytes":2,"checksum":"c"}', r"records: Input should be greater"),
    ],
)
def test_a_damaged_document_is_named_with_where_and_what(storage, text, said):
    storage.put("folder/a", text)
    with pytest.raises(DamagedError, match=rf"folder/a is damaged \({said}.*\); put it back as it was"):
        read_document(storage, "folder/a", PartFile)


def test_what_is_damaged_is_never_quoted():
    with pytest.raises(DamagedError) as found:
        parsed(b'{"key":["ann@shop.example"],"records":"ann@shop.example"}', PartFile, "a")
    assert "ann" not in str(found.value)


@pytest.mark.parametrize("model", KEPT)
def test_each_document_that_we_keep_says_what_mends_it(model):
    with pytest.raises(DamagedError, match=r"a is damaged .*; (remove|repair) it"):
        parsed(b"null", model, "a")


def test_a_document_of_a_newer_release_is_not_damaged():
    with pytest.raises(NewerFormatError):
        parsed(b'{"formatVersion":99}', Pointer, "a")


def test_a_record_a_held_commit_and_the_key_of_aliases_are_named_by_their_address(storage):
    run, held = layout.run_record("20261121T040000Z-3f9a2c"), layout.held("braze", "20261121T040000Z-3f9a2c")
    for key in (run, held, layout.ALIAS_KEY):
        storage.put(key, b"{")
    for key, read in {
        run: lambda: read_record(storage, run),
        held: lambda: newest_held(storage, "braze"),
        layout.ALIAS_KEY: lambda: aliases.alias_key(storage),
    }.items():
        with pytest.raises(DamagedError, match=f"{key} is damaged"):
            read()
