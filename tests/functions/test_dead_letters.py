"""Dead letters go when a newer run has told the same users something newer, and only then."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import pytest

from connectors.contract.manifest import Message
from connectors.contract.receipts import Fate, Receipt, write_receipts
from connectors.contract.storage import open_storage
from functions.dead_letters import account_for

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
NEWER = "20261122T040000Z-000002"
ANN = {"userId": "ann", "op": "upsert", "recommendations": []}


class Queue:
    """Gives each message once."""

    def __init__(self, *bodies: str) -> None:
        self.unseen, self.left = deque(enumerate(bodies)), dict(enumerate(bodies))

    def receive(self):
        return [
            (str(number), body) for number, body in [self.unseen.popleft() for _ in range(min(2, len(self.unseen)))]
        ]

    def delete(self, handle: str) -> None:
        del self.left[int(handle)]


def message_of(run) -> str:
    file = run.manifest.files[0]
    fields = {"connector": "braze", "manifest": run.address, "version": run.manifest.version, "file": file.key}
    return Message(**fields, first_line=0, last_line=file.records - 1, lines=[ANN] * file.records).to_json()


def settle(run) -> None:
    file = run.manifest.files[0]
    receipt = Receipt(file=file.key, first_line=0, last_line=file.records - 1, outcome="settled", at=NOW)
    write_receipts(run.storage, run.manifest, [receipt])


@pytest.fixture
def old(publish):
    return publish([ANN, ANN])


@pytest.fixture
def newer(publish, commit):
    run = publish([ANN], run_id=NEWER, version=2)
    commit(run)
    return run


def test_a_dead_letter_goes_once_a_newer_run_is_settled_and_its_receipt_says_so(old, newer):
    settle(newer)
    queue = Queue(message_of(old), message_of(old), message_of(old))
    assert account_for(queue, open_storage, NOW).removed == 3
    assert queue.left == {}
    assert old.fates() == [Fate.SUPERSEDED] * 2


def test_it_stays_while_the_newer_run_is_on_its_way(old, newer):
    queue = Queue(message_of(old))
    assert account_for(queue, open_storage, NOW).removed == 0
    assert (len(queue.left), old.fates()) == (1, [Fate.DEAD_LETTERED] * 2)


def test_of_what_stays_the_receipts_say_so_once_and_only_where_nothing_is_known(publish, commit):
    run = publish([ANN] * 4)
    commit(run)
    file = run.manifest.files[0].key
    write_receipts(
        run.storage, run.manifest, [Receipt(file=file, first_line=1, last_line=1, outcome="settled", at=NOW)]
    )
    for receipted in (1, 0):
        assert account_for(Queue(message_of(run)), open_storage, NOW).receipted == receipted
    unknown = Fate.DEAD_LETTERED
    assert run.fates() == [unknown, Fate.DELIVERED, unknown, unknown]
    settle(run)
    assert run.fates() == [Fate.DELIVERED] * 4


def test_one_of_the_newest_run_itself_stays(old, newer):
    settle(newer)
    assert account_for(Queue(message_of(newer)), open_storage, NOW).removed == 0


def test_a_run_that_someone_else_reads_makes_them_pointless_as_well(old, publish, commit):
    commit(publish([ANN], run_id=NEWER, version=2, acknowledge="onWrite"))
    assert account_for(Queue(message_of(old)), open_storage, NOW).removed == 1


@pytest.mark.parametrize("content", [b"{", b'{"formatVersion": 99}'])
def test_those_of_a_run_that_cannot_be_read_keep_no_others_from_being_accounted_for(old, publish, content):
    lost = publish([ANN], run_id=NEWER)
    lost.storage.delete(lost.key)
    lost.storage.put(lost.key, content)
    found = account_for(Queue(message_of(lost), message_of(old)), open_storage, NOW)
    assert (found.receipted, list(found.failed)) == (1, [lost.address])
    assert old.fates() == [Fate.DEAD_LETTERED] * 2


def test_one_whose_range_runs_backwards_stays_for_a_person(old):
    message = Message.model_validate_json(message_of(old)).model_copy(update={"first_line": 1, "last_line": 0})
    queue = Queue(message.to_json(), message_of(old))
    assert account_for(queue, open_storage, NOW).receipted == 1
    assert len(queue.left) == 2


@pytest.mark.parametrize("body", ["no json", "{}", '{"formatVersion": 99}'])
def test_what_nobody_can_read_stays_for_a_person(old, newer, body):
    settle(newer)
    queue = Queue(body, message_of(old))
    assert account_for(queue, open_storage, NOW).removed == 1
    assert list(queue.left.values()) == [body]


def test_a_message_of_a_run_that_is_pruned_goes_without_a_receipt(old, newer):
    settle(newer)
    body = message_of(old)
    old.storage.delete(old.key)
    assert account_for(Queue(body), open_storage, NOW).removed == 1
    assert old.receipts() == []
