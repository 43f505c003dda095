"""Who gets nothing: a share of the users, and always the same people."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_jobs.holdout import Holdout

IDS = [f"user-{number}" for number in range(100_000)]


def held_out(percent, salt="autumn"):
    holdout = Holdout(percent=percent, salt=salt)
    return {user for user in IDS if holdout.holds(user)}


@pytest.mark.parametrize("percent", [0.1, 1, 10, 33.3, 50, 99.5])
def test_the_share_of_a_hundred_thousand_is_what_was_asked_for(percent):
    assert abs(len(held_out(percent)) / len(IDS) * 100 - percent) <= 0.5


def test_none_and_all_are_exact():
    assert held_out(0) == set()
    assert held_out(100) == set(IDS)


def test_it_is_the_same_people_in_every_process():
    script = "from glue_jobs.holdout import Holdout as H; h = H(percent=10, salt='autumn'); "
    script += "print(*[u for u in (f'user-{n}' for n in range(100_000)) if h.holds(u)])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == held_out(10)


def test_with_a_higher_percentage_the_same_people_stay_and_others_join():
    assert held_out(5) < held_out(10) < held_out(10.5)


def test_another_salt_draws_other_people():
    spring = held_out(10, "spring")
    assert abs(len(spring & held_out(10)) / len(spring) * 100 - 10) <= 2


@given(user=st.text(min_size=1), salt=st.text(min_size=1).filter(str.strip))
def test_any_id_has_a_place(user, salt):
    assert Holdout(percent=100, salt=salt).holds(user)
    assert not Holdout(percent=0, salt=salt).holds(user)


def test_half_a_surrogate_pair_has_one_too():
    assert Holdout(percent=100, salt="x").holds("\ud800")
