"""AWS on loopback: MiniStack, which runs the deployed functions and enforces their roles."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import boto3

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
ACCOUNT = "000000000000"


class Emulator:
    """An account that is there while the context is open."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self.endpoint = f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What AWS's tools need to find it, and nothing that leads to another account."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        told = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return kept | told | {"AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, **keys)

    @property
    def log(self) -> str:
        return (self._folder / "emulator.log").read_text()

    def __enter__(self) -> Self:
        own = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self._port), "MINISTACK_HOST": "localhost"}
        own |= {"AUTH": "true", "MINISTACK_REGION": REGION, "TMPDIR": str(self._folder)}
        with (self._folder / "emulator.log").open("w") as log:
            self._process = subprocess.Popen(
                [ROOT / ".tools/ministack/bin/ministack"],
                env=self.environment | own,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and the functions it runs."""
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2).close()  # noqa: S310 - loopback
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise RuntimeError(f"the emulator did not start:\n{self.log}")
