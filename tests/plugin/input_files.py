"""What a job reads."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any


def for_user(user: str, *items: str) -> dict[str, Any]:
    """A good line of batch inference."""
    scores = [1 / (rank + 1) for rank in range(len(items))]
    return {"input": {"userId": user}, "output": {"recommendedItems": list(items), "scores": scores}, "error": None}


def write_pairs(folder: Path, key: str, text: str) -> None:
    """A file of pairs, packed where its name says so."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if key.endswith(".gz") else text.encode())
