"""How recsync speaks: data on stdout, everything else on stderr, text or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from unicodedata import category

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Output(StrEnum):
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"


@dataclass
class Voice:
    """One command's way of speaking.

    Attributes:
        quiet: Say nothing but results and errors.
    """

    output: Output = Output.TEXT
    quiet: bool = False
    no_color: bool = False
    _out: Console = field(init=False)
    _err: Console = field(init=False)

    def __post_init__(self) -> None:
        self._out = Console(no_color=self.no_color, highlight=False, soft_wrap=True)
        self._err = Console(no_color=self.no_color, highlight=False, soft_wrap=True, stderr=True)

    def stage(self, text: str) -> None:
        """What happens now, in a line."""
        if not self.quiet:
            self._err.print(Text(f"· {printable(text)}", style="dim"))

    def warn(self, text: str) -> None:
        """Something a person should look at."""
        self._err.print(Text(f"warning: {printable(text)}", style="yellow"))

    def fail(self, text: str) -> None:
        """Why it stopped."""
        self._err.print(Text(f"error: {printable(text)}", style="red"))

    def next(self, command: str) -> None:
        """What a person would type next."""
        if not self.quiet:
            self._err.print(Text(f"next: {printable(command)}", style="bold"))

    @contextmanager
    def waiting(self) -> Iterator[Callable[[str, float], None]]:
        """Gives what to call with a state and its seconds, again and again.

        On a terminal that is one line, written over; elsewhere a line whenever the state is another one.
        """
        if self.quiet:
            yield lambda state, seconds: None
        elif self._err.is_terminal:
            with self._err.status("") as line:
                yield lambda state, seconds: line.update(Text(f"{printable(state)}, {seconds:.0f} s", style="dim"))
        else:
            yield _Changes(self.stage)

    def data(self, data: Mapping[str, Any]) -> None:
        """The result for a program; nothing in text mode."""
        if self.output is Output.JSON:
            sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """The result for a person, in a line; nothing in JSON mode."""
        if self.output is Output.TEXT:
            self._out.print(Text(printable(text)))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """The result for a person; nothing in JSON mode. The first column names, the others are figures."""
        if self.output is Output.JSON:
            return
        table = Table(title=Text(printable(title), style="bold"), title_justify="left")
        for position, name in enumerate(columns):
            table.add_column(name, justify="right" if position else "left", no_wrap=not position)
        for row in rows:
            table.add_row(*(Text(printable(_shown(cell))) for cell in row))
        self._out.print(table)

    def facts(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Sentences for a person, each with what it is about before it; nothing in JSON mode."""
        if self.output is Output.JSON:
            return
        self._out.print(Text(printable(title), style="bold"))
        width = max((len(name) for name, _ in facts), default=0)
        for name, text in facts:
            self._out.print(Text(f"  {printable(name):<{width}}  {printable(text)}"))


class _Changes:
    """Tells a state once, when it begins."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._state = tell, ""

    def __call__(self, state: str, seconds: float) -> None:
        if state != self._state:
            self._tell(f"{state}, {seconds:.0f} s")
        self._state = state


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters stand as U+FFFD, line ends and spaces stay."""
    return "".join(c if c == "\n" or c.isprintable() or category(c) == "Zs" else "\ufffd" for c in text)


def _shown(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
