"""What a run says of itself when it ends."""

from __future__ import annotations

import pytest

from cli import show
from cli.console import Voice
from connectors.contract.run_record import ConnectorRecord

RUN = "20261121T040000Z-3f9a2c"


def last_words(capsys, **counts):
    """What is said below the figures of a run that committed."""
    show.synced(RUN, ConnectorRecord(connector="braze", outcome="committed", version=2, counts=counts), Voice())
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"users": 3, "unchanged": 3}, "every user was told this before"),
        (
            {"users": 3, "unchanged": 3, "clearsWithheld": 1, "linesBroken": 1},
            "3 users told this before; 1 user not cleared, as not every line could be read; "
            "1 line of the batch that cannot be read",
        ),
        ({"users": 0, "gone": 50}, "50 users no longer in the input, left with what is there"),
        (
            {"users": 0, "gone": 1, "mappingRowsBroken": 1_200},
            "1 user no longer in the input, left with what is there; 1,200 rows of the mapping that cannot be read",
        ),
        (
            {"users": 4, "unchanged": 2, "resting": 1, "empty": 1},
            "2 users told this before; 1 user resting, refused three times; 1 user with an empty list and nothing held",
        ),
        (
            {"users": 0, "cleared": 2, "clearsWithheld": 2, "linesBroken": 1},
            "2 users not cleared, as not every line could be read; 1 line of the batch that cannot be read",
        ),
        ({"users": 0, "mappingRowsBroken": 3}, "3 rows of the mapping that cannot be read"),
        ({"users": 0}, "no user has a list"),
    ],
)
def test_why_a_run_sends_nothing_is_said_with_its_figures(capsys, counts, said):
    assert last_words(capsys, records=0, **counts) == [f"· braze: nothing to send, 0 records: {said}"]


def test_a_run_that_sends_something_needs_no_such_words(capsys):
    assert last_words(capsys, records=1, users=2, unchanged=1) == []
