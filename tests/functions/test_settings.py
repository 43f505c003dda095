"""A wrong or missing variable is named."""

from __future__ import annotations

import pytest

from functions import settings


def test_a_missing_variable_is_named(monkeypatch):
    monkeypatch.delenv("DESTINATION", raising=False)
    with pytest.raises(settings.SettingsError, match="DESTINATION"):
        settings.required("DESTINATION")


def test_the_queue_of_a_connector_is_named_after_it(monkeypatch):
    monkeypatch.setenv("QUEUE_URL_MY_CRM_2", "https://queue")
    assert settings.queue_url("my-crm.2") == "https://queue"
    with pytest.raises(settings.SettingsError, match="QUEUE_URL_WEBHOOK"):
        settings.queue_url("webhook")


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("", 8), (None, 8)])
def test_concurrency_is_a_number_with_a_default(monkeypatch, value, expected):
    monkeypatch.delenv("CONCURRENCY", raising=False)
    if value is not None:
        monkeypatch.setenv("CONCURRENCY", value)
    assert settings.concurrency() == expected


@pytest.mark.parametrize("value", ["many", "0", "-1", "2.5", "²"])
def test_a_concurrency_that_is_no_number_is_named(monkeypatch, value):
    monkeypatch.setenv("CONCURRENCY", value)
    with pytest.raises(settings.SettingsError, match="CONCURRENCY"):
        settings.concurrency()


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), ("true", False), ("", False)])
def test_loopback_is_allowed_by_a_1_only(monkeypatch, value, expected):
    monkeypatch.setenv("RECSYNC_ALLOW_LOOPBACK", value)
    assert settings.allow_loopback() is expected
