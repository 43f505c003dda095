import gzip

import pytest
from chispa import assert_df_equality

from connectors.contract.local_storage import LocalStorage
from glue_jobs.errors import ConfigError, NoInputError
from glue_jobs.mapping import read_exclusions, read_mapping


def mapping(folder, name, text):
    path = folder / "input/user_item_mapping" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


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


def test_a_missing_mapping_is_no_input(spark, tmp_path):
    with pytest.raises(NoInputError, match="user_item_mapping"):
        read_mapping(spark, LocalStorage(tmp_path))


def pairs(folder, key, text):
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if key.endswith(".gz") else text.encode())


def test_f15_exclusions_are_read_by_the_names_of_their_columns_and_have_no_rank(spark, tmp_path):
    pairs(tmp_path, "a.csv", "ITEM_ID,RANK,USER_ID\n105,first,ann\n00105,,bob\n,1,cid\n")
    rows = read_exclusions(spark, LocalStorage(tmp_path), ["a.csv"]).select("userId", "itemId", "rank", "text")
    expected = [("ann", "105", None, None), ("bob", "00105", None, None), (None, None, None, ",1,cid")]
    assert sorted(map(tuple, rows.collect()), key=str) == sorted(expected, key=str)
