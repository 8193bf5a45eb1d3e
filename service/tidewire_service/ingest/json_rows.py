"""Parses JSON and NDJSON bodies: one batch or row, a list of them, or one per line; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidewire.errors import InvalidInput
from tidewire_service.errors import MalformedBody, NestingTooDeep
from tidewire_service.ingest.rows import Row

__all__ = ["BOM", "check_levels", "json_rows", "ndjson_rows", "parse_json"]

_decoder: Final = msgspec.json.Decoder()
_SHOWN_BYTES: Final = 60
BOM: Final = b"\xef\xbb\xbf"  # written by Windows programs; at the start of a text it means nothing
_MAX_LEVELS: Final = 32  # of what is kept and read back: at about 900, whether Python reads it depends on who calls
_REMEDY: Final = "send UTF-8 JSON (null for a value that is not a number)"


def parse_json(text: bytes) -> Any:
    """Parse a JSON text.

    Takes linear time and bounded depth. Rejects bare ``NaN``, lone surrogates and numbers beyond float64. A byte order
    mark at its start is left out.

    Raises:
        InvalidInput: names the position and what to send instead.
    """
    try:
        return _decoder.decode(text.removeprefix(BOM))
    except RecursionError:
        raise NestingTooDeep("body", text[:_SHOWN_BYTES], "is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("body", text[:_SHOWN_BYTES], f"{error}; {_REMEDY}") from None


def check_levels(value: Any) -> None:
    """Check how deeply a parsed JSON text is nested.

    Raises:
        NestingTooDeep: lists and objects in more than 32 levels.
    """
    layer = [value]
    for _ in range(_MAX_LEVELS):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if any(isinstance(inner, dict | list) for inner in layer):
        raise NestingTooDeep("body", "", f"is nested in more than {_MAX_LEVELS} levels")


def json_rows(body: bytes) -> Iterator[Row]:
    """Yield the rows of a JSON body.

    Raises:
        MalformedBody: the body is not JSON, or neither an object nor a non-empty list.
    """
    try:
        found = parse_json(body)
    except MalformedBody:
        raise
    except InvalidInput as error:
        raise MalformedBody(error.field, body[:_SHOWN_BYTES], error.reason) from None
    if isinstance(found, dict):
        yield found
    elif isinstance(found, list) and found:
        yield from found
    else:
        raise MalformedBody("body", body[:_SHOWN_BYTES], "expected a batch or row, or a list of at least one of them")


def ndjson_rows(body: bytes) -> Iterator[Row]:
    """Yield one row per non-blank line of an NDJSON body; for a line that is not JSON, yield the error.

    Raises:
        MalformedBody: all lines are blank.
    """
    empty = True
    for line in body.removeprefix(BOM).split(b"\n"):
        if line.isspace() or not line:
            continue
        empty = False
        try:
            yield parse_json(line)
        except InvalidInput as error:
            yield error
    if empty:
        raise MalformedBody("body", body[:_SHOWN_BYTES], "expected one JSON object on each line")
