"""Which key holds what, and which keys nobody may have."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import layout
from connectors.contract.layout import JobFolder, LayoutError

RUN = "20260131T020000Z-3f9a2c"
PARTITION = "year=2026/month=01/day=31/time=020000-3f9a2c"
# `make faults FULL=1` draws as many keys as the fault matrix asks for.
CASES = 10_000 if os.environ.get("RECSYNC_FULL") else 500

# Job folders


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize(
    "root",
    [
        "s3://bucket/etl_jobs/related_items/shop",
        "s3://my.bucket-1/etl_jobs/user_personalization/Shop_1.a-b",
        "/data/etl_jobs/related_items/shop",
        "../etl_jobs/related_items/shop",
        "etl_jobs/related_items/shop",
        "/etl_jobs/related_items/shop",
        "/data/output/etl_jobs/related_items/shop",
    ],
)
def test_a_job_folder_is_read_with_and_without_a_trailing_slash(root, end):
    folder = JobFolder.parse(root + end)
    assert folder == JobFolder(root, *root.split("/")[-2:])
    assert folder.job == "/".join(root.split("/")[-2:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "s3://",
        "s3://bucket",
        "s3://bucket/etl_jobs/related_items",
        "s3://bucket/jobs/related_items/shop",
        "s3://bucket/etl_jobs/popular_items/shop",
        "s3://bucket/etl_jobs/Related_Items/shop",
        "s3://bucket/etl_jobs/related_items/shop/input",
        "s3://bucket/etl_jobs//shop",
        "s3://bucket/etl_jobs/related_items/my shop",
        "s3://bucket/etl_jobs/related_items/shöp",
        "s3://bucket/etl_jobs/related_items/shop\n",
        "s3://bucket/etl_jobs/related_items/a%2fb",
        "s3://bucket/etl_jobs/related_items/.",
        "s3://bucket/etl_jobs/related_items/..",
        "/data/etl_jobs/related_items/..",
        "/data/etl_jobs/popular_items/shop",
    ],
)
def test_a_path_of_another_shape_is_refused(text):
    with pytest.raises(LayoutError, match="should end in etl_jobs/<job_type>/<job_name>"):
        JobFolder.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://etl_jobs/related_items/shop",
        "s3:///etl_jobs/related_items/shop",
        "s3://bucket/below/etl_jobs/related_items/shop",
        "s3://bucket//etl_jobs/related_items/shop",
        "s3://../etl_jobs/related_items/shop",
        "s3://buck et/etl_jobs/related_items/shop",
    ],
)
def test_a_job_folder_on_s3_lies_at_the_top_of_a_bucket(text):
    with pytest.raises(LayoutError):
        JobFolder.parse(text)


@pytest.mark.parametrize("scheme", ["s3a", "s3n", "S3", "file", "https"])
def test_an_address_of_another_scheme_is_no_local_folder(scheme):
    with pytest.raises(LayoutError):
        JobFolder.parse(f"{scheme}://bucket/etl_jobs/related_items/shop")


# Keys

_PLAIN = st.sampled_from("abcXYZ019._-= +@~é日")
plain_parts = st.text(_PLAIN, min_size=1, max_size=12).filter(lambda part: part not in {".", ".."})
plain_keys = st.lists(plain_parts, min_size=1, max_size=5).map("/".join)


@given(plain_keys)
def test_a_plain_key_is_given_back_as_it_is(key):
    assert layout.check_key(key) == key


@given(plain_keys)
def test_a_plain_key_may_be_percent_encoded(key):
    assert layout.check_key(quote(key)) == quote(key)


BAD_PARTS = ("..", ".", "", "a//b", "../..", "../a", "./a", "a/../b", "\\", "..\\a", "a\x00b", "a\n", "\x9b")


@settings(max_examples=CASES)
@given(st.sampled_from(BAD_PARTS), st.integers(0, 3), st.lists(plain_parts, min_size=1, max_size=4), st.integers(0, 4))
def test_f33_a_key_that_leaves_its_folder_is_refused_however_often_it_is_encoded(bad, encodings, parts, position):
    for turn in range(encodings):
        bad = quote(bad) if turn else "".join(f"%{byte:02x}" for byte in bad.encode())
    with pytest.raises(LayoutError, match="leaves its folder"):
        layout.check_key("/".join([*parts[:position], bad, *parts[position:]]))


@settings(max_examples=CASES)
@given(plain_keys, st.characters(categories=["Cc"]) | st.just("\\"), st.booleans(), st.data())
def test_f33_a_control_character_or_backslash_is_refused_anywhere(key, char, is_encoded, data):
    position = data.draw(st.integers(0, len(key)))
    with pytest.raises(LayoutError):
        layout.check_key(key[:position] + (quote(char) if is_encoded else char) + key[position:])


@settings(max_examples=CASES)
@given(st.text(st.sampled_from("a./%2eE5f\\"), max_size=20))
def test_f33_what_is_accepted_stays_below_the_folder_however_it_is_decoded(key):
    try:
        layout.check_key(key)
    except LayoutError:
        return
    for _ in range(10):
        assert not set(key.split("/")) & {"", ".", ".."}
        assert "\\" not in key
        key = re.sub("%([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), key)


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "//a", "a/", "a//b", "%2fa", "a%2f%2fb", ".%2e/a", "%2E%2E/a", "a/%252e%252e", "a%5cb"]
)
def test_f33_these_are_refused(key):
    with pytest.raises(LayoutError):
        layout.check_key(key)


# Runs

run_ids = st.builds(
    "{:%Y%m%dT%H%M%SZ}-{:06x}".format,
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    st.integers(0, 0xFFFFFF),
)


def test_a_run_id_tells_its_second_in_utc():
    run_id = layout.new_run_id(datetime(2026, 1, 31, 4, 0, 0, 999, timezone(timedelta(hours=2))))
    assert re.fullmatch("20260131T020000Z-[0-9a-f]{6}", run_id)
    assert layout.partition(run_id).startswith("year=2026/month=01/day=31/time=020000-")


def test_runs_of_one_second_have_names_of_their_own():
    now = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert len({layout.new_run_id(now) for _ in range(50)}) > 45


@given(run_ids, run_ids)
def test_two_runs_never_share_a_partition(one, other):
    assert (layout.partition(one) == layout.partition(other)) == (one == other)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2)), st.integers(0, 2))
def test_two_runs_of_one_second_never_share_a_partition(at, digits):
    names = [f"{at:%Y%m%dT%H%M%SZ}-{digits + extra:06x}" for extra in range(2)]
    assert len({layout.partition(name) for name in names}) == 2


@pytest.mark.parametrize("text", ["", "20260131T020000Z", RUN.upper(), RUN + "0", " " + RUN, RUN + "\n", "../" + RUN])
def test_another_text_is_no_run_id(text):
    with pytest.raises(LayoutError, match="should look like"):
        layout.partition(text)


def test_every_key_of_a_run_stands_where_it_should():
    assert layout.part("braze", RUN, "7-a") == f"output/braze/{PARTITION}/part-7-a.jsonl.gz"
    assert layout.manifest("braze", RUN) == f"output/braze/{PARTITION}/_manifest.json"
    assert layout.pointer("braze") == "output/braze/state/_current.json"
    assert layout.snapshot("braze", 7, RUN) == f"output/braze/state/7-{RUN}"
    assert layout.items("braze", 7, RUN) == f"output/braze/state/7-{RUN}/items.parquet"
    assert layout.enqueued("braze", RUN, "a/part-7.jsonl.gz") == f"enqueued/braze/run={RUN}/part-7.jsonl.gz.json"
    assert layout.held("braze", RUN) == f"held/braze/{RUN}.json"
    assert layout.receipts("braze", RUN) == f"receipts/braze/run={RUN}/"
    assert layout.errors(RUN) == f"errors/{PARTITION}"
    assert layout.quarantine(RUN) == f"quarantine/{PARTITION}"


# Manifests


@given(st.text(st.sampled_from("abZ09._-"), min_size=1, max_size=8).filter(layout.is_name), run_ids)
def test_a_manifest_key_tells_its_connector(connector, run_id):
    assert layout.connector_of_manifest(layout.manifest(connector, run_id)) == connector


@pytest.mark.parametrize(
    "key",
    [
        "",
        "config.json",
        layout.pointer("braze"),
        f"{layout.snapshot('braze', 1, RUN)}/part-0.parquet",
        layout.part("braze", RUN, "0"),
        f"enqueued/braze/run={RUN}/part-0.json",
        f"{layout.receipts('braze', RUN)}a.jsonl",
        f"held/braze/{RUN}.json",
        f"runs/{RUN}/run.json",
        f"output/braze/{PARTITION}/_SUCCESS",
        f"output/braze/{PARTITION}/_temporary/_manifest.json",
        f"output/braze/{PARTITION}/._manifest.json.crc",
        f"output/braze/{PARTITION}/_manifest.json.tmp",
        f"output/braze/{PARTITION}/_manifest.json\n",
        f"output/braze/{PARTITION}/_manifestXjson",
        "output/braze/year=2026/month=1/day=31/time=020000-3f9a2c/_manifest.json",
        "output/braze/year=2026/month=01/day=31/time=020000/_manifest.json",
        f"output/../{PARTITION}/_manifest.json",
        f"output/./{PARTITION}/_manifest.json",
        f"output//{PARTITION}/_manifest.json",
        f"output/b%20c/{PARTITION}/_manifest.json",
        f"output/a/b/{PARTITION}/_manifest.json",
        f"/output/braze/{PARTITION}/_manifest.json",
        f"shop/output/braze/{PARTITION}/_manifest.json",
    ],
)
def test_no_other_key_starts_a_delivery(key):
    assert layout.connector_of_manifest(key) is None


@pytest.mark.parametrize("connector", ["braze", "output", "a.b_c-1"])
@pytest.mark.parametrize(
    "root",
    [
        "s3://bucket/etl_jobs/related_items/shop",
        "s3://output/etl_jobs/related_items/output",
        "/data/etl_jobs/user_personalization/shop",
        "/data/output/etl_jobs/user_personalization/shop",
    ],
)
def test_a_manifests_address_comes_apart_as_it_was_put_together(root, connector):
    key = layout.manifest(connector, RUN)
    assert layout.split_manifest_uri(f"{root}/{key}") == (JobFolder.parse(root), key)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        layout.manifest("braze", RUN),
        f"s3://bucket/etl_jobs/popular_items/shop/{layout.manifest('braze', RUN)}",
        f"s3://bucket/etl_jobs/related_items/shop/{layout.pointer('braze')}",
        f"s3://bucket/etl_jobs/related_items/shop/x/{layout.manifest('braze', RUN)}",
        f"s3://bucket/etl_jobs/related_items/shop/../{layout.manifest('braze', RUN)}",
        f"s3://bucket/etl_jobs/related_items/shop//{layout.manifest('braze', RUN)}",
        f"s3://bucket//etl_jobs/related_items/shop/{layout.manifest('braze', RUN)}",
        f"s3://../etl_jobs/related_items/shop/{layout.manifest('braze', RUN)}",
        f"s3a://bucket/etl_jobs/related_items/shop/{layout.manifest('braze', RUN)}",
        f"s3://bucket/etl_jobs/related_items/shop/{layout.manifest('braze', RUN)}?versionId=1",
    ],
)
def test_f33_any_other_address_is_refused(uri):
    with pytest.raises(LayoutError):
        layout.split_manifest_uri(uri)


# Which run a key is of


@pytest.mark.parametrize(
    "key",
    [
        layout.part("braze", RUN, "00000-1-000"),
        layout.manifest("braze", RUN),
        layout.snapshot("braze", 12, RUN) + "/part-0.parquet",
        layout.receipts("braze", RUN) + "0123.jsonl",
        layout.enqueued("braze", RUN, layout.part("braze", RUN, "0")),
        layout.errors(RUN) + "/part-0.json.gz",
        layout.quarantine(RUN) + "/part-0.json.gz",
        layout.held("braze", RUN),
        f"runs/{RUN}/run.json",
    ],
)
def test_a_key_says_which_run_left_it(key):
    assert layout.run_of_key(key) == RUN


@pytest.mark.parametrize(
    "key",
    [
        layout.CONFIG,
        layout.pointer("braze"),
        layout.health("braze"),
        layout.started("batch_for-you_2026_11_20_03_00_00"),
        layout.MAPPING + "part-0001.csv",
    ],
)
def test_what_no_run_left_belongs_to_none(key):
    assert layout.run_of_key(key) is None


def test_a_run_id_says_when_it_began():
    assert layout.time_of_run(RUN) == datetime(2026, 1, 31, 2, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "20261399T020000Z-3f9a2c", "20260230T020000Z-3f9a2c", "٢" + RUN[1:]])
def test_what_names_no_second_is_no_run_id(text):
    with pytest.raises(LayoutError, match="should look like"):
        layout.time_of_run(text)
    assert layout.run_of_key(f"runs/{text}/run.json") is None


def test_the_ids_of_a_trial_are_known_by_their_time():
    key = layout.only_users(RUN)
    assert key == f"runs/_only_users/{RUN}.txt"
    assert layout.run_of_key(key) == RUN


@pytest.mark.parametrize(("root", "is_on_s3"), [("s3://bucket", True), ("/srv", False)])
def test_a_folder_knows_whether_it_is_on_s3(root, is_on_s3):
    assert JobFolder.parse(f"{root}/etl_jobs/related_items/shop").is_on_s3 is is_on_s3
