"""The job folders that are measured: how large, where their files lie, and what their records carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIELDS = ("name", "category", "price", "current_stock", "image", "page")
LIST_LENGTH = 25
METADATA = "input/item_metadata/items.json"
MAPPING = "input/user_item_mapping/part-0001.csv"
FOR_YOU, SIMILAR = "etl_jobs/user_personalization/bench", "etl_jobs/related_items/bench"


@dataclass(frozen=True)
class Size:
    """How many users a job has, and how many items their lists are drawn from."""

    users: int
    items: int


SIZES = {
    "T": Size(3_000, 20_000),
    "Q": Size(50_000, 20_000),
    "S": Size(200_000, 20_000),
    "M": Size(1_000_000, 50_000),
    "L": Size(4_000_000, 50_000),
}


def batch_file(day: int) -> str:
    """The key of a day's batch output."""
    return f"input/batch/batch_bench_2026_11_{19 + day}_03_00_00/job_config.json.out"


def newest_batch(job: Path) -> Path:
    """The batch output that a run of a job reads: the last day's."""
    return max(job.glob("input/batch/*/*.out"))


def config() -> dict[str, Any]:
    """The job's settings. Nobody delivers: what was written counts as told."""
    braze = {"itemMetadataFields": list(FIELDS), "attributePrefix": "recs_", "acknowledge": "onWrite"}
    return {
        "version": 1,
        "batchInferencePath": "input/batch/",
        "recommendations": {"maxItems": LIST_LENGTH},
        "connectors": {"braze": braze},
    }
