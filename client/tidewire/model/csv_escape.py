"""Cells of CSV files: a text that a spreadsheet would run is marked with an apostrophe, and read back without it; pure.

Source: OWASP, "CSV Injection"; what opens a formula, its wide forms, and what is skipped before it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["NUMBER", "inert", "original"]

# Apostrophes before it are marks themselves, so that each text has one marked form and back.
_RUNS: Final = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def inert(cell: str) -> str:
    """Return a text as a cell that no spreadsheet runs; plain numbers and all other texts as they are."""
    return f"'{cell}" if _RUNS.match(cell) and not NUMBER.fullmatch(cell) else cell


def original(cell: str) -> str:
    """Return the text of a cell that `inert` may have marked."""
    return cell[1:] if cell.startswith("'") and _RUNS.match(cell) else cell
