"""What never arrived is sent again: once, within its limit, and never after a newer value."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.redeliver import find
from cli.typed import UsageError
from connectors.contract import layout
from connectors.contract.manifest import Pointer
from connectors.contract.receipts import Fate, Ledger, Receipt, write_receipts

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
USERS = [f"u{number}" for number in range(8)]


def receipt(run, first, last, outcome, part=0):
    file = run.manifest.files[part].key
    write_receipts(
        run.storage, run.manifest, [Receipt(file=file, first_line=first, last_line=last, outcome=outcome, at=AT)]
    )


def commit(run):
    """Have the pointer name a run as the newest."""
    pointer = Pointer(version=run.manifest.version, run_id=run.manifest.run_id, manifest=run.key, snapshot=[])
    run.storage.put(layout.pointer("braze"), pointer.to_json().encode())
    return run


@pytest.fixture
def stuck(publish):
    """Lines 0-2 delivered, 3-4 given up, 5-7 unheard of; and another part given up."""
    run = commit(publish(USERS, ["ann"]))
    receipt(run, 0, 2, "settled")
    receipt(run, 3, 4, "deadLettered")
    receipt(run, 0, 0, "deadLettered", part=1)
    return run


def redelivered(recsync, folder, *words):
    code, out, _ = recsync("redeliver", folder, "--output", "json", *words)
    (run,) = json.loads(out)["runs"]
    return code, run


def test_only_what_was_given_up_or_never_heard_of_is_sent_again(recsync, stuck, braze, folder):
    code, run = redelivered(recsync, folder)
    assert code == 0
    assert (run["lines"], run["delivered"], run["waiting"], run["requests"]) == (6, 6, 0, 2)
    assert braze.account.profiles.keys() == {*USERS[3:], "ann"}
    assert stuck.fates() == [Fate.DELIVERED] * 9
    assert redelivered(recsync, folder)[1]["lines"] == 0
    assert braze.account.stats.calls == 2


def test_a_dry_run_counts_and_sends_nothing(recsync, stuck, braze, folder):
    before = sorted(folder.rglob("*"))
    code, run = redelivered(recsync, folder, "--dry-run")
    assert (code, run["lines"], run["waiting"], run["deadLettered"]) == (0, 6, 3, 3)
    assert braze.account.stats.calls == 0
    assert sorted(folder.rglob("*")) == before


@pytest.mark.usefixtures("no_braze")
def test_a_dry_run_needs_no_key(recsync, stuck, folder):
    assert redelivered(recsync, folder, "--dry-run")[0] == 0
    code, _, err = recsync("redeliver", folder)
    assert (code, "BRAZE_API_KEY" in err) == (2, True)


def test_a_limit_takes_the_first_lines_and_says_what_is_left(recsync, stuck, braze, folder):
    code, run = redelivered(recsync, folder, "--limit", "4")
    assert (code, run["lines"], run["delivered"], run["beyondLimit"]) == (0, 4, 4, 2)
    assert braze.account.profiles.keys() == set(USERS[3:7])
    _, _, err = recsync("redeliver", folder, "--limit", "1")
    assert err.splitlines()[-1] == f"next: recsync redeliver {folder}"
    assert redelivered(recsync, folder)[1]["beyondLimit"] == 0
    assert stuck.fates() == [Fate.DELIVERED] * 9


def test_of_a_run_that_was_replaced_nothing_is_sent(recsync, stuck, publish, braze, folder):
    newer = commit(publish(["u3"], version=2, item_id="new"))
    receipt(newer, 0, 0, "settled")
    code, run = redelivered(recsync, folder, "--run", stuck.manifest.run_id)
    assert (code, run["lines"], "version 2 has replaced it" in run["skipped"]) == (0, 0, True)
    assert redelivered(recsync, folder)[1]["run"] == newer.manifest.run_id
    assert braze.account.stats.calls == 0


def test_a_commit_that_was_never_published_replaces_nothing(recsync, stuck, braze, folder):
    pointer = Pointer(
        version=2, run_id=stuck.manifest.run_id, manifest="output/braze/none", previous=stuck.key, snapshot=[]
    )
    stuck.storage.put(layout.pointer("braze"), pointer.to_json().encode())
    assert redelivered(recsync, folder)[1]["delivered"] == 6


def test_a_manifest_that_was_changed_by_hand_is_named_with_what_mends_it(recsync, stuck, braze, folder):
    told = {**json.loads(stuck.manifest.to_json()), "connector": ""}
    stuck.storage.put(stuck.key, json.dumps(told).encode())
    code, _, said = recsync("redeliver", folder)
    assert code == 1
    assert "_manifest.json is damaged (connector: " in said
    assert braze.account.stats.calls == 0


def test_what_is_refused_this_time_exits_5(recsync, publish, braze, folder):
    commit(publish(["ann", "x" * 1000]))
    code, run = redelivered(recsync, folder)
    assert (code, run["delivered"], run["rejected"]) == (5, 1, 1)


def test_what_still_waits_exits_1_with_the_reason(recsync, publish, braze, folder):
    commit(publish(["ann"]))
    braze.account.api_key = "another"
    code, _, err = recsync("redeliver", folder)
    assert code == 1
    assert "Braze refused the API key" in err
    assert err.splitlines()[-1] == f"next: recsync redeliver {folder}"


def test_dead_letters_that_could_not_be_sent_exit_1_and_not_as_if_they_had(recsync, publish, braze, folder):
    given_up = publish(["ann"])
    commit(given_up)
    receipt(given_up, 0, 0, "deadLettered")
    braze.account.api_key = "another"
    code, run = redelivered(recsync, folder)
    assert (code, run["deadLettered"], run["delivered"]) == (1, 1, 0)


@pytest.mark.usefixtures("braze")
def test_every_key_is_asked_for_before_anything_is_sent(recsync, publish, folder, monkeypatch):
    run = publish(["ann"])
    commit(run)
    other = run.manifest.model_copy(update={"connector": "webhook"})
    run.storage.put(layout.manifest("webhook", other.run_id), other.to_json().encode())
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    code, _, err = recsync("redeliver", folder, "--run", run.manifest.run_id)
    assert (code, run.fates()) == (2, [Fate.OPEN])
    assert "WEBHOOK_SECRET" in err


@pytest.mark.usefixtures("braze")
def test_a_run_that_someone_else_reads_is_left_alone(recsync, publish, folder):
    commit(publish(["ann"], acknowledge="onWrite"))
    code, run = redelivered(recsync, folder)
    assert (code, run["lines"]) == (0, 0)
    assert "someone else reads its files" in run["skipped"]


def test_a_run_that_published_nothing_is_named(recsync, stuck, folder):
    with pytest.raises(UsageError, match="run 20260101T000000Z-abcdef has published nothing"):
        find(stuck.storage, ["braze"], "20260101T000000Z-abcdef", None)
    assert recsync("redeliver", folder, "--run", "20260101T000000Z-abcdef")[0] == 2


def test_a_folder_that_published_nothing_exits_2(recsync, folder):
    folder.mkdir(parents=True)
    assert recsync("redeliver", folder)[0] == 2


def test_ranges_of_a_ledger_are_those_of_the_fates_asked_for(stuck):
    file = stuck.manifest.files[0].key
    ledger = Ledger.of(stuck.manifest, [])
    ledger.fates[file][:] = bytes([0, 0, 4, 2, 2, 3, 0, 2])
    assert list(ledger.ranges(file, {Fate.OPEN, Fate.DEAD_LETTERED})) == [(0, 1), (3, 4), (6, 7)]
    assert list(ledger.ranges(file, {Fate.SUPERSEDED})) == []
    assert list(ledger.open_ranges(file)) == [(0, 1), (6, 6)]


def test_redelivery_needs_neither_spark_nor_java(stuck, folder):
    script = f"""
import sys
sys.argv = ["recsync", "redeliver", {str(folder)!r}, "--dry-run"]
from cli import main
code = main._exit_code()
assert "pyspark" not in sys.modules and "py4j" not in sys.modules
sys.exit(code)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env={"PATH": ""}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
