import pytest
from pyspark.sql import types as T  # noqa: N812 - the field's own short name

from connectors.contract.local_storage import LocalStorage
from glue_jobs.errors import InputError
from glue_jobs.schemas import POSITION
from glue_jobs.sources import parsed_lines, path_of

LINE = T.StructType([T.StructField("line", T.StringType()), *POSITION])
NAMES = (
    *(
        "m[1].out",
        "m1.out",
        "job{1}.json.out",
        "job1.json.out",
        "a*b",
        "aXb",
        "a?b",
        "{a,c}b",
        "cb",
        "a,b",
        "[^a]",
        "[a-z]",
    ),
    *("[", "]", "{", "}", "*", "?", "{a", "[a", "^", "!a", "~", "$a", "(a|b)", "a;b", "a&b=c", "a'b\"c", "-"),
    *("a b", "a#b", "a+b", "a%20b", "100%.out", "%5B", "é[ü]", "日本{語}"),
)


def as_text(line):
    return (line.decode(),)


@pytest.mark.parametrize("folder", ["plain", "shop [2026]", "{a,b}/*?/c d#e%20"])
def test_what_was_listed_is_read_whatever_its_name_holds(spark, tmp_path, folder):
    storage = LocalStorage(tmp_path / folder)
    for name in NAMES:
        storage.put(name, f"{name}\n".encode())
    uris = [storage.uri(entry.key) for entry in storage.list()]
    rows = parsed_lines(spark, uris, as_text, LINE).collect()
    assert sorted((row.line, row.file) for row in rows) == sorted((name, name) for name in NAMES)


@pytest.mark.parametrize("name", ["a:b", "x:[1]", "x:y/[1]", "[1]/x:y"])
def test_a_local_name_that_spark_cannot_read_is_refused_with_the_fix(spark, tmp_path, name):
    storage = LocalStorage(tmp_path)
    storage.put(name, b"")
    with pytest.raises(InputError, match=r"has a colon in its name, which Spark cannot read here; rename it"):
        parsed_lines(spark, [storage.uri(name)], as_text, LINE)


def test_a_colon_alone_stands_in_no_ones_way_on_s3_or_above_a_file(spark, tmp_path):
    storage = LocalStorage(tmp_path / "at:12:00")
    storage.put("a", b"a\n")
    assert parsed_lines(spark, [storage.uri("a")], as_text, LINE).count() == 1
    assert path_of("s3://bucket/at:12:00/a:b") == "s3://bucket/at:12:00/a:b"
