"""Data on stdout, everything else on stderr, and no text that could steer a terminal."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from cli.console import Output, Voice, printable


@pytest.mark.parametrize(
    "text",
    ["plain", "Größe 名前 🦊", "two\nlines", "a@b.com", "1\u202f234,50\u00a0€", ""],
)
def test_what_a_person_reads_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    "character",
    [
        "\x1b",
        "\x07",
        "\x08",
        "\r",
        "\t",
        "\x00",
        "\x7f",
        "\x85",
        "\x9b",
        "\u202e",
        "\u2066",
        "\u200b",
        "\ufeff",
        "\ud800",
    ],
)
def test_f16_what_could_steer_a_terminal_is_replaced(character):
    assert printable(f"a{character}b") == "a\ufffdb"


@settings(deadline=None)
@given(st.text())
def test_f16_no_text_keeps_a_control_character_and_none_gets_shorter(text):
    shown = printable(text)
    assert len(shown) == len(text)
    assert all(c == "\n" or not (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E) for c in shown)


def test_what_is_waited_for_is_told_once_a_change_where_there_is_no_terminal(capsys):
    with Voice().waiting() as tell:
        for state, seconds in (("STARTING", 0.2), ("STARTING", 5.2), ("RUNNING", 10.4), ("RUNNING", 15.0)):
            tell(state, seconds)
    assert capsys.readouterr() == ("", "· STARTING, 0 s\n· RUNNING, 10 s\n")


def test_on_a_terminal_it_is_one_line_that_is_written_over(monkeypatch):
    voice, screen = Voice(), io.StringIO()
    monkeypatch.setattr(voice, "_err", Console(file=screen, force_terminal=True, width=80))
    with voice.waiting() as tell:
        tell("RUNNING", 3.0)
        tell("RUNNING", 8.0)
        voice._err._live_stack[-1].refresh()
    shown = screen.getvalue()
    assert "RUNNING, 8 s" in shown
    assert shown.count("\n") == 1  # where the line was


def test_whoever_wants_quiet_is_told_nothing_while_he_waits(capsys):
    with Voice(quiet=True).waiting() as tell:
        tell("RUNNING", 1.0)
    assert capsys.readouterr() == ("", "")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e[red]x[/red][/]"


@pytest.mark.parametrize("method", ["stage", "warn", "fail", "next"])
def test_f16_messages_go_to_stderr_without_control_characters_and_without_markup(capsys, method):
    getattr(Voice(), method)(HOSTILE)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert "[red]x[/red][/]" in err


def test_f16_a_table_shows_titles_names_and_figures_as_they_are(capsys):
    Voice().table(f"Job {HOSTILE}", ["", "count"], [[HOSTILE, 1234567], ["[b]", "text"]])
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert out.count("[red]x[/red][/]") == 2
    assert "1,234,567" in out
    assert "[b]" in out


def test_quiet_keeps_warnings_and_errors(capsys):
    voice = Voice(quiet=True)
    voice.stage("working")
    voice.next("recsync run")
    voice.warn("look here")
    voice.fail("it stopped")
    assert capsys.readouterr().err == "warning: look here\nerror: it stopped\n"


def test_in_json_mode_stdout_holds_the_data_and_nothing_else(capsys):
    voice = Voice(Output.JSON)
    voice.stage("working")
    voice.table("figures", ["", "count"], [["sent", 1]])
    voice.warn("look here")
    voice.data({"sent": 1, "name": "Größe"})
    voice.next("recsync run")
    assert json.loads(capsys.readouterr().out) == {"sent": 1, "name": "Größe"}


def test_in_text_mode_the_data_for_programs_is_left_out(capsys):
    Voice().data({"sent": 1})
    assert capsys.readouterr().out == ""


def test_a_long_line_is_not_cut_or_wrapped(capsys):
    Voice().fail("word " * 100)
    assert len(capsys.readouterr().err.splitlines()) == 1
