import gzip

import pytest

from connectors.contract.local_storage import LocalStorage
from connectors.contract.s3_storage import S3Storage
from glue_jobs.errors import ConfigError, InputError, NoInputError
from glue_jobs.mapping import read_mapping
from glue_jobs.pairs import find_exclusions, pairs_of


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


AWKWARD = (
    "USER_ID,NOTE,ITEM_ID,RANK\n"
    'ann,"two\nlines, quoted",105,1\n'
    "  bob  ,x, 00106 ,\n"
    "cid,x,107,2.9\n"
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
    pairs(tmp_path, key, "\ufeff" + AWKWARD.replace("\n", ending))
    storage = LocalStorage(tmp_path)
    by_spark = read_mapping(spark, storage).where("userId is not null").select("userId", "itemId", "rank").collect()
    ours = [found[:3] for found in pairs_of(storage, key, ranked=True)]
    assert sorted(ours) == sorted(map(tuple, by_spark))
    assert ("cid", "107", 2) in ours and len(ours) == 5


def test_a_row_knows_the_line_it_ends_on(tmp_path):
    pairs(tmp_path, "a.csv", AWKWARD)
    assert [found.line for found in pairs_of(LocalStorage(tmp_path), "a.csv", ranked=True)][:2] == [3, 4]


def test_where_rank_means_nothing_it_is_not_read(tmp_path):
    pairs(tmp_path, "a.csv", AWKWARD)
    assert {found.rank for found in pairs_of(LocalStorage(tmp_path), "a.csv", ranked=False)} == {None}
