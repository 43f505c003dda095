"""Write the made-up shop as job folders, in the shapes Amazon Personalize and a warehouse would leave them.

    python -m sample.generate FOLDER --users 1000 --items 200 --seed 7

Every file is written line by line, so memory does not grow with the number of users.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sample.shop import DAYS, Recommended, Shop, spread

FOR_YOU = "etl_jobs/user_personalization/for_you"
SIMILAR_ITEMS = "etl_jobs/related_items/similar_items"
ROWS_PER_PART = 500_000

_RUN = {1: "2026_11_20_03_00_00", 2: "2026_11_21_03_00_00"}
_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def generate(folder: Path, *, users: int, items: int, seed: int, day: int = 1) -> None:
    """Create or update the two job folders below a folder.

    Day 2 adds its batch folders beside day 1's and rewrites the metadata. A config.json that is already
    there is left as it is.

    Args:
        folder: Where ``etl_jobs/`` is, or shall be.
        users: How many users, at least 6.
        items: How many items, at least 6.
        seed: Same seed, same bytes.
        day: 1, or 2 for the day after.

    Raises:
        ValueError: The shop is too small, or the day is unknown.
    """
    shop = Shop(users, items, seed, day)
    write_for_you(folder / FOR_YOU, shop)
    write_similar_items(folder / SIMILAR_ITEMS, shop)


def write_for_you(job: Path, shop: Shop) -> None:
    """Create or update a user_personalization job folder."""
    _write_inputs(job, "for-you", "recs_", shop, for_you_lines(shop))


def write_similar_items(job: Path, shop: Shop) -> None:
    """Create or update a related_items job folder."""
    _write_inputs(job, "similar-items", "similar_", shop, similar_items_lines(shop))
    _write_mapping(job / "input/user_item_mapping", shop.looked_at())


def for_you_lines(shop: Shop) -> Iterator[str]:
    """Batch output of a USER_PERSONALIZATION recipe: with scores, and ``"error":null`` on good lines."""
    return _batch_lines(shop.recommended(), shop.users, "userId", _scored)


def similar_items_lines(shop: Shop) -> Iterator[str]:
    """Batch output of a RELATED_ITEMS recipe: neither scores nor, on good lines, an ``error`` key."""
    return _batch_lines(shop.related(), shop.items, "itemId", _unscored)


def _batch_lines(
    answers: Iterable[Recommended], total: int, key: str, answered: Callable[[Recommended], dict[str, Any]]
) -> Iterator[str]:
    """One line an answer; about 1 in 1,000 failed, and as many found nothing to recommend."""
    failed, after_empty = spread(total, 0.001, least=2), spread(total, 0.001)
    for place, answer in enumerate(answers):
        line: dict[str, Any] = {"input": {key: answer.query}}
        if place in failed:
            line["error"] = f"{key} is not known to this solution version"
        else:
            line |= answered(Recommended(answer.query, ()) if place + 1 in after_empty else answer)
        yield _compact(line)


def _scored(answer: Recommended) -> dict[str, Any]:
    return {"output": {"recommendedItems": answer.items, "scores": answer.scores}, "error": None}


def _unscored(answer: Recommended) -> dict[str, Any]:
    return {"output": {"recommendedItems": answer.items}}


def _write_inputs(job: Path, solution: str, prefix: str, shop: Shop, lines: Iterator[str]) -> None:
    """What both kinds of job have: settings, item metadata and one batch inference run."""
    config = job / "config.json"
    if not config.exists():
        _write_lines(config, [json.dumps(_config(solution, prefix), indent=2)])
    _write_lines(job / "input/item_metadata/items.json", map(_compact, shop.catalogue()))
    run = job / f"input/batch_inference/{solution}/batch_{solution}_{_RUN[shop.day]}"
    _write_lines(run / "_CHECK", [])
    _write_lines(run / "job_config.json.out", lines)


def _config(solution: str, prefix: str) -> dict[str, Any]:
    return {
        "version": 1,
        "batchInferencePath": f"input/batch_inference/{solution}/",
        "performDeltaCheck": True,
        "saveBatchInferenceErrors": True,
        "recommendations": {"maxItems": 10},
        "connectors": {
            "braze": {
                "itemMetadataFields": ["name", "price", "image"],
                "attributePrefix": prefix,
                "payloadShape": "objects",
            }
        },
    }


def _write_mapping(folder: Path, looks: Iterator[tuple[str, str]]) -> None:
    """Parts of at most ROWS_PER_PART rows, each with the header; parts of an earlier, larger shop go."""
    for old in folder.glob("part-*.csv"):
        old.unlink()
    rows = (f"{user},{item}" for user, item in looks)
    number = 0
    while first := next(rows, None):
        number += 1
        part = chain(("USER_ID,ITEM_ID", first), islice(rows, ROWS_PER_PART - 1))
        _write_lines(folder / f"part-{number:04}.csv", part)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sample.generate",
        description="Write a made-up shop as two job folders, of any size and always the same for one seed.",
        epilog="example: python -m sample.generate demo --users 1000 --items 200 --seed 7 --day 2",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where etl_jobs/ is made or updated")
    parser.add_argument("--users", type=int, default=1000, help="how many users (%(default)s)")
    parser.add_argument("--items", type=int, default=200, help="how many items (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same bytes (%(default)s)")
    parser.add_argument("--day", type=int, default=1, choices=DAYS, help="2 writes the day after (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the folders and name them."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        generate(args.folder, users=args.users, items=args.items, seed=args.seed, day=args.day)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.writelines(f"{args.folder / job}\n" for job in (FOR_YOU, SIMILAR_ITEMS))


if __name__ == "__main__":
    main()
