"""Numbers of a run that is not committed yet → what each guard says. Pure.

A guard counts news: what repeats something unconfirmed or already approved does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.contract.held import GuardReading
from glue_jobs.config import Guards


@dataclass(frozen=True)
class RunNumbers:
    """What guards look at.

    Attributes:
        counts: The run's figures, by name.
        is_first: Whether the destination was never told anything: then everything is a change.
        input_age_h: Hours since the newest file of the batch was written.
        top_item_users: Users who have the most recommended item on their list.
    """

    counts: Mapping[str, int]
    is_first: bool
    input_age_h: float
    top_item_users: int = 0

    @property
    def cleared(self) -> int:
        """Users newly cleared."""
        return self.counts["cleared"] - self.counts["clearedAgain"]

    def percent(self, part: int, of: str) -> float:
        """A part of a figure in percent; 0 of nothing."""
        whole = self.counts[of]
        return 100 * part / whole if whole else 0.0


def read_guards(guards: Guards, run: RunNumbers) -> list[GuardReading]:
    """What each guard that has a limit says, in the order of config.json."""
    return [*_of_clears(guards, run), *_of_changes(guards, run), *_of_lines(guards, run), *_of_lists(guards, run)]


def breached(readings: list[GuardReading]) -> list[GuardReading]:
    """The guards that hold the run."""
    return [reading for reading in readings if reading.is_breached]


def _of_clears(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    held = run.counts["usersHeld"]
    note = f"{run.cleared} of {held} users the destination holds lose their recommendations"
    is_many = run.cleared >= guards.min_affected_users and not run.is_first
    yield from _most("maxClearedPct", run.percent(run.cleared, "usersHeld"), guards.max_cleared_pct, note, is_many)
    yield from _most("maxCleared", run.cleared, guards.max_cleared, note, not run.is_first)


def _of_changes(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    changed = run.counts["changed"]
    note = f"{changed} of {run.counts['users']} users get another list"
    is_many = changed >= guards.min_affected_users and not run.is_first
    yield from _most("maxChangedPct", run.percent(changed, "users"), guards.max_changed_pct, note, is_many)


def _of_lines(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    broken, failed = run.counts["linesBroken"], run.counts["linesFailed"]
    read = run.counts["linesRead"]
    note = f"{broken} of {read} lines of the batch cannot be read"
    yield from _most("maxBadLinePct", run.percent(broken, "linesRead"), guards.max_bad_line_pct, note)
    note = f"{failed} of {read} lines of the batch were failed by the recommender"
    yield from _most("maxFailedLinePct", run.percent(failed, "linesRead"), guards.max_failed_line_pct, note)
    note = f"the newest file of the batch was written {run.input_age_h:.1f} hours ago"
    yield from _most("maxInputAgeHours", run.input_age_h, guards.max_input_age_hours, note)


def _of_lists(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    counts, few = run.counts, guards.min_affected_users
    known = counts["itemsRanked"] - counts["itemsWithoutMetadata"]
    note = f"{known} of {counts['itemsRanked']} recommendations have metadata"
    share = run.percent(known, "itemsRanked")
    yield from _least("minMetadataCoveragePct", share, guards.min_metadata_coverage_pct, note, bool(counts["users"]))
    short = counts.get("usersBelowMinItems", 0)
    note = f"{short} of {counts['users']} users have fewer recommendations than minItems"
    limit = guards.max_below_min_items_pct
    yield from _most("maxBelowMinItemsPct", run.percent(short, "users"), limit, note, short >= few)
    top = run.top_item_users
    note = f"{top} of {counts['users']} users have the most recommended item"
    limit = guards.max_top_item_share_pct
    yield from _most("maxTopItemSharePct", run.percent(top, "users"), limit, note, top >= few)


def _most(name: str, number: float, limit: float | None, note: str, acts: bool = True) -> Iterator[GuardReading]:
    if limit is not None:
        yield GuardReading(name=name, number=number, limit=limit, is_breached=acts and number > limit, note=note)


def _least(name: str, number: float, limit: float | None, note: str, acts: bool) -> Iterator[GuardReading]:
    if limit is not None:
        yield GuardReading(name=name, number=number, limit=limit, is_breached=acts and number < limit, note=note)
