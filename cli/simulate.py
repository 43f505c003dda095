"""make simulate: many histories of runs, crashes and a failing destination, each held against what must be true."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cli.simulation.history import Played, play
from cli.simulation.invariants import broken

_FRESH_BELOW = 10**9


def simulate(seeds: Iterable[int]) -> tuple[Counter[str], dict[int, list[str]]]:
    """Play a history for each seed: what was met in all of them, and what each one broke."""
    met, found = Counter[str](), {}
    for seed in seeds:
        played = play(seed)
        if sentences := broken(played):
            found[seed] = sentences
        met += counts_of(played)
    return met, found


def counts_of(played: Played) -> Counter[str]:
    """The figures of a history."""
    day = played.last
    counts = Counter(histories=1, runs=played.runs, published=len(played.published), conflicts=played.conflicts)
    counts["records taken"] = len(played.braze.taken)
    counts["users refused for good"] = sum(map(day.is_refused, day.lists))
    return counts + played.world.met


def fresh_seeds(number: int) -> list[int]:
    """Seeds nobody has played yet, probably."""
    return [secrets.randbelow(_FRESH_BELOW) for _ in range(number)]


def lines(met: Counter[str], found: dict[int, list[str]]) -> Iterator[str]:
    """The result, for a person."""
    yield ", ".join(f"{name} {count:,}" for name, count in met.items())
    for seed, sentences in found.items():
        yield f"seed {seed}: {len(sentences)} broken invariant(s); play it again with --seed {seed}"
        yield from (f"  {sentence}" for sentence in sentences[:5])
    yield f"{len(found)} of {met['histories']:,} histories broke an invariant"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; exit code 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m cli.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="half of them from 0 on, half of them fresh")
    parser.add_argument("--seed", type=int, default=None, help="play this one alone")
    arguments = parser.parse_args(argv)
    fixed = arguments.seeds // 2
    seeds = [*range(fixed), *fresh_seeds(arguments.seeds - fixed)] if arguments.seed is None else [arguments.seed]
    met, found = simulate(seeds)
    sys.stdout.write("\n".join(lines(met, found)) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
