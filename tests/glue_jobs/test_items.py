import atexit
import gzip
import json
import tempfile
from functools import partial

import pytest

from connectors.contract.local_storage import LocalStorage
from glue_jobs.config import parse_config
from glue_jobs.errors import ConfigError, InputError
from glue_jobs.item_filter import parse
from glue_jobs.item_lines import Wanted, parse_item, wanted_by
from glue_jobs.items import check_types, read_items, types_to_keep
from glue_jobs.lines import LineError

FIELDS = ["name", "price"]
WANTED = Wanted(FIELDS)
LARGE, SMALL = 10**12, 0


def metadata(folder, name, *lines):
    path = folder / "input/item_metadata" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def read(folder, fields=FIELDS, *, only=None, shelf=None):
    """The items of a folder; on a shelf that `shelf`, a session, brings to its workers."""
    return read_items(
        LocalStorage(folder),
        Wanted(fields, parse(only) if only else None),
        shelf_from_bytes=SMALL if shelf else LARGE,
        carry=shelf.sparkContext.addFile if shelf else pytest.fail,
    )


def test_items_that_no_longer_fit_into_memory_are_shelved_with_those_that_did(spark, tmp_path):
    lines = [{"id": str(number), "name": "n", "price": 1} for number in (*range(10), *range(10))]
    metadata(tmp_path, "a.json", *lines)
    read_them = partial(read_items, LocalStorage(tmp_path), Wanted(FIELDS))
    items = read_them(shelf_from_bytes=3_000, carry=spark.sparkContext.addFile)
    assert (items.is_shelved, items.counts["itemsWithMetadata"], items.counts["metadataDuplicates"]) == (True, 10, 10)
    assert set(items.catalogue.pieces) == set(map(str, range(10)))
    assert not read_them(shelf_from_bytes=LARGE, carry=pytest.fail).is_shelved


@pytest.fixture(params=["in memory", "on a shelf"])
def shelf(request):
    """Both places that a catalogue may be kept in: see `read`."""
    return request.getfixturevalue("spark") if request.param == "on a shelf" else None


def shown(items, item_id):
    return json.loads(items.catalogue.item(item_id, None))


@pytest.mark.parametrize(
    ("line", "item_id", "tail"),
    [
        (b'{"id":"00105","name":"x"}', "00105", b',"name":"x","price":null}'),
        (b'{"id":105}', "105", b',"name":null,"price":null}'),
        (b'{"id":123456789012345678901234567890}', "123456789012345678901234567890", b',"name":null,"price":null}'),
        (b'{"id":"1","price":9223372036854775808}', "1", b',"name":null,"price":9223372036854775808}'),
        ('{"id":"1","name":"Crème"}'.encode(), "1", ',"name":"Crème","price":null}'.encode()),
        (b'{"id":"1","name":"a","name":"b"}', "1", b',"name":"b","price":null}'),
    ],
)
def test_f08_f10_a_line_of_metadata_is_read_without_guessing(line, item_id, tail):
    found = parse_item(line, WANTED)
    assert (found.item_id, found.piece.tail) == (item_id, tail)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
def test_f09_a_number_that_json_does_not_know_is_null(number):
    item = parse_item(b'{"id":"1","price":%b}' % number, WANTED)
    assert item.piece.tail == b',"name":null,"price":null}'


def test_f09_what_became_null_is_counted():
    assert parse_item(b'{"id":"1","price":1e400,"stock":1e400}', WANTED).not_finite == 1
    assert parse_item(b'{"id":"1","price":NaN}', WANTED).not_finite == 1


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"name":"x"}',
        b'{"id":null}',
        b'{"id":true}',
        b'{"id":"\xff"}',
        rb'{"id":"\ud800"}',
        b'{"id":""}',
        b'{"id":"1"}{"id":"2"}',
        b'{"id":"1","name":' + b"[" * 100_000,
    ],
)
def test_f04_f05_f13_what_is_no_item_is_broken_with_a_reason(line):
    with pytest.raises(LineError) as found:
        parse_item(line, WANTED)
    assert str(found.value)


def test_f13_a_line_longer_than_any_of_ours_is_broken():
    with pytest.raises(LineError, match="at most"):
        parse_item(b'{"id":"1","name":"' + b"x" * (16 * 1024 * 1024) + b'"}', WANTED)


def test_blank_lines_are_no_items():
    assert parse_item(b" \r", WANTED) is None


def test_of_two_lines_for_an_item_the_first_one_wins_and_all_trouble_is_counted(shelf, tmp_path):
    metadata(tmp_path, "a.json", {"id": "1", "name": "first"}, '{"id":"1","price":NaN}', "{", "")
    metadata(tmp_path, "b.json.gz", {"id": "1", "name": "late"}, {"id": "2", "price": 2})
    items = read(tmp_path, shelf=shelf)
    assert shown(items, "1") == {"itemId": "1", "name": "first", "price": None}
    assert shown(items, "2") == {"itemId": "2", "name": None, "price": 2}
    assert shown(items, "3") == {"itemId": "3", "name": None, "price": None}
    assert ("2" in items.catalogue.pieces, "3" in items.catalogue.pieces) == (True, False)
    assert items.counts == {
        "itemsWithMetadata": 2,
        "metadataDuplicates": 2,
        "metadataLinesBroken": 1,
        "metadataNotFinite": 1,
    }
    assert items.is_shelved == (shelf is not None)


def test_a_shelf_travels_to_the_workers(spark, tmp_path):
    metadata(tmp_path, "a.json", *[{"id": str(number), "name": f"n{number}"} for number in range(50)])
    catalogue = read(tmp_path, ["name"], shelf=spark).catalogue
    shared = spark.sparkContext.broadcast(catalogue)
    found = spark.sparkContext.parallelize(range(50), 4).map(lambda n: shared.value.item(str(n), None)).collect()
    assert [json.loads(item)["name"] for item in found] == [f"n{number}" for number in range(50)]
    assert len(catalogue.pieces) == len(list(catalogue.pieces)) == 50


def test_a_shelf_is_gone_when_the_program_ends(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    at_exit = []
    monkeypatch.setattr(atexit, "register", lambda *call, **options: at_exit.append(partial(*call, **options)))
    metadata(tmp_path, "a.json", {"id": "1", "name": "Lamp"})
    read(tmp_path, ["name"], shelf=spark)
    assert list(tmp_path.glob("tmp/*/items-*.sqlite"))
    spark.sparkContext.parallelize([1], 1).count()  # Spark takes its copy with the next task
    for call in at_exit:
        call()
    assert not list(tmp_path.glob("tmp/recsync-*"))


def test_f12_fields_of_any_name_are_kept_apart(tmp_path):
    item = {"id": "1", "pos": 1, "userId": "u", "a.b": 2, "Name": "A", "name": "a", "a": {"b": 3}}
    metadata(tmp_path, "a.json", item)
    fields = ["pos", "userId", "a.b", "Name", "name"]
    assert shown(read(tmp_path, fields), "1") == {"itemId": "1", **{name: item[name] for name in fields}}


def test_scores_need_no_metadata(tmp_path):
    settings = {"version": 1, "batchInferencePath": "b", "connectors": {"braze": {}}}
    wanted = wanted_by(parse_config({**settings, "recommendations": {"includeScores": True}}), "braze")
    items = read_items(LocalStorage(tmp_path), wanted, shelf_from_bytes=LARGE, carry=pytest.fail)
    assert (items.catalogue.scored, items.catalogue.fields) == (True, ())


def test_fields_without_any_metadata_are_an_error_that_names_them(tmp_path):
    with pytest.raises(ConfigError, match="asks for name, price"):
        read(tmp_path)
    assert read(tmp_path, []).counts["itemsWithMetadata"] == 0


def test_f11_a_field_that_no_item_has_is_an_error_with_the_one_that_was_meant(tmp_path):
    metadata(tmp_path, "a.json.gz", "[" * 100_000, "[]", "", {"id": "1", "price": 1, "name": "x"})
    with pytest.raises(ConfigError, match=r"'prise' \(did you mean 'price'\?\), which no item has"):
        read(tmp_path, ["name", "prise"])


def test_metadata_that_is_no_json_lines_is_an_error(tmp_path):
    metadata(tmp_path, "a.json", "[", '  {"id": "1",', '   "name": "x"}', "]")
    with pytest.raises(InputError, match="JSON Lines"):
        read(tmp_path)


def test_f02_gzip_and_plain_files_are_known_by_their_first_bytes(tmp_path):
    (tmp_path / "input/item_metadata").mkdir(parents=True)
    (tmp_path / "input/item_metadata/a.json").write_bytes(gzip.compress(b'{"id":"1"}'))
    with pytest.raises(InputError, match=r"a\.json is gzip, and its name does not end in \.gz"):
        read(tmp_path)
    (tmp_path / "input/item_metadata/a.json").rename(tmp_path / "input/item_metadata/b.json.gz")
    metadata(tmp_path, "c.json", {"id": "1"})
    (tmp_path / "input/item_metadata/c.json").rename(tmp_path / "input/item_metadata/c.json.gz")
    with pytest.raises(InputError, match=r"c\.json\.gz ends in \.gz, and is not gzip"):
        read(tmp_path)


def test_f11_types_are_gathered_field_by_field(tmp_path):
    metadata(tmp_path, "a.json", {"id": "1", "name": "x", "price": 1}, {"id": "2", "name": None, "price": "2"})
    assert read(tmp_path).types == {"name": "s", "price": "ns"}


@pytest.mark.parametrize(
    ("was", "now", "is_refused"),
    [
        ("n", "s", True),
        ("n", "ns", False),
        ("ns", "s", False),
        ("n", "", False),
        ("", "s", False),
    ],
)
def test_f11_a_field_whose_type_changed_for_every_item_is_refused_with_both_types(was, now, is_refused):
    if is_refused:
        with pytest.raises(ConfigError, match=r"'price' was number and is text.*recsync run --full"):
            check_types({"price": was}, {"price": now})
    else:
        check_types({"price": was}, {"price": now})
    check_types({}, {"price": now})


@pytest.mark.parametrize(
    ("was", "now", "kept"),
    [
        ({"price": "n"}, {"price": ""}, {"price": "n"}),
        ({"price": "n"}, {}, {"price": "n"}),
        ({"price": "n"}, {"price": "ns"}, {"price": "ns"}),
        ({"price": "ns"}, {"price": "s"}, {"price": "s"}),
        ({}, {"price": "", "name": "s"}, {"name": "s"}),
    ],
    ids=["null for every item", "not read", "another one beside it", "one of two", "the first run"],
)
def test_f11_a_field_without_values_keeps_the_types_it_had(was, now, kept):
    assert types_to_keep(was, now) == kept


STOCKED = [
    {"id": "1", "name": "a", "stock": 3},
    {"id": 2, "name": "b", "stock": 0},
    {"id": "3", "name": "c"},
    {"id": "4", "stock": "7"},
]


@pytest.mark.parametrize("fields", [["name"], []], ids=["with fields", "without fields"])
def test_the_filter_judges_every_item_by_fields_that_need_not_be_listed(shelf, tmp_path, fields):
    metadata(tmp_path, "a.json", *STOCKED)
    items = read(tmp_path, fields, shelf=shelf, only="stock > 0")
    assert {item_id: items.catalogue.fits(item_id) for item_id in "12345"} == {
        "1": True,
        "2": False,
        "3": None,
        "4": None,
        "5": None,
    }
    assert [item_id for item_id in "12345" if items.catalogue.lacks_metadata(item_id)] == ["3", "4", "5"]
    assert (items.catalogue.fields, list(items.types)) == (tuple(fields), fields)
    assert shown(items, "1") == {"itemId": "1", **({"name": "a"} if fields else {})}


def test_an_item_without_metadata_is_judged_as_one_whose_fields_are_all_missing(tmp_path):
    metadata(tmp_path, "a.json", *STOCKED)
    catalogue = read(tmp_path, [], only="stock IS NULL OR stock > 5").catalogue
    assert [catalogue.fits(item_id) for item_id in "1239"] == [False, False, True, True]


def test_an_id_is_a_text_also_for_the_filter(tmp_path):
    metadata(tmp_path, "a.json", *STOCKED)
    catalogue = read(tmp_path, [], only="id IN ('2', '3')").catalogue
    assert [catalogue.fits(item_id) for item_id in "123"] == [False, True, True]


def test_a_field_of_the_filter_that_no_item_has_is_an_error_with_the_one_that_was_meant(tmp_path):
    metadata(tmp_path, "a.json", *STOCKED)
    with pytest.raises(ConfigError, match=r"itemFilter asks for 'stok' \(did you mean 'stock'\?\), which no item has"):
        read(tmp_path, ["name"], only="stok > 0")
    with pytest.raises(
        ConfigError, match=r"itemMetadataFields asks for 'nam' .*; recommendations\.itemFilter asks for"
    ):
        read(tmp_path, ["nam"], only="stok > 0 OR Stock > 0")
    with pytest.raises(ConfigError, match=r"itemFilter asks for 'Stock'"):
        read(tmp_path, ["name"], only="Stock > 0")


def test_a_filter_without_any_metadata_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"itemFilter asks for stock, and .* holds no \.json file"):
        read(tmp_path, [], only="stock > 0")


def of_ids(**settings):
    """What a connector asks that sends nothing but ids."""
    raw = {"version": 1, "batchInferencePath": "in/", "connectors": {"braze": {}}, **settings}
    return wanted_by(parse_config(raw), "braze")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recommendations": {"onMissingMetadata": "drop"}}, "recommendations.onMissingMetadata asks for ids"),
        ({"guards": {"minMetadataCoveragePct": 0}}, "guards.minMetadataCoveragePct asks for ids"),
    ],
    ids=["drop", "coverage"],
)
def test_who_asks_which_items_have_metadata_is_told_though_no_field_of_it_is_listed(tmp_path, settings, said):
    wanted = of_ids(**settings)
    with pytest.raises(ConfigError, match=rf"{said}, and .* holds no \.json file"):
        read_items(LocalStorage(tmp_path), wanted, shelf_from_bytes=LARGE, carry=pytest.fail)
    metadata(tmp_path, "a.json", *STOCKED)
    items = read_items(LocalStorage(tmp_path), wanted, shelf_from_bytes=LARGE, carry=pytest.fail)
    assert (items.counts["itemsWithMetadata"], items.types, items.catalogue.is_read) == (4, {}, True)
    assert [item_id for item_id in "1459" if items.catalogue.lacks_metadata(item_id)] == ["5", "9"]
    assert shown(items, "1") == {"itemId": "1"}


def test_where_no_setting_asks_for_metadata_none_is_needed(tmp_path):
    items = read_items(LocalStorage(tmp_path), of_ids(), shelf_from_bytes=LARGE, carry=pytest.fail)
    assert (items.counts["itemsWithMetadata"], items.catalogue.is_read) == (0, False)


def test_a_filter_that_can_judge_no_item_is_an_error_that_shows_the_types(tmp_path):
    metadata(tmp_path, "a.json", {"id": "1", "stock": "3"}, {"id": "2", "stock": "0", "name": None})
    with pytest.raises(ConfigError, match=r"neither yes nor no of any item.*'stock' is text, 'name' is null"):
        read(tmp_path, [], only="stock > 0 AND name <> 'x'")


def test_f09_f12_a_filter_sees_numbers_and_names_as_they_are(tmp_path):
    metadata(tmp_path, "a.json", '{"id":"1","a.b":5,"Name":"A","name":"a","price":NaN}', {"id": "2", "a": {"b": 5}})
    catalogue = read(tmp_path, [], only="\"a.b\" = 5 AND Name = 'A' AND name = 'a' AND price IS NULL").catalogue
    assert (catalogue.fits("1"), catalogue.fits("2")) == (True, None)
