"""What may be said of an endpoint."""

from __future__ import annotations

import pytest

from connectors.endpoints import shown


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("https://hooks.example.com/canary?canary", "'https://hooks.example.com'"),
        ("HTTP://127.0.0.1:80/canary", "'HTTP://127.0.0.1:80'"),
        ("https://user:canary@hooks.example.com", "(not shown, it may hold a key)"),
        ("canary", "(not shown, it may hold a key)"),
        ("", "(not shown, it may hold a key)"),
    ],
)
def test_f58_what_may_be_a_key_is_not_said(endpoint, said):
    assert shown(endpoint) == said


def test_a_long_host_is_cut():
    assert len(shown(f"https://{'x' * 500}.example.com")) <= 122
