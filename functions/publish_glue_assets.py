"""Puts the Glue jobs' code where Glue reads it. CloudFormation calls this when the code changed, and at no other time.

This function's own zip carries everything: the scripts, the library and the wheels that Glue lacks. They go below a
prefix that is a hash of their content, so a job definition and its code change together, a rollback finds what it
goes back to, and a job that is running keeps the code it began with. Nothing is ever removed.
"""

from __future__ import annotations

import hashlib
import io
import json
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from connectors.contract.storage import ConflictError, Storage

LIBRARY = ("connectors", "glue_jobs")
# The oldest time a zip can hold: with it, equal files give equal zips.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_ANSWER_TIMEOUT_S = 30


def assets(top: Path) -> dict[str, bytes]:
    """What Glue reads, by name: one script a job type, the library, and the wheels of each Glue version.

    Args:
        top: Holds the folders `connectors`, `glue_jobs`, `wheels/<Glue version>`, and `wheels/any` for all of these.
    """
    scripts = {path.name: path.read_bytes() for path in top.glob("glue_jobs/*_etl.py")}
    sources = sorted(path for room in LIBRARY for path in top.glob(f"{room}/**/*.py"))
    library = {"recsync.zip": packed((str(path.relative_to(top)), path.read_bytes()) for path in sources)}
    wheels = {
        f"glue-{folder.name}.gluewheels.zip": packed(
            _wheelhouse([*folder.glob("*.whl"), *top.glob("wheels/any/*.whl")])
        )
        for folder in sorted(top.glob("wheels/*"))
        if folder.name != "any"
    }
    return scripts | library | wheels


def _wheelhouse(wheels: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """What a zip of wheels holds: the wheels, and beside them what pip is to install of these.

    Source: AWS Glue developer guide, "Appendix A: Creating a Zip of Wheels Artifact", read 2026-11-23.
    """
    pins = []
    for path in wheels:
        name, version, *_ = path.name.split("-")
        pins.append(f"{name}=={version}\n")
        yield f"wheels/{path.name}", path.read_bytes()
    yield "wheels/requirements.txt", "".join(sorted(pins)).encode()


def packed(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A zip that depends on names and contents alone."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in sorted(files):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def prefix(found: Mapping[str, bytes]) -> str:
    """The folder of these assets: ``glue/`` and a hash of all names and contents."""
    digest = hashlib.sha256()
    for name, data in sorted(found.items()):
        digest.update(f"{name}\n{len(data)}\n".encode() + data)
    return f"glue/{digest.hexdigest()[:16]}"


def publish(storage: Storage, found: Mapping[str, bytes]) -> str:
    """Write what is not there yet, and give the folder's full address."""
    folder = prefix(found)
    for name, data in found.items():
        try:
            storage.put(f"{folder}/{name}", data, if_absent=True)
        except ConflictError:
            continue  # written before, with the same content: that is what its prefix says
    return f"{storage.root}/{folder}"


def lambda_handler(event: dict[str, Any], context: Any) -> None:
    """A custom resource: `Bucket` in, `Prefix` out. To be deleted it agrees, and keeps the files."""
    from connectors.contract.storage import open_storage

    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer["PhysicalResourceId"] = event.get("PhysicalResourceId") or event["LogicalResourceId"]
    try:
        if event["RequestType"] != "Delete":
            storage = open_storage(f"s3://{event['ResourceProperties']['Bucket']}")
            answer["Data"] = {"Prefix": publish(storage, assets(Path(__file__).parents[1]))}
        answer["Status"] = "SUCCESS"
    except Exception as error:  # noqa: BLE001 - without an answer CloudFormation waits until it times out
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"}
    _answer(event["ResponseURL"], answer)


def _answer(url: str, answer: Mapping[str, Any]) -> None:
    """Tell CloudFormation, at the address it signed for that. Its signature covers an empty content type."""
    data = json.dumps(answer).encode()
    request = urllib.request.Request(url, data, {"Content-Type": ""}, method="PUT")  # noqa: S310 - CloudFormation's own
    with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S):  # noqa: S310 - as above
        pass
