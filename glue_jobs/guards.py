"""Numbers of a run that is not committed yet → what each guard says. Pure.

A guard counts news: what repeats something unconfirmed or already approved does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

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
    def losing(self) -> int:
        """Users who had recommendations and are to have none: newly cleared, or told an empty list."""
        return self.counts["cleared"] - self.counts["clearedAgain"] + self.counts["emptied"]

    @property
    def changed(self) -> int:
        """Users who get another list than they were sent last, whether or not that one arrived."""
        return self.counts["changed"] + self.counts["changedUnconfirmed"]

    def percent(self, part: int, of: str) -> float:
        """A part of a figure in percent; 0 of nothing."""
        return _percent(part, self.counts[of])


def read_guards(guards: Guards, run: RunNumbers) -> list[GuardReading]:
    """What each guard that has a limit says, in the order of config.json."""
    kinds = (_of_clears, _of_changes, _of_lines, _of_metadata, _of_lists)
    return [reading for kind in kinds for reading in kind(guards, run)]


def breached(readings: list[GuardReading]) -> list[GuardReading]:
    """The guards that hold the run."""
    return [reading for reading in readings if reading.is_breached]


def _of_clears(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    held = run.counts["usersHeld"]
    note = f"{run.losing} of {held} users the destination holds lose their recommendations"
    share, idle = run.percent(run.losing, "usersHeld"), _of_first(run) or _of_few(guards, run.losing)
    yield from _most("maxClearedPct", share, guards.max_cleared_pct, note, idle)
    yield from _most("maxCleared", run.losing, guards.max_cleared, note, _of_first(run))


def _of_changes(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    note = f"{run.changed} of {run.counts['users']} users get another list"
    idle = _of_first(run) or _of_few(guards, run.changed)
    yield from _most("maxChangedPct", run.percent(run.changed, "users"), guards.max_changed_pct, note, idle)


def _of_lines(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    failed, read = run.counts["linesFailed"], run.counts["linesRead"]
    share, note = max(_unreadable(run.counts), key=itemgetter(0))
    yield from _most("maxBadLinePct", share, guards.max_bad_line_pct, note)
    note = f"{failed} of {read} lines of the batch were failed by the recommender"
    yield from _most("maxFailedLinePct", run.percent(failed, "linesRead"), guards.max_failed_line_pct, note)
    note = f"the newest file of the batch was written {run.input_age_h:.1f} hours ago"
    yield from _most("maxInputAgeHours", run.input_age_h, guards.max_input_age_hours, note)


def _unreadable(counts: Mapping[str, int]) -> Iterator[tuple[float, str]]:
    """Of each kind of input how much of it cannot be read, in percent, and a sentence about it."""
    items = sum(counts.get(name, 0) for name in ("itemsWithMetadata", "metadataDuplicates", "metadataLinesBroken"))
    for broken, read, what in (
        ("linesBroken", counts.get("linesRead", 0), "lines of the batch"),
        ("mappingRowsBroken", counts.get("mappingRowsRead", 0), "rows of the mapping"),
        ("excludeRowsBroken", counts.get("excludeRowsRead", 0), "rows of excludeItems"),
        ("metadataLinesBroken", items, "lines of the metadata"),
    ):
        bad = counts.get(broken, 0)
        yield _percent(bad, read), f"{bad} of {read} {what} cannot be read"


def _percent(part: int, whole: int) -> float:
    """A part in percent; 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def _of_metadata(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    ranked = run.counts["itemsRanked"]
    known = ranked - run.counts["itemsWithoutMetadata"]
    note = f"{known} of {ranked} recommendations have metadata"
    idle = "" if ranked else "where nothing is recommended none is missing"
    yield from _least("minMetadataCoveragePct", _percent(known, ranked), guards.min_metadata_coverage_pct, note, idle)


def _of_lists(guards: Guards, run: RunNumbers) -> Iterator[GuardReading]:
    counts = run.counts
    short = counts.get("usersBelowMinItems", 0)
    note = f"{short} of {counts['users']} users have fewer recommendations than minItems"
    limit = guards.max_below_min_items_pct
    yield from _most("maxBelowMinItemsPct", run.percent(short, "users"), limit, note, _of_few(guards, short))
    top, (users, who) = run.top_item_users, audience(counts)
    note = f"{top} of {users} {who} have the most recommended item"
    limit = guards.max_top_item_share_pct
    yield from _most("maxTopItemSharePct", _percent(top, users), limit, note, _of_few(guards, top))


def audience(counts: Mapping[str, int]) -> tuple[int, str]:
    """How many users see a list, and who that is in words: nobody in the holdout does."""
    users, held_out = counts.get("users", 0), counts.get("holdout", 0) + counts.get("holdoutUnchanged", 0)
    return users - held_out, "users outside the holdout" if held_out else "users"


def _of_first(run: RunNumbers) -> str:
    """Why a first run is not held for what it changes; empty for any other."""
    return "a first run is not held for that" if run.is_first else ""


def _of_few(guards: Guards, users: int) -> str:
    """Why so few users hold no run; empty where they are enough."""
    few = guards.min_affected_users
    return f"fewer than {few} users (minAffectedUsers) hold no run" if users < few else ""


def _most(name: str, number: float, limit: float | None, note: str, idle: str = "") -> Iterator[GuardReading]:
    """A guard with an upper limit.

    Args:
        idle: Why it does not act; empty where it does.
    """
    if limit is not None:
        yield _reading(name, number, limit, note, idle, is_beyond=number > limit)


def _least(name: str, number: float, limit: float | None, note: str, idle: str) -> Iterator[GuardReading]:
    """The same with a lower limit."""
    if limit is not None:
        yield _reading(name, number, limit, note, idle, is_beyond=number < limit)


def _reading(name: str, number: float, limit: float, note: str, idle: str, *, is_beyond: bool) -> GuardReading:
    """What a guard says; where it is idle beyond its limit, with the reason."""
    note = f"{note}; {idle}" if is_beyond and idle else note
    return GuardReading(name=name, number=number, limit=limit, is_breached=is_beyond and not idle, note=note)
