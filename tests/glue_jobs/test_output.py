"""The writing pass over plain rows: no Spark."""

import gzip
import io
import json
from collections import Counter
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import ChangePolicy
from connectors.contract.local_storage import LocalStorage
from glue_jobs.decorate import Catalogue, fingerprint
from glue_jobs.delta import Rules, Told, Verdict
from glue_jobs.meeting import Meeting, of_told
from glue_jobs.output import WritePlan, together, write_users
from glue_jobs.shortlist import ListRules
from glue_jobs.state import Unacknowledged
from glue_jobs.tell import TellPlan

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)
RUN = "20261121T040000Z-3f9a2c"
NOTHING = Meeting(*[None] * len(Meeting._fields))
CATALOGUE = Catalogue(())


def plan(storage, *, saves_failed_lines=True, **changes):
    tell = TellPlan(
        **dict(
            version=2,
            at=AT,
            settings=b"s",
            policy=ChangePolicy(),
            rules=Rules(),
            lists=ListRules(),
            unacknowledged=Unacknowledged(),
        )
        | changes
    )
    return WritePlan(storage, "braze", RUN, saves_failed_lines, tell, b"key")


def line(user, *items, row=0):
    return NOTHING._replace(user_id=user, kind="list", is_line=True, row=row, item_ids=list(items))


def told(user, *items, sent_in=1, known=None, op="upsert"):
    if known is None:
        known = fingerprint(next(CATALOGUE.listings([items])).entries, b"s", ChangePolicy())
    return of_told(user, Told(op, list(items), known, sent_in, AT))


def written(storage, rows, told=(), **changes):
    """What one task wrote."""
    return together([write_users(rows, plan(storage, **changes), CATALOGUE, told=told, name="00000-0")])


def write(storage, rows, told=(), **changes):
    """The figures, what was published, and the snapshot's rows."""
    files, counts = written(storage, rows, told, **changes).settled()
    texts = [text for file in files.parts for text in gzip.decompress(storage.get(file.key).data).splitlines()]
    sent = {}
    for record in map(json.loads, texts):
        items = record.get("recommendations")
        sent[record["userId"]] = None if items is None else [item["itemId"] for item in items]
    kept = [row for file in files.snapshot for row in pq.read_table(io.BytesIO(storage.get(file.key).data)).to_pylist()]
    return counts, sent, {row["userId"]: row["op"] for row in kept}


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


def test_only_what_is_news_is_written(storage):
    rows = [line("ann", "1"), line("bob", "2"), told("bob", "2"), line("cid", "3"), told("cid", "9")]
    counts, sent, kept = write(storage, rows)
    assert sent == {"ann": ["1"], "cid": ["3"]}
    wanted = {"linesRead": 3, "users": 3, "new": 1, "unchanged": 1, "changed": 1, "records": 2}
    wanted |= {"usersHeld": 2, "itemsRanked": 3}
    assert {name: count for name, count in counts.items() if count} == wanted
    assert kept == dict.fromkeys(["ann", "bob", "cid"], "upsert")


def test_a_user_with_two_lines_keeps_the_first_and_the_other_is_counted(storage):
    counts, sent, _ = write(storage, [line("ann", "1"), line("ann", "2", row=1)])
    assert (sent, counts["linesDuplicate"]) == ({"ann": ["1"]}, 1)


def test_who_was_not_confirmed_is_sent_again(storage):
    rows = [line("ann", "1"), told("ann", "1"), line("bob", "1"), told("bob", "1")]
    _, sent, _ = write(storage, rows, unacknowledged=Unacknowledged(1, users=frozenset({"bob"})))
    assert list(sent) == ["bob"]


def test_rows_in_another_order_stop_the_run_before_anyone_is_told_twice(tmp_path):
    rows = [line("ann", "1"), line("bob", "1"), told("ann", "1")]
    with pytest.raises(RuntimeError, match="order"):
        write(LocalStorage(tmp_path), rows)


@given(st.sets(st.text("abé日", min_size=1, max_size=2)), st.sets(st.text("abé日", min_size=1, max_size=2)))
def test_users_told_before_may_stand_beside_todays_or_among_them(tmp_path_factory, today, before):
    now, was = [line(user, "1") for user in sorted(today)], [told(user, "2") for user in sorted(before)]
    among = sorted([*now, *was], key=lambda row: row.user_id)
    beside = write(LocalStorage(tmp_path_factory.mktemp("beside")), now, ((row.user_id, row.told) for row in was))
    assert beside == write(LocalStorage(tmp_path_factory.mktemp("among")), among)
    assert beside[2].keys() == today | before


def test_a_snapshot_in_another_order_stops_the_run_before_anyone_is_told_twice(storage):
    before = [(row.user_id, row.told) for row in (told("bob", "1"), told("ann", "1"))]
    with pytest.raises(RuntimeError, match="order"):
        write(storage, [line("ann", "1")], before)


GONE = [line("ann", "1"), told("bob", "2"), told("cid", "3", op="gone"), told("dan", op="clear", known=0)]


def test_who_is_gone_is_cleared_where_the_settings_say_so(storage):
    counts, sent, kept = write(storage, GONE, rules=Rules(clears_gone=True))
    assert sent == {"ann": ["1"], "bob": None, "cid": None}
    assert kept == {"ann": "upsert", "bob": "clear", "cid": "clear"}
    assert (counts["cleared"], counts["forgotten"], counts["records"]) == (2, 1, 3)


BROKEN = [NOTHING._replace(kind=kind, is_line=kind == "broken", text="{") for kind in ("broken", "mappingBroken")]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda row: row.kind)
def test_clears_wait_for_a_clean_read(storage, broken):
    counts, sent, kept = write(storage, [broken, *GONE], rules=Rules(clears_gone=True))
    assert sent == {"ann": ["1"]}
    assert kept == {"ann": "upsert", "bob": "upsert", "cid": "gone"}
    assert (counts["cleared"], counts["clearsWithheld"], counts["records"]) == (0, 2, 1)


def told_in(story):
    """Whom a story shows, whose records it measures, and what they lose."""
    return Counter(sample.verdict for sample in story.samples()), len(story.records), dict(story.lost)


def test_clears_that_are_sent_stand_in_the_story(storage):
    story = written(storage, GONE, rules=Rules(clears_gone=True)).story
    assert told_in(story) == ({"new": 1, "cleared": 2}, 3, {"2": 1, "3": 1})


@pytest.mark.parametrize("broken", BROKEN, ids=lambda row: row.kind)
def test_clears_that_are_withheld_stand_in_no_story(storage, broken):
    story = written(storage, [broken, *GONE], rules=Rules(clears_gone=True)).story
    assert told_in(story) == ({"new": 1}, 1, {})


def test_lines_of_no_user_are_counted_and_kept(storage):
    failed = NOTHING._replace(kind="failed", is_line=True, text='{"a":1}')
    broken = NOTHING._replace(kind="broken", is_line=True, text="{", file="f", reason="not JSON")
    row = NOTHING._replace(kind="mappingBroken", is_line=False, text="1,", file="m")
    good = NOTHING._replace(kind="line", is_line=True)
    counts, _, _ = write(storage, [failed, broken, row, good, good._replace(kind="duplicate")])
    wanted = {"linesRead": 4, "linesFailed": 1, "linesBroken": 1, "linesDuplicate": 1}
    wanted |= {"mappingRowsRead": 1, "mappingRowsBroken": 1}
    assert {name: count for name, count in counts.items() if count} == wanted
    texts = {entry.key.split("/")[0]: storage.get(entry.key).data for entry in storage.list()}
    assert texts["errors"] == b'{"a":1}\n'
    first, second = map(json.loads, texts["quarantine"].splitlines())
    assert first == {"file": "f", "text": "{", "reason": "not JSON"}
    assert (second["text"], "ITEM_ID is blank" in second["reason"]) == ("1,", True)


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
    counts, sent, kept = write(LocalStorage(tmp_path_factory.mktemp("job")), rows)
    met = sum(now is not None or before is not None for _, (now, before) in users)
    assert sum(counts[verdict] for verdict in Verdict) == met
    assert counts["records"] == counts["new"] + counts["changed"] + counts["repeated"] == len(sent)
    assert len(kept) == met - counts["empty"]
