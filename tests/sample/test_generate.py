from __future__ import annotations

import csv
import json
import tracemalloc
from collections import deque
from pathlib import Path

import pytest

from sample import generate as sample
from sample.generate import FOR_YOU, SIMILAR_ITEMS, for_you_lines, generate, main, similar_items_lines
from sample.shop import Shop

SIZE = {"users": 2000, "items": 300, "seed": 7}
CHECKED_IN = Path(sample.__file__).parent
LINES = {
    FOR_YOU: "input/batch_inference/for-you/batch_for-you_2026_11_{day}_03_00_00/job_config.json.out",
    SIMILAR_ITEMS: "input/batch_inference/similar-items/batch_similar-items_2026_11_{day}_03_00_00/job_config.json.out",
}


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    generate(folder, **SIZE)
    generate(folder, **SIZE, day=2)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def batch(folder: Path, job: str, day: int = 20) -> list[dict]:
    return json_lines(folder / job / LINES[job].format(day=day))


def mapping(folder: Path) -> list[list[str]]:
    parts = sorted((folder / SIMILAR_ITEMS / "input/user_item_mapping").glob("*.csv"))
    tables = [list(csv.reader(part.read_text().splitlines())) for part in parts]
    assert all(table[0] == ["USER_ID", "ITEM_ID"] for table in tables)
    return [row for table in tables for row in table[1:]]


def test_the_same_seed_gives_the_same_bytes(tmp_path, two_days):
    generate(tmp_path, **SIZE)
    generate(tmp_path, **SIZE, day=2)
    assert contents(tmp_path) == contents(two_days)


def test_day_2_rewrites_the_metadata_and_adds_its_batch_folders(tmp_path):
    generate(tmp_path, **SIZE)
    before = contents(tmp_path)
    generate(tmp_path, **SIZE, day=2)
    after = contents(tmp_path)
    rewritten = {name for name in before if before[name] != after[name]}
    assert rewritten == {f"{job}/input/item_metadata/items.json" for job in LINES}
    assert len(after.keys() - before.keys()) == 4
    assert all("_2026_11_21_03_00_00/" in name for name in after.keys() - before.keys())


@pytest.mark.parametrize("job", LINES)
def test_about_one_list_in_twenty_is_another_on_day_2(two_days, job):
    first, second = batch(two_days, job), batch(two_days, job, day=21)
    changed = [line for line, other in zip(first, second, strict=True) if line != other]
    assert 0.02 < len(changed) / len(first) < 0.08


@pytest.mark.parametrize("job", LINES)
def test_every_batch_folder_has_an_empty_check_file(two_days, job):
    checks = list((two_days / job).rglob("_CHECK"))
    assert len(checks) == 2
    assert all(check.read_bytes() == b"" for check in checks)


@pytest.mark.parametrize("job", LINES)
@pytest.mark.parametrize("source", ["generated", "checked in"])
def test_lines_have_exactly_the_keys_personalize_writes(two_days, source, job):
    query, good = {
        FOR_YOU: ("userId", {"input", "output", "error"}),
        SIMILAR_ITEMS: ("itemId", {"input", "output"}),
    }[job]
    answered = {FOR_YOU: {"recommendedItems", "scores"}, SIMILAR_ITEMS: {"recommendedItems"}}[job]
    for line in batch(two_days if source == "generated" else CHECKED_IN, job):
        assert line["input"].keys() == {query}
        assert isinstance(line["input"][query], str)
        if "output" in line:
            assert line.keys() == good
            assert line["output"].keys() == answered
            assert line.get("error") is None
            assert all(isinstance(item, str) for item in line["output"]["recommendedItems"])
        else:
            assert line.keys() == {"input", "error"}
            assert line["error"]


@pytest.mark.parametrize("job", LINES)
def test_a_good_line_is_compact(two_days, job):
    first = (two_days / job / LINES[job].format(day=20)).read_text(encoding="utf-8").splitlines()[0]
    assert " " not in first


@pytest.mark.parametrize("job", LINES)
def test_the_same_few_lines_fail_on_both_days(two_days, job):
    first, second = ([line for line in batch(two_days, job, day) if "output" not in line] for day in (20, 21))
    assert first == second
    assert len(first) == 2


@pytest.mark.parametrize("users", [6, 7, 8, 11, 100, 999, 1000, 1500, 2499, 2500, 5000])
def test_there_is_a_failed_an_empty_and_a_good_line_at_any_size(users):
    lines = [json.loads(line) for line in for_you_lines(Shop(users, items=30, seed=7))]
    failed = [line for line in lines if "output" not in line]
    empty = [line for line in lines if line.get("output") == {"recommendedItems": [], "scores": []}]
    assert len(failed) == max(2, round(users / 1000))
    assert len(empty) == max(1, round(users / 1000))
    assert lines[0]["output"]["recommendedItems"]


def test_every_mapped_item_was_asked_about(two_days):
    asked = {line["input"]["itemId"] for line in batch(two_days, SIMILAR_ITEMS)}
    assert asked.issuperset(item for _, item in mapping(two_days))


def test_the_mapping_is_split_into_parts(tmp_path, two_days, monkeypatch):
    monkeypatch.setattr(sample, "ROWS_PER_PART", 1000)
    generate(tmp_path, **SIZE)
    assert len(list((tmp_path / SIMILAR_ITEMS / "input/user_item_mapping").iterdir())) == 3
    assert mapping(tmp_path) == mapping(two_days)


def test_parts_of_a_larger_shop_do_not_stay_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "ROWS_PER_PART", 1000)
    generate(tmp_path, users=3000, items=50, seed=7)
    generate(tmp_path, users=10, items=50, seed=7)
    assert len({user for user, _ in mapping(tmp_path)}) == 10


def test_a_config_that_was_edited_is_kept(tmp_path):
    generate(tmp_path, users=10, items=50, seed=7)
    (tmp_path / FOR_YOU / "config.json").write_text("{}")
    generate(tmp_path, users=10, items=50, seed=7, day=2)
    assert (tmp_path / FOR_YOU / "config.json").read_text() == "{}"


def test_memory_does_not_grow_with_the_number_of_users():
    def peak(users: int) -> int:
        tracemalloc.start()
        deque(for_you_lines(Shop(users, items=100, seed=7)), maxlen=0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(5000) < peak(100) + 50_000


def test_nothing_is_drawn_before_the_first_line_is_asked_for():
    assert next(for_you_lines(Shop(users=10**9, items=100, seed=7)))
    assert next(similar_items_lines(Shop(users=10**9, items=100, seed=7)))


@pytest.mark.parametrize("job", LINES)
def test_the_checked_in_folders_are_a_small_shop_with_its_gaps(job):
    rows = json_lines(CHECKED_IN / job / "input/item_metadata/items.json")
    known = {row["id"] for row in rows}
    recommended = {i for line in batch(CHECKED_IN, job) for i in line.get("output", {}).get("recommendedItems", ())}
    assert recommended - known == {"108"}
    assert [row["id"] for row in rows if "price" not in row] == ["104"]
    assert len([line for line in batch(CHECKED_IN, job) if "output" not in line]) == 1


def test_the_checked_in_mapping_has_a_user_of_two_items_and_an_item_of_two_users():
    rows = mapping(CHECKED_IN)
    assert rows[:3] == [["123", "105"], ["124", "105"], ["123", "441"]]
    assert {item for _, item in rows} <= {line["input"]["itemId"] for line in batch(CHECKED_IN, SIMILAR_ITEMS)}


@pytest.mark.parametrize("job", LINES)
def test_the_checked_in_config_is_the_generated_one(two_days, job):
    assert (CHECKED_IN / job / "config.json").read_bytes() == (two_days / job / "config.json").read_bytes()


def test_the_historic_config_holds_only_the_keys_of_2022():
    config = json.loads((CHECKED_IN / "config.json").read_text())
    assert config.keys() == {
        "batchInferencePath",
        "performDeltaCheck",
        "saveBatchInferenceErrors",
        "connectors",
    }
    assert config["connectors"]["braze"].keys() == {"itemMetadataFields", "attributePrefix", "otherAttributes"}
    assert (CHECKED_IN / SIMILAR_ITEMS / config["batchInferencePath"]).is_dir()


def test_the_command_line_writes_and_names_both_folders(tmp_path, capsys):
    main([str(tmp_path), "--users", "10", "--items", "50", "--day", "2"])
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / job) for job in LINES]
    assert (tmp_path / FOR_YOU / LINES[FOR_YOU].format(day=21)).exists()


def test_the_command_line_refuses_a_shop_that_is_too_small(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--users", "1"])
    assert "at least 6 of each" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
