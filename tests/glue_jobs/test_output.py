"""The writing pass over plain rows: no Spark."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.storage import LocalStorage
from glue_jobs.decorate import Catalogue
from glue_jobs.output import Meeting, WritePlan, figures, write_users
from glue_jobs.state import Unacknowledged

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
RUN = "20261121T040000Z-3f9a2c"
NOTHING = Meeting(*[None] * len(Meeting._fields))
CATALOGUE = Catalogue(())


def plan(storage, **changes):
    made = dict(
        storage=storage,
        connector="braze",
        run_id=RUN,
        version=2,
        at=AT,
        settings=b"s",
        merge="roundRobin",
        max_items=None,
        checks_delta=True,
        saves_failed_lines=True,
        unacknowledged=Unacknowledged(),
    )
    return WritePlan(**made | changes)


def line(user, *items, row=0):
    return NOTHING._replace(user_id=user, kind="list", is_line=True, row=row, item_ids=list(items))


def told(user, *items, sent_in=1, fingerprint=None, op="upsert"):
    known = CATALOGUE.fingerprint(items, b"s") if fingerprint is None else fingerprint
    return NOTHING._replace(
        user_id=user,
        kind="told",
        is_line=False,
        op=op,
        item_ids=list(items),
        fingerprint=known,
        sent_in=sent_in,
        sent_at=AT,
    )


def write(storage, rows, **changes):
    report = write_users(rows, plan(storage, **changes), CATALOGUE, name="00000-0")
    lines = [
        json.loads(text)
        for file in report["parts"]
        for text in gzip.decompress(storage.get(file["key"]).data).splitlines()
    ]
    return report, {record["userId"]: [item["itemId"] for item in record["recommendations"]] for record in lines}


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def test_only_what_is_news_is_written(storage):
    rows = [line("ann", "1"), line("bob", "2"), told("bob", "2"), line("cid", "3"), told("cid", "9")]
    report, sent = write(storage, rows)
    assert sent == {"ann": ["1"], "cid": ["3"]}
    wanted = {"linesRead": 3, "users": 3, "new": 1, "unchanged": 1, "changed": 1, "records": 2}
    assert report["counts"] == wanted


def test_a_user_with_two_lines_keeps_the_first_and_the_other_is_counted(storage):
    report, sent = write(storage, [line("ann", "1"), line("ann", "2", row=1)])
    assert (sent, report["counts"]["linesDuplicate"]) == ({"ann": ["1"]}, 1)


def test_who_was_not_confirmed_is_sent_again(storage):
    rows = [line("ann", "1"), told("ann", "1"), line("bob", "1"), told("bob", "1")]
    _, sent = write(storage, rows, unacknowledged=Unacknowledged(1, users=frozenset({"bob"})))
    assert list(sent) == ["bob"]


def test_lines_of_no_user_are_counted_and_kept(storage):
    failed = NOTHING._replace(kind="failed", is_line=True, text='{"a":1}')
    broken = NOTHING._replace(kind="broken", is_line=True, text="{", file="f", reason="not JSON")
    good = NOTHING._replace(kind="line", is_line=True)
    report, _ = write(storage, [failed, broken, good])
    assert report["counts"] == {"linesRead": 3, "linesFailed": 1, "linesBroken": 1}
    texts = {entry.key.split("/")[0]: storage.get(entry.key).data for entry in storage.list()}
    assert texts["errors"] == b'{"a":1}\n'
    assert json.loads(texts["quarantine"]) == {"file": "f", "text": "{", "reason": "not JSON"}


def test_failed_lines_are_not_kept_unless_asked(storage):
    write(storage, [NOTHING._replace(kind="failed", is_line=True, text="x")], saves_failed_lines=False)
    assert list(storage.list()) == []


USERS = st.sampled_from(["ann", "bob", "cid", "dan"])
ITEMS = st.lists(st.sampled_from("1234"), unique=True, max_size=3)


@given(
    st.dictionaries(USERS, st.tuples(st.none() | ITEMS, st.none() | ITEMS)).map(lambda found: sorted(found.items())),
)
def test_i1_every_user_is_accounted_for_once(tmp_path_factory, users):
    rows = []
    for user, (now, before) in users:
        rows += [line(user, *now)] if now is not None else []
        rows += [told(user, *before)] if before is not None else []
    report, sent = write(LocalStorage(tmp_path_factory.mktemp("job")), rows)
    counts = Counter(report["counts"])
    met = sum(now is not None or before is not None for _, (now, before) in users)
    verdicts = ("new", "changed", "unchanged", "gone", "empty", "failed", "repeated")
    assert sum(counts[verdict] for verdict in verdicts) == met
    assert counts["records"] == counts["new"] + counts["changed"] + counts["repeated"] == len(sent)
    kept = sum(file["records"] for file in report["snapshot"])
    assert kept == met - counts["empty"]


def test_figures_name_what_is_zero_too():
    named = figures(Counter(linesRead=3))
    assert (named["linesRead"], named["linesBroken"], named["unchanged"]) == (3, 0, 0)
