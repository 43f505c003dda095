"""Batch output, item metadata and mappings of any size, streamed to files; the same bytes for the same seed.

Lists are strides through the items from a place that is likelier near the first, so that no list names an item
twice and some items are far more popular than others. Numbers are drawn for some thousand users at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.jobs import FOR_YOU, LIST_LENGTH, MAPPING, METADATA, SIMILAR, SIZES, Size, batch_file, config

SEED = 7
CHANGED_SHARE = 0.05
FAILED_SHARE = EMPTY_SHARE = 0.001
UNKNOWN_SHARE = 0.002
SHARED_BY = 10  # one mapping row in so many names the item that many users share
_CHUNK = 5_000
_SCORES = 1_009
_CENTS = (0.49, 0.89, 0.95, 0.99)
_COLOURS = ("Tan", "Navy", "Olive", "Crème", "Charcoal", "Rust", "Sage", "Indigo")
_THINGS = ("Canvas Backpack", "Leather Satchel", "Linen Cushion", "Wool Scarf", "Oak Tray", "Steel Flask", "Felt Lamp")
_CATEGORIES = ("bags", "clothing", "home", "desk", "travel")


def write_for_you(folder: Path, size: Size, *, seed: int = SEED, day: int = 1) -> Path:
    """A user_personalization job, or the day after added to it. Gives the job folder.

    Args:
        day: On day 2, CHANGED_SHARE of the users have their last item first.
    """
    job = folder / FOR_YOU
    _write_settings(job, size.items, seed)
    _write(job / batch_file(day), _lines("userId", size.users, size.items, seed, day))
    return job


def write_similar(folder: Path, size: Size, *, is_shared: bool = False) -> Path:
    """A related_items job: a list for each item, and one mapping row a user. Gives the job folder.

    Args:
        is_shared: Whether one item is that of every SHARED_BY-th user.
    """
    job = folder / SIMILAR
    _write_settings(job, size.items, SEED)
    _write(job / batch_file(1), _lines("itemId", size.items, size.items, SEED, 1))
    _write(job / MAPPING, _mapping_rows(size, is_shared=is_shared))
    return job


def _write_settings(job: Path, items: int, seed: int) -> None:
    _write(job / "config.json", [json.dumps(config(), indent=2)])
    _write(job / METADATA, _metadata(items, seed))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _metadata(items: int, seed: int) -> Iterator[str]:
    """One line an item; a few have none, a few lack their price."""
    drawn = np.random.default_rng([seed, 1]).random((items, 2))
    for item, (known, chance) in enumerate(drawn.tolist()):
        if known < UNKNOWN_SHARE:
            continue
        row = {
            "id": str(item),
            "name": f"{_COLOURS[item % len(_COLOURS)]} {_THINGS[item % len(_THINGS)]} No. {item}",
            "category": _CATEGORIES[item % len(_CATEGORIES)],
            "price": round(int(200 * chance) + _CENTS[item % len(_CENTS)], 2),
            "current_stock": int(130 * chance),
            "image": f"https://images.example.com/shop/items/{item}/{int(1e9 * chance):x}.jpg",
            "page": f"https://www.example.com/shop/{_CATEGORIES[item % len(_CATEGORIES)]}/{item}?source=recommended",
        }
        if known > 1 - UNKNOWN_SHARE:
            del row["price"]
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _lines(key: str, total: int, items: int, seed: int, day: int) -> Iterator[str]:
    """One line of batch output for each user or item; a few failed, a few found nothing."""
    scores = [str(round(score, 7)) for score in np.random.default_rng([seed, 2]).random(_SCORES + LIST_LENGTH).tolist()]
    names = list(map(str, range(items)))
    for start in range(0, total, _CHUNK):
        count = min(_CHUNK, total - start)
        chances = np.random.default_rng([seed, 3, start]).random((count, 3))
        lists = _lists(count, items, seed, start, day).tolist()
        for place, (fate, score, _) in enumerate(chances.tolist()):
            head = f'{{"input":{{"{key}":"{start + place}"}},'
            if fate < FAILED_SHARE:
                yield f'{head}"output":null,"error":"not known to this solution version"}}'
                continue
            shown = lists[place] if fate > FAILED_SHARE + EMPTY_SHARE else []
            found = '","'.join([names[item] for item in shown])
            listed = f'["{found}"]' if shown else "[]"
            first = int(score * _SCORES)
            scored = ",".join(scores[first : first + len(shown)])
            yield f'{head}"output":{{"recommendedItems":{listed},"scores":[{scored}]}},"error":null}}'


def _lists(count: int, items: int, seed: int, start: int, day: int) -> NDArray[np.int64]:
    """The lists of some users as item numbers, a row each."""
    length = min(LIST_LENGTH, items)
    drawn = np.random.default_rng([seed, 4, start]).random((count, 3))
    first = (items * drawn[:, 0] ** 2).astype(np.int64)
    stride = 1 + (drawn[:, 1] * max(1, items // length - 1)).astype(np.int64)
    lists = (first[:, None] + stride[:, None] * np.arange(length)) % items
    changed = (drawn[:, 2] < CHANGED_SHARE) & (day == 2)
    lists[changed] = np.roll(lists[changed], 1, axis=1)
    return lists


def _mapping_rows(size: Size, *, is_shared: bool) -> Iterator[str]:
    yield "USER_ID,ITEM_ID"
    for start in range(0, size.users, _CHUNK):
        count = min(_CHUNK, size.users - start)
        looked_at = np.random.default_rng([SEED, 5, start]).integers(1, size.items, count)
        if is_shared:
            looked_at[::SHARED_BY] = 0
        for place, item in enumerate(looked_at.tolist()):
            yield f"{start + place},{item}"


def main() -> int:
    """Write one job folder and name it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="Q")
    parser.add_argument("--day", type=int, choices=(1, 2), default=1)
    parser.add_argument("--job", choices=("for-you", "similar", "similar-shared"), default="for-you")
    given = parser.parse_args()
    size = SIZES[given.size]
    if given.job == "for-you":
        job = write_for_you(given.folder, size, day=given.day)
    else:
        job = write_similar(given.folder, size, is_shared=given.job == "similar-shared")
    sys.stdout.write(f"{job}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
