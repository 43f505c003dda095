"""Whom a trial is for: some ids, one a line."""

from __future__ import annotations

from glue_jobs.errors import ConfigError

# A trial is for profiles that somebody looks at.
MOST_USERS = 1000


def users_in(text: str, address: str) -> list[str]:
    """The ids of a text, each once.

    Args:
        address: Where it stands.

    Raises:
        ConfigError: It names nobody, or more than a trial is for.
    """
    users = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not 0 < len(users) <= MOST_USERS:
        raise ConfigError(f"{address} names {len(users)} user(s); a trial is for 1 to {MOST_USERS}, one id a line")
    return users
