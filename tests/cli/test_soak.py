"""The large run in small: CI delivers 20,000 records while 20 of 100 calls fail."""

import secrets

from cli.emulators.faults import Fault, FaultPlan
from cli.soak import RATES, Books, lines, soak


def test_w1_nothing_is_lost_while_one_call_in_five_fails():
    seed = secrets.randbelow(10**6)
    books = soak(20_000, seed, concurrency=8)
    told = "\n".join(lines(books, seed))
    assert books.is_balanced, told
    assert books.delivered == 20_000, told
    assert books.repeated > 0, told


def test_books_that_do_not_balance_say_so():
    lost = Books(10, 9, 0, 0, 0, 0, 0, 0, 1, 1.0, 1)
    wrong = Books(10, 10, 0, 0, 0, 0, 0, 1, 1, 1.0, 1)
    assert not lost.is_balanced
    assert not wrong.is_balanced
    assert "DO NOT BALANCE" in list(lines(lost, 1))[-1]


def test_a_plan_repeats_its_faults_from_its_seed_and_keeps_its_rates():
    first, again = (FaultPlan(RATES, seed=5) for _ in range(2))
    drawn = [first.next() for _ in range(10_000)]
    assert drawn == [again.next() for _ in range(10_000)]
    for fault, rate in RATES.items():
        assert abs(drawn.count(fault) / 10_000 - rate) < 0.01
    assert sum(first.met.values()) == 10_000


def test_a_script_comes_before_the_rates():
    plan = FaultPlan(script=[Fault.THROTTLED, Fault.LATE])
    assert [plan.next() for _ in range(3)] == [Fault.THROTTLED, Fault.LATE, Fault.NONE]
