"""The whole system in virtual time: histories keep every invariant, and a rule broken on purpose is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli import simulate
from cli.simulation import history
from cli.simulation.history import play
from cli.simulation.invariants import broken
from cli.simulation.world import RestlessError, World
from connectors.base import Verdict
from connectors.contract import layout
from functions import deliver, enqueue, newest
from glue_jobs import state


@pytest.mark.parametrize("part", range(5))
def test_w2_fifty_known_histories_break_nothing(part):
    met, found = simulate.simulate(range(part, 50, 5))
    assert not found, "\n".join(simulate.lines(met, found))


@pytest.mark.parametrize("part", range(5))
def test_w2_ten_fresh_histories_break_nothing(part):
    met, found = simulate.simulate(simulate.fresh_seeds(10))
    assert not found, "\n".join(simulate.lines(met, found))


def test_the_known_histories_meet_everything_that_may_go_wrong():
    met, _ = simulate.simulate(range(50))
    assert not [what for what in (*history.WILD, "conflicts") if not met[what]]


def test_a_history_repeats_itself_from_its_seed():
    first, second = play(7), play(7)
    assert first.braze.taken == second.braze.taken
    assert first.world.met == second.world.met


class BrokenRules:
    """Each breaks one rule on purpose."""

    @staticmethod
    def receipts_are_lost(patch):
        write, calls = deliver.write_receipts, iter(range(10**9))
        patch.setattr(deliver, "write_receipts", lambda *told: write(*told) if next(calls) % 5 else None)

    @staticmethod
    def an_unknown_outcome_counts_as_delivered(patch):
        receipts_of = deliver.receipts_of

        def lie(message, outcomes, at):
            told = [
                replace(one, verdict=Verdict.DELIVERED) if one.verdict is Verdict.RETRY else one for one in outcomes
            ]
            return receipts_of(message, told, at)

        patch.setattr(deliver, "receipts_of", lie)

    @staticmethod
    def nothing_is_superseded(patch):
        patch.setattr(newest, "_published_version", lambda storage, connector: 0)

    @staticmethod
    def new_messages_do_not_wait_for_old_calls(patch):
        patch.setattr(history, "DELAY_S", 0.0)

    @staticmethod
    def everyone_counts_as_told(patch):
        patch.setattr(state, "unacknowledged", lambda storage, committed: state.Unacknowledged(committed.version))

    @staticmethod
    def runs_commit_without_looking(patch):
        def commit(storage, connector, committed, pointer):
            storage.put(layout.pointer(connector), pointer.to_json().encode())

        patch.setattr(state, "commit", commit)

    @staticmethod
    def refused_entries_are_not_sent_again(patch):
        def send_all(queue, bodies, **_):
            return len(queue.send([body.decode() for body in bodies]))

        patch.setattr(enqueue, "send_all", send_all)


RULES = [rule for name, rule in vars(BrokenRules).items() if not name.startswith("_")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_broken_rule_is_noticed_within_a_few_hundred_histories(rule, monkeypatch):
    rule.__func__(monkeypatch) if isinstance(rule, staticmethod) else rule(monkeypatch)
    assert any(broken(play(seed)) for seed in range(400))


def test_what_never_comes_to_rest_is_noticed():
    world = World(1, {})

    def again():
        world.later(1, again)

    again()
    with pytest.raises(RestlessError):
        world.come_to_rest()


@pytest.mark.shows("users", reason="a simulation names the users it made up")
def test_a_broken_invariant_is_told_with_its_seed_and_ends_with_1(monkeypatch, capsys):
    monkeypatch.setattr(newest, "_published_version", lambda storage, connector: 0)
    monkeypatch.setattr(simulate, "fresh_seeds", lambda number: [])
    assert simulate.main(["--seeds", "20"]) == 1
    assert "play it again with --seed" in capsys.readouterr().out
