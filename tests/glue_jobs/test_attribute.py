import pytest
from chispa import assert_df_equality

from glue_jobs.attribute import items_not_for_users, meet, numbered, users_of_items, users_of_lines
from glue_jobs.schemas import BATCH_LINE, USER

MAPPING = "userId string, itemId string, rank long, text string, file string, block long, row long"


def lines(spark, *rows):
    return spark.createDataFrame(
        [(kind, key, items, None, None, "f", 0, row) for row, (kind, key, items) in enumerate(rows)], BATCH_LINE
    )


def test_each_mapping_row_gets_its_items_first_line(spark):
    batch = lines(spark, ("good", "105", b"1"), ("good", "105", b"2"), ("failed", "9", None), ("broken", None, None))
    mapping = spark.createDataFrame(
        [
            ("ann", "105", None, None, "m", 0, 0),
            ("bob", "9", None, None, "m", 0, 1),
            ("cid", "7", None, None, "m", 0, 2),
        ],
        MAPPING,
    )
    found = (
        users_of_items(numbered(batch), mapping)
        .where("userId is not null")
        .select("userId", "kind", "isLine", "queryItemId", "list")
    )
    expected = spark.createDataFrame(
        [
            ("ann", "list", False, "105", b"1"),
            ("bob", "failed", False, "9", None),
            ("cid", "unmatched", False, "7", None),
        ],
        "userId string, kind string, isLine boolean, queryItemId string, list binary",
    )
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_every_line_is_there_once_to_be_counted(spark):
    batch = lines(spark, ("good", "105", b"1"), ("failed", "9", None), ("broken", None, None))
    mapping = spark.createDataFrame([], MAPPING)
    rows = users_of_items(numbered(batch), mapping).where("isLine").collect()
    assert sorted(row.kind for row in rows) == ["broken", "failed", "line"]


@pytest.mark.parametrize("partitions", [1, 7])
def test_all_rows_of_a_user_meet_as_neighbours_in_order(spark, partitions):
    batch = lines(spark, *[("good", str(item), b"1") for item in range(5)])
    mapping = spark.createDataFrame(
        [(f"u{user}", str(item), 5 - item, None, "m", 0, item) for user in range(20) for item in range(5)], MAPPING
    ).repartition(partitions)
    met = meet(
        users_of_items(numbered(batch), mapping),
        spark.createDataFrame([("u3", b"told")], USER),
        3,
    )
    parts = met.select("userId", "kind", "queryItemId").rdd.glom().collect()
    for rows in parts:
        users = [row.userId for row in rows]
        assert len(set(users)) == sum(a != b for a, b in zip(users, [object(), *users], strict=False))
    homes = {}
    for number, rows in enumerate(parts):
        for row in rows:
            assert homes.setdefault(row.userId, number) == number
    u3 = [(row.kind, row.queryItemId) for rows in parts for row in rows if row.userId == "u3"]
    assert u3 == [("list", "4"), ("list", "3"), ("list", "2"), ("list", "1"), ("list", "0"), ("told", None)]


def test_items_not_for_a_user_meet_him_without_one_more_shuffle(spark):
    """The shuffles of the plan are counted, with and without them."""
    batch, told = lines(spark, ("good", "ann", b"1")), spark.createDataFrame([], USER)
    pairs = spark.createDataFrame([("ann", "1", None, None, "m", 0, 0), (None, None, None, ",1", "m", 0, 1)], MAPPING)
    rows = users_of_lines(batch)
    both = meet(rows.unionByName(items_not_for_users(pairs)), told, 2)
    found = both.select("userId", "kind", "isLine", "queryItemId", "text").collect()
    assert {tuple(row) for row in found} == {
        ("ann", "list", True, None, None),
        ("ann", "excluded", False, "1", None),
        (None, "excludeBroken", False, None, ",1"),
    }
    assert shuffles(both) == shuffles(meet(rows, told, 2)) == shuffles(meet(rows, None, 2)) == 1


def shuffles(frame):
    """How often the plan of a frame moves rows between tasks."""
    return frame._jdf.queryExecution().executedPlan().toString().count("Exchange ")
