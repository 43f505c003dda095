"""recsync: the command line. What went wrong becomes one sentence and an exit code here."""

from __future__ import annotations

import errno
import sys

import typer

from cli.commands import again, begin, decide, explain, look, report, run, start
from cli.console import Voice
from cli.exit_codes import FAILED, IMPOSSIBLE, INTERRUPTED
from cli.local_spark import JavaError
from cli.options import app
from cli.typed import UsageError
from connectors.contract.layout import LayoutError
from connectors.contract.storage import StorageError
from connectors.contract.wire import NewerFormatError
from connectors.errors import ConnectorError
from functions.parts import EnqueueError
from glue_jobs.collecting import collect_rarely

# Importing them has put their commands on the command line; this is the order a person meets them in.
_ORDER = [module.__name__ for module in (begin, run, decide, look, report, explain, again, start)]
app.registered_commands.sort(key=lambda one: _ORDER.index(one.callback.__module__) if one.callback else 0)


def main() -> None:
    """The command line: errors become one sentence and an exit code."""
    collect_rarely()
    sys.exit(_exit_code())


def _exit_code() -> int:
    voice = Voice(no_color="--no-color" in sys.argv)
    try:
        code = int(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        told = _code_of(error)
        if told is None:
            raise
        voice.fail(_sentence(error))
        return told
    if code == INTERRUPTED:
        voice.fail("interrupted; what was committed stays, the rest is not visible")
    return code


def _code_of(error: Exception) -> int | None:
    """The exit code of an error that is told in a sentence; None for one that is a fault of ours."""
    exit_code = getattr(error, "exit_code", None)
    if isinstance(exit_code, int):
        return exit_code
    if isinstance(error, (UsageError, LayoutError, ConnectorError, JavaError)):
        return IMPOSSIBLE
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return FAILED if is_full or isinstance(error, (StorageError, EnqueueError, NewerFormatError)) else None


def _sentence(error: Exception) -> str:
    """What is said of an error that has an exit code."""
    if isinstance(error, typer.BadParameter):
        return error.format_message()
    if isinstance(error, OSError):
        return f"{error.filename or 'what is printed'} cannot be written: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    main()
