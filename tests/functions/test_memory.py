"""Enqueue's memory, as the system counts it: a process of its own, whatever it holds in Python or beneath."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from connectors.contract.local_storage import LocalStorage

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak here")

TOP = Path(__file__).parents[2]
RECORDS, NAME_BYTES = 3_000, 10_000
# Far below what the part has packed, far above what a few messages have.
MOST_MIB = 10
CHILD = """
import re, sys, time
from connectors.contract.storage import open_storage
from functions.enqueue import enqueue_part

class Discard:
    def send(self, bodies, *, delay_s=0):
        return []

def peak_mib():
    with open("/proc/self/status") as status:  # ru_maxrss would begin with what the parent had
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) / 1024

folder, key, part, is_held = sys.argv[1:]
storage = open_storage(folder)
storage.get(key)
before = peak_mib()
held = storage.get(part) if is_held == "held" else None
done = enqueue_part(storage, key, part, Discard(), sleep=time.sleep)
print(done.records, peak_mib() - before)
"""


@pytest.fixture
def large(publish):
    """A run of one part of 30 MB, that packs to about half."""
    noise = random.Random(1)
    lines = [
        b'{"userId":"%d","op":"upsert","recommendations":[{"itemId":"%b"}]}'
        % (number, noise.randbytes(NAME_BYTES // 2).hex().encode())
        for number in range(RECORDS)
    ]
    run = publish(lines)
    assert sum(map(len, lines)) > 30_000_000 and run.manifest.files[0].size_bytes > 15_000_000
    return run


class Bucket(ThreadingHTTPServer):
    """As much of S3 as enqueue needs: objects are read from a folder, what is written is acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(("127.0.0.1", 0), BucketHandler)


class BucketHandler(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.server.folder / self.path.partition("?")[0].split("/demo/", 1)[1].replace("%3D", "=")
        content = path.read_bytes() if path.is_file() else b"<Error><Code>NoSuchKey</Code></Error>"
        self._answer(200 if path.is_file() else 404, content)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(folder) -> Iterator[str]:
    """The address at which S3 is found."""
    with Bucket(folder) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def growth_mib(run, place: str, bucket: str, *, is_held: bool = False) -> float:
    """By how much a process grows that enqueues the run's part."""
    assert isinstance(run.storage, LocalStorage)
    root = run.storage.root if place == "local" else "s3://shop/etl_jobs/user_personalization/demo"
    keys = {"AWS_ACCESS_KEY_ID": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_DEFAULT_REGION": "us-east-1"}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, root, run.key, run.manifest.files[0].key, "held" if is_held else "streamed"],
        cwd=TOP,
        env=plain | keys | {"AWS_ENDPOINT_URL": bucket, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records, grown_mib = done.stdout.split()
    assert int(records) == RECORDS
    return float(grown_mib)


@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_part_is_never_held_in_memory(large, bucket, place):
    assert growth_mib(large, place, bucket) < MOST_MIB


def test_a_part_that_was_held_would_be_noticed(large, bucket):
    assert growth_mib(large, "local", bucket, is_held=True) > MOST_MIB
