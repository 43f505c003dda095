"""A run beyond its guards waits for a yes; what was approved is no news the next night. With Spark."""

from __future__ import annotations

import json

import pytest

from connectors.contract import layout
from connectors.contract.held import newest_held
from connectors.contract.receipts import Receipt, write_receipts
from connectors.contract.storage import open_storage
from glue_jobs import approval, state
from glue_jobs.approval import check_plan
from glue_jobs.errors import NoInputError, OutOfDateError, SyncError

USERS = [f"u{number:03d}" for number in range(60)]


@pytest.fixture
def shop(job):
    """60 users mapped to two items; a user who leaves is cleared. All of them were told, and confirmed."""
    made = job("related_items")
    made.config(braze={"itemMetadataFields": ["price"], "onUserRemoved": "clear"}, guards={"maxChangedPct": 50})
    made.batch(line("a", "x", "y"), line("b", "y", "z"))
    made.items(*[{"id": item, "price": 1} for item in "abxyz"])
    made.mapping(*[f"{user},{'ab'[number % 2]}" for number, user in enumerate(USERS)])
    confirm(made, made.run())
    return made


def line(item, *items):
    return {"input": {"itemId": item}, "output": {"recommendedItems": list(items)}}


def confirm(job, result, share=1.0):
    """The destination takes so much of a run."""
    manifest = job.manifest(result)
    receipts = [
        Receipt(
            file=file.key,
            first_line=0,
            last_line=round(file.records * share) - 1,
            outcome="settled",
            at=manifest.created_at,
        )
        for file in manifest.files
    ]
    write_receipts(open_storage(str(job.path)), manifest, receipts)


def cut_mapping(shop, users):
    shop.mapping(*[f"{user},a" if int(user[1:]) % 2 == 0 else f"{user},b" for user in users])


def pointer(shop):
    return (shop.path / layout.pointer("braze")).read_bytes()


def test_f18_a_mapping_cut_to_a_tenth_is_held_and_approved_as_it_was_shown(shop):
    before = pointer(shop)
    cut_mapping(shop, USERS[:6])
    plan = shop.result(is_plan=True)
    assert plan.record.of("braze").counts["cleared"] == 54
    result = shop.result()
    assert (result.exit_code, pointer(shop)) == (3, before)
    (held,) = result.held
    (reading,) = [one for one in held.guards if one.is_breached]
    assert (reading.name, reading.number, reading.limit) == ("maxClearedPct", 90.0, 15.0)
    assert len(list(shop.path.rglob("_manifest.json"))) == 1
    storage = open_storage(str(shop.path))
    done = approval.approve(storage, "braze")
    manifest = state.read_manifest(storage, done.pointer.manifest)
    assert (manifest.version, manifest.counts["cleared"], manifest.counts["records"]) == (2, 54, 54)
    with pytest.raises(OutOfDateError, match="no run is held"):
        approval.approve(storage, "braze")


def test_f18_an_approved_clear_that_nobody_confirmed_is_not_held_again(shop):
    cut_mapping(shop, USERS[:6])
    shop.result()
    approval.approve(open_storage(str(shop.path)), "braze")
    again = shop.run()
    assert (again.counts["cleared"], again.counts["clearedAgain"]) == (54, 54)


def test_the_same_unchanged_input_is_held_once(shop):
    cut_mapping(shop, USERS[:6])
    (first,) = shop.result().held
    again = shop.result()
    assert (again.exit_code, [one.run_id for one in again.held]) == (3, [first.run_id])
    assert again.record.of("braze").reason == f"run {first.run_id} waits for a yes, and nothing has changed since"
    cut_mapping(shop, USERS[:3])
    (newer,) = shop.result().held
    assert newest_held(open_storage(str(shop.path)), "braze").run_id == newer.run_id != first.run_id


def test_f18_lists_that_all_become_empty_are_held_like_clears(shop):
    shop.batch(line("a"), line("b"))
    result = shop.result()
    (held,) = result.held
    (reading,) = [one for one in held.guards if one.name == "maxClearedPct"]
    assert (result.exit_code, reading.is_breached, reading.number) == (3, True, 100)
    assert result.record.of("braze").counts["emptied"] == 60


@pytest.mark.parametrize("is_full", [True, False], ids=["everyone is sent", "the last night did not arrive"])
def test_f19_other_lists_for_everyone_are_held_whether_or_not_the_last_ones_arrived(shop, is_full):
    if not is_full:
        shop.batch(line("a", "z", "x"), line("b", "x", "y"))
        shop.result()
        approval.approve(open_storage(str(shop.path)), "braze")
    shop.batch(line("a", "b", "z"), line("b", "a", "x"))
    result = shop.result(is_full=is_full)
    (held,) = result.held
    assert [one.name for one in held.guards if one.is_breached] == ["maxChangedPct"]
    assert result.record.of("braze").counts["changedUnconfirmed"] == 60


def test_sending_everyone_is_a_run_of_its_own_while_another_one_is_held(shop):
    cut_mapping(shop, USERS[:6])
    (first,) = shop.result().held
    (again,) = shop.result(is_full=True).held
    assert (again.run_id != first.run_id, again.manifest.counts["records"]) == (True, 60)


def test_f04_metadata_in_another_form_is_held_and_its_lines_are_set_aside(shop):
    rows = [json.dumps({"id": item, "price": 1}) for item in "abxyz"]
    (shop.path / "input/item_metadata/items.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
    result = shop.result()
    (held,) = result.held
    assert "6 of 7 lines of the metadata cannot be read" in [one.note for one in held.guards if one.is_breached]
    (aside,) = shop.path.glob(f"{layout.quarantine(held.run_id)}/*metadata.jsonl")
    kept = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [line["text"] for line in kept] == ["[", *(f"{row}," for row in rows[:4]), "]"]
    assert kept[0] == {"file": "items.json", "text": "[", "reason": kept[0]["reason"]} and kept[0]["reason"]


@pytest.mark.parametrize(("rows", "said"), [([], "0 read, 0 unreadable"), (["ann,a,more"] * 3, "3 read, 3 unreadable")])
def test_f17_a_mapping_without_a_good_row_is_no_input_unless_that_may_be(shop, rows, said):
    before = pointer(shop)
    shop.mapping(*rows)
    with pytest.raises(NoInputError, match=f"no usable row of the mapping: {said}; nothing was changed"):
        shop.run()
    assert pointer(shop) == before
    shop.config(braze={"itemMetadataFields": ["price"]}, guards={"allowEmpty": True, "maxBadLinePct": None})
    assert shop.run().counts["gone"] == 60


def test_a_run_that_passes_lets_go_of_what_was_held(shop):
    cut_mapping(shop, USERS[:6])
    shop.result()
    cut_mapping(shop, USERS)
    shop.run()
    assert newest_held(open_storage(str(shop.path)), "braze") is None


def test_f19_one_shared_item_that_changes_everyone_is_held_with_what_it_costs(shop):
    shop.items(*[{"id": item, "price": 2 if item == "y" else 1} for item in "abxyz"])
    result = shop.result()
    assert result.exit_code == 3
    (held,) = result.held
    assert [one.name for one in held.guards if one.is_breached] == ["maxChangedPct"]
    cost = result.record.of("braze").estimate
    assert (cost.measured, cost.requests, cost.units) == (60, 1, {"recs_items": 60 * 2 * 2})


def test_an_outage_that_left_most_users_unconfirmed_is_no_change(shop):
    shop.items(*[{"id": item, "price": 1} for item in "abxyz"], {"id": "q", "price": 1})
    shop.config(braze={"itemMetadataFields": ["price"], "onUserRemoved": "clear", "attributePrefix": "new_"})
    confirm(shop, shop.run(), share=0.4)
    shop.config(
        braze={"itemMetadataFields": ["price"], "onUserRemoved": "clear", "attributePrefix": "new_"},
        guards={"maxChangedPct": 1},
    )
    result = shop.run()
    assert (result.counts["repeated"], result.counts["changed"]) == (36, 0)


def test_a_plan_writes_nothing_but_itself(shop):
    before = {path: path.read_bytes() for path in shop.path.rglob("*") if path.is_file()}
    cut_mapping(shop, USERS[:6])
    mapping = shop.path / "input/user_item_mapping/part-0001.csv"
    before[mapping] = mapping.read_bytes()
    record = shop.result(is_plan=True).record
    after = {path: path.read_bytes() for path in shop.path.rglob("*") if path.is_file()}
    plan = shop.path / layout.plan_record(record.run_id)
    assert {path for path in after if after[path] != before.get(path)} == {plan}
    assert json.loads(plan.read_text())["connectors"][0]["outcome"] == "planned"


def test_a_run_refuses_a_plan_that_something_has_changed_since(shop):
    storage = open_storage(str(shop.path))
    cut_mapping(shop, USERS[:58])
    plan = shop.result(is_plan=True).record
    check_plan(plan, plan.inputs, storage, is_full=False)
    with pytest.raises(OutOfDateError, match="did not say what sending everyone does"):
        check_plan(plan, plan.inputs, storage, is_full=True)
    confirm(shop, shop.run())
    with pytest.raises(OutOfDateError, match="the committed version of braze changed since plan"):
        check_plan(plan, plan.inputs, storage, is_full=False)
    cut_mapping(shop, USERS[:57])
    with pytest.raises(
        OutOfDateError, match=r"user_item_mapping/part-0001\.csv, the committed version of braze changed since plan"
    ):
        check_plan(plan, shop.result(is_plan=True).record.inputs, storage, is_full=False)


def test_a_run_leaves_a_record_that_names_nobody(shop):
    shop.items(*[{"id": item, "price": 5 if item == "x" else 1} for item in "abxyz"])
    shop.config(braze={"itemMetadataFields": ["price"]})
    record = shop.result().record
    told = record.of("braze")
    assert (told.outcome, told.fields, told.counts["changed"]) == ("committed", {"price": 30}, 30)
    assert {one.item_id: one.users for one in told.items} == {"y": 60, "x": 30, "z": 30}
    assert len(told.samples) == 20
    assert all(one.before == ["x", "y"] and one.changed == ["price"] for one in told.samples)
    text = (shop.path / layout.run_record(record.run_id)).read_text()
    page = (shop.path / layout.report(record.run_id)).read_text()
    assert "Committed: 30 users get an update (all changed); nothing is delivered yet." in page
    assert all(sample.user in page for sample in told.samples)
    assert not [user for user in USERS if user in text or user in page]
    assert [stage.name.partition(" in ")[0] for stage in record.stages][:4] == [
        "found 1 file(s) of batch inference",
        "starting Spark",
        "braze: reading the item metadata",
        "braze: reading the batch, comparing with version 1, writing",
    ]


def test_a_run_without_input_leaves_a_record_too(shop):
    (shop.path / "input/batch/job_config.json.out").unlink()
    with pytest.raises(NoInputError, match="no finished batch inference"):
        shop.result()
    newest = max(shop.path.glob("runs/2*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    record = json.loads(newest.read_text())
    assert (record["exitCode"], record["reason"]) == (1, "no_input")
    page = (newest.parent / "report.html").read_text()
    assert "Nothing was run: " in page
    assert "no finished batch inference" in page


def test_a_run_whose_storage_refuses_leaves_a_record_too(shop, tmp_path):
    (tmp_path / "elsewhere.csv").write_text("USER_ID,ITEM_ID\n")
    (shop.path / "input/user_item_mapping/linked.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(SyncError, match="is a link that leads out of"):
        shop.result()
    newest = max(shop.path.glob("runs/2*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    record = json.loads(newest.read_text())
    assert record["exitCode"] == 1 and "linked.csv" in record["message"]


def test_allow_empty_takes_a_batch_without_a_good_line_at_its_word(shop):
    shop.batch({"input": {"itemId": "a"}, "output": None, "error": "no"})
    shop.config(braze={"itemMetadataFields": ["price"]}, guards={"allowEmpty": True})
    assert shop.run().counts["records"] == 0
