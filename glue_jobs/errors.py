"""Errors of a run, named by what to do next. Each knows the exit code it ends with.

SyncError
├── ConfigError      config.json or the arguments are wrong      → 2, mend it
├── NoInputError     nothing usable to read                      → 1, look at the batch job
├── InputError       a file is cut, or not what its name says    → 1, the message names the file
├── StateError       the snapshot cannot be used                 → 1, the message names the repair
├── UnpublishedError committed, and told to nobody               → 1, run again
├── ConflictError    another run of this job committed meanwhile → 4, run again
└── OutOfDateError   what was held or planned does not fit now   → 4, the message names what changed
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# The exit code of a run that a guard held: no error, a question.
HELD = 3


class SyncError(Exception):
    """A run stopped; nothing it did is visible."""

    exit_code = 1


class ConfigError(SyncError):
    """The settings of the job are wrong.

    Attributes:
        mistakes: One sentence each.
    """

    exit_code = 2

    def __init__(self, text: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.mistakes = list(mistakes) or [text]


class NoInputError(SyncError):
    """There is nothing usable to read; nobody's recommendations are touched."""


class InputError(SyncError):
    """An input file is cut, packed otherwise than its name says, or of another shape."""


class StateError(SyncError):
    """The committed snapshot cannot be used."""


class UnpublishedError(SyncError):
    """A commit was made and could not be published; the next run sends its users again."""


class ConflictError(SyncError):
    """Another run committed first."""

    exit_code = 4


class OutOfDateError(SyncError):
    """What was held or planned stands on something that has changed."""

    exit_code = 4


def gravest(exit_codes: Iterable[int]) -> int:
    """The exit code of several ends together; 0 for none."""
    order = (1, 4, 3, 2)
    return min(exit_codes, key=order.index, default=0)
