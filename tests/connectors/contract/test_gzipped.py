import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.gzipped import CutError, unpacking


def read(packed):
    with unpacking(io.BytesIO(packed)) as stream:
        return stream.read()


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_one_file_and_several_in_a_row_are_read_whole(members):
    assert read(b"".join(map(gzip.compress, members))) == b"".join(members)


def test_lines_come_one_by_one():
    with unpacking(io.BytesIO(gzip.compress(b"a\n\nb"))) as stream:
        assert list(stream) == [b"a\n", b"\n", b"b"]


@given(st.binary(min_size=1, max_size=200), st.data())
def test_f03_a_file_that_ends_anywhere_early_is_cut(plain, data):
    packed = gzip.compress(plain)
    end = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(CutError):
        read(packed[:end])


@pytest.mark.parametrize("place", [0, 2, 12, -8, -1], ids=["magic", "method", "data", "checksum", "length"])
def test_a_file_that_was_changed_is_no_file_of_ours(place):
    packed = bytearray(gzip.compress(b"0123456789" * 20))
    packed[place] ^= 0xFF
    with pytest.raises(CutError):
        read(bytes(packed))


def test_what_follows_a_file_is_refused():
    with pytest.raises(CutError):
        read(gzip.compress(b"1") + b"more")
