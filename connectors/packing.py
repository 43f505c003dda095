"""Pieces into groups, within limits of count and bytes.

One packer serves both sides: enqueue packs lines into messages, connectors pack records into requests.
It streams: a group is given as soon as the next piece would not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def pack(pieces: Iterable[bytes], *, max_count: int, max_bytes: int, overhead_bytes: int = 0) -> Iterator[list[bytes]]:
    """Group neighbouring pieces, as many as fit.

    Args:
        pieces: The serialised pieces, in order.
        max_count: The most pieces a group may hold.
        max_bytes: The most bytes a group may have, with one separator between neighbours.
        overhead_bytes: What surrounds the pieces of a group.

    Yields:
        Non-empty groups that, one after the other, are the pieces. A piece too large for any group comes
        alone, for the caller to judge.
    """
    group: list[bytes] = []
    size = overhead_bytes
    for piece in pieces:
        grown = size + len(piece) + (1 if group else 0)
        if group and (len(group) == max_count or grown > max_bytes):
            yield group
            group, grown = [], overhead_bytes + len(piece)
        group.append(piece)
        size = grown
    if group:
        yield group
