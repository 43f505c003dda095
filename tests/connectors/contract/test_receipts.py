"""Receipts, and how all of a run are read together."""

from __future__ import annotations

import itertools
import json
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Fate, Ledger, Receipt, Rejection, read_ledger, write_receipts

AT = datetime(2026, 1, 31, 2, tzinfo=UTC)
LINES = {"a": 12, "b": 5, "empty": 0}
WORST_TO_BEST = (Fate.SUPERSEDED, Fate.DEAD_LETTERED, Fate.REJECTED, Fate.DELIVERED)


def manifest(lines: dict[str, int]) -> RunManifest:
    return RunManifest(
        job="related_items/shop",
        run_id="20260131T020000Z-3f9a2c",
        connector="braze",
        version=1,
        acknowledge="onDelivery",
        options={},
        records_per_request=75,
        counts={},
        files=[PartFile(key=key, records=records, size_bytes=1, checksum="c") for key, records in lines.items()],
        digest="d",
        created_at=AT,
    )


def receipt(file: str, first: int, last: int, outcome: str = "settled", rejected: tuple[int, ...] = ()) -> Receipt:
    refused = [Rejection(line=line, user_id=f"user-{line}", code="c", reason="r") for line in rejected]
    return Receipt(file=file, first_line=first, last_line=last, outcome=outcome, rejected=refused, at=AT)


@st.composite
def receipts(draw):
    """One receipt: of a part we know or not, perhaps reaching beyond its end."""
    first = draw(st.integers(0, 13))
    last = draw(st.integers(first, 15))
    rejected = draw(st.sets(st.integers(first, last), max_size=3))
    outcome = draw(st.sampled_from(["settled", "superseded", "deadLettered", "tooLarge"]))
    return receipt(draw(st.sampled_from(["a", "b", "unknown"])), first, last, outcome, tuple(sorted(rejected)))


# One receipt


@given(receipts())
def test_a_receipt_comes_back_from_its_line_as_it_was(written):
    line = written.to_json()
    assert "\n" not in line
    assert Receipt.model_validate_json(line) == written


def test_a_receipt_uses_the_words_of_the_format():
    assert json.loads(receipt("f", 0, 74, rejected=(3,)).to_json()) == {
        "file": "f",
        "from": 0,
        "to": 74,
        "outcome": "settled",
        "rejected": [{"line": 3, "userId": "user-3", "code": "c", "reason": "r"}],
        "attempt": 1,
        "at": "2026-01-31T02:00:00Z",
    }


def test_an_unknown_key_is_passed_over():
    data = json.loads(receipt("f", 0, 1).to_json())
    assert Receipt.model_validate_json(json.dumps({**data, "mood": "good"})) == receipt("f", 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"from": 75},
        {"from": -1},
        {"to": None},
        {"outcome": "lost"},
        {"rejected": [{"line": 75, "userId": "u", "code": "c", "reason": "r"}]},
        {"rejected": [{"line": 0, "userId": "u"}]},
        {"attempt": 0},
    ],
)
def test_a_receipt_of_another_shape_is_refused(change):
    data = json.loads(receipt("f", 0, 74).to_json()) | change
    with pytest.raises(ValidationError):
        Receipt.model_validate_json(json.dumps(data))


# All of them together


@given(st.lists(receipts(), max_size=6), st.data())
def test_order_and_repetition_of_receipts_change_nothing(written, data):
    again = data.draw(st.lists(st.sampled_from(written), max_size=4)) if written else []
    shuffled = data.draw(st.permutations([*written, *again]))
    assert Ledger.of(manifest(LINES), shuffled) == Ledger.of(manifest(LINES), written)


@given(st.lists(receipts(), max_size=6))
def test_of_all_that_was_said_about_a_line_the_strongest_holds(written):
    ledger = Ledger.of(manifest(LINES), written)
    for file, lines in LINES.items():
        assert list(ledger.fates[file]) == [max(said_about(file, line, written)) for line in range(lines)]


def said_about(file: str, line: int, written: list[Receipt]) -> list[Fate]:
    """The rule once more, line by line."""
    fates = {
        "settled": Fate.DELIVERED,
        "superseded": Fate.SUPERSEDED,
        "deadLettered": Fate.DEAD_LETTERED,
        "tooLarge": Fate.REJECTED,
    }
    about = [one for one in written if one.file == file and one.first_line <= line <= one.last_line]
    is_rejected = [line in {rejection.line for rejection in one.rejected} for one in about]
    return [
        Fate.OPEN,
        *(Fate.REJECTED if no else fates[one.outcome] for one, no in zip(about, is_rejected, strict=True)),
    ]


@pytest.mark.parametrize(("weaker", "stronger"), [*itertools.combinations(WORST_TO_BEST, 2)])
@pytest.mark.parametrize("turn", [1, -1])
def test_delivered_beats_rejected_beats_dead_lettered_beats_superseded(weaker, stronger, turn):
    saying = {
        Fate.SUPERSEDED: receipt("a", 0, 0, "superseded"),
        Fate.DEAD_LETTERED: receipt("a", 0, 0, "deadLettered"),
        Fate.REJECTED: receipt("a", 0, 0, rejected=(0,)),
        Fate.DELIVERED: receipt("a", 0, 0),
    }
    ledger = Ledger.of(manifest({"a": 1}), [saying[weaker], saying[stronger]][::turn])
    assert list(ledger.fates["a"]) == [stronger]


@given(st.lists(receipts(), max_size=6))
def test_open_ranges_are_exactly_the_lines_nothing_is_known_about(written):
    ledger = Ledger.of(manifest(LINES), written)
    for file, lines in LINES.items():
        ranges = list(ledger.open_ranges(file))
        covered = {line for one in written if one.file == file for line in range(one.first_line, one.last_line + 1)}
        assert [line for first, last in ranges for line in range(first, last + 1)] == sorted({*range(lines)} - covered)
        assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(ranges)), "neighbours are one range"


@pytest.mark.parametrize(
    ("said", "ranges"),
    [
        ([], [(0, 4)]),
        ([(0, 4)], []),
        ([(0, 99)], []),
        ([(1, 3)], [(0, 0), (4, 4)]),
        ([(0, 0), (2, 2)], [(1, 1), (3, 4)]),
        ([(7, 9)], [(0, 4)]),
    ],
)
def test_open_ranges_name_their_first_and_last_line(said, ranges):
    ledger = Ledger.of(manifest({"b": 5}), [receipt("b", first, last) for first, last in said])
    assert list(ledger.open_ranges("b")) == ranges


@given(st.lists(receipts(), max_size=6))
def test_counts_add_up_to_the_lines_of_the_run_and_name_every_fate(written):
    counts = Ledger.of(manifest(LINES), written).counts()
    assert list(counts) == list(Fate)
    assert sum(counts.values()) == sum(LINES.values())


@pytest.mark.parametrize(
    ("said", "refused", "names_everyone"),
    [
        ([receipt("b", 0, 4)], [], True),
        ([receipt("b", 0, 4, rejected=(2, 3))], ["user-2", "user-3"], True),
        ([receipt("b", 0, 3, rejected=(2,))], ["user-2"], False),
        ([receipt("b", 0, 3), receipt("b", 4, 4, "tooLarge")], [], False),
        ([receipt("b", 0, 3, rejected=(1,)), receipt("b", 4, 4, "deadLettered")], ["user-1"], False),
        ([receipt("b", 0, 3), receipt("b", 4, 4, "superseded")], [], False),
        ([], [], False),
    ],
)
def test_receipts_may_name_everyone_whom_a_part_did_not_reach(said, refused, names_everyone):
    ledger = Ledger.of(manifest(LINES), said)
    assert (ledger.refused_users("b"), ledger.names_everyone("b")) == (refused, names_everyone)
    assert ledger.names_everyone("empty")


def test_a_refusal_is_forgotten_once_the_line_is_delivered_after_all():
    ledger = Ledger.of(manifest({"b": 5}), [receipt("b", 0, 4, rejected=(2,)), receipt("b", 2, 2)])
    assert (ledger.refused_users("b"), ledger.names_everyone("b")) == ([], True)


# Of a folder


class Patient(LocalStorage):
    """Answers a read only while three others are on their way, as a far-away storage that is asked for many would."""

    together = threading.Barrier(4)

    def get(self, key):
        self.together.wait(timeout=20)
        return super().get(key)


def test_receipts_are_read_several_at_once_for_each_is_a_call(tmp_path):
    storage, told = Patient(tmp_path), manifest(LINES)
    for line in range(12):
        write_receipts(storage, told, [receipt("a", line, line)])
    assert read_ledger(storage, told).counts()[Fate.DELIVERED] == 12
