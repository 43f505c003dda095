"""The how-to is followed as it stands; and the suite it leads to finds what is wrong with a connector."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from connectors import registry
from connectors.base import Fitted, Outcome, Verdict
from connectors.errors import ConfigError
from glue_jobs.config import parse_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/build-a-destination.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def letters(tmp_path, monkeypatch) -> ModuleType:
    """The page's module, on the path as its package would be once installed."""
    (tmp_path / "letters.py").write_text(BLOCKS["python"])
    project = tomllib.loads(BLOCKS["toml"])["project"]
    info = tmp_path / "recsync_letters-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"][registry.GROUP]
    (info / "entry_points.txt").write_text(
        f"[{registry.GROUP}]\n" + "".join(f"{name} = {path}\n" for name, path in points.items())
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("letters")
    sys.modules.pop("letters", None)


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    path = Path(__file__).with_name("test_contract_suite.py")
    spec = importlib.util.spec_from_file_location("contract_suite", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop(spec.name)


def test_the_page_is_one_of_each_block():
    assert len(re.findall(r"^```\w+$", PAGE, re.MULTILINE)) == len(BLOCKS) == 3


def test_a_reader_who_runs_the_pages_command_sees_the_suite_pass(tmp_path):
    (tmp_path / "letters.py").write_text(BLOCKS["python"])
    path, _, *words = shlex.split(BLOCKS["bash"])
    assert (path, words[:2]) == ("PYTHONPATH=../letters", ["-m", "pytest"])
    done = subprocess.run(
        [sys.executable, *words, "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d\d+ passed in", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere:Connector", "No module named 'nowhere'"),
        ("connectors.base:Nobody", "has no attribute 'Nobody'"),
        ("connectors.base:Connector", "connectors.base has no DIALECT"),
        ("letters", "name it as package.module:Class"),
    ],
)
def test_a_connector_that_cannot_be_met_is_named(suite, named, said):
    with pytest.raises(pytest.UsageError, match=re.escape(said)):
        suite.dialect_of(suite.class_at(named))


def test_once_installed_it_is_a_key_of_config_json(letters):
    assert registry.connector_class("letters") is letters.LettersConnector
    own = {"letters": {"itemMetadataFields": ["name"], "paper": "handmade"}}
    config = parse_config({"version": 1, "batchInferencePath": "s3://b/batch/", "connectors": own})
    assert config.connectors["letters"].paper == "handmade"


# What the suite finds


def loses_the_last(connector: Any) -> None:
    whole = connector.requests
    connector.requests = lambda self, records, *rest, **named: whole(self, records[:-1], *rest, **named)


def says_a_record_twice(connector: Any) -> None:
    whole = connector.requests
    connector.requests = lambda self, records, *rest, **named: whole(self, [*records, *records[:1]], *rest, **named)


def turns_the_order(connector: Any) -> None:
    whole = connector.requests
    connector.requests = lambda self, records, *rest, **named: whole(self, records[::-1], *rest, **named)


def overfills(connector: Any) -> None:
    connector.fit = lambda self, record, options: Fitted(record)


def refuses_without_a_fix(connector: Any) -> None:
    connector.fit = lambda self, record, options: Fitted(None, Outcome(Verdict.REJECTED, "no", record.user_id))


def takes_a_timeout_for_success(connector: Any) -> None:
    connector.outcomes = lambda self, reply, sent: [Outcome(Verdict.DELIVERED)] * len(sent)


def blames_its_neighbours(connector: Any) -> None:
    def outcomes(self: Any, reply: Any, sent: Any) -> list[Outcome]:
        is_any = b'"why"' in reply.body
        return [Outcome(Verdict.REJECTED if is_any else Verdict.DELIVERED, "no" * is_any)] * len(sent)

    connector.outcomes = outcomes


def trips_over_html(connector: Any) -> None:
    whole = connector.outcomes
    connector.outcomes = lambda self, reply, sent: whole(self, reply, sent) if json.loads(reply.body) else []


def forgets_the_wait(connector: Any) -> None:
    connector.outcomes = lambda self, reply, sent: [Outcome(Verdict.RETRY, "later")] * len(sent)


def takes_half_an_answer_for_success(connector: Any) -> None:
    whole = connector.outcomes

    def outcomes(self: Any, reply: Any, sent: Any) -> list[Outcome]:
        is_cut = reply.status == 200 and not reply.body.endswith(b"}")
        return [Outcome(Verdict.DELIVERED)] * len(sent) if is_cut else whole(self, reply, sent)

    connector.outcomes = outcomes


def retries_a_wrong_key(connector: Any) -> None:
    connector.outcomes = lambda self, reply, sent: [Outcome(Verdict.RETRY, "later")] * len(sent)


def tells_its_key(connector: Any) -> None:
    connector.__repr__ = lambda self: f"LettersConnector({self._headers})"


def tells_its_key_in_an_error(connector: Any) -> None:
    def outcomes(self: Any, reply: Any, sent: Any) -> list[Outcome]:
        raise ConfigError(f"refused {self._headers}")

    connector.outcomes = outcomes


def takes_any_endpoint(connector: Any) -> None:
    connector.__init__ = lambda self, destination: setattr(self, "_headers", {})


def takes_any_key(connector: Any) -> None:
    connector.__init__ = lambda self, destination: setattr(self, "_headers", {"key": destination.secret})


def numbers_its_tries(connector: Any) -> None:
    start = connector.__init__

    def initialise(self: Any, destination: Any) -> None:
        start(self, destination)
        self._headers = {**self._headers, "x-try": str(id(self))}

    connector.__init__ = initialise


def cleans_texts(connector: Any) -> None:
    whole = connector.requests

    def requests(self: Any, records: Any, *rest: Any, **named: Any) -> Any:
        cleaned = [type(one).model_validate_json(one.to_json().replace("\\u0000", "")) for one in records]
        return whole(self, cleaned, *rest, **named)

    connector.requests = requests


def sends_nothing_as_something(connector: Any) -> None:
    whole = connector.requests

    def requests(self: Any, records: Any, *rest: Any, **named: Any) -> Any:
        made = whole(self, records, *rest, **named)
        return made or [None]

    connector.requests = requests


@pytest.mark.shows("users", "keys", reason="the connectors are spoilt on purpose, and the suite says how")
@pytest.mark.parametrize(
    ("spoil", "check", "arguments"),
    [
        (loses_the_last, "test_a_full_request_is_followed_by_another", {"over": 1}),
        (loses_the_last, "test_each_record_is_in_exactly_one_request_in_order_within_the_limits", {}),
        (says_a_record_twice, "test_a_full_request_is_followed_by_another", {"over": 0}),
        (turns_the_order, "test_a_full_request_is_followed_by_another", {"over": 0}),
        (overfills, "test_from_small_to_far_too_large_a_record_is_within_the_limits_or_refused_with_its_fix", {}),
        (
            refuses_without_a_fix,
            "test_from_small_to_far_too_large_a_record_is_within_the_limits_or_refused_with_its_fix",
            {},
        ),
        (takes_a_timeout_for_success, "test_each_record_has_one_outcome_whatever_is_answered", {}),
        (
            blames_its_neighbours,
            "test_one_refused_is_rejected_with_a_code_and_its_neighbours_are_delivered",
            {"place": 0.5},
        ),
        (trips_over_html, "test_each_record_has_one_outcome_whatever_is_answered", {}),
        (forgets_the_wait, "test_when_throttled_all_are_sent_again_after_the_wait_that_was_asked", {}),
        (takes_half_an_answer_for_success, "test_half_an_answer_is_no_success", {}),
        (retries_a_wrong_key, "test_a_wrong_key_is_a_mistake_of_the_settings_and_no_records_fault", {}),
        (tells_its_key, "test_the_key_is_never_said", {}),
        (tells_its_key_in_an_error, "test_each_record_has_one_outcome_whatever_is_answered", {}),
        (
            takes_any_endpoint,
            "test_an_endpoint_that_is_not_the_destinations_is_refused_without_the_key",
            {"endpoint": ""},
        ),
        (takes_any_key, "test_a_key_with_something_around_it_is_refused_and_the_setting_named", {"spoilt": "{key}\n"}),
        (numbers_its_tries, "test_the_same_records_are_the_same_requests_also_from_another_process", {}),
        (cleans_texts, "test_hostile_text_arrives_unchanged_or_is_refused", {"text": "a\x00b"}),
        (sends_nothing_as_something, "test_nothing_to_say_is_no_request", {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_suite_finds_a_connector_that(letters, suite, spoil, check, arguments):
    sound = suite.Case.of(letters.LettersConnector, letters.DIALECT)
    getattr(suite, check)(case=sound, **arguments)
    spoil(letters.LettersConnector)
    spoiled = suite.Case.of(letters.LettersConnector, letters.DIALECT)
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception, ExceptionGroup)):
        getattr(suite, check)(case=spoiled, **arguments)
