"""recsync demo: two days of a made-up shop, from batch output to customer profiles, on this machine.

Nothing is staged: the jobs, the functions and the connector are those that run on AWS, and the
destination is a Braze emulator on loopback that stores what it is sent and drops what Braze would drop.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cli import embedded
from cli.console import Voice
from cli.delivery import deliver_job
from cli.emulators.braze import BrazeEmulator
from cli.run import run_job
from connectors.base import Destination
from connectors.braze.connector import BrazeConnector
from connectors.contract.layout import JobFolder
from connectors.contract.storage import open_storage
from sample.generate import FOR_YOU, SIMILAR_ITEMS, generate

USERS, ITEMS, SEED = 5000, 2000, 7
_ATTRIBUTE, _SHOWN_ITEMS = "recs_items", 5

Profiles: TypeAlias = Mapping[str, Mapping[str, Any]]

# What a person reads → what the run and the delivery call it.
_FIGURES = {
    "lines read": "linesRead",
    "lines failed": "linesFailed",
    "users": "users",
    "unchanged": "unchanged",
    "new": "new",
    "changed": "changed",
    "sent": "records",
    "delivered": "delivered",
    "requests": "requests",
    "data points": "dataPoints",
}


@dataclass(frozen=True)
class Day:
    """One job's day.

    Attributes:
        profiles: What Braze held afterwards: user → attribute → value.
    """

    job: str
    day: int
    figures: Mapping[str, int]
    profiles: Profiles


def demo(voice: Voice) -> int:
    """Run it, print it, and give the exit code: 0 when every record sent was delivered."""
    folder = Path(tempfile.mkdtemp(prefix="recsync-demo-"))
    voice.stage(f"a made-up shop of {USERS:,} users and {ITEMS:,} items, in {folder}")
    with BrazeEmulator(api_key=secrets.token_hex(16)) as braze:
        connector = BrazeConnector(Destination(braze.endpoint, braze.account.api_key, allow_loopback=True))
        days = []
        for day in (1, 2):
            generate(folder, users=USERS, items=ITEMS, seed=SEED, day=day)
            days += [_day(folder / job, day, connector, braze, voice) for job in (FOR_YOU, SIMILAR_ITEMS)]
    _show(days, voice)
    voice.data({"folder": str(folder), "days": [{"job": d.job, "day": d.day, **d.figures} for d in days]})
    voice.next(f"zcat {folder / FOR_YOU}/output/braze/year=*/*/*/*/part-*.jsonl.gz | head -1")
    return 0 if all(day.figures["records"] == day.figures["delivered"] for day in days) else 1


def _day(path: Path, day: int, connector: BrazeConnector, braze: BrazeEmulator, voice: Voice) -> Day:
    folder = JobFolder.parse(str(path))
    voice.stage(f"day {day}: {folder.job}")
    before = asdict(braze.account.stats)
    counts = dict(run_job(folder, voice).record.published[0].counts)
    storage = open_storage(folder.root)
    runs = embedded.published(storage, connector.name)
    counts |= embedded.total(deliver_job(storage, runs, connector, voice)[-1:])
    counts["dataPoints"] = braze.account.stats.data_points - before["data_points"]
    figures = {name: counts[name] for name in _FIGURES.values()}
    return Day(folder.job, day, figures, deepcopy(braze.account.profiles))


def _show(days: list[Day], voice: Voice) -> None:
    for job in (FOR_YOU, SIMILAR_ITEMS):
        first, second = (day for day in days if job.endswith(day.job))
        rows = [[label, first.figures[name], second.figures[name]] for label, name in _FIGURES.items()]
        voice.table(first.job, ["", "day 1", "day 2"], rows)
    before, after = (day.profiles for day in days if FOR_YOU.endswith(day.job))
    user_id = _most_changed(before, after)
    if user_id is not None:
        lists = zip(_lines(before[user_id]), _lines(after[user_id]), strict=False)
        title = f"What Braze holds for user {user_id}, attribute {_ATTRIBUTE}"
        voice.table(title, ["rank", "day 1", "day 2"], [[rank, *pair] for rank, pair in enumerate(lists, 1)])


def _most_changed(before: Profiles, after: Profiles) -> str | None:
    """The user whose first items differ at most ranks."""

    def changes(user_id: str) -> int:
        lists = zip(_lines(before[user_id]), _lines(after[user_id]), strict=False)
        return sum(was != now for was, now in lists)

    return max(sorted(before), key=changes, default=None)


def _lines(profile: Mapping[str, Any]) -> list[str]:
    items = profile.get(_ATTRIBUTE, [])[:_SHOWN_ITEMS]
    return [f"{item.get('name', item['itemId'])}  {item.get('price', '')}" for item in items]
