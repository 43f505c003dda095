"""The item filter, against SQLite where both mean the same, and by hand where they do not."""

import pickle
import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_jobs.filter_words import FilterError
from glue_jobs.item_filter import MAX_NESTING, parse

LAMP = {"name": "Oak Lamp", "Name": "OAK", "a.b": 5, "price": 119.0, "stock": 0, "on_sale": True, "tags": ["wood"]}


def fits(text, metadata=LAMP):
    return parse(text).fits(metadata)


@pytest.mark.parametrize(
    "text",
    [
        "stock = 0",
        "price > 100 AND price < 120.5",
        "price BETWEEN 119 AND 119.0",
        "price NOT BETWEEN 1 AND 2",
        "NOT stock <> 0",
        "stock != 1",
        "stock IN (3, 0)",
        "name NOT IN ('x', 'y')",
        "name LIKE 'Oak%'",
        "name LIKE '_ak L%m_'",
        "'a\nb' LIKE 'a%b'",
        "name NOT LIKE 'oak%'",
        "on_sale",
        "on_sale = TRUE",
        "(price > 1) = on_sale",
        "vendor IS NULL",
        "tags IS NOT NULL",
        "(stock = 0) IS NOT NULL",
        '"a.b" = 5 AND `a.b` = 5',
        "Name = 'OAK' AND name = 'Oak Lamp'",
        "price * 2 - 38 = 200 AND price / 2 = 59.5",
        "7 % 4 = 3 AND -7 % 4 = -3 AND 7 % -4 = 3 AND - - 2 = 2 AND +2 = 2",
        "1 + 2 * 3 - 4 / 2 = 5",
        "5 / 2 = 2.5",
        "1e2 = 100 AND .5 = 0.50 AND 2. = 2",
        "price > 1 or stock > 1 and stock > 2",
        "not stock > 0 and on_sale is not null",
        "price\n>\t1",
    ],
)
def test_what_it_says_is_true(text):
    assert fits(text) is True
    assert fits(f"NOT ({text})") is False


@pytest.mark.parametrize(
    "text",
    [
        "vendor = 'x'",
        "vendor <> 'x'",
        "vendor",
        "name",
        "name > 5",
        "name + 1 > 0",
        "stock = TRUE",
        "tags = 'wood'",
        "tags IN ('wood')",
        "price LIKE '1%'",
        "price / stock > 1",
        "price % 0 = 1",
        "1e308 * 10 * stock = 1",
        "price IN (1, NULL)",
        "price NOT IN (1, 'x')",
        "vendor BETWEEN 1 AND 2",
        "NULL",
        "vendor > 1 AND on_sale",
        "vendor > 1 OR NOT on_sale",
    ],
)
def test_what_is_missing_or_of_another_type_is_neither_yes_nor_no(text):
    assert fits(text) is None
    assert fits(f"NOT ({text})") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("vendor > 1 AND stock > 0", False), ("vendor > 1 OR on_sale", True), ("price IN (119, NULL)", True)],
)
def test_what_is_decided_by_the_rest_is_decided(text, expected):
    assert fits(text) is expected


def test_a_text_of_digits_is_no_number_and_huge_numbers_keep_their_digits():
    assert fits("stock > 0", {"stock": "5"}) is None
    assert fits(f"ean = {2**70}", {"ean": 2**70}) is True
    assert fits(f"ean = {2**70}", {"ean": 2**70 + 1}) is False
    assert fits("ean + 1 > 0", {"ean": 10**400}) is None


def test_a_quote_within_quotes_is_written_twice():
    assert fits("name = 'it''s' AND \"a\"\"b\" = 1 AND `c``d` = 2", {"name": "it's", 'a"b': 1, "c`d": 2}) is True


def test_a_like_of_many_pieces_is_quick_on_a_long_text():
    assert fits(f"name LIKE '%{'a%' * 30}b'", {"name": "a" * 20_000}) is False


def test_every_field_is_named_once_as_it_is_spelled():
    assert parse('price > 1 AND "a.b" < price OR Name = name').fields == ("price", "a.b", "Name", "name")


def test_a_filter_travels():
    again = pickle.loads(pickle.dumps(parse("name LIKE 'O%' AND stock IN (0, 1)")))  # noqa: S301
    assert again.fits(LAMP) is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lower(name) = 'x'", "'lower(' at character 1: a filter has no functions"),
        ("price > (SELECT 1)", "'1' at character 17"),
        ("id IN (SELECT id FROM items)", "'SELECT' at character 8"),
        ("EXISTS (SELECT 1)", "'EXISTS(' at character 1"),
        ("CAST(price AS INT) > 1", "'CAST(' at character 1: a filter has no functions"),
        ("price::int > 1", "':' at character 6"),
        ("price := 1", "':' at character 7"),
        ("price = 1; DROP TABLE items", "';' at character 10"),
        ("price > 1 -- cheap", "'--' at character 11: a filter has no comments"),
        ("price > 1 /* cheap */", "'/*' at character 11: a filter has no comments"),
        ("CASE WHEN stock THEN 1 END", "'WHEN' at character 6"),
        ("price == 1", "'=' at character 8"),
        ("name || 'x' = 'y'", "'|' at character 6"),
        ("__import__('os')", "'__import__(' at character 1: a filter has no functions"),
        ("name.upper", "'.' at character 5: a dot; quote a name that holds one"),
        ("a.b > 1", "'.' at character 2"),
        ("tags[0] = 'x'", "'[' at character 5"),
        ("name ILIKE 'x'", "'ILIKE' at character 6"),
        ("name LIKE vendor", "'vendor' at character 11: a 'text' should stand here"),
        ("name LIKE 'x' ESCAPE '!'", "'ESCAPE' at character 15"),
        ("price IN ()", "')' at character 11"),
        ("price IN (stock)", "'stock' at character 11"),
        ("price IS TRUE", "'TRUE' at character 10: NULL should stand here"),
        ("price NOT 1", "'1' at character 11: IN, LIKE or BETWEEN should stand here"),
        ("1 < price < 5", "'<' at character 11"),
        ("price + 1", "'price' at character 1: a number stands where a condition should"),
        ("'yes'", "a text stands where a condition should"),
        ("on_sale AND price * 2", "'price' at character 13: a number stands where a condition should"),
        ("NOT 5", "'5' at character 5: a number stands where a condition should"),
        ("5 OR on_sale", "'5' at character 1: a number stands where a condition should"),
        ("name + 'x' = 'y'", "\"'x'\" at character 8: a text stands where a number should"),
        ("(stock > 1) + 1 > 0", "'(' at character 1: a condition stands where a number should"),
        ("price > 1 > 'x'", "'>' at character 11"),
        ("5 > 'x'", "'5' at character 1: a number is compared with a text, which is never true"),
        ("5 LIKE 'x'", "'5' at character 1: a number stands where a text should"),
        ("(price > 1", "at its end: ) should stand here"),
        ("price >", "at its end"),
        ("", "at its end"),
        ("name = 'x", '"\'" at character 8: a text that does not end'),
        ('"" = 1', "a name that is empty or does not end"),
        ("price > 1e400", "'1e400' at character 9: a number too large"),
        (f"price > {'9' * 5000}", "a number with too many digits"),
        ("price > 1_000", "'1' at character 9"),
        ("price > 12abc", "'1' at character 9"),
        ("@price > 1", "'@' at character 1"),
        ("?", "'?' at character 1"),
    ],
)
def test_anything_else_is_refused_with_its_place_and_what_is_allowed(text, said):
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert "A filter may hold comparisons" in str(caught.value)


@pytest.mark.parametrize(("before", "after"), [("(", ")"), ("NOT ", ""), ("0 < - ", "")])
def test_nesting_has_an_end(before, after):
    *first, last = before.rpartition("0 < ")[1:]
    deep = "".join(first) + last * MAX_NESTING + "stock" + after * MAX_NESTING
    assert parse(deep)
    with pytest.raises(FilterError, match="nested more than 50 deep"):
        parse(deep.replace(last, last * 2, 1) + after)


def test_width_has_no_end():
    assert fits(" AND ".join(["stock = 0"] * 5000)) is True
    assert fits(f"stock + {' + '.join(['1'] * 5000)} = 5000") is True


# Against SQLite: fields of one type each, as it compares types with one another where we say NULL

NUMBERS, TEXTS, FLAGS = ["n", "a.b", "größe"], ["t", "Name"], ["flag", "hot"]
ROWS = st.fixed_dictionaries(
    {
        **dict.fromkeys(NUMBERS, st.none() | st.integers(-9, 9) | st.sampled_from([0.5, -2.25, 7.75])),
        **dict.fromkeys(TEXTS, st.none() | st.text("aAb%_'\n", max_size=4)),
        **dict.fromkeys(FLAGS, st.none() | st.booleans()),
    }
)
INTEGERS = st.integers(0, 9).map(str)
LITERALS = INTEGERS | st.sampled_from(["0.5", "2.25", "1e1", ".75"])
QUOTED = st.text("aAb%_'\n", max_size=4).map(lambda text: "'" + text.replace("'", "''") + "'")
NUMBER_FIELDS = st.sampled_from(["n", '"a.b"', "`a.b`", "größe"])
TEXT_VALUES = st.sampled_from(["t", '"t"', "`Name`"]) | QUOTED


def _of_numbers(inner):
    signs = st.sampled_from([" + ", " - ", " * ", "+", "*"])
    return (
        st.tuples(inner, signs, inner).map("".join)
        | inner.map(lambda text: f"({text})")
        | inner.map(lambda text: f"- {text}")
        | st.tuples(inner, LITERALS).map(lambda two: f"({two[0]}) / ({two[1]} * 1.0)")
        | st.tuples(INTEGERS, INTEGERS).map(lambda two: f"{two[0]} % {two[1]}")
    )


NUMBER_VALUES = st.recursive(NUMBER_FIELDS | LITERALS, _of_numbers, max_leaves=5)
SIGNS = st.sampled_from([" = ", " <> ", " != ", " < ", "<=", " > ", ">="])
NOT = st.sampled_from(["", "NOT ", "not "])
COMPARED = (
    st.tuples(NUMBER_VALUES, SIGNS, NUMBER_VALUES).map("".join)
    | st.tuples(TEXT_VALUES, SIGNS, TEXT_VALUES).map("".join)
    | st.tuples(TEXT_VALUES, NOT, QUOTED).map(lambda three: f"{three[0]} {three[1]}LIKE {three[2]}")
    | st.tuples(NUMBER_VALUES, NOT, NUMBER_VALUES, NUMBER_VALUES).map(
        lambda four: f"{four[0]} {four[1]}BETWEEN {four[2]} AND {four[3]}"
    )
    | st.tuples(NUMBER_VALUES, NOT, st.lists(LITERALS | st.just("NULL"), min_size=1, max_size=3)).map(
        lambda three: f"{three[0]} {three[1]}IN ({', '.join(three[2])})"
    )
    | st.tuples(TEXT_VALUES, NOT, st.lists(QUOTED | st.just("NULL"), min_size=1, max_size=3)).map(
        lambda three: f"{three[0]} {three[1]}IN ({', '.join(three[2])})"
    )
    | st.tuples(NUMBER_VALUES | TEXT_VALUES, NOT).map(lambda two: f"{two[0]} IS {two[1]}NULL")
    | st.sampled_from(["flag", "hot", "TRUE", "false", "flag = hot", "flag <> TRUE"])
)
CONDITIONS = st.recursive(
    COMPARED,
    lambda inner: (
        st.tuples(inner, st.sampled_from([" AND ", " OR ", " and "]), inner).map("".join)
        | inner.map(lambda text: f"({text})")
        | inner.map(lambda text: f"NOT {text}")
        | inner.map(lambda text: f"({text}) IS NULL")
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def sqlite():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA case_sensitive_like = ON")
        yield connection


def asked_of_sqlite(sqlite, text, row):
    columns = ", ".join(f'? AS "{name}"' for name in row)
    found = sqlite.execute(f"SELECT {text} FROM (SELECT {columns})", list(row.values())).fetchone()[0]  # noqa: S608
    return None if found is None else bool(found)


@settings(max_examples=1000)
@given(text=CONDITIONS, row=ROWS)
def test_sqlite_says_the_same(sqlite, text, row):
    assert fits(text, row) is asked_of_sqlite(sqlite, text, row)


@given(text=CONDITIONS, row=ROWS)
def test_a_missing_field_is_a_null_field(text, row):
    assert fits(text, {name: value for name, value in row.items() if value is not None}) is fits(text, row)


@given(st.text(st.sampled_from(list("ab1.'\"`()=<>!+-*/%, \n;AND OR NOT IN LIKE NULL")), max_size=30))
def test_any_text_is_read_or_refused_and_nothing_else(text):
    with suppress(FilterError):
        assert fits(text, {}) in (True, False, None)
