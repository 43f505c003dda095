"""Messages come again, after their wait, until they are deleted."""

from __future__ import annotations

import pytest

from cli.memory_queue import MemoryQueue


@pytest.fixture
def queue() -> MemoryQueue:
    queue = MemoryQueue()
    assert queue.send(["a", "b", "c"]) == []
    return queue


def bodies(messages) -> list[str]:
    return [message.body for message in messages]


def test_messages_come_in_the_order_they_were_sent(queue):
    assert bodies(queue.receive(0, most=2)) == ["a", "b"]
    assert bodies(queue.receive(0, most=2)) == ["c"]
    assert queue.receive(0, most=2) == []


def test_a_message_that_is_out_is_not_handed_out_twice_and_not_gone(queue):
    queue.receive(0, most=3)
    assert queue.receive(0, most=3) == []
    assert (len(queue), queue.next_visible_s()) == (3, None)


def test_a_deleted_message_never_comes_again(queue):
    first, *_ = queue.receive(0, most=1)
    queue.delete(first.message_id)
    assert bodies(queue.receive(0, most=3)) == ["b", "c"]
    assert len(queue) == 2


def test_a_message_put_back_comes_again_after_its_wait_and_knows_how_often_it_came(queue):
    a, b, c = queue.receive(0, most=3)
    assert [message.receives for message in (a, b, c)] == [1, 1, 1]
    queue.put_back(a.message_id, visible_at_s=20)
    queue.put_back(b.message_id, visible_at_s=10)
    queue.delete(c.message_id)
    assert queue.next_visible_s() == 10
    assert queue.receive(9.9, most=3) == []
    again = queue.receive(20, most=3)
    assert [(message.message_id, message.receives) for message in again] == [(b.message_id, 2), (a.message_id, 2)]


def test_an_empty_queue_has_nothing_to_wait_for():
    queue = MemoryQueue()
    assert (len(queue), queue.next_visible_s(), queue.receive(0, most=1)) == (0, None, [])
