from __future__ import annotations

from typing import get_args

import pytest

from connectors.contract.held import GuardReading
from connectors.contract.run_record import Outcome
from glue_jobs.report import verdict
from glue_jobs.report.facts import Standing

BREACH = GuardReading(
    name="maxClearedPct", number=66.67, limit=15, is_breached=True, note="598 of 897 users lose their recommendations"
)
FEW = GuardReading(name="minMetadataCoveragePct", number=60, limit=80, is_breached=True, note="6 of 10 have metadata")


@pytest.mark.parametrize(
    ("fates", "said"),
    [
        ({"open": 4}, "; nothing is delivered yet."),
        ({"delivered": 4}, ", and every one is delivered."),
        ({"delivered": 2, "rejected": 1, "open": 1}, "; 2 delivered, 1 rejected and 1 without an answer yet."),
        ({"dead_lettered": 1, "superseded": 3}, "; 1 dead-lettered and 3 superseded."),
    ],
)
def test_a_commit_says_who_gets_an_update_and_what_became_of_it(facts, tally, fates, said):
    found = verdict.of_run(facts(standings={"braze": Standing(tally(**fates))}))
    assert (found.state, found.is_alarm) == ("committed", False)
    assert found.sentence == "Committed: 4 users get an update (2 new, 1 changed, 1 cleared)" + said


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"records": 1, "changed": 1, "users": 3}, "1 user gets an update (changed)"),
        ({"records": 3, "new": 3, "users": 3}, "3 users get an update (all new)"),
        (
            {"records": 0, "unchanged": 897, "users": 897},
            "nothing is to be sent, as all 897 users were told this before",
        ),
        ({"records": 0, "unchanged": 1, "users": 2}, "nothing is to be sent, as nothing differs"),
        (
            {"records": 0, "unchanged": 42, "resting": 15, "users": 57},
            "nothing is to be sent, as 15 users rest after three refusals, and nothing else differs",
        ),
    ],
)
def test_an_update_is_told_in_few_words(facts, run, part, tally, counts, said):
    standing = Standing(tally(open=counts["records"]))
    found = verdict.of_run(facts(run(part(counts=counts)), standings={"braze": standing}))
    assert found.sentence.startswith(f"Committed: {said}")


def test_files_that_someone_else_reads_are_not_called_undelivered(facts, tally):
    standing = Standing(tally(open=4), is_read_by_others=True)
    assert "someone else" in verdict.of_run(facts(standings={"braze": standing})).sentence


def test_a_commit_that_was_never_published_says_so(facts):
    assert "never published" in verdict.of_run(facts(standings={})).sentence


def test_what_is_held_names_each_guard_its_number_its_limit_and_both_commands(facts, run, part):
    held = part(outcome="held", guards=[BREACH, FEW])
    waiting = Standing(waiting="20261121T040000Z-3f9a2c")
    found = verdict.of_run(facts(run(held), folder="/my shop/x", standings={"braze": waiting}))
    assert (found.state, found.is_alarm) == ("held", True)
    assert found.sentence == (
        "Held by maxClearedPct: 598 of 897 users lose their recommendations, 66.7 % where at most 15 % passes."
    )
    assert found.more[0] == ("Also by minMetadataCoveragePct: 6 of 10 have metadata, 60 % where 80 % is needed.")
    assert found.commands == [
        ("Let it pass", "recsync approve --connector braze --run 20261121T040000Z-3f9a2c '/my shop/x'"),
        ("Drop it", "recsync discard --connector braze --run 20261121T040000Z-3f9a2c '/my shop/x'"),
    ]


def test_a_number_just_beyond_its_limit_does_not_read_as_if_it_passed(facts, run, part):
    close = BREACH.model_copy(update={"number": 15.04})
    waiting = Standing(waiting="20261121T040000Z-3f9a2c")
    found = verdict.of_run(facts(run(part(outcome="held", guards=[close])), standings={"braze": waiting}))
    assert found.sentence.endswith(", 15.04 % where at most 15 % passes.")


def test_what_an_earlier_run_left_waiting_is_approved_under_that_runs_name(facts, run, part):
    held = part(outcome="held", guards=[BREACH], reason="run 20261120T040000Z-3f9a2c waits for a yes")
    found = verdict.of_run(facts(run(held), standings={"braze": Standing(waiting="20261120T040000Z-3f9a2c")}))
    assert "Run 20261120T040000Z-3f9a2c waits for a yes." in found.more
    assert all("--run 20261120T040000Z-3f9a2c" in typed for _, typed in found.commands)


def test_what_was_approved_since_is_told_as_sent(facts, run, part, tally):
    held = part(outcome="held", guards=[BREACH])
    found = verdict.of_run(facts(run(held), standings={"braze": Standing(tally(delivered=4))}))
    assert (found.state, found.commands) == ("approved", [])
    assert found.sentence.startswith("Held, then approved: 4 users get an update")
    assert found.more[0].startswith("It was held by maxClearedPct")


def test_what_was_held_and_waits_no_more_asks_for_nothing(facts, run, part):
    found = verdict.of_run(facts(run(part(outcome="held", guards=[BREACH])), standings={}))
    assert (found.commands, found.is_alarm) == ([], False)
    assert "waits no more" in found.sentence


def test_what_stopped_says_why(facts, run, part):
    stopped = part(outcome="stopped", reason="another run committed", counts={})
    found = verdict.of_run(facts(run(stopped), standings={}))
    assert found.sentence == "Stopped, and nobody is told anything: another run committed."
    assert found.is_alarm


def test_a_plan_says_that_it_is_one_and_what_would_hold_it(facts, run, part):
    found = verdict.of_run(facts(run(part(outcome="planned", guards=[BREACH])), standings={}))
    assert found.sentence == "Planned only: 4 users would get an update (2 new, 1 changed, 1 cleared)."
    assert found.more[0].startswith("It would be held by maxClearedPct")


def test_a_trial_says_that_nothing_is_committed(facts, run, part, tally):
    found = verdict.of_run(facts(run(part(outcome="trial")), standings={"braze": Standing(tally(delivered=4))}))
    assert found.sentence.startswith("A trial, nothing is committed: 4 users get an update")
    assert found.sentence.endswith(", and every one is delivered.")


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_every_outcome_has_a_sentence_of_its_own(facts, run, part, outcome):
    begins = {"held": "Held", "planned": "Planned", "stopped": "Stopped", "trial": "A trial", "committed": "Committed"}
    found = verdict.of_run(facts(run(part(outcome=outcome))))
    assert found.sentence.startswith(begins[outcome])


def test_a_run_that_found_nothing_says_why(facts, run):
    found = verdict.of_run(facts(run(message="no usable line: 0 read")))
    assert found.sentence == "Nothing was run: no usable line: 0 read."


def test_several_connectors_are_told_together(facts, run, part):
    webhook = part(connector="webhook", outcome="stopped", reason="x")
    found = verdict.of_run(facts(run(part(), webhook)))
    assert found.sentence == "2 connectors: braze committed and webhook stopped."
    assert found.is_alarm


def test_clears_that_are_withheld_are_said_at_once(facts, run, part):
    found = verdict.of_run(facts(run(part(counts={"records": 1, "new": 1, "users": 1, "clearsWithheld": 12}))))
    assert found.more == ["12 clears are withheld: not every line could be read, so nobody counts as gone."]
