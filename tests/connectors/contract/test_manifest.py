"""RunManifest, Pointer and Message: round trips, and formats of other releases."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from connectors.contract.held import Held
from connectors.contract.manifest import Message, PartFile, Pointer, RunManifest
from connectors.contract.run_record import ConnectorRecord, RunRecord
from connectors.contract.wire import FORMAT_VERSION, NewerFormatError

texts = st.text(max_size=8)
counts = st.integers(0, 2**53)
versions = st.integers(1, 2**53)
options = st.dictionaries(texts, st.none() | st.booleans() | counts | texts | st.lists(texts, max_size=2), max_size=3)
part_files = st.builds(PartFile, key=texts, records=counts, size_bytes=counts, checksum=texts)
names = st.text("abcXYZ019._-", min_size=1, max_size=8).filter(lambda name: name not in {".", ".."})
seconds = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))
run_ids = seconds.map(lambda at: f"{at:%Y%m%dT%H%M%SZ}-3f9a2c")
manifests = st.builds(
    RunManifest,
    job=texts,
    runId=run_ids,
    connector=names,
    version=versions,
    previous_version=st.none() | versions,
    acknowledge=st.sampled_from(["onDelivery", "onWrite"]),
    options=options,
    records_per_request=versions,
    counts=st.dictionaries(texts, counts, max_size=3),
    files=st.lists(part_files, max_size=3),
    retired=st.lists(texts, max_size=3),
    digest=texts,
    created_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
pointers = st.builds(
    Pointer,
    version=versions,
    runId=run_ids,
    manifest=texts,
    snapshot=st.lists(part_files, max_size=3),
    attributes=st.lists(texts, max_size=3),
)
messages = st.builds(
    Message,
    connector=names,
    manifest=texts,
    version=versions,
    file=texts,
    first_line=counts,
    last_line=counts,
    attempt=versions,
    lines=st.lists(st.fixed_dictionaries({"userId": texts, "recommendations": st.none() | options}), max_size=3),
)
RUN = "20260131T020000Z-3f9a2c"
POINTER = {"formatVersion": 1, "version": 7, "runId": RUN, "manifest": "m", "snapshot": []}


@given(manifests | pointers | messages)
def test_a_document_comes_back_from_its_text_as_it_was(document):
    text = document.to_json()
    assert "\n" not in text
    assert type(document).model_validate_json(text) == document
    assert json.loads(text)["formatVersion"] == FORMAT_VERSION


@given(manifests | pointers | messages)
def test_keys_are_camel_case(document):
    assert not [key for key in json.loads(document.to_json()) if "_" in key]


def test_a_part_file_and_a_message_use_the_words_of_the_format():
    part = PartFile(key="k", records=2, size_bytes=3, checksum="c")
    assert json.loads(part.to_json()) == {"key": "k", "records": 2, "bytes": 3, "checksum": "c"}
    message = Message(connector="braze", manifest="m", version=1, file="f", first_line=0, last_line=74, lines=[])
    assert json.loads(message.to_json()) == {
        "formatVersion": 1,
        "connector": "braze",
        "manifest": "m",
        "version": 1,
        "file": "f",
        "from": 0,
        "to": 74,
        "attempt": 1,
        "lines": [],
    }


def test_the_lines_of_a_message_keep_their_nulls_and_their_order_of_keys():
    line = '{"userId":"a","op":"upsert","recommendations":[{"itemId":"1","z":null,"a":1.5}]}'
    text = (
        '{"formatVersion":1,"connector":"braze","manifest":"m","version":1,"file":"f","from":0,"to":0,'
        f'"attempt":1,"lines":[{line}]}}'
    )
    assert Message.model_validate_json(text).to_json() == text


@pytest.mark.parametrize("model", [RunManifest, Pointer, Message])
def test_a_newer_format_is_named_before_its_fields_are_looked_at(model):
    with pytest.raises(NewerFormatError, match=f"{model.__name__} is of format 2; this release reads up to 1"):
        model.model_validate_json('{"formatVersion":2,"shape":"unheard of"}')


@pytest.mark.parametrize("version", ["2", 2.0, 2.5, None, True, [2], 0, -1])
def test_a_format_version_is_a_counting_number(version):
    with pytest.raises(ValidationError, match="formatVersion"):
        Pointer.model_validate_json(json.dumps({**POINTER, "formatVersion": version}))


def test_a_document_without_a_format_version_is_of_the_first():
    text = json.dumps({key: value for key, value in POINTER.items() if key != "formatVersion"})
    assert Pointer.model_validate_json(text).format_version == 1


def test_an_unknown_key_is_passed_over():
    assert Pointer.model_validate_json(json.dumps({**POINTER, "mood": "good"})) == Pointer(**POINTER)


@pytest.mark.parametrize("change", [{"version": 0}, {"version": None}, {"snapshot": None}, {"runId": None}])
def test_a_pointer_of_another_shape_is_refused(change):
    with pytest.raises(ValidationError):
        Pointer.model_validate_json(json.dumps(POINTER | change))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../ann", "20269999T999999Z-3f9a2c/"])
@pytest.mark.parametrize("model", [RunManifest, Pointer, Message, Held, RunRecord, ConnectorRecord])
def test_what_would_lead_to_another_key_is_refused_and_not_quoted(model, name):
    led = {to_camel(one) for one in {"connector", "run_id"} & model.model_fields.keys()}
    with pytest.raises(ValidationError) as found:
        model.model_validate(dict.fromkeys(led, name))
    assert {error["loc"][0] for error in found.value.errors() if error["type"] == "value_error"} == led
    assert "ann" not in str(found.value)


@given(st.lists(part_files, max_size=4))
def test_a_pointer_knows_how_many_rows_its_snapshot_holds(files):
    pointer = Pointer(version=1, run_id=RUN, manifest="m", snapshot=files)
    assert pointer.rows == sum(file.records for file in files)
