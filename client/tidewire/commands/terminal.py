"""Text for a terminal: what others published moves no cursor, and what it cannot show ends no command."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Final

import click
from rich.console import Console
from rich.table import Table

__all__ = ["PlainFormatter", "adapt_output", "echo", "plain", "plain_lines", "print_table"]

# Control characters of ASCII and Latin-1; line ends of Unicode; what turns the direction of a text.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_WIDEST: Final = 100_000  # characters of a line


def plain(text: str) -> str:
    """Return a text of one line in which each control character is written out, ESC as ``u001b`` behind a backslash."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain_lines(text: str) -> str:
    """Return a text of several lines, each of them plain."""
    return "\n".join(map(plain, text.split("\n")))


class PlainFormatter(logging.Formatter):
    """Formats a record without the control characters of what it quotes, such as the words of a service."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return plain_lines(super().format(record))


def echo(text: str, *, err: bool = False) -> None:
    """Print a line that holds what others published."""
    click.echo(plain(text), err=err)


def print_table(table: Table) -> None:
    """Print a table: in a terminal folded to its width, else as wide as it is, since a program reads it."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console()
    if not console.is_terminal or console.width < 1:
        console.width = max(1, console.measure(table, options=console.options.update(width=_WIDEST)).maximum)
    console.print(table)


def adapt_output() -> None:
    """Let standard output and error write as escapes what their encoding does not have, and warnings what is plain."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PlainFormatter())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
