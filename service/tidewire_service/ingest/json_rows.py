"""JSON and NDJSON bodies as rows: one batch or row, a list of them, or one on each line; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidewire.errors import InvalidInput
from tidewire_service.errors import MalformedBody, NestingTooDeep
from tidewire_service.ingest.rows import Row

__all__ = ["json_rows", "ndjson_rows", "parse_json"]

_decoder: Final = msgspec.json.Decoder()
_SHOWN_BYTES: Final = 60
_REMEDY: Final = "send UTF-8 JSON (null for a value that is not a number)"


def parse_json(text: bytes) -> Any:
    """Return what a JSON text holds.

    Linear in its length, and of bounded depth; bare ``NaN``, lone surrogates and numbers beyond float64 are refused.

    Raises:
        InvalidInput: with the place and what to send instead.
    """
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise NestingTooDeep("body", text[:_SHOWN_BYTES], "is nested too deeply; a batch has two levels") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("body", text[:_SHOWN_BYTES], f"{error}; {_REMEDY}") from None


def json_rows(body: bytes) -> Iterator[Row]:
    """Yield the rows of a JSON body.

    Raises:
        MalformedBody: not JSON, or neither an object nor a list with something in it.
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
    """Yield the rows of an NDJSON body, one from each line that is not blank; a line that is no JSON is a bad row.

    Raises:
        MalformedBody: no line holds anything.
    """
    empty = True
    for line in body.split(b"\n"):
        if line.isspace() or not line:
            continue
        empty = False
        try:
            yield parse_json(line)
        except InvalidInput as error:
            yield error
    if empty:
        raise MalformedBody("body", body[:_SHOWN_BYTES], "expected one JSON object on each line")
