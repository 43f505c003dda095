"""What a Glue job is asked for, to and fro."""

from __future__ import annotations

import pytest

from glue_jobs.arguments import NAMES, RunArguments, given_in
from glue_jobs.errors import ConfigError

OWN = {"--JOB_NAME": "nightly", "--S3_JOB_PATH": "s3://b/etl_jobs/related_items/x/", "--enable-metrics": "true"}


@pytest.mark.parametrize(
    "asked",
    [
        RunArguments(),
        RunArguments(is_full=True, is_plan=True, token="t"),
        RunArguments(is_full=True, plan_id="p", token="t"),
        RunArguments(only_users="runs/_only_users/t.txt", token="t"),
    ],
)
def test_what_is_asked_for_arrives_among_glues_own(asked):
    argv = ["script.py", *(word for pair in {**OWN, **asked.to_glue()}.items() for word in pair)]
    assert RunArguments.of_glue(given_in(argv)) == asked


def test_nothing_is_asked_for_by_nothing():
    assert RunArguments().to_glue() == {}
    assert RunArguments.of_glue({"--RUN_FULL": "false", "--RUN_PLAN_ONLY": "false"}) == RunArguments()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"--RUN_PLAN_ONLY": "True"}, "--RUN_PLAN_ONLY is 'True'; it is true or false"),
        ({"--RUN_FULL": "yes"}, "--RUN_FULL is 'yes'"),
        ({"--RUN_PLANONLY": "true"}, "there is no --RUN_PLANONLY; there are --RUN_FULL, --RUN_PLAN_ONLY"),
        ({"--RUN_PLAN_ONLY": "true", "--RUN_AS_PLANNED": "p"}, "give one of them"),
        *(({"--RUN_ONLY_USERS": "k", name: "true"}, "a trial commits nothing") for name in NAMES[:3]),
    ],
)
def test_what_could_be_misread_stops_the_job_before_it_commits(given, said):
    with pytest.raises(ConfigError, match=said):
        RunArguments.of_glue({**OWN, **given})
