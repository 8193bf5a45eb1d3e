"""Parses CSV bodies with `tidewire.model.csv_rows`: UTF-8, with or without a byte order mark; pure."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from tidewire.model.csv_rows import read_csv_rows
from tidewire_service.errors import MalformedBody
from tidewire_service.ingest.rows import Row

__all__ = ["csv_rows"]

_SHOWN_CHARS: Final = 60


def csv_rows(body: bytes) -> Iterator[Row]:
    """Parse the rows of a CSV body.

    Raises:
        MalformedBody: the body is not UTF-8, or cannot be parsed as a whole.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody("body", body[:_SHOWN_CHARS], f"{error.reason} at byte {error.start}; send UTF-8") from None
    return (row for _, row in read_csv_rows(io.StringIO(text, newline=""), MalformedBody))
