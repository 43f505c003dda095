import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.contract.local_storage import LocalStorage
from glue_jobs.errors import InputError
from glue_jobs.lines import LineError, _quickly_decoded, _slowly_decoded, decoded_object, listed, readable_files

KEYS = st.sampled_from(["a", "b", "", '":', "a b", "é"])
NUMBERS = st.integers() | st.integers(2**62, 2**70) | st.floats(allow_nan=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text() | st.sampled_from(['":', ' " : ', "\\", "1" * 19])
# Objects as lists of pairs, so that a key may stand twice.
PAIRS = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.lists(st.tuples(KEYS, inner), min_size=1).map(tuple))
OBJECTS = st.lists(st.tuples(KEYS, PAIRS)).map(tuple)


def text_of(value, space=""):
    if isinstance(value, tuple):
        pairs = (f"{json.dumps(key)}{space}:{space}{text_of(inner, space)}" for key, inner in value)
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(text_of(inner, space) for inner in value)}]"
    return json.dumps(value, ensure_ascii=False)


@given(OBJECTS, st.sampled_from(["", " ", "\t", "\n", "\r "]))
@example((("a", 1), ("a", 2)), " ")
@example((("a", 2**64),), "")
@example((("a", -(2**63) - 1),), "")
@example((("a", [(("b", 1), ("b", 1))]),), "")
@example((("a", 1e22), ("a", 1), ("b", 0.00001)), "")
def test_the_quick_way_reads_what_the_slow_way_reads_or_nothing(pairs, space):
    line = text_of(pairs, space).encode("utf-8", "replace")
    quick = _quickly_decoded(line)
    slow, repeated = _slowly_decoded(line)
    assert quick is None or (repr(quick) == repr(slow) and not repeated)
    assert repr(decoded_object(line)) == repr((slow, repeated))


@given(st.binary())
@example(b'{"a":NaN}')
@example(b'\xef\xbb\xbf{"a":1}')
@example(b'{"a":"\\ud800"}')
@example(b'{"a":1e400}')
@example(b"[" * 2_000)
@example(b'{"a":' * 1_500 + b"1" + b"}" * 1_500)
def test_of_any_bytes_the_quick_way_reads_what_the_slow_way_reads_or_nothing(line):
    quick = _quickly_decoded(line)
    try:
        slow = _slowly_decoded(line)
    except LineError:
        assert quick is None
    else:
        assert quick is None or repr((quick, False)) == repr(slow)


@pytest.mark.parametrize(
    "line",
    [
        b'{"input":{"userId":"4638"},"output":{"recommendedItems":["1","2"],"scores":[0.5,0.25]},"error":null}\n',
        b'{"id": "1", "image": "https://images.example.com/1.jpg", "sizes": [{"cm": 10}, {"cm": 20}]}',
    ],
)
def test_ordinary_lines_are_read_the_quick_way(line):
    assert _quickly_decoded(line) == json.loads(line)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_line_may_be_a_hundred_deep_and_no_deeper(opening, closing):
    """On every Python: how deep one can walk differs from release to release."""

    def nested(depth):
        inner = "[]" if opening == "[" else "{}"
        return f'{{"a":{opening * (depth - 2)}{inner}{closing * (depth - 2)}}}'.encode()

    assert decoded_object(nested(100))[0] is not None
    for depth in (101, 600, 900, 5000, 200_000):
        with pytest.raises(LineError, match=r"more than 100 deep|recursion"):
            decoded_object(nested(depth))


def test_a_file_of_a_name_that_no_key_may_have_is_refused_by_name_with_the_fix(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\\b.csv").write_text("USER_ID,ITEM_ID\n")
    with pytest.raises(InputError, match=r"key 'in/a\\\\b\.csv' .*; use plain names"):
        readable_files(LocalStorage(tmp_path), "in/", (".csv",))


@pytest.mark.parametrize("prefix", ["", "in/", "_in/", "_in/_b/"])
def test_what_a_crashed_export_left_does_not_count_as_input(tmp_path, prefix):
    """What the folder itself is called, and what lies above it, says nothing."""
    storage = LocalStorage(tmp_path)
    hidden = ("_temporary/0/part-0.csv", "_part.csv", ".part.csv", "a/_b/part.csv", "a/.b/part.csv", "_SUCCESS")
    for name in (*hidden, "part_0.csv", "a/part.csv", "a_b/c.d/part.csv"):
        target = tmp_path / prefix / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("USER_ID,ITEM_ID\n")
    counting = [entry.key.removeprefix(prefix) for entry in readable_files(storage, prefix, (".csv",))]
    assert counting == [entry.key.removeprefix(prefix) for entry in listed(storage, prefix)]
    assert counting == ["a/part.csv", "a_b/c.d/part.csv", "part_0.csv"]
