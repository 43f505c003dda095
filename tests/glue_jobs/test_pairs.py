import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from input_files import write_pairs

from connectors.contract.local_storage import LocalStorage
from connectors.contract.s3_storage import S3Storage
from glue_jobs.errors import ConfigError, InputError, NoInputError
from glue_jobs.mapping import read_mapping
from glue_jobs.pairs import _quickly_read, _row, _slowly_read, _Where, find_exclusions, header_of, pairs_of, rows_of


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("input/bought/", ["a.csv", "b/c.csv.gz"]),
        ("input/bought", ["a.csv", "b/c.csv.gz"]),
        ("input/bought/a.csv", ["a.csv"]),
        ("input/bought/b/c.csv.gz", ["c.csv.gz"]),
        ("top.csv", ["top.csv"]),
    ],
)
def test_exclusions_are_found_in_a_folder_or_are_one_file(tmp_path, address, found):
    for key in ("input/bought/a.csv", "input/bought/b/c.csv.gz", "input/bought/_hidden.csv", "top.csv"):
        write_pairs(tmp_path, key, "USER_ID,ITEM_ID\n")
    for job, named in ((tmp_path, address), (tmp_path / "elsewhere", str(tmp_path / address))):
        storage, files = find_exclusions(named, LocalStorage(job))
        assert [file.key for file in files] == found
        assert [file.mark for file in files] == [entry.mark for entry in storage.list() if entry.key in found]


@pytest.mark.parametrize("address", ["input/bought/", "input/bought/a.csv", "input/none.csv"])
def test_exclusions_that_are_not_there_stop_the_run(tmp_path, address):
    with pytest.raises(NoInputError, match=rf"excludeItems is '{address}', and there is no \.csv file"):
        find_exclusions(address, LocalStorage(tmp_path))


@pytest.mark.parametrize("address", ["../bought/", "input/../../x.csv"])
def test_f33_exclusions_stay_inside_the_job_folder_unless_their_path_is_absolute(tmp_path, address):
    with pytest.raises(ConfigError, match=r"recommendations\.excludeItems: key"):
        find_exclusions(address, LocalStorage(tmp_path))


def test_beside_a_job_folder_on_s3_exclusions_lie_on_s3():
    with pytest.raises(ConfigError, match="excludeItems is 'input/bought/'; beside a job folder on S3"):
        find_exclusions("input/bought/", S3Storage("bucket", "etl_jobs/related_items/demo"))


def test_f02_a_packed_file_of_exclusions_by_a_plain_name_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"USER_ID,ITEM_ID\n"))
    with pytest.raises(InputError, match=r"a\.csv is gzip, and its name does not end in \.gz"):
        find_exclusions("a.csv", LocalStorage(tmp_path))


def test_the_neighbours_of_an_exclusions_file_are_not_judged(tmp_path):
    write_pairs(tmp_path, "data/bought.csv", "USER_ID,ITEM_ID\n")
    for neighbour in ("data/old/2025_bought.csv", "data/old/bought.csv", "data/2025_bought.csv"):
        write_pairs(tmp_path, neighbour, "")
        (tmp_path / neighbour).write_bytes(gzip.compress(b"USER_ID,ITEM_ID\n"))
    _, files = find_exclusions("data/bought.csv", LocalStorage(tmp_path))
    assert [file.key for file in files] == ["bought.csv"]


AWKWARD = (
    "USER_ID,NOTE,ITEM_ID,RANK\n"
    'ann,"two\nlines, quoted",105,1\n'
    "  bob  ,x, 00106 ,\n"
    "cid,x,107,2.0\n"
    "dan,x,108,first\n"
    ",x,109,1\n"
    "eve,x,,1\n"
    "\n"
    "fay,x,110\n"
    "gil,x,111,1,more\n"
    '"h""al",x,112,+3\n'
    "ida\ufffd,x,113,1\n"
    "joe,,114,-4\n"
)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_one_row_after_the_other_says_what_spark_says(spark, tmp_path, ending):
    key = "input/user_item_mapping/a.csv"
    write_pairs(tmp_path, key, "\ufeff" + AWKWARD.replace("\n", ending))
    storage = LocalStorage(tmp_path)
    by_spark = read_mapping(spark, storage).where("userId is not null").select("userId", "itemId", "rank").collect()
    ours = [found[:3] for found in pairs_of(storage, key, ranked=True)]
    assert sorted(ours) == sorted(map(tuple, by_spark))
    assert ("cid", "107", 2) in ours and len(ours) == 5


def test_a_row_knows_the_line_it_ends_on(tmp_path):
    write_pairs(tmp_path, "a.csv", AWKWARD)
    assert [found.line for found in pairs_of(LocalStorage(tmp_path), "a.csv", ranked=True)][:2] == [3, 4]


def test_where_rank_means_nothing_it_is_not_read(tmp_path):
    write_pairs(tmp_path, "a.csv", AWKWARD)
    assert {found.rank for found in pairs_of(LocalStorage(tmp_path), "a.csv", ranked=False)} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "USER_ID,ITEM_ID\rann,105\r",
        "USER_ID,ITEM_ID," + "N" * 200_000 + "\n",
        "USER_ID,ITEM_ID," + "N,N" * 50_000 + "\n",
        'USER_ID,"ITEM_ID\nann,105\n',
    ],
    ids=["ends in CR", "one long name", "many names", "a quote is open"],
)
def test_a_first_line_that_is_no_header_is_refused_by_name_with_the_fix(tmp_path, text):
    write_pairs(tmp_path, "a.csv", text)
    with pytest.raises(InputError, match=r"a\.csv: its header cannot be read; write one line of less than 128 KB"):
        header_of(LocalStorage(tmp_path), "a.csv")


@pytest.mark.parametrize("header", ["USER_ID,ITEM_ID\r\n", '"USER_ID","ITEM_ID"\r\n', "USER_ID,ITEM_ID"])
def test_a_header_is_known_whatever_its_line_ends_in(tmp_path, header):
    write_pairs(tmp_path, "a.csv", header)
    assert header_of(LocalStorage(tmp_path), "a.csv") == ("USER_ID", "ITEM_ID")


@pytest.mark.parametrize(("key", "text"), [("a.csv.gz", ""), ("a.csv.gz", "\ufeff"), ("a.csv", "\ufeff")])
def test_a_file_without_a_first_line_has_no_columns_and_no_rows(tmp_path, key, text):
    write_pairs(tmp_path, key, text)
    storage = LocalStorage(tmp_path)
    assert (header_of(storage, key), list(rows_of(storage, key, ranked=True))) == ((), [])


def test_what_comes_behind_a_row_that_is_no_csv_is_read(tmp_path):
    write_pairs(
        tmp_path, "a.csv", 'USER_ID,ITEM_ID\nann,"1"05\nbob,1\r06\n' + "c" * 200_000 + ',107\ndan,108\neve,"109'
    )
    (columns,) = rows_of(LocalStorage(tmp_path), "a.csv", ranked=True)
    users, _, _, texts, lines = columns
    assert users == (None, None, None, "dan", None) and lines == (2, 3, 4, 5, 6)
    assert (texts[0], texts[1], texts[4]) == ('ann,"1"05', "bob,1\r06", 'eve,"109')


@pytest.mark.parametrize("stray", [{3}, {3, 40}, {3, 40, 41, 299}, set(range(2, 300))])
def test_a_quote_that_stands_there_by_mistake_breaks_its_own_row_and_no_other(tmp_path, stray):
    rows = [('"' if line in stray else "") + f"u{line},105\n" for line in range(2, 300)]
    write_pairs(tmp_path, "a.csv", "USER_ID,ITEM_ID\n" + "".join(rows))
    found = [
        row for columns in rows_of(LocalStorage(tmp_path), "a.csv", ranked=True) for row in zip(*columns, strict=True)
    ]
    assert [(user, line) for user, _, _, _, line in found] == [
        (None if line in stray else f"u{line}", line) for line in range(2, 300)
    ]
    assert {text for _, _, _, text, _ in found if text} == {f'"u{line},105' for line in stray}


def test_of_a_row_that_is_no_csv_no_other_line_becomes_an_id(tmp_path):
    write_pairs(tmp_path, "a.csv", 'USER_ID,ITEM_ID\n"an\nn"x,105\nbob,106\n"cid",107\n')
    assert [pair.user_id for pair in pairs_of(LocalStorage(tmp_path), "a.csv", ranked=True)] == ["bob", "cid"]


@pytest.mark.parametrize(
    ("rank", "read"),
    [
        ("7", 7),
        (" +7 ", 7),
        ("-2.0", -2),
        ("7.", 7),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        ("", None),
    ],
)
def test_a_rank_is_a_whole_number_of_64_bits(rank, read):
    assert _row(["ann", "105", rank], "", 2, _Where(3, 0, 1, 2)) == ("ann", "105", read, None, 2)


@pytest.mark.parametrize("rank", ["first", "1e3", "1.9", "-0.5", ".0", "٣", str(2**63), "9" * 5000, " "])
def test_a_rank_that_is_none_breaks_its_row(rank):
    assert _row(["ann", "105", rank], "the row\r\n", 2, _Where(3, 0, 1, 2)) == (None, None, None, "the row", 2)


FIELDS = st.lists(st.text(max_size=3) | st.sampled_from(["7", " 7", "07", "", "ann", " ann ", "é"]), max_size=4)


@given(st.lists(st.tuples(FIELDS, st.text(max_size=3), st.integers(2, 9)), min_size=1), st.none() | st.just(2))
def test_the_quick_way_reads_what_the_slow_way_reads_or_nothing(records, rank):
    where = _Where(3, 0, 1, rank)
    quick = _quickly_read(records, where)
    assert quick is None or list(map(tuple, quick)) == _slowly_read(records, where)


def test_ordinary_rows_are_read_the_quick_way():
    records = [(["ann", "105", "1"], "", 2), ([" bé ", "00106", "20"], "", 3)]
    assert _quickly_read(records, _Where(3, 0, 1, 2)) is not None
    assert _quickly_read(records, _Where(3, 0, 1, None)) is not None


@given(st.binary(max_size=60))
def test_any_bytes_are_rows_that_are_broken_or_of_fit_ids(rows):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(b"USER_ID,ITEM_ID\n" + rows)
        found = list(rows_of(LocalStorage(Path(folder)), "a.csv", ranked=True))
    for user, item, _, text, _ in (row for columns in found for row in zip(*columns, strict=True)):
        assert (text is None) == (user is not None) == (item is not None)
        assert text is not None or not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in user + item)
