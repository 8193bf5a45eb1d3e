"""Text for a terminal: what others published moves no cursor, and what it cannot show ends no command."""

from __future__ import annotations

import io
import re
import sys
from typing import Final

import click

__all__ = ["adapt_output", "echo", "plain"]

# Control characters of ASCII and Latin-1; line ends of Unicode; what turns the direction of a text.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return a text of one line in which each control character is written out, ESC as ``u001b`` behind a backslash."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo(text: str, *, err: bool = False) -> None:
    """Print a line that holds what others published."""
    click.echo(plain(text), err=err)


def adapt_output() -> None:
    """Let standard output and error write characters as escapes that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
