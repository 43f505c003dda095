"""Which batch is the newest, from names alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract.batches import SeveralSolutionsError, newest_batch
from connectors.contract.storage import Entry

DONE = datetime(2026, 11, 21, 4, tzinfo=UTC)


def listing(*keys: str) -> list[Entry]:
    return [Entry(key, 1, "", DONE + timedelta(minutes=minutes)) for minutes, key in enumerate(keys)]


@pytest.mark.parametrize(
    ("keys", "folder"),
    [
        (
            ["batch_s_2026_11_20_03_00_00/a.json.out", "batch_s_2026_11_21_03_00_00/a.json.out"],
            "batch_s_2026_11_21_03_00_00",
        ),
        (["s_2026_11_20_03_00_00/a.out", "s_2026_11_19_03_00_00/a.out"], "s_2026_11_20_03_00_00"),
        (["batch_s_2026_11_20_03_00_00/a.out", "batch_s_2026_11_21_03_00_00/_CHECK"], "batch_s_2026_11_20_03_00_00"),
        (["a.json.out", "batch_s_2026_11_21_03_00_00/a.json.out"], ""),
        (["batch_s_2026_11_20_03_00_00/a.out.gz", "elsewhere/a.out"], "batch_s_2026_11_20_03_00_00"),
        (["s_2026_11_20_03_00_00/a.out", "_temporary/0/s_2026_11_21_03_00_00/a.out"], "s_2026_11_20_03_00_00"),
        (["s_2026_11_20_03_00_00/a.out", ".old/s_2026_11_21_03_00_00/a.out"], "s_2026_11_20_03_00_00"),
        (["s_2026_11_20_03_00_00/a.out", "_s_2026_11_21_03_00_00/a.out"], "s_2026_11_20_03_00_00"),
    ],
)
def test_the_newest_job_with_output_counts(keys, folder):
    assert newest_batch(listing(*keys)).folder == folder


@pytest.mark.parametrize(
    "keys",
    [[], ["_CHECK"], ["job_config.json"], ["elsewhere/a.out"], ["_a.out"], ["_temporary/s_2026_11_21_03_00_00/a.out"]],
)
def test_without_output_there_is_none(keys):
    assert newest_batch(listing(*keys)) is None


SIMS, UPS = "batch_sims_2026_11_21_03_00_00", "batch_ups_2026_11_22_03_00_00"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ([f"sims/{SIMS}/a.out", f"ups/{UPS}/a.out"], "sims/, ups/"),
        ([f"shop/ups/{UPS}/a.out", f"toys/ups/{UPS}/a.out"], "shop/ups/, toys/ups/"),
        ([f"{SIMS}/a.out", f"ups/{UPS}/a.out"], "./, ups/"),
    ],
    ids=["of two solutions", "of two dataset groups", "an older one here"],
)
def test_batches_of_several_solutions_are_none_and_all_are_named(keys, named):
    with pytest.raises(SeveralSolutionsError) as caught:
        newest_batch(listing(*keys))
    assert str(caught.value) == (
        f"finished batches lie in several folders: {named}; let batchInferencePath name the one that is meant"
    )


@pytest.mark.parametrize(
    ("keys", "folder"),
    [
        ([f"sims/{SIMS}/a.out", "sims/batch_sims_2026_11_20_03_00_00/a.out"], f"sims/{SIMS}"),
        ([f"sims/{SIMS}/a.out", f"ups/{UPS}/_CHECK"], f"sims/{SIMS}"),
        ([f"sims/{SIMS}/a.out", f"_old/{UPS}/a.out"], f"sims/{SIMS}"),
        ([f"{UPS}/a.out", f"kept/{SIMS}/a.out"], UPS),
        ([f"sims/{SIMS}/a.out", "ups/notes/a.out"], f"sims/{SIMS}"),
        (["a.out", f"sims/{SIMS}/a.out", f"ups/{UPS}/a.out"], ""),
    ],
    ids=["one solution", "one finished", "one hidden", "older ones kept below", "one of jobs", "the folder itself"],
)
def test_a_folder_above_one_solution_is_that_solutions(keys, folder):
    assert newest_batch(listing(*keys)).folder == folder


def test_a_batch_is_done_with_its_last_file():
    batch = newest_batch(listing("a.out", "b.out", "c.json"))
    assert [entry.key for entry in batch.entries] == ["a.out", "b.out"]
    assert batch.finished_at == DONE + timedelta(minutes=1)
