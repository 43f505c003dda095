"""The examples of every command's help, run as they stand on a copy of the sample; those on S3 are parsed."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from cli import main
from cli.emulators.braze import BrazeEmulator
from cli.options import app

ROOT = Path(__file__).parents[1]
# In the order of a story; what ends otherwise than with 0, and why.
STORY = ("version", "doctor", "init", "validate", "plan", "run", "deliver", "status", "runs", "report", "explain")
STORY += ("redeliver", "wipe", "approve", "discard")
ENDS = {
    "plan": {0, 6},  # 6: --detailed-exitcode, and there is something to send
    "wipe": {3},  # held until it is approved
    "approve": {0, 2},  # 2: without --yes and without a terminal there is nobody to ask
    "discard": {2, 4},  # 4: nothing is held any more
    "doctor": {0, 1},  # 1: this machine has no endpoint of every destination
}


def examples():
    """Command → its examples, each as words."""
    found = {}
    for name, command in get_command(app).commands.items():
        lines = re.findall(r"^  recsync (.+)$", command.help, re.MULTILINE)
        found[name] = [shlex.split(line) for line in lines]
    return found


def test_every_command_begins_its_help_with_two_examples_of_itself():
    for name, command in get_command(app).commands.items():
        assert command.help.removeprefix("\b\n").startswith("Examples:"), name
        assert [words[0] for words in examples()[name]] == [name] * 2


def test_every_command_is_in_the_story():
    assert {*STORY, "demo", "prepare"} == examples().keys()  # these have tests of their own


@pytest.mark.parametrize("words", [words for found in examples().values() for words in found], ids=" ".join)
def test_an_example_can_be_parsed(words):
    command = get_command(app).commands[words[0]]
    if "--help" not in words:
        command.make_context(words[0], list(words[1:]))


@pytest.mark.usefixtures("spark")
@pytest.mark.shows("users", reason="explain and the profiles are shown to whoever asks")
def test_the_examples_work_in_the_order_of_a_story(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "sample", tmp_path / "sample")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYNC_ALLOW_LOOPBACK", "1")
    with BrazeEmulator(api_key="key-canary") as braze:
        monkeypatch.setenv("BRAZE_REST_ENDPOINT", braze.endpoint)
        monkeypatch.setenv("BRAZE_API_KEY", "key-canary")
        ended = [(" ".join(words), _type(monkeypatch, words)) for words in _local()]
    assert not [one for one in ended if one[1] not in ENDS.get(one[0].split()[0], {0})], ended
    assert ("approve --yes --connector braze sample/etl_jobs/user_personalization/for_you", 0) in ended
    assert braze.account.profiles


def _local():
    """The examples that need nothing but this machine, in the order of the story."""
    found = examples()
    for name in STORY:
        yield from (words for words in found[name] if "s3://" not in " ".join(words) and "--help" not in words)
        if name == "run":  # the second example is on S3
            yield ["run", "sample/etl_jobs/user_personalization/for_you"]


def _type(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["recsync", *words])
    return main._exit_code()
