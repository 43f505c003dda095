"""The runbook knows every alarm, and names only commands and metrics that there are."""

import re
from pathlib import Path

from typer.main import get_command

from cli.main import app
from cli.simulation import history
from connectors.http import TOTAL_TIMEOUT_S
from functions.newest import NEWEST_MAX_AGE_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/when-something-rings.md").read_text()
METRICS = set(re.findall(r"^\| ((?:`\w+`(?:, )?)+)", (ROOT / "docs/reference/stack.md").read_text(), re.MULTILINE))


def test_every_alarm_and_rule_that_rings_has_a_row(whole):
    names = [name for name, one in whole.resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    names += [name for name in whole.resources if re.fullmatch(r"Glue\w+Rule", name)]
    rows = re.findall(r"`(\w+(?:Alarm|Rule))`", PAGE)
    assert len(names) > 20
    assert not [name for name in names if not name.endswith(tuple(rows))]
    assert not [row for row in rows if not any(name.endswith(row) for name in names)]


def test_it_names_only_commands_that_there_are():
    known = get_command(app).commands
    named = set(re.findall(r"recsync (\w+)", PAGE))
    assert {"status", "approve", "explain", "redeliver"} <= named <= known.keys()


def test_it_names_only_metrics_that_there_are():
    known = set(re.findall(r"`(\w+)`", " ".join(METRICS)))
    named = {name for text in re.findall(r"metrics? ((?:`\w+`(?: and )?)+)", PAGE) for name in re.findall(r"\w+", text)}
    named -= {"and"}
    assert {"HeldRuns", "CircuitOpen"} <= named <= known


def test_a_new_message_waits_until_no_old_call_can_be_in_the_air(whole):
    waits_s = whole.template["Parameters"]["MessageDelaySeconds"]["Default"]
    assert waits_s >= NEWEST_MAX_AGE_S + TOTAL_TIMEOUT_S


def test_simulated_queues_are_as_the_template_has_them(whole):
    queue = whole.resources["BrazeQueue"]["Properties"]
    assert queue["VisibilityTimeout"] == history.VISIBILITY_S
    assert whole.template["Parameters"]["MessageDelaySeconds"]["Default"] == history.DELAY_S
    assert history.NEWEST_MAX_AGE_S == NEWEST_MAX_AGE_S
