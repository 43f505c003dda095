"""What a command ends with where no error of its own says so: see docs/reference/recsync.md, "Exit code"."""

from __future__ import annotations

FAILED = 1  # or records were left waiting
IMPOSSIBLE = 2  # what was typed or configured cannot be done
LOST_SOME = 5  # records were rejected for good, or dead-lettered
CHANGES = 6  # of a plan: there is something to send
INTERRUPTED = 130
