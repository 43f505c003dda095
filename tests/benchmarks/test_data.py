import csv
import json

import pytest

from benchmarks.data import write_for_you, write_similar
from benchmarks.jobs import MAPPING, METADATA, Size, newest_batch
from glue_jobs.config import load_config
from glue_jobs.inference import parse_batch_line

SIZE = Size(users=6_000, items=2_000)


def lines_of(job, key_name="userId"):
    return [parse_batch_line(line, key_name) for line in newest_batch(job).read_bytes().splitlines()]


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    jobs = [write_for_you(tmp_path / str(place), SIZE, seed=seed) for place, seed in enumerate((7, 7, 8))]
    first, again, other = (newest_batch(job).read_bytes() for job in jobs)
    assert first == again != other


def test_every_user_has_one_line_and_a_few_of_them_failed_or_found_nothing(tmp_path):
    lines = lines_of(write_for_you(tmp_path, SIZE))
    assert [line.key for line in lines] == [str(user) for user in range(SIZE.users)]
    assert {line.kind for line in lines} == {"good", "failed"}
    assert 0 < sum(line.kind == "failed" for line in lines) < SIZE.users / 100
    assert 0 < sum(line.item_ids == [] for line in lines) < SIZE.users / 100


def test_a_list_names_no_item_twice(tmp_path):
    lists = [line.item_ids for line in lines_of(write_for_you(tmp_path, SIZE)) if line.item_ids]
    assert {len(set(items)) for items in lists} == {25}


def test_on_the_next_day_one_list_in_twenty_differs(tmp_path):
    first = lines_of(write_for_you(tmp_path, SIZE))
    second = lines_of(write_for_you(tmp_path, SIZE, day=2))
    changed = sum(one.item_ids != other.item_ids for one, other in zip(first, second, strict=True))
    assert changed / SIZE.users == pytest.approx(0.05, abs=0.01)
    assert all(set(one.item_ids or ()) == set(other.item_ids or ()) for one, other in zip(first, second, strict=True))


def test_nearly_all_items_have_metadata_and_the_settings_can_be_read(tmp_path):
    job = write_for_you(tmp_path, SIZE)
    rows = [json.loads(line) for line in (job / METADATA).read_text().splitlines()]
    assert 0.99 * SIZE.items < len({row["id"] for row in rows}) == len(rows) < SIZE.items
    from connectors.contract.storage import open_storage

    assert load_config(open_storage(str(job))).warnings == []


@pytest.mark.parametrize(("is_shared", "users"), [(False, 0), (True, 600)])
def test_one_item_is_that_of_every_tenth_user_where_that_is_asked_for(tmp_path, is_shared, users):
    job = write_similar(tmp_path, SIZE, is_shared=is_shared)
    rows = list(csv.DictReader((job / MAPPING).open()))
    assert len({row["USER_ID"] for row in rows}) == len(rows) == SIZE.users
    assert sum(row["ITEM_ID"] == "0" for row in rows) == users
    assert len(lines_of(job, "itemId")) == SIZE.items
