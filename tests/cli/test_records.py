"""The records of a job folder: by the run's name, or by the token of whoever started it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.records import record_of, started_with
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.local_storage import LocalStorage
from connectors.contract.run_record import RunRecord, run_ids, write_record
from connectors.contract.storage import StorageError

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def ran(storage, at, token, *, is_plan=False):
    run_id = layout.new_run_id(at)
    key = layout.plan_record(run_id) if is_plan else layout.run_record(run_id)
    write_record(
        storage, key, RunRecord(run_id=run_id, job="j", token=token, started_at=at, finished_at=at, exit_code=0)
    )
    return run_id


def found(storage, whose="mine", *, is_plan=False, until=AT + 10 * MINUTE):
    record = started_with(storage, whose, is_plan=is_plan, since=AT, until=until)
    return record.run_id if record else None


def test_without_a_name_the_newest_run_is_meant_and_a_plan_only_where_it_may_be(storage):
    with pytest.raises(UsageError, match="has not run yet"):
        record_of(storage, None)
    ran(storage, AT, "")
    newest, plan = ran(storage, AT + MINUTE, ""), ran(storage, AT + 2 * MINUTE, "", is_plan=True)
    assert record_of(storage, None).run_id == record_of(storage, newest).run_id == newest
    assert record_of(storage, plan, or_plan=True).run_id == plan
    with pytest.raises(UsageError, match=f"has no run {plan}"):
        record_of(storage, plan)


def test_an_empty_name_is_not_the_newest_run(storage):
    ran(storage, AT, "")
    with pytest.raises(UsageError, match="run id '' should look like"):
        record_of(storage, "")


def test_of_runs_at_the_same_time_the_token_says_which_is_meant(storage):
    ran(storage, AT + MINUTE, "another")
    ran(storage, AT + MINUTE, "")
    mine = ran(storage, AT + 2 * MINUTE, "mine")
    assert found(storage) == mine
    assert found(storage, "nobody's") is None


def test_a_run_that_began_after_the_end_or_before_the_start_is_another_one_of_the_same_token(storage):
    ran(storage, AT - 3 * MINUTE, "mine")
    ran(storage, AT + 11 * MINUTE, "mine")
    assert found(storage) is None
    assert found(storage, until=None) is not None


def test_clocks_may_be_a_little_apart(storage):
    mine = ran(storage, AT - timedelta(seconds=20), "mine")
    assert found(storage) == mine


def test_a_plan_is_not_taken_for_a_run(storage):
    run, plan = ran(storage, AT, "mine"), ran(storage, AT, "mine", is_plan=True)
    assert (found(storage), found(storage, is_plan=True)) == (run, plan)


def test_a_damaged_record_of_that_time_is_named_and_one_of_another_time_is_not_read(storage):
    storage.put(layout.run_record(layout.new_run_id(AT - 9 * MINUTE)), b"{")
    assert found(storage) is None
    storage.put(layout.run_record(layout.new_run_id(AT)), b"{")
    with pytest.raises(StorageError, match=r"run\.json is damaged"):
        found(storage)


def test_what_is_no_run_under_runs_is_passed_over(storage):
    mine = ran(storage, AT, "mine")
    storage.put("runs/backup of march/run.json", storage.get(layout.run_record(mine)).data)
    assert run_ids(storage) == [mine]
    assert found(storage) == mine
