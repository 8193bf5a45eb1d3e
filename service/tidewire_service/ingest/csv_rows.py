"""CSV bodies as rows: columns metric, time, value, unit, text, step; every other column is a label; pure.

An apostrophe that an export put before what a spreadsheet would run is taken off, see `tidewire.model.csv_escape`.

Source: RFC 4180, with a header line; UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import Any, Final

from tidewire.errors import InvalidInput
from tidewire.model.csv_escape import original
from tidewire_service.errors import MalformedBody
from tidewire_service.ingest.rows import Row

__all__ = ["csv_rows", "parse_number"]

_COLUMNS: Final = frozenset({"metric", "time", "value", "unit", "text", "step"})
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS: Final = {
    "": None, "null": None, "nan": None, "inf": None, "+inf": None, "-inf": None, "infinity": None, "-infinity": None,
    "true": 1.0, "false": 0.0,
}  # fmt: skip
_MAX_COLUMNS: Final = 256
_SHOWN_CHARS: Final = 60
_MAX_DIGITS: Final = 400  # float64 has at most 17 that matter and 309 before the point


def parse_number(field: str, text: str) -> float | None:
    """Return the number that a text says; None for an empty text, ``null``, ``nan`` and the infinities.

    Raises:
        InvalidInput: it says something else, or a number beyond float64.
    """
    text = text.strip(" \t\r\n")
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise InvalidInput(field, text[:_SHOWN_CHARS], "expected a number with a decimal point, such as 921.4")
    number = float(text)
    if not math.isfinite(number):
        raise InvalidInput(field, text[:_SHOWN_CHARS], "is no number that float64 can hold")
    return number


def csv_rows(body: bytes) -> Iterator[Row]:
    """Yield the rows of a CSV body; a line with more or fewer cells than the header is a bad row.

    Raises:
        MalformedBody: not UTF-8, no header, a column twice, no ``metric`` or neither ``value`` nor ``text``, or a quote
            that never ends (what follows it cannot be told apart).
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody("body", body[:_SHOWN_CHARS], f"{error.reason} at byte {error.start}; send UTF-8") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next((line for line in lines if line), None)
        if header is None:
            raise MalformedBody("body", "", "expected a header line such as metric,time,value,unit,site")
        columns = _checked_header(header)
        empty = True
        for cells in lines:
            if cells:
                empty = False
                yield _row(columns, cells)
        if empty:
            raise MalformedBody("body", "", "has a header and no rows; expected at least one line under it")
    except csv.Error as error:
        raise MalformedBody(
            "body", f"line {lines.line_num}", f'{error}; quote cells with " and double the quotes in them'
        ) from None


def _checked_header(header: list[str]) -> list[str]:
    if len(header) > _MAX_COLUMNS:
        raise MalformedBody("header", len(header), f"names more than {_MAX_COLUMNS} columns; a series has few labels")
    columns = [original(name.strip()) for name in header]
    for name in columns:
        if not name:
            raise MalformedBody("header", ",".join(header), "has a column without a name")
        if columns.count(name) > 1:
            raise MalformedBody("header", name, "names a column twice")
    if "metric" not in columns:
        raise MalformedBody(
            "header", ",".join(header), "has no column 'metric'; the first line names the columns, separated by commas"
        )
    if "value" not in columns and "text" not in columns:
        raise MalformedBody("header", ",".join(header), "has neither a column 'value' nor a column 'text'")
    return columns


def _row(columns: list[str], cells: list[str]) -> Row:
    if len(cells) != len(columns):
        return InvalidInput(
            "row", ",".join(cells)[:_SHOWN_CHARS], f"has {len(cells)} cells, the header has {len(columns)}"
        )
    row: dict[str, Any] = {}
    labels: dict[str, str] = {}
    try:
        for name, marked in zip(columns, cells, strict=True):
            cell = original(marked)
            if name not in _COLUMNS:
                if cell:
                    labels[name] = cell
            elif name in ("value", "step"):
                number = parse_number(name, cell)
                if name == "value" or number is not None:
                    row[name] = number
            elif name == "time":
                if cell.strip():
                    row[name] = _time(cell.strip())
            elif cell:
                row[name] = cell
    except InvalidInput as error:
        return error
    if labels:
        row["labels"] = labels
    return row


def _time(cell: str) -> float | str | None:
    return parse_number("time", cell) if _NUMBER.fullmatch(cell) else cell
