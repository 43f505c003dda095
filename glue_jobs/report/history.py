"""The runs before: how many users each sent, changed and cleared, as small charts with their text and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from connectors.contract.run_record import ConnectorRecord, RunRecord
from glue_jobs.report import charts, words
from glue_jobs.report.facts import Facts, Room
from glue_jobs.report.markup import Markup, join, tag
from glue_jobs.report.tables import block, table


@dataclass(frozen=True)
class Past:
    """One run as the history shows it.

    Attributes:
        part: What it did for the connector; None when it took no part.
        is_approved: Whether a guard held it, and its commit was approved since.
    """

    run: RunRecord
    part: ConnectorRecord | None
    is_approved: bool

    @property
    def outcome(self) -> str:
        """How it ended for the connector."""
        if self.is_approved:
            return "approved"
        return self.part.outcome if self.part else "stopped"

    @property
    def is_true(self) -> bool:
        """Whether its figures came true."""
        return self.outcome in ("committed", "approved")

    def count(self, figure: str) -> int:
        """A figure of the run; 0 for one that stopped before it had any."""
        return self.part.counts.get(figure, 0) if self.part else 0


_TRENDS: Sequence[tuple[str, Callable[[Past], int]]] = (
    ("Sent", lambda past: past.count("records")),
    ("Changed", lambda past: past.count("new") + past.count("changed")),
    ("Cleared", lambda past: past.count("cleared")),
)


def history(part: ConnectorRecord, facts: Facts, room: Room, id_: str) -> Markup | None:
    """A connector's runs up to this one; None for its first. Runs of other connectors alone are none of its."""
    with_part = [run for run in (facts.record, *facts.earlier) if run.of(part.connector) or not run.connectors]
    runs = [_past(run, part.connector, facts) for run in with_part]
    if len(runs) == 1:
        return None
    charted = [_trend(name, [(count(past), past.is_true) for past in reversed(runs)]) for name, count in _TRENDS]
    rows = [[_when(past), past.outcome, *_figures(past)] for past in runs]
    columns = ["Run, UTC", "Outcome", *(f"{name}#" for name, _ in _TRENDS)]
    caption = "This run and those before it, newest first"
    return block(
        "Earlier runs",
        tag("p", "A filled bar is a commit, an outlined one is not; the last one is this run.", class_="note"),
        tag("div", charted, class_="columns"),
        table(caption, columns, rows, most=min(room.rows, 12)),
        tag("p", f"{words.many(facts.unreadable, 'record')} could not be read.") if facts.unreadable else None,
        id_=id_,
    )


def _past(run: RunRecord, connector: str, facts: Facts) -> Past:
    return Past(run, run.of(connector), (run.run_id, connector) in facts.approved)


def _when(past: Past) -> Markup:
    """Its day and its time, each of which stays on one line."""
    return join([join(tag("span", word, class_="when"), " ") for word in words.day(past.run.started_at).split(", ")])


def _trend(name: str, values: Sequence[tuple[int, bool]]) -> Markup:
    *before, (now, _) = values
    usual = words.number(median(value for value, _ in before))
    said = f"{now:,} in this run; the {words.many(len(before), 'run')} before: median {usual}, most {_most(before):,}"
    return tag("div", tag("p", tag("strong", name), f": {said}", class_="note"), charts.bars(values), class_="trend")


def _most(values: Sequence[tuple[int, bool]]) -> int:
    return max(value for value, _ in values)


def _figures(past: Past) -> Iterator[str]:
    """The table's figures; those of a commit that was not made stand in brackets."""
    for _, count in _TRENDS:
        if not past.part or past.outcome == "stopped":
            yield words.NOTHING
        else:
            yield f"{count(past):,}" if past.is_true else f"({count(past):,})"
