import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.records import SyncRecord
from connectors.contract.storage import LocalStorage
from glue_jobs.decorate import Catalogue, catalogue, item_piece, parse_item, read_items
from glue_jobs.errors import ConfigError

FIELDS = ("name", "price")


def pieces(*items):
    return Catalogue(FIELDS, {item["itemId"]: item_piece(item, FIELDS) for item in items})


LAMP = {"itemId": "1", "name": "Lamp", "price": 9.5}
SCARF = {"itemId": "2", "name": "Scarf"}


def test_an_item_is_its_id_and_the_listed_fields_in_order_with_nulls():
    assert item_piece({"itemId": "2", "stock": 4, "price": 1}, FIELDS).json == b'{"itemId":"2","name":null,"price":1}'


def test_an_item_without_metadata_has_nulls():
    assert json.loads(pieces().piece("9").json) == {"itemId": "9", "name": None, "price": None}


def test_a_record_is_put_together_from_its_items_pieces():
    line = pieces(LAMP, SCARF).upsert_line("ann", ["2", "1"], ["7"])
    record = SyncRecord.model_validate_json(line)
    assert record.user_id == "ann" and record.query_item_ids == ["7"]
    assert [item["name"] for item in record.recommendations] == ["Scarf", "Lamp"]
    assert line.endswith(b"}\n") and line.count(b"\n") == 1


@given(
    st.text(min_size=1).filter(lambda text: text.isprintable()), st.text(), st.lists(st.text(min_size=1), max_size=3)
)
def test_any_text_makes_one_line_that_reads_back(user, name, queries):
    line = Catalogue(("name",), {"1": item_piece({"itemId": "1", "name": name}, ("name",))}).upsert_line(
        user, ["1"], queries
    )
    record = SyncRecord.model_validate_json(line)
    assert (record.user_id, record.recommendations[0]["name"], record.query_item_ids or []) == (user, name, queries)
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (["1", "2"], ["2", "1"]),
        (["1"], ["1", "2"]),
        (["1"], ["9"]),
        (["12"], ["1", "2"]),
        ([], ["1"]),
    ],
)
def test_another_list_has_another_fingerprint(a, b):
    both = pieces(LAMP, SCARF)
    assert both.fingerprint(a, b"s") != both.fingerprint(b, b"s")


def test_a_listed_value_or_a_setting_changes_the_fingerprint_and_nothing_else_does():
    was = pieces(LAMP).fingerprint(["1"], b"s")
    assert pieces({**LAMP, "stock": 3}).fingerprint(["1"], b"s") == was
    assert pieces({**LAMP, "price": 9.0}).fingerprint(["1"], b"s") != was
    assert pieces(LAMP).fingerprint(["1"], b"t") != was
    assert -(2**63) <= was < 2**63


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id":"00105","name":"x"}', ("good", "00105", b'{"itemId":"00105","name":"x","price":null}')),
        (b'{"id":105}', ("good", "105", b'{"itemId":"105","name":null,"price":null}')),
        (b'{"id":"1","price":NaN}', ("good", "1", b'{"itemId":"1","name":null,"price":null}')),
        (b'{"id":"1","price":1e400}', ("good", "1", b'{"itemId":"1","name":null,"price":null}')),
        (
            b'{"id":"1","price":9223372036854775808}',
            ("good", "1", b'{"itemId":"1","name":null,"price":9223372036854775808}'),
        ),
        ('{"id":"1","name":"Crème"}'.encode(), ("good", "1", '{"itemId":"1","name":"Crème","price":null}'.encode())),
    ],
)
def test_a_line_of_metadata_is_read_without_guessing(line, expected):
    assert parse_item(line, FIELDS)[:3] == expected


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"name":"x"}', b'{"id":null}', b'{"id":true}', b'{"id":"\xff"}', b'{"id":"1"}{"id":"2"}']
)
def test_what_is_no_item_is_broken_with_a_reason(line):
    kind, *_, reason = parse_item(line, FIELDS)
    assert kind == "broken" and reason


def test_blank_lines_are_no_items():
    assert parse_item(b" \r", FIELDS) is None


def metadata(folder, name, *lines):
    path = folder / "input/item_metadata" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def test_of_two_lines_for_an_item_the_first_one_wins_and_both_kinds_of_trouble_are_counted(spark, tmp_path):
    metadata(tmp_path, "a.json", '{"id":"1","name":"first"}', '{"id":"1","name":"again"}', "{", "")
    metadata(tmp_path, "b.json", '{"id":"1","name":"late"}', '{"id":"2","name":"two"}')
    found, counts = catalogue(read_items(spark, LocalStorage(tmp_path), FIELDS), FIELDS)
    assert json.loads(found.piece("1").json)["name"] == "first"
    assert json.loads(found.piece("2").json)["name"] == "two"
    assert counts == {"metadataLinesBroken": 1, "metadataDuplicates": 2}


def test_fields_without_any_metadata_are_an_error_that_names_them(spark, tmp_path):
    with pytest.raises(ConfigError, match="asks for name, price"):
        read_items(spark, LocalStorage(tmp_path), FIELDS)
    assert read_items(spark, LocalStorage(tmp_path), []) is None
