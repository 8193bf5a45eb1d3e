"""Reads CSV text as rows of readings; every column but metric, time, value, unit, text and step is a label; pure.

A column ``label.step`` is the label ``step``, as tables are exported; so a label may have the name of another column.
An apostrophe that an export put before what a spreadsheet would run is taken off, see `tidewire.model.csv_escape`.

Source: RFC 4180, with a header line.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from tidewire.errors import InvalidInput
from tidewire.model.csv_escape import NUMBER, original
from tidewire.model.table_writers import BUCKET_COLUMNS, label_of_column

__all__ = ["CsvRow", "Field", "csv_text", "field_of_column", "parse_number", "read_csv_rows"]

_COLUMNS: Final = frozenset({"metric", "time", "value", "unit", "text", "step"})
# A boolean is 0 or 1, as everywhere. `1_000` is refused, though float() takes it: nothing but Python writes it.
_WORDS: Final = {
    "": None, "null": None, "nan": None, "inf": None, "+inf": None, "-inf": None, "infinity": None, "-infinity": None,
    "true": 1.0, "false": 0.0,
}  # fmt: skip
_MAX_COLUMNS: Final = 256
_MAX_LINES: Final = 100  # of one row; of more, a quote that is open has swallowed the next ones
_MARKS: Final = (  # the longer ones first: that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SHOWN_CHARS: Final = 60
_MAX_DIGITS: Final = 400  # float64 has at most 17 that matter and 309 before the point


class CsvRow(NamedTuple):
    """One line under the header.

    Attributes:
        line: number of the line in the text, from 1; the last one if the row spans several.
        row: fields of the reading by name (``labels`` is a dict of its own), or why the line cannot be read.
    """

    line: int
    row: Mapping[str, Any] | InvalidInput


def parse_number(field: str, text: str) -> float | None:
    """Parse a number; None for an empty text, ``null``, ``nan`` and the infinities, 1 and 0 for ``true``, ``false``.

    Raises:
        InvalidInput: another text, or a number beyond float64.
    """
    text = text.strip(" \t\r\n")
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if len(text) > _MAX_DIGITS or not NUMBER.fullmatch(text):
        raise InvalidInput(field, text[:_SHOWN_CHARS], "expected a number with a decimal point, such as 921.4")
    number = float(text)
    if not math.isfinite(number):
        raise InvalidInput(field, text[:_SHOWN_CHARS], "is no number that float64 can hold")
    return number


def csv_text(data: bytes, malformed: type[InvalidInput] = InvalidInput) -> Iterable[str]:
    """Return the lines of a CSV file, with their ends.

    Args:
        data: UTF-8, or UTF-16 or UTF-32 with its byte order mark, as spreadsheets write "Unicode text".
        malformed: class of the error.

    Raises:
        malformed: another encoding.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data.partition(b"\n")[0]:
        raise malformed("body", data[:_SHOWN_CHARS], "is UTF-16 without its byte order mark; save the file as UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        read = io.StringIO(data[: error.start].decode(encoding, "ignore") + "?", newline="")
        reason = f"has bytes that are not {encoding.removesuffix('-sig').upper()}; save the file as UTF-8"
        raise malformed("body", f"line {sum(1 for _ in read)}", reason) from None
    return io.StringIO(text, newline="")


def read_csv_rows(
    text: Iterable[str], malformed: type[InvalidInput] = InvalidInput, delimiter: str = ","
) -> Iterator[CsvRow]:
    """Yield the rows of a CSV text; a line with more or fewer cells than the header is a bad row.

    Args:
        text: the lines with their ends, as `csv_text` returns them.
        malformed: class of the error for a text that cannot be read as a whole.
        delimiter: between two cells.

    Raises:
        malformed: no header, a column twice, no ``metric`` or neither ``value`` nor ``text``, or a quote that never
            ends (what follows it cannot be told apart).
    """
    lines = csv.reader(text, strict=True, delimiter=delimiter)
    before = 0  # number of the line before the row
    try:
        header = next((line for line in lines if line), None)
        if header is None:
            raise malformed("body", "", "expected a header line such as metric,time,value,unit,site")
        columns = _checked_header(header, malformed)
        empty, before = True, lines.line_num
        for cells in lines:
            if cells:
                empty = False
                row = _row(columns, cells) if lines.line_num - before <= _MAX_LINES else _swallowed(cells, before + 1)
                yield CsvRow(lines.line_num, row)
            before = lines.line_num
        if empty:
            raise malformed("body", "", "has a header and no rows; expected at least one line under it")
    except csv.Error as error:
        fault = "a quote that is opened there has no end" if "end of data" in str(error) else str(error)
        raise malformed(
            "body", f"line {before + 1}", f'{fault}; quote cells with " and double the quotes in them'
        ) from None


class Field(NamedTuple):
    """What a column holds: a field of the reading, or a label."""

    name: str
    is_label: bool


def field_of_column(column: str) -> Field:
    """Return what a column of this name holds."""
    label = label_of_column(column)
    return Field(column, column not in _COLUMNS) if label is None else Field(label, is_label=True)


def _checked_header(header: list[str], malformed: type[InvalidInput]) -> list[Field]:
    if len(header) > _MAX_COLUMNS:
        raise malformed("header", len(header), f"names more than {_MAX_COLUMNS} columns; a series has few labels")
    columns = [original(name.strip()) for name in header]
    fields = [field_of_column(name) for name in columns]
    for name, field in zip(columns, fields, strict=True):
        if not field.name:
            raise malformed("header", ",".join(header), "has a column without a name")
        if fields.count(field) > 1:
            raise malformed("header", name, "names a column twice")
    if tuple(columns[: len(BUCKET_COLUMNS)]) == BUCKET_COLUMNS:
        raise malformed("header", ",".join(header), "is that of buckets, which are no readings; export without points")
    if "metric" not in columns:
        raise malformed(
            "header", ",".join(header), "has no column 'metric'; the first line names the columns, separated by commas"
        )
    if "value" not in columns and "text" not in columns:
        raise malformed("header", ",".join(header), "has neither a column 'value' nor a column 'text'")
    return fields


def _swallowed(cells: list[str], line: int) -> InvalidInput:
    text = f"spans more than {_MAX_LINES} lines from line {line} on; a quote there has no end"
    return InvalidInput("row", ",".join(cells)[:_SHOWN_CHARS], text)


def _row(columns: list[Field], cells: list[str]) -> Mapping[str, Any] | InvalidInput:
    if len(cells) != len(columns):
        return InvalidInput(
            "row", ",".join(cells)[:_SHOWN_CHARS], f"has {len(cells)} cells, the header has {len(columns)}"
        )
    row: dict[str, Any] = {}
    labels: dict[str, str] = {}
    try:
        for (name, is_label), marked in zip(columns, cells, strict=True):
            cell = original(marked)
            if is_label:
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
    return parse_number("time", cell) if NUMBER.fullmatch(cell) else cell
