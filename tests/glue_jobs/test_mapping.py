import gzip

import pytest
from chispa import assert_df_equality

from connectors.contract.storage import LocalStorage, S3Storage
from glue_jobs.errors import ConfigError, InputError, NoInputError
from glue_jobs.mapping import find_exclusions, read_exclusions, read_mapping


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
        pairs(tmp_path, key, "USER_ID,ITEM_ID\n")
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


def test_f15_exclusions_are_read_by_the_names_of_their_columns_and_have_no_rank(spark, tmp_path):
    pairs(tmp_path, "a.csv", "ITEM_ID,RANK,USER_ID\n105,first,ann\n00105,,bob\n,1,cid\n")
    rows = read_exclusions(spark, LocalStorage(tmp_path), ["a.csv"]).select("userId", "itemId", "rank", "text")
    expected = [("ann", "105", None, None), ("bob", "00105", None, None), (None, None, None, ",1,cid")]
    assert sorted(map(tuple, rows.collect()), key=str) == sorted(expected, key=str)
