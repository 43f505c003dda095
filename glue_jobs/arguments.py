"""How a Glue job is asked to run, beside which folder: its arguments, to and fro. Plain Python, no Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from glue_jobs.errors import ConfigError

_FULL, _PLAN_ONLY = "--RUN_FULL", "--RUN_PLAN_ONLY"
_AS_PLANNED, _ONLY_USERS, _TOKEN = "--RUN_AS_PLANNED", "--RUN_ONLY_USERS", "--RUN_TOKEN"
NAMES = (_FULL, _PLAN_ONLY, _AS_PLANNED, _ONLY_USERS, _TOKEN)
_SAID = {"true": True, "false": False}


@dataclass(frozen=True)
class RunArguments:
    """How a job is asked to run.

    Attributes:
        is_full: Send everyone once, whatever he was told.
        is_plan: Only say what would be done.
        plan_id: Run only where everything still is as this plan found it.
        only_users: The key of the ids that a trial is for.
        token: Whoever asks finds the run's record by it.
    """

    is_full: bool = False
    is_plan: bool = False
    plan_id: str = ""
    only_users: str = ""
    token: str = ""

    @classmethod
    def of_glue(cls, given: Mapping[str, str]) -> RunArguments:
        """What Glue's arguments ask for; those of others are passed over.

        Raises:
            ConfigError: One of ours is not known, says neither true nor false, or does not go with another.
        """
        if unknown := [name for name in given if name.startswith("--RUN_") and name not in NAMES]:
            raise ConfigError(f"arguments: there is no {unknown[0]}; there are {', '.join(NAMES)}")
        asked = cls(
            _is_so(given, _FULL),
            _is_so(given, _PLAN_ONLY),
            *(given.get(name, "") for name in (_AS_PLANNED, _ONLY_USERS, _TOKEN)),
        )
        if asked.only_users and (asked.is_full or asked.is_plan or asked.plan_id):
            raise ConfigError(f"arguments: a trial commits nothing; give {_ONLY_USERS} without {', '.join(NAMES[:3])}")
        if asked.is_plan and asked.plan_id:
            raise ConfigError(f"arguments: {_PLAN_ONLY} makes a plan and {_AS_PLANNED} runs one; give one of them")
        return asked

    def to_glue(self) -> dict[str, str]:
        """The same as Glue's arguments."""
        texts = {_AS_PLANNED: self.plan_id, _ONLY_USERS: self.only_users, _TOKEN: self.token}
        flags = {_FULL: self.is_full, _PLAN_ONLY: self.is_plan}
        return {name: "true" for name, is_so in flags.items() if is_so} | {
            name: text for name, text in texts.items() if text
        }


def given_in(argv: Sequence[str]) -> dict[str, str]:
    """The arguments of a script as Glue passes them: a name, then its value."""
    return {name: value for name, value in pairwise(argv) if name.startswith("--")}


def _is_so(given: Mapping[str, str], name: str) -> bool:
    said = given.get(name, "false")
    if said not in _SAID:
        raise ConfigError(f"arguments: {name} is {said!r}; it is true or false")
    return _SAID[said]
