"""Parses CSV bodies with `tidewire.model.csv_rows`; pure."""

from __future__ import annotations

from collections.abc import Iterator

from tidewire.model.csv_rows import csv_text, read_csv_rows
from tidewire_service.errors import MalformedBody
from tidewire_service.ingest.rows import Row

__all__ = ["csv_rows"]


def csv_rows(body: bytes) -> Iterator[Row]:
    """Parse the rows of a CSV body.

    Raises:
        MalformedBody: the body is neither UTF-8 nor UTF-16 with its mark, or cannot be parsed as a whole.
    """
    return (row for _, row in read_csv_rows(csv_text(body, MalformedBody), MalformedBody))
