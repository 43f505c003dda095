"""How a run ended → the sentence that a page begins with, and what a person may do about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from connectors.contract.held import GuardReading
from connectors.contract.receipts import Fate
from connectors.contract.run_record import ConnectorRecord
from connectors.contract.tally import Tally
from glue_jobs.guards import breached
from glue_jobs.report import words
from glue_jobs.report.facts import Facts, Standing

# A verdict → how it is said of so many users.
_SAID = {
    "new": "new",
    "changed": "changed",
    "repeated": "sent again",
    "refreshed": "refreshed",
    "holdout": "held out",
    "cleared": "cleared",
}
_FATES = {
    Fate.DELIVERED: "delivered",
    Fate.REJECTED: "rejected",
    Fate.DEAD_LETTERED: "dead-lettered",
    Fate.SUPERSEDED: "superseded",
    Fate.OPEN: "without an answer yet",
}


@dataclass(frozen=True)
class Verdict:
    """What is said first.

    Attributes:
        state: One word or two: committed, held and so on.
        more: What else has to be known at once, a sentence each.
        commands: What a person may type, as (what it does, the command).
        is_alarm: Whether someone has to look.
    """

    state: str
    sentence: str
    more: list[str] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)
    is_alarm: bool = False


def of_run(facts: Facts) -> Verdict:
    """The verdict of a whole run: that of its one connector, or how each ended."""
    parts = facts.record.connectors
    if not parts:
        return Verdict("stopped", f"Nothing was run: {_period(facts.record.message)}", is_alarm=True)
    verdicts = [of_connector(part, facts) for part in parts]
    if len(verdicts) == 1:
        return verdicts[0]
    told = [f"{part.connector} {verdict.state}" for part, verdict in zip(parts, verdicts, strict=True)]
    is_alarm = any(verdict.is_alarm for verdict in verdicts)
    return Verdict(", ".join(told), f"{len(parts)} connectors: {words.listed(told)}.", is_alarm=is_alarm)


def of_connector(part: ConnectorRecord, facts: Facts) -> Verdict:
    """The verdict of a connector's part."""
    standing = facts.standing(part)
    if part.outcome == "stopped":
        return Verdict("stopped", f"Stopped, and nobody is told anything: {_period(part.reason)}", is_alarm=True)
    if part.outcome == "held":
        return _held(part, standing, facts.folder)
    if part.outcome == "planned":
        return _planned(part)
    what = f"{_update(part, 'gets')}{_delivery(part, standing)}."
    if part.outcome == "trial":
        return Verdict("trial", f"A trial, nothing is committed: {what}")
    return Verdict("committed", f"Committed: {what}", list(_withheld(part)))


def against(reading: GuardReading) -> str:
    """A guard's number against its limit, in words."""
    limit = words.limit(reading.name, reading.limit)
    allowed = f"{limit} is needed" if reading.name.startswith("min") else f"at most {limit} passes"
    return f"{words.measured(reading)} where {allowed}"


def _held(part: ConnectorRecord, standing: Standing, folder: str) -> Verdict:
    """A part that a guard held: it waits, was approved since, or waits no more."""
    guards = breached(part.guards)
    why = _why(guards[0]) if guards else part.reason
    more = [f"Also by {_why(one)}." for one in guards[1:]]
    if standing.tally:
        sentence = f"Held, then approved: {_update(part, 'gets')}{_delivery(part, standing)}."
        return Verdict("approved", sentence, [f"It was held by {_period(why)}", *more])
    if not standing.waiting:
        sentence = "Held, and it waits no more: it was discarded, or a newer run took its place."
        return Verdict("held, then dropped", sentence, [f"It was held by {_period(why)}", *more])
    more += [_period(_upper(part.reason))] if part.reason and guards else []
    more += [f"Nothing has reached anybody. Once approved, {_update(part, 'would get')}."]
    typed = f"--connector {part.connector} --run {standing.waiting} {shlex.quote(folder)}"
    commands = [("Let it pass", f"recsync approve {typed}"), ("Drop it", f"recsync discard {typed}")]
    sentence = f"{'Held by' if guards else 'Held:'} {_period(why)}"
    return Verdict("held", sentence, more, commands, is_alarm=True)


def _planned(part: ConnectorRecord) -> Verdict:
    guards = breached(part.guards)
    more = [f"It would be held by {_why(one)}." for one in guards]
    sentence = f"Planned only: {_update(part, 'would get')}."
    return Verdict("planned", sentence, [*more, *_withheld(part)], is_alarm=bool(guards))


def _update(part: ConnectorRecord, verb: str) -> str:
    """Who is sent something, and why."""
    counts = part.counts
    records, users = counts.get("records", 0), counts.get("users", 0)
    if not records:
        return f"nothing is to be sent, as {_why_nothing(counts, users)}"
    verb = verb if records == 1 else verb.replace("gets", "get")
    return f"{words.many(records, 'user')} {verb} an update{_reasons(part)}"


def _why_nothing(counts: Mapping[str, int], users: int) -> str:
    told, resting = counts.get("unchanged", 0), counts.get("resting", 0)
    if resting:
        rest = "rests" if resting == 1 else "rest"
        return f"{words.many(resting, 'user')} {rest} after three refusals, and nothing else differs"
    if not users:
        return "nobody has a list"
    return f"all {words.many(users, 'user')} were told this before" if told == users > 1 else "nothing differs"


def _reasons(part: ConnectorRecord) -> str:
    """Why they are sent it: ``(400 new, 12 changed)``, or ``(all new)``."""
    found = {said: part.counts[name] for name, said in _SAID.items() if part.counts.get(name)}
    if len(found) == 1:
        (said,) = found
        return f" (all {said})" if found[said] > 1 else f" ({said})"
    return f" ({', '.join(f'{count:,} {said}' for said, count in found.items())})" if found else ""


def _delivery(part: ConnectorRecord, standing: Standing) -> str:
    """What became of it so far, as the end of a sentence."""
    records, tally = part.counts.get("records", 0), standing.tally
    if tally is None:
        return "; the commit was never published, so the next run sends it all again"
    if not records:
        return ""
    if standing.is_read_by_others:
        return "; its files are read by someone else, who knows what was delivered"
    return fates(tally)


def fates(tally: Tally) -> str:
    """What the receipts say, as the end of a sentence."""
    records = tally.records
    if tally.fates[Fate.DELIVERED] == records:
        return ", and it is delivered" if records == 1 else ", and every one is delivered"
    if tally.fates[Fate.OPEN] == records:
        return "; nothing is delivered yet"
    return f"; {words.listed([f'{tally.fates[fate]:,} {said}' for fate, said in _FATES.items() if tally.fates[fate]])}"


def _withheld(part: ConnectorRecord) -> Iterator[str]:
    if count := part.counts.get("clearsWithheld"):
        verb = "is" if count == 1 else "are"
        yield f"{words.many(count, 'clear')} {verb} withheld: not every line could be read, so nobody counts as gone."


def _why(reading: GuardReading) -> str:
    """A guard that holds a run, and why."""
    return f"{reading.name}: {reading.note}, {against(reading)}"


def _period(text: str) -> str:
    """A text as the end of a sentence."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
