"""Pieces into groups: all of them, in order, as many as fit, and without waiting for the end."""

from __future__ import annotations

from itertools import chain, count, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.packing import pack

pieces_of_any_size = st.lists(st.integers(0, 30).map(lambda size: b"x" * size), max_size=40)
limits = st.fixed_dictionaries(
    {"max_count": st.integers(1, 8), "max_bytes": st.integers(1, 60), "overhead_bytes": st.integers(0, 10)}
)


def size_of(group: list[bytes], overhead_bytes: int) -> int:
    return overhead_bytes + len(b",".join(group))


@given(pieces_of_any_size, limits)
def test_the_groups_one_after_the_other_are_the_pieces(pieces, limits):
    groups = list(pack(pieces, **limits))
    assert list(chain.from_iterable(groups)) == pieces
    assert all(groups)


@given(pieces_of_any_size, limits)
def test_no_group_is_over_a_limit_but_a_piece_too_large_for_any(pieces, limits):
    for group in pack(pieces, **limits):
        assert len(group) <= limits["max_count"]
        assert size_of(group, limits["overhead_bytes"]) <= limits["max_bytes"] or len(group) == 1


@given(pieces_of_any_size, limits)
def test_a_group_ends_only_where_the_next_piece_would_not_have_fitted(pieces, limits):
    for group, following in pairwise(pack(pieces, **limits)):
        grown = [*group, following[0]]
        is_too_many = len(grown) > limits["max_count"]
        assert is_too_many or size_of(grown, limits["overhead_bytes"]) > limits["max_bytes"]


@pytest.mark.parametrize(
    ("sizes", "max_bytes", "grouped"),
    [
        ([], 10, []),
        ([10], 10, [[10]]),
        ([11], 10, [[11]]),
        ([4, 5], 10, [[4, 5]]),
        ([5, 5], 10, [[5], [5]]),
        ([1, 99, 1, 1], 10, [[1], [99], [1, 1]]),
        ([1, 1, 1, 1], 99, [[1, 1, 1], [1]]),
        ([0, 0, 0, 0], 10, [[0, 0, 0], [0]]),
    ],
)
def test_the_separator_counts_and_a_piece_too_large_comes_alone(sizes, max_bytes, grouped):
    groups = pack((b"x" * size for size in sizes), max_count=3, max_bytes=max_bytes)
    assert [[len(piece) for piece in group] for group in groups] == grouped


def test_an_endless_stream_is_packed_as_it_comes():
    read = []

    def endless():
        for number in count():
            read.append(number)
            yield str(number).encode()

    groups = pack(endless(), max_count=3, max_bytes=1_000)
    assert list(islice(groups, 2)) == [[b"0", b"1", b"2"], [b"3", b"4", b"5"]]
    assert len(read) == 7, "one piece beyond the group, and no more"
