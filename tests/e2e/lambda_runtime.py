"""Lambda's own runtime on this machine: the interface emulator that SAM carries, and AWS's runtime client."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from emulator import REGION, ROOT

PYTHON = ROOT / ".tools/lambda/bin/python"


class Runtime:
    """One built function, in an environment that holds what Lambda holds.

    Attributes:
        cold_start_s: How long the first answer took.
    """

    def __init__(self, folder: Path, handler: str, *, timeout_s: int = 30, **environment: str) -> None:
        self._folder, self._handler = folder, handler
        self._ports = [_free_port(), _free_port()]
        told = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s), "AWS_REGION": REGION}
        told |= {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        told |= {"AWS_LAMBDA_FUNCTION_VERSION": "1", "PYTHONPATH": str(folder), "PATH": os.environ["PATH"]}
        self._environment = told | environment
        self.cold_start_s: float | None = None

    def __enter__(self) -> Self:
        (emulator,) = (ROOT / ".tools/sam").glob("lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64")
        serving, api = (f"127.0.0.1:{port}" for port in self._ports)
        run = [emulator, "--runtime-interface-emulator-address", serving, "--runtime-api-address", api]
        self._process = subprocess.Popen(
            [*run, PYTHON, "-B", "-m", "awslambdaric", self._handler],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def invoke(self, event: Any) -> Any:
        """What the function answers; of one that failed, its error."""
        address = f"http://127.0.0.1:{self._ports[0]}/2015-03-31/functions/function/invocations"
        data, started, deadline = json.dumps(event).encode(), time.monotonic(), time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(address, data, timeout=60) as answer:
                    text = answer.read().decode()
                break
            except OSError:  # it is not listening yet
                assert time.monotonic() < deadline, "the runtime did not start"
                time.sleep(0.05)
        self.cold_start_s = self.cold_start_s or time.monotonic() - started
        try:
            return json.loads(text)
        except ValueError:
            return text


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
