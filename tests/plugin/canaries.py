"""Row 58 of the fault matrix, over every test there is: no key and no user leaves through what we say.

Keys in tests are canaries: they hold the word. The users that tests are about have a few known names. Whatever a
test logs, prints (metrics are printed), or meets as an error is searched for both when the test is over; a test
that finds one fails. What is said on purpose is marked, with the reason:

    @pytest.mark.shows("users", reason="explain shows the user it is asked for")

Searched: log records with their extra fields and errors, stdout and stderr down to the file descriptors (what
capsys and capfd took included), the errors that pytest.raises met, each with its causes, and what is written of a
run for people to read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator
from typing import Any

import pytest

CANARIES = {
    # The second one is the first in base64; whatever looks like a header or a webhook's secret counts too.
    "keys": re.compile(r"canary|Y2FuYXJ5|\bBearer \S|whsec_[\w+/]{8}", re.IGNORECASE),
    "users": re.compile(r"\b(ann|bob|cid|cleo|dan)\b|\buser[- ]\d+\b|\bu\d+\b"),
}
_READ_BY_PEOPLE = frozenset({"run.json", "plan.json", "report.html"})
_USUAL = frozenset(vars(logging.makeLogRecord({})))


class Watch(logging.Handler):
    """What was said during a test.

    Attributes:
        heard: (where, text).
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        error = record.exc_info[1] if record.exc_info else None
        self.heard += [("log", record.getMessage()), ("log", repr(extra))]
        self.heard += [("log", text) for text in texts_of(error)]

    def met(self, error: BaseException | None) -> None:
        """An error that a test expected."""
        self.heard += [("error", text) for text in texts_of(error)]

    def printed(self, *texts: str) -> None:
        """Output that a test took for itself."""
        self.heard += [("output", text) for text in texts]


def texts_of(error: BaseException | None) -> Iterator[str]:
    """What an error says, those it came from and those it holds included. No source lines: they are the test's own."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield f"{type(one).__name__}: {one}"
            yield from map(str, getattr(one, "__notes__", ()))
            left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def leaks(heard: list[tuple[str, str]], allowed: set[str]) -> list[str]:
    """What should not have been said, with a little of what stands around it."""
    return [
        f"{kind} in {where}: …{text[max(0, found.start() - 60) : found.end() + 60]}…"
        for where, text in heard
        for kind, pattern in CANARIES.items()
        if kind not in allowed and (found := pattern.search(text))
    ]


def _written(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """What a test's runs left for people, below its own folder."""
    top = getattr(item, "funcargs", {}).get("tmp_path")
    for path in top.rglob("*") if top is not None else ():
        if path.name in _READ_BY_PEOPLE and path.is_file():
            yield path.name, path.read_text(errors="replace")


def allowed_by(item: pytest.Item) -> set[str]:
    """What a test says on purpose."""
    marks = list(item.iter_markers("shows"))
    for mark in marks:
        if not set(mark.args) <= CANARIES.keys() or not mark.args or not mark.kwargs.get("reason"):
            raise pytest.UsageError(f'{item.nodeid}: mark it as shows("users" or "keys", reason="why")')
    return {kind for mark in marks for kind in mark.args}


_WATCH = pytest.StashKey[Watch]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", 'shows(*what, reason): a test that says "users" or "keys" on purpose')
    watch = config.stash[_WATCH] = Watch()
    logging.getLogger().addHandler(watch)
    _listen_to_what_tests_take(config, watch)


def _listen_to_what_tests_take(config: pytest.Config, watch: Watch) -> None:
    """Hear of output that a test reads, and of errors that it expects: neither is left for the report."""
    read, leave = pytest.CaptureFixture.readouterr, pytest.RaisesExc.__exit__

    def readouterr(self: Any) -> Any:
        taken = read(self)
        watch.printed(str(taken.out), str(taken.err))
        return taken

    def __exit__(self: Any, kind: Any, error: Any, trace: Any) -> bool:  # noqa: N807
        watch.met(error)
        return leave(self, kind, error, trace)

    patch = pytest.MonkeyPatch()
    patch.setattr(pytest.CaptureFixture, "readouterr", readouterr)
    patch.setattr(pytest.RaisesExc, "__exit__", __exit__)
    config.add_cleanup(patch.undo)
    config.add_cleanup(lambda: logging.getLogger().removeHandler(watch))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark without its reason stops the run before it begins."""
    for item in items:
        allowed_by(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_WATCH].heard.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if call.when == "teardown" and report.passed:
        printed = [(name, text) for name, text in report.sections if name.startswith("Captured std")]
        found = leaks([*item.config.stash[_WATCH].heard, *printed, *_written(item)], allowed_by(item))
        if found:
            report.outcome = "failed"
            report.longrepr = "\n".join(["a test said what nobody should hear:", *dict.fromkeys(found)])
    return report
