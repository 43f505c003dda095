"""Stacks of every kind of parameters, each resolved once."""

from __future__ import annotations

import pytest
from cloudformation import Stack
from stacks import STACKS


@pytest.fixture(scope="session")
def stacks() -> dict[str, Stack]:
    return {name: Stack(**parameters) for name, parameters in STACKS.items()}


@pytest.fixture(params=STACKS)
def stack(request, stacks) -> Stack:
    return stacks[request.param]


@pytest.fixture
def whole(stacks) -> Stack:
    """The stack that has everything."""
    return stacks["all"]
