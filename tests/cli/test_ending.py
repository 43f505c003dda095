"""What a run's record says of its end, and what was decided since."""

from __future__ import annotations

import pytest
from committed import NEXT, held

from cli.ending import ending, ending_in_words
from connectors.contract.held import let_go
from connectors.contract.run_record import ConnectorRecord
from glue_jobs import recording
from glue_jobs.approval import approve


@pytest.mark.parametrize("outcome", ["committed", "stopped", "trial"])
def test_what_no_guard_held_ended_as_its_record_says(job, outcome):
    assert ending(job.storage, ConnectorRecord(connector="braze", outcome=outcome)) == outcome
    assert ending_in_words(outcome) == outcome


def test_a_held_run_waits_until_someone_approves_it(job):
    record = recording.of_waiting(held(job))
    assert ending_in_words(ending(job.storage, record)) == "held"
    approve(job.storage, "braze", NEXT)
    assert ending_in_words(ending(job.storage, record)) == "held, then approved"


def test_a_held_run_that_nobody_approved_and_that_waits_no_more_was_dropped(job):
    record = recording.of_waiting(held(job))
    let_go(job.storage, "braze")
    assert ending_in_words(ending(job.storage, record)) == "held, then dropped"
