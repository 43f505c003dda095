"""Fault matrix, input: what is not clean is refused or set aside, counted, and never half read."""

import gzip
import json
import os

import pytest
from input_files import for_user

from glue_jobs.errors import ConfigError, InputError, NoInputError, SyncError

ITEMS = [{"id": "1", "name": "Lamp", "price": 9}, {"id": "2", "name": "Scarf", "price": 5}]


def related(item, *items):
    return {"input": {"itemId": item}, "output": {"recommendedItems": list(items)}}


@pytest.fixture
def users(job):
    made = job("user_personalization")
    made.config(braze={"acknowledge": "onWrite"})
    made.items(*ITEMS)
    made.batch(for_user("ann", "1", "2"), for_user("bob", "2"))
    return made


@pytest.fixture
def mapped(job):
    made = job("related_items")
    made.config(braze={"acknowledge": "onWrite"})
    made.items(*ITEMS)
    made.batch(related("7", "1", "2"), related("8", "2"))
    made.mapping("ann,7", "bob,8")
    return made


def bytes_of(job):
    """Everything a reader acts on, and the snapshot."""
    return {path: path.read_bytes() for path in job.path.glob("output/**/*") if path.is_file()}


def stops(job, error, match):
    """The run stops with this error, and state and output are what they were."""
    before = bytes_of(job)
    visible = job.visible()
    with pytest.raises(error, match=match) as caught:
        job.run()
    assert job.visible() == visible
    after = bytes_of(job)
    assert {path: after[path] for path in before} == before
    return caught.value


@pytest.mark.parametrize("where", ["input/batch/job_config.json.out.gz", "input/item_metadata/items.json.gz"])
def test_f01_a_gzip_cut_short_stops_the_run_and_is_named(users, where):
    users.run()
    plain = users.path / where.removesuffix(".gz")
    data = gzip.compress(plain.read_bytes() * 500)
    plain.unlink()
    users.write(where, data[: len(data) // 2])
    stops(users, InputError, f"{where}: cut or damaged")


def test_f01_a_whole_gzip_is_read(users):
    plain = users.path / "input/batch/job_config.json.out"
    users.write("input/batch/job_config.json.out.gz", gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert users.run().counts["records"] == 2


def test_f01_f15_a_packed_mapping_is_read_and_a_cut_one_named(mapped):
    plain = mapped.path / "input/user_item_mapping/part-0001.csv"
    data = gzip.compress(plain.read_bytes())
    plain.unlink()
    mapped.write("input/user_item_mapping/part-0001.csv.gz", data)
    assert mapped.run().counts["records"] == 2
    for cut in (data[:-9], data[:12]):
        mapped.write("input/user_item_mapping/part-0001.csv.gz", cut)
        stops(mapped, InputError, r"part-0001\.csv\.gz: cut or damaged")


def test_f02_a_packed_file_by_a_plain_name_is_refused(users):
    users.write("input/batch/job_config.json.out", gzip.compress(b"{}"))
    stops(users, InputError, r"job_config\.json\.out is gzip, and its name does not end in \.gz")


@pytest.mark.parametrize("folder", ["batch", "item_metadata"])
def test_f02_a_file_whose_name_is_no_text_is_refused_by_name(users, folder):
    """As an old archive may unpack it: nothing that is written of the run could hold such a name."""
    with open(os.fsencode(users.folder.root) + f"/input/{folder}/".encode() + b"caf\xe9.out", "wb") as file:  # noqa: PTH123
        file.write(b"{}")
    stops(users, InputError, r"a file whose name is not in UTF-8: .*caf\\udce9\.out'; rename it")


def test_f03_f04_f05_each_broken_line_is_set_aside_and_its_neighbours_go_on(users):
    broken = [b"\xff\xfe\xc3", b"[1]", b'"s"', b"null", b"{", json.dumps(for_user("x")).encode() * 2]
    good = [json.dumps(for_user(user, "1")).encode() for user in ("ann", "bob")]
    users.write("input/batch/job_config.json.out", b"\n".join([good[0], *broken, good[1]]))
    result = users.run()
    assert sorted(users.records(result)) == ["ann", "bob"]
    assert (result.counts["linesRead"], result.counts["linesBroken"]) == (8, 6)
    kept = [path.read_text().splitlines() for path in users.path.glob("quarantine/*/*/*/*/*.jsonl")]
    entries = [json.loads(line) for lines in kept for line in lines]
    assert {(entry["file"], bool(entry["text"]), bool(entry["reason"])) for entry in entries} == {
        ("job_config.json.out", True, True)
    }
    assert len(entries) == 6


def test_f06_a_repeated_key_counts_its_last_value(users):
    users.batch('{"input":{"userId":"eve","userId":"ann"},"output":{"recommendedItems":["1"]}}', for_user("bob", "2"))
    result = users.run()
    assert sorted(users.records(result)) == ["ann", "bob"]
    assert result.counts["linesWithRepeatedKeys"] == 1


def test_f07_byte_order_mark_line_ends_and_blank_lines_change_nothing(users):
    digest = users.manifest(users.run()).digest
    for key in ("input/batch/job_config.json.out", "input/item_metadata/items.json"):
        lines = (users.path / key).read_text().splitlines()
        users.write(key, "\ufeff" + "\r\n\r\n".join(lines))
    users.forget()
    assert users.manifest(users.run()).digest == digest


def test_f08_ids_that_came_as_numbers_keep_their_digits_and_null_ones_are_set_aside(users):
    long = "123456789012345678901234567890"
    users.batch(
        f'{{"input":{{"userId":{long}}},"output":{{"recommendedItems":[1,"00001",{long}]}}}}',
        '{"input":{"userId":null},"output":{"recommendedItems":["1"]}}',
    )
    result = users.run()
    record = users.records(result)[long]
    assert [item["itemId"] for item in record["recommendations"]] == ["1", "00001", long]
    assert [item["name"] for item in record["recommendations"]] == ["Lamp", None, None]
    assert result.counts["linesBroken"] == 1


def test_f09_no_nan_is_written_and_each_is_counted(users):
    users.write(
        "input/item_metadata/items.json",
        '{"id":"1","name":"Lamp","price":NaN}\n{"id":"2","name":"Scarf","price":1e400}\n{"id":"3","price":-Infinity}',
    )
    result = users.run()
    prices = [item["price"] for record in users.records(result).values() for item in record["recommendations"]]
    assert set(prices) == {None}
    assert result.counts["metadataNotFinite"] == 3


def test_f10_one_huge_integer_touches_only_its_own_item(users):
    users.run()
    users.items(*ITEMS, {"id": "3", "name": "Star", "price": 2**63 + 1})
    assert users.run().counts["records"] == 0
    users.items({**ITEMS[0], "price": 2**63 + 1}, ITEMS[1])
    result = users.run()
    assert users.records(result)["ann"]["recommendations"][0]["price"] == 2**63 + 1
    assert result.counts["records"] == 1


def test_f11_a_field_that_comes_or_changes_its_type_makes_no_false_delta(users):
    users.run()
    users.items(*[{**item, "stock": 3} for item in ITEMS])
    assert users.run().counts["records"] == 0
    users.items(*[{**item, "price": str(item["price"])} for item in ITEMS])
    stops(users, ConfigError, "'price' was number and is text")
    assert users.run(is_full=True).counts["records"] == 2


def test_f11_a_listed_field_that_no_item_has_is_an_error(users):
    users.config(braze={"itemMetadataFields": ["name", "prise"]})
    stops(users, ConfigError, r"'prise' \(did you mean 'price'\?\), which no item has")


def test_f12_names_that_differ_in_case_or_hold_dots_are_kept_apart(users):
    fields = ["Name", "name", "a.b", "pos", "userId"]
    users.config(braze={"itemMetadataFields": fields, "payloadShape": "arrays"})
    users.items({"id": "1", "Name": "A", "name": "a", "a.b": 1, "pos": 2, "userId": "u", "a": {"b": 5}})
    first = users.records(users.run())["ann"]["recommendations"][0]
    assert first == {"itemId": "1", "Name": "A", "name": "a", "a.b": 1, "pos": 2, "userId": "u"}


def test_f13_nesting_and_size_beyond_reason_cost_one_line_each(users):
    deep = '{"input":{"userId":"x","y":' + "[" * 5000 + "]" * 5000 + "}}"
    long = '{"input":{"userId":"' + "x" * (17 * 1024 * 1024) + '"}}'
    users.batch(for_user("ann", "1"), deep, long, for_user("bob", "2"))
    result = users.run()
    assert (result.counts["linesBroken"], result.counts["records"]) == (2, 2)


def test_f15_rows_of_the_mapping_that_cannot_be_used_are_set_aside(mapped):
    mapped.write(
        "input/user_item_mapping/part-0001.csv",
        'ITEM_ID,NOTE,USER_ID\n7,"two\nlines, one value",ann\n8,,\n,,bob\n8,too,many,columns\n8,ok,bob\n',
    )
    result = mapped.run()
    assert {user: record["queryItemIds"] for user, record in mapped.records(result).items()} == {
        "ann": ["7"],
        "bob": ["8"],
    }
    assert result.counts["mappingRowsBroken"] == 3
    (kept,) = mapped.path.glob("quarantine/*/*/*/*/*.jsonl")
    assert [json.loads(line)["file"] for line in kept.read_text().splitlines()] == ["part-0001.csv"] * 3


def test_f15_a_rank_that_is_no_number_is_set_aside(mapped):
    mapped.mapping("ann,7,1", "bob,8,first", header="USER_ID,ITEM_ID,RANK")
    assert mapped.run().counts["mappingRowsBroken"] == 1


def test_f15_a_mapping_without_a_column_is_named(mapped):
    mapped.mapping("ann,7", header="USER_ID,ITEM")
    stops(mapped, ConfigError, r"part-0001\.csv should have a header with one ITEM_ID")


def test_unmatched_rows_items_and_users_are_counted(mapped):
    mapped.mapping("ann,7", "ann,99", "bob,99", "cid,98", "ann,7")
    counts = mapped.run().counts
    assert (counts["mappingRowsUnmatched"], counts["mappingItemsUnmatched"]) == (3, 2)
    assert (counts["usersWithoutList"], counts["mappingDuplicates"]) == (2, 1)


@pytest.mark.parametrize("kind", ["missing", "empty", "check", "hidden"])
def test_f17_a_batch_that_holds_nothing_changes_nothing(users, kind):
    users.run()
    for path in (users.path / "input/batch").iterdir():
        path.unlink()
    if kind == "missing":
        (users.path / "input/batch").rmdir()
    if kind == "check":
        users.write("input/batch/_CHECK", "")
    if kind == "hidden":
        users.write("input/batch/_job_config.json.out", json.dumps(for_user("ann", "1")))
        users.write("input/batch/.job_config.json.out", json.dumps(for_user("ann", "1")))
    assert stops(users, NoInputError, "no finished batch inference").exit_code == 1


def test_f17_only_failed_lines_change_nothing(users):
    users.run()
    users.batch({"input": {"userId": "ann"}, "error": "x"}, {"input": {"userId": "bob"}, "error": {"code": 1}})
    stops(users, NoInputError, "2 read, 2 failed by the recommender, 0 unreadable")


@pytest.mark.parametrize(
    ("job_type", "line", "fits"),
    [("users", related("7", "1"), "related_items"), ("mapped", for_user("ann", "1"), "user_personalization")],
)
def test_f17_lines_of_another_job_type_change_nothing_and_are_known(request, job_type, line, fits):
    shop = request.getfixturevalue(job_type)
    shop.run()
    shop.batch(line, line)
    stops(shop, NoInputError, rf"2 unreadable \(.* is missing, and .* is there: .* belongs to a {fits} job\)")


def test_f17_an_empty_file_changes_nothing(users):
    users.run()
    users.write("input/batch/job_config.json.out", "")
    stops(users, NoInputError, "0 read")


def test_metadata_that_is_no_json_lines_is_an_error(users):
    users.write("input/item_metadata/items.json", json.dumps(ITEMS, indent=2))
    stops(users, InputError, "is not JSON Lines")


def test_f29_the_same_input_twice_sends_nothing_and_says_so(users):
    assert users.run().counts["records"] == 2
    second = users.run().counts
    assert (second["records"], second["unchanged"], second["linesRead"]) == (0, 2, 2)


def test_f32_a_config_with_many_mistakes_runs_nothing(users):
    users.config(braze={"payloadShap": "ids"}, performDeltaChek=1, recommendations={"maxItems": "many"})
    text = str(stops(users, ConfigError, "3 mistake"))
    assert "connectors.braze.payloadShap: unknown key; did you mean 'payloadShape'?" in text
    assert "performDeltaChek: unknown key; did you mean 'performDeltaCheck'?" in text
    assert 'recommendations.maxItems is "many"' in text


@pytest.mark.parametrize(
    "path", ["input/../../other/", "%2e%2e/x/", "input//batch/", "output/braze/", "s3:/x", "input/batch/../../output/"]
)
def test_f33_a_batch_path_that_leaves_its_place_is_refused(users, path):
    users.config(batchInferencePath=path)
    stops(users, SyncError, "batchInferencePath|no finished batch")
