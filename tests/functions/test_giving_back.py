"""What goes back to the queue, and what the queue does not take."""

from __future__ import annotations

from functions.giving_back import WayBack


class Shut:
    """A queue that takes nothing."""

    asked = 0

    def send(self, bodies, *, delay_s=0):
        self.asked += 1
        return list(range(len(bodies)))


def test_a_queue_that_takes_nothing_is_not_asked_again_for_the_same_batch():
    """Each message would wait some seconds for it, and the function's time is short."""
    queue, waits = Shut(), []
    way_back = WayBack(queue, waits.append)
    assert not way_back.took_anew("a", 5.0)
    asked, waited = queue.asked, len(waits)
    assert not way_back.took_anew("b", 5.0)
    assert (queue.asked, len(waits)) == (asked, waited)
    assert asked > 1
