import tempfile
from pathlib import Path

import pytest
from chispa import assert_df_equality
from hypothesis import example, given, settings
from hypothesis import strategies as st
from input_files import write_pairs

from connectors.contract.local_storage import LocalStorage
from glue_jobs import mapping as room
from glue_jobs.errors import ConfigError, InputError, NoInputError
from glue_jobs.mapping import read_exclusions, read_mapping
from glue_jobs.pairs import pairs_of

FOLDER = "input/user_item_mapping/"


def mapping(folder, name, text):
    path = folder / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def test_f15_the_mappings_columns_are_found_by_name_in_every_file(spark, tmp_path):
    mapping(tmp_path, "a.csv", "USER_ID,ITEM_ID\n1,105\n")
    mapping(tmp_path, "b.csv", '\ufeffITEM_ID,NOTE,USER_ID,RANK\n00105,"two\nlines, quoted",2,7\n')
    mapping(tmp_path, "_SUCCESS", "")
    found = read_mapping(spark, LocalStorage(tmp_path)).select("userId", "itemId", "rank")
    expected = spark.createDataFrame([("1", "105", None), ("2", "00105", 7)], "userId string, itemId string, rank long")
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_f15_a_mapping_without_a_column_is_an_error_that_names_file_and_column(spark, tmp_path):
    mapping(tmp_path, "a.csv", "USER,ITEM_ID\n1,105\n")
    with pytest.raises(ConfigError, match=r"a\.csv should have a header with one USER_ID"):
        read_mapping(spark, LocalStorage(tmp_path))


def test_a_part_of_the_mapping_that_is_empty_is_passed_over_packed_or_not(spark, tmp_path):
    mapping(tmp_path, "a.csv", "USER_ID,ITEM_ID\nann,105\n")
    mapping(tmp_path, "b.csv", "")
    write_pairs(tmp_path, f"{FOLDER}c.csv.gz", "")
    found = read_mapping(spark, LocalStorage(tmp_path)).select("userId", "itemId", "text").collect()
    assert list(map(tuple, found)) == [("ann", "105", None)]


def test_pairs_of_which_every_file_is_empty_are_no_input(spark, tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        write_pairs(tmp_path, f"{FOLDER}{name}", "")
    storage, said = (
        LocalStorage(tmp_path),
        r"a\.csv\.gz is empty, and no other file there has a line; put USER_ID",
    )
    with pytest.raises(NoInputError, match=said):
        read_mapping(spark, storage)
    with pytest.raises(NoInputError, match=said):
        read_exclusions(spark, storage, list(storage.list()))


def test_a_missing_mapping_is_no_input(spark, tmp_path):
    with pytest.raises(NoInputError, match="user_item_mapping"):
        read_mapping(spark, LocalStorage(tmp_path))


def test_f15_exclusions_are_read_by_the_names_of_their_columns_and_have_no_rank(spark, tmp_path):
    write_pairs(tmp_path, "a.csv", "ITEM_ID,RANK,USER_ID\n105,first,ann\n00105,,bob\n,1,cid\n")
    storage = LocalStorage(tmp_path)
    rows = read_exclusions(spark, storage, list(storage.list())).select("userId", "itemId", "rank", "text")
    expected = [("ann", "105", None, None), ("bob", "00105", None, None), (None, None, None, ",1,cid")]
    assert sorted(map(tuple, rows.collect()), key=str) == sorted(expected, key=str)


def test_a_mapping_file_is_read_whatever_its_name_holds(spark, tmp_path):
    names = ("m[1].csv", "m1.csv", "{a,b}.csv", "*.csv", "a:b.csv", "a b#%20.csv")
    for name in names:
        mapping(tmp_path / "shop [2026]", name, f'USER_ID,ITEM_ID\nann,"{name}"\n')
    rows = read_mapping(spark, LocalStorage(tmp_path / "shop [2026]")).select("itemId", "file").collect()
    assert sorted(map(tuple, rows)) == sorted((name, name) for name in names)


LF, CRLF = "\n", "\r\n"


@pytest.mark.parametrize("of_header", [LF, CRLF])
@pytest.mark.parametrize("of_rows", [(LF, LF), (CRLF, CRLF), (LF, CRLF), (CRLF, LF)])
@pytest.mark.parametrize("header", ["ITEM_ID,USER_ID", '"ITEM_ID","USER_ID"', "USER_ID,ITEM_ID"])
def test_a_mapping_whose_line_ends_are_mixed_names_whom_it_names(spark, tmp_path, of_header, of_rows, header):
    rows = ["105,ann", '"106","bob"'] if "ITEM_ID,U" in header.replace('"', "") else ["ann,105", '"bob","106"']
    text = header + of_header + "".join(row + end for row, end in zip(rows, of_rows, strict=True)) + of_rows[0]
    mapping(tmp_path, "a.csv", text)
    found = read_mapping(spark, LocalStorage(tmp_path)).select("userId", "itemId", "text").collect()
    assert sorted(map(tuple, found)) == [("ann", "105", None), ("bob", "106", None)]


def test_exclusions_whose_rows_end_otherwise_than_their_header_exclude(spark, tmp_path):
    write_pairs(tmp_path, "a.csv", "USER_ID,ITEM_ID\nann,105\r\n")
    storage = LocalStorage(tmp_path)
    (row,) = read_exclusions(spark, storage, list(storage.list())).collect()
    assert (row.userId, row.itemId, row.text) == ("ann", "105", None)


@pytest.mark.parametrize(
    "row",
    ["an\tn,105", "ann,1\r05", '"an\nn",105', '"ann\r",105', "ann\x00,105", "ann,105\x85", '"a"nn,105', 'ann,"105'],
)
def test_a_row_of_which_no_id_can_be_told_is_broken_and_nobody_is_invented(spark, tmp_path, row):
    mapping(tmp_path, "a.csv", f"USER_ID,ITEM_ID\r\n{row}\n")
    (found,) = read_mapping(spark, LocalStorage(tmp_path)).collect()
    assert (found.userId, found.itemId, found.rank, found.text) == (None, None, None, row)


def test_a_mapping_that_ends_lines_as_old_macs_did_is_refused_by_name(spark, tmp_path):
    mapping(tmp_path, "a.csv", "USER_ID,ITEM_ID\rann,105\r")
    with pytest.raises(InputError, match=r"a\.csv: its header cannot be read; .* end lines in LF or CRLF"):
        read_mapping(spark, LocalStorage(tmp_path))


def test_small_files_are_read_together_and_keep_their_places(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_TASK_BYTES", 45)
    for name in ("z/a.csv", "b.csv", "a.csv", "c.csv", "d.csv"):
        mapping(tmp_path, name, f"USER_ID,ITEM_ID\nann,{name}\n")
    found = read_mapping(spark, LocalStorage(tmp_path))
    assert found.rdd.getNumPartitions() == 3
    placed = [tuple(row) for row in found.orderBy("block").select("itemId", "file", "block", "row").collect()]
    expected = [("a.csv", "a.csv"), ("z/a.csv", "a.csv"), ("b.csv", "b.csv"), ("c.csv", "c.csv"), ("d.csv", "d.csv")]
    assert placed == [(item, name, place, 2) for place, (item, name) in enumerate(expected)]


ENDS = st.sampled_from([LF, CRLF])
IDS = st.text(st.sampled_from('a1é", '), min_size=1).map(str.strip).filter(bool)
NOTES = st.text(st.sampled_from('a",\r\n ')) | st.sampled_from(["", LF, CRLF, '"'])
ROWS = st.tuples(IDS, NOTES, IDS, st.none() | st.integers(-(2**63), 2**63 - 1), st.booleans(), ENDS, st.integers(0, 2))
FILES = st.tuples(ENDS, st.booleans(), st.lists(ROWS, max_size=6), st.booleans())
COLUMNS = ("USER_ID", "NOTE", "ITEM_ID", "RANK")


def written(file):
    """A file's text, its columns in one order or in the other."""
    end, is_turned, rows, is_open = file
    order = -1 if is_turned else 1
    text = ",".join(COLUMNS[::order]) + end
    for user, note, item, rank, quotes_all, row_end, blank in rows:
        fields = [user, note, item, "" if rank is None else str(rank)][::order]
        text += ",".join(quoted(field, quotes_all) for field in fields) + row_end * (1 + blank)
    return text.rstrip("\r\n") if is_open and rows else text


def quoted(field, is_asked):
    return '"' + field.replace('"', '""') + '"' if is_asked or set(field) & set('",\r\n') else field


@settings(max_examples=15)
@given(st.lists(FILES, min_size=1, max_size=40))
@example([(LF, True, [("ann", "", "105", None, False, CRLF, 1), ("bob", '"\r\n', "1", 2**63 - 1, True, LF, 2)], True)])
def test_what_was_written_is_read_by_a_run_and_by_whoever_looks_into_it(spark, files):
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            mapping(Path(folder), f"{number}.csv", written(file))
        storage = LocalStorage(Path(folder))
        by_spark = read_mapping(spark, storage).orderBy("file", "row").collect()
        keys = [f"{number}.csv" for number in range(len(files))]
        ours = {key: [one[:3] for one in pairs_of(storage, FOLDER + key, ranked=True)] for key in keys}
    assert {row.text for row in by_spark} <= {None}
    read = {key: [(row.userId, row.itemId, row.rank) for row in by_spark if row.file == key] for key in keys}
    meant = {key: [(row[0], row[2], row[3]) for row in file[2]] for key, file in zip(keys, files, strict=True)}
    assert read == ours == meant
