"""A run's facts, and a page read strictly: every element closed, in order, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from connectors.contract.held import GuardReading, InputObject
from connectors.contract.receipts import Fate
from connectors.contract.run_record import ConnectorRecord, Estimate, ItemCount, RunRecord, Sample, Stage
from connectors.contract.tally import Refusal, Tally
from glue_jobs.report.facts import Facts, Standing

BEGAN = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
COUNTS = {"linesRead": 6, "linesFailed": 1, "users": 5, "new": 2, "changed": 1, "cleared": 1, "unchanged": 2}
COUNTS |= {"records": 4, "usersHeld": 3, "itemsRanked": 12, "itemsWithoutMetadata": 1, "clearsWithheld": 0}

_VOID = {"br", "meta", "img"}


@dataclass
class Node:
    """An element of a page."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    parent: Node | None = None
    children: list[Node | str] = field(default_factory=list)

    def all(self, *tags: str) -> Iterator[Node]:
        """The elements below, in order; of some tags or of all."""
        for child in self.children:
            if isinstance(child, Node):
                if not tags or child.tag in tags:
                    yield child
                yield from child.all(*tags)

    @property
    def text(self) -> str:
        """What stands in it, blanks made one."""
        return " ".join("".join(c.text if isinstance(c, Node) else c for c in self._spaced()).split())

    def _spaced(self) -> Iterator[Node | str]:
        for child in self.children:
            yield from (child, " ") if isinstance(child, Node) else (child,)

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())

    @property
    def path(self) -> list[Node]:
        """Its ancestors and itself, from the top."""
        return [*(self.parent.path if self.parent else []), self]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.top = self.at = Node("")

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        node = Node(tag, dict(attrs), self.at)
        self.at.children.append(node)
        if tag not in _VOID:
            self.at = node

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert tag == self.at.tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data):
        assert self.at.parent is not None or not data.strip(), f"{data!r} stands outside"
        self.at.children.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def read(page: str) -> Node:
    """A page as a tree. What is not well-formed is refused."""
    assert page.startswith("<!DOCTYPE html>\n<html ")
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.at is reader.top, f"<{reader.at.tag}> is not closed"
    return reader.top


@pytest.fixture(scope="session")
def parse() -> Callable[[str], Node]:
    return read


def a_part(**fields: Any) -> ConnectorRecord:
    """A connector's part of a run that has something to say in every section."""
    items = [
        {"itemId": "105", "name": "Tan Backpack", "price": 90.99, "image": "https://images.example.com/105.jpg"},
        {"itemId": "106", "name": "Olive Tote", "price": 39, "image": None},
    ]
    plain: dict[str, Any] = {
        "connector": "braze",
        "outcome": "committed",
        "version": 2,
        "manifest": "output/braze/year=2026/month=11/day=21/time=040000-3f9a2c/_manifest.json",
        "counts": COUNTS,
        "guards": [
            GuardReading(name="maxClearedPct", number=33.3, limit=15, is_breached=False, note="1 of 3 users"),
            GuardReading(name="minMetadataCoveragePct", number=91.7, limit=80, is_breached=False, note="11 of 12"),
        ],
        "estimate": Estimate(measured=4, requests=1, minutes=0.0, units={"recs_items": 44, "campaign": 4}),
        "fields": {"price": 1, "itemId": 1},
        "items": [ItemCount(item_id="105", users=3), ItemCount(item_id="900", users=1)],
        "recommendations": 8,
        "gained": [ItemCount(item_id="106", users=2)],
        "lost": [ItemCount(item_id="49", users=1)],
        "samples": [
            Sample(user="u-0080649d1d", verdict="new", after=items),
            Sample(user="u-186661114c", verdict="changed", before=["106", "49"], after=items, changed=["itemId"]),
            Sample(user="u-4196ee16d6", verdict="cleared", before=["105"]),
        ],
        "unchanged": [Sample(user="u-e24efb94be", verdict="unchanged", before=["105"], after=items[:1])],
    }
    return ConnectorRecord(**(plain | fields))


def a_run(*parts: ConnectorRecord, days: int = 0, **fields: Any) -> RunRecord:
    """A run so many days before."""
    began = BEGAN - timedelta(days=days)
    plain: dict[str, Any] = {
        "run_id": f"{began:%Y%m%dT%H%M%SZ}-3f9a2c",
        "job": "user_personalization/demo",
        "started_at": began,
        "finished_at": began + timedelta(seconds=32),
        "exit_code": 0,
        "batch": "s3://bucket/batch/for-you",
        "inputs": [InputObject(root="s3://bucket/batch/for-you", key="a.out", mark="m")],
        "connectors": list(parts),
        "stages": [Stage(name="braze: reading the item metadata", seconds=20.5), Stage(name="writing", seconds=9)],
    }
    return RunRecord(**(plain | fields))


def a_tally(*refusals: Refusal, **fates: int) -> Tally:
    """A tally by the names of its fates in lower case."""
    return Tally({fate: fates.get(fate.name.lower(), 0) for fate in Fate}, refusals)


def some_facts(record: RunRecord | None = None, **fields: Any) -> Facts:
    """A run that committed, was delivered in part, and had others before it."""
    refusal = Refusal("too_large", 1, ["u-186661114c"], "recs_items: 112 of 100 KB; set onOversize to trim")
    plain: dict[str, Any] = {
        "folder": "/jobs/etl_jobs/user_personalization/demo",
        "as_of": BEGAN + timedelta(hours=1),
        "earlier": [a_run(a_part(), days=1), a_run(a_part(outcome="held"), days=2), a_run(days=3)],
        "standings": {"braze": Standing(a_tally(refusal, delivered=2, rejected=1, open=1))},
    }
    return Facts(record or a_run(a_part()), **(plain | fields))


@pytest.fixture(scope="session")
def part() -> Callable[..., ConnectorRecord]:
    return a_part


@pytest.fixture(scope="session")
def run() -> Callable[..., RunRecord]:
    return a_run


@pytest.fixture(scope="session")
def tally() -> Callable[..., Tally]:
    return a_tally


@pytest.fixture(scope="session")
def facts() -> Callable[..., Facts]:
    return some_facts
