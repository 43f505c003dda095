"""What a page tells is gathered from the job folder alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.contract import layout
from connectors.contract.aliases import alias, alias_key
from connectors.contract.held import Held, hold, let_go
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, Pointer, RunManifest
from connectors.contract.receipts import Fate, Receipt, Rejection, write_receipts
from connectors.contract.run_record import write_record
from glue_jobs.report.facts import Standing
from glue_jobs.report.filing import file_report, gather

CANARY = "canary-user-4711"


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


@pytest.fixture
def now(run):
    return run().finished_at


@pytest.fixture
def manifest(run, part):
    record = run(part())
    return RunManifest(
        job=record.job,
        run_id=record.run_id,
        connector="braze",
        version=2,
        acknowledge="onDelivery",
        options={},
        records_per_request=75,
        counts={},
        files=[PartFile(key="part", records=4, size_bytes=1, checksum="0")],
        digest="0",
        created_at=record.started_at,
    )


def publish(storage, manifest):
    storage.put(layout.manifest("braze", manifest.run_id), manifest.to_json().encode())


def wait(storage, manifest):
    """Have the run be held."""
    pointer = Pointer(
        version=2, run_id=manifest.run_id, manifest=layout.manifest("braze", manifest.run_id), snapshot=[]
    )
    given = {"connector": "braze", "run_id": manifest.run_id, "tag": None, "guards": [], "inputs": []}
    hold(storage, Held(**given, pointer=pointer, manifest=manifest, held_at=manifest.created_at))


def test_the_page_lies_beside_the_record(storage, run, part, now):
    key = file_report(storage, run(part()), now)
    assert key == f"runs/{run().run_id}/report.html"
    assert storage.get(key).data.startswith(b"<!DOCTYPE html>")


def test_runs_before_are_told_and_runs_after_are_not(storage, run, part, now):
    for days in (-1, 1, 2):
        write_record(storage, layout.run_record(run(days=days).run_id), run(part(), days=days))
    found = gather(storage, run(part()), now)
    assert [one.run_id for one in found.earlier] == [run(days=1).run_id, run(days=2).run_id]
    assert found.unreadable == 0


@pytest.mark.parametrize("text", [b"{", b'{"formatVersion": 99}', b"[]"], ids=["damaged", "newer", "no object"])
def test_a_record_before_that_cannot_be_read_is_counted(storage, run, part, now, text):
    storage.put(layout.run_record(run(days=1).run_id), text)
    found = gather(storage, run(part()), now)
    assert (found.earlier, found.unreadable) == ([], 1)


def test_the_receipts_say_what_was_delivered_by_now(storage, run, part, manifest, now):
    publish(storage, manifest)
    assert gather(storage, run(part()), now).standings["braze"].tally.fates[Fate.OPEN] == 4
    receipt = Receipt(file="part", first_line=0, last_line=3, outcome="settled", at=now)
    write_receipts(storage, manifest, [receipt])
    assert gather(storage, run(part()), now).standings["braze"].tally.fates[Fate.DELIVERED] == 4


def test_files_that_someone_else_reads_are_told_as_such(storage, run, part, manifest, now):
    publish(storage, manifest.model_copy(update={"acknowledge": "onWrite"}))
    assert gather(storage, run(part()), now).standings["braze"].is_read_by_others


def test_a_held_run_waits_until_someone_decides(storage, run, part, manifest, now):
    record = run(part(outcome="held"))
    wait(storage, manifest)
    assert gather(storage, record, now).standings["braze"] == Standing(waiting=record.run_id)
    let_go(storage, "braze")
    assert gather(storage, record, now).standings["braze"] == Standing()
    publish(storage, manifest)
    assert gather(storage, record, now).standings["braze"].tally.records == 4


def a_held(run, part, days):
    """A run that a guard held so many days before, and that wrote a commit of its own."""
    return run(part(outcome="held", manifest=layout.manifest("braze", run(days=days).run_id)), days=days)


def test_of_the_held_runs_those_whose_commit_was_published_were_approved(storage, run, part, now):
    dropped, approved = a_held(run, part, days=3), a_held(run, part, days=2)
    found_it_waiting = run(part(outcome="held", manifest=approved.connectors[0].manifest), days=1)
    for one in (dropped, approved, found_it_waiting):
        write_record(storage, layout.run_record(one.run_id), one)
    storage.put(approved.connectors[0].manifest, b"of whatever release")
    assert gather(storage, run(part()), now).approved == {(approved.run_id, "braze")}


def test_a_run_that_was_approved_since_its_page_was_written_is_a_commit_of_its_own(storage, run, part, now, manifest):
    record = a_held(run, part, days=0)
    assert gather(storage, record, now).approved == set()
    publish(storage, manifest)
    assert gather(storage, record, now).approved == {(record.run_id, "braze")}


def test_another_run_that_waits_is_not_this_one(storage, run, part, manifest, now):
    wait(storage, manifest)
    record = run(part(outcome="held", manifest="output/braze/another"), days=1)
    assert gather(storage, record, now).standings["braze"].waiting == ""


def test_a_trial_is_published_and_has_receipts_too(storage, run, part, manifest, now):
    publish(storage, manifest)
    assert gather(storage, run(part(outcome="trial")), now).standings["braze"].tally.records == 4


@pytest.mark.parametrize("outcome", ["planned", "stopped"])
def test_what_was_never_to_be_published_is_not_looked_for(storage, run, part, manifest, now, outcome):
    publish(storage, manifest)
    assert gather(storage, run(part(outcome=outcome)), now).standings["braze"] == Standing()


def test_no_user_is_named_but_by_his_alias(storage, run, part, manifest, now, parse):
    publish(storage, manifest)
    rejection = Rejection(
        line=1, user_id=CANARY, code="refused_by_braze", reason=f"{CANARY} has 'Anna' for {CANARY[:-4]}…"
    )
    write_receipts(
        storage,
        manifest,
        [Receipt(file="part", first_line=0, last_line=3, outcome="settled", rejected=[rejection], at=now)],
    )
    page = storage.get(file_report(storage, run(part()), now + timedelta(hours=1))).data.decode()
    assert "refused_by_braze" in page
    assert alias(alias_key(storage), CANARY) in page
    assert "canary" not in page
    assert "Anna" not in page
    assert storage.get(layout.ALIAS_KEY).data.decode() not in page
