"""Cuts a body of line protocol into lines: a line feed inside a string ends none; pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tidewire_service.ingest.json_rows import BOM

__all__ = ["LINE_BYTES", "CutLines", "LineCutter"]

LINE_BYTES: Final = 64 * 1024
# A line with quotes: up to the first blank that is not escaped, then fields, where only ``="`` opens a string.
_QUOTED_LINE: Final = re.compile(
    rb'(?:[^\\ \n]++|\\[^\n])*+ (?:[^=\\\n]++|\\[^\n]|="(?:[^"\\]++|\\.)*+"|=)*+', re.DOTALL
)


class CutLines(NamedTuple):
    """Consecutive lines: without blank ones and comments, each with its number in the body from 1; and all bytes."""

    lines: list[tuple[int, bytes]]
    raw: bytes


class LineCutter:
    """Cuts a body, some lines at a time.

    Args:
        body: unpacked.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = len(BOM) if body.startswith(BOM) else 0
        self._line = 0
        self._searched = 0  # the lines that begin before end at their line feeds

    def cut(self, least_bytes: int) -> CutLines | None:
        """Return the next lines, `least_bytes` of them or the rest; None at the end."""
        first, size = self._at, len(self._body)
        if first >= size:
            return None
        lines: list[tuple[int, bytes]] = []
        while self._at < size and self._at - first < least_bytes:
            end = self._end_of_line()
            line = self._body[self._at : end].strip(b" \t\r")
            self._line += 1
            if line and not line.startswith(b"#"):
                lines.append((self._line, line))
            self._line += line.count(b"\n")
            self._at = end + 1
        return CutLines(lines, self._body[first : self._at])

    def _end_of_line(self) -> int:
        """Return where the line that begins here ends: at the next line feed that is not inside a string.

        A string without an end does not swallow what follows: its line ends at the line feed. What was searched for
        its end is not searched again, so the lines in it end at their line feeds: else each of them searches 64 KiB.
        """
        body, at = self._body, self._at
        end = body.find(b"\n", at)
        if end < 0:
            return len(body)
        if at < self._searched or body.find(b'"', at, end) < 0:
            return end
        while body[at] in b" \t":
            at += 1
        if body[at : at + 1] == b"#":
            return end
        found = _QUOTED_LINE.match(body, at, at + LINE_BYTES)
        if found is None or found.end() <= end:
            return end
        if body[found.end() : found.end() + 1] in (b"\n", b""):
            return found.end()
        self._searched = found.end()
        return end
