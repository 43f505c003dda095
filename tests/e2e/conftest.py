"""One emulator, one build, one stack and one Braze for the whole story."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator import Emulator
from stack import BRAZE, KEY, Deployed, build, copy_of_repository, for_emulator, point_at

from cli.emulators.braze import BrazeEmulator


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def as_built(emulator: Emulator, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam build` made, untouched."""
    return build(emulator, repository, tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def built(as_built: Path) -> Path:
    """The same, ready for the emulator."""
    for_emulator(as_built)
    return as_built


@pytest.fixture(scope="session")
def braze() -> Iterator[BrazeEmulator]:
    with BrazeEmulator(api_key=KEY) as running:
        yield running


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, Any]]:
    """What the story measured, printed at its end."""
    found: dict[str, Any] = {}
    yield found
    told = "".join(f"{name}: {value}\n" for name, value in found.items())
    sys.stdout.write(f"\n{told}")


@pytest.fixture(scope="session")
def stack(emulator: Emulator, repository: Path, built: Path, braze: BrazeEmulator, figures: dict[str, Any]) -> Deployed:
    deployed = Deployed(emulator, "shop", repository, built)
    _, figures["deploy seconds"] = deployed.deploy(**BRAZE)
    point_at(deployed, braze)
    return deployed
