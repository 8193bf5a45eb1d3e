"""Turns a request body into batches: picks the parser by media type, and unpacks gzip up to a bound."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from typing import Final, NamedTuple

from tidewire.errors import LimitExceeded, shown
from tidewire.model.batch import IngestLimits
from tidewire_service.errors import MalformedBody, MediaTypeNotSupported
from tidewire_service.ingest.csv_rows import csv_rows
from tidewire_service.ingest.json_rows import json_rows, ndjson_rows
from tidewire_service.ingest.rows import Intake, Row, collect
from tidewire_service.ingest.typed_rows import TypedRead, TypedRows, typed_json, typed_ndjson

__all__ = [
    "INGEST_FORMATS",
    "BodyReader",
    "Format",
    "IngestFormat",
    "checked_encoding",
    "checked_format",
    "read_rows",
    "unpacked",
]

Format = Callable[[bytes], Iterator[Row]]


class IngestFormat(NamedTuple):
    """One format of `POST /v1/readings`.

    Attributes:
        media_types: that select this format; errors and the OpenAPI document name the first.
        rows: the parser; yields each row, or an error for a row that cannot be read; raises `MalformedBody`.
        description: of a body, for the OpenAPI document.
        typed: a faster parser, for bodies in which nothing is wrong; None if there is none.
    """

    media_types: tuple[str, ...]
    rows: Format
    description: str
    typed: TypedRead | None = None


INGEST_FORMATS: Final = (
    IngestFormat(("application/json",), json_rows, "a row, a batch, or a list of them", typed_json),
    IngestFormat(
        ("application/x-ndjson", "application/ndjson", "application/jsonl"),
        ndjson_rows,
        "one row on each line",
        typed_ndjson,
    ),
    IngestFormat(("text/csv",), csv_rows, "columns metric, time, value, unit, text, step; others are labels"),
)
"""All formats. To add one, write its parser in a new file and add a line here."""
_BY_MEDIA_TYPE: Final = {media_type: form for form in INGEST_FORMATS for media_type in form.media_types}
_ACCEPTED: Final = ", ".join(form.media_types[0] for form in INGEST_FORMATS)
_GZIP_WINDOW: Final = 31  # tells zlib to accept a gzip header and nothing else
_TYPED_INLINE_BYTES: Final = 48 * 1024  # parsed on the event loop: 2 ms if each row is a series of its own
_INLINE_BYTES: Final = 8 * 1024  # likewise
_PIECE: Final = 64 * 1024
_FED: Final = 16 * 1024  # bytes that zlib is given at a time: what it does not use of them is copied for each piece
_MEMBERS: Final = 10_000  # of a gzip body, 10 µs each; bgzip makes 1,000 of 64 MiB


@lru_cache(maxsize=64)
def checked_format(content_type: str) -> IngestFormat:
    """Return the format for a Content-Type.

    A form on another site can only send ``text/plain``, ``multipart/form-data`` or
    ``application/x-www-form-urlencoded``, so none of these is accepted.

    Raises:
        MediaTypeNotSupported: no format has this media type, or the charset is not UTF-8.
    """
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    found = _BY_MEDIA_TYPE.get(media_type)
    if found is None:
        raise MediaTypeNotSupported(
            f"the Content-Type {shown(content_type)} is not supported; send one of {_ACCEPTED} "
            "(curl: -H 'Content-Type: application/json')",
            accept=_ACCEPTED,
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        known = (
            ("utf-8", "utf8", "utf-16") if found.rows is csv_rows else ("utf-8", "utf8")
        )  # a mark tells which of them
        if name.strip() == "charset" and value.strip(" \"'") not in known:
            raise MediaTypeNotSupported(f"the charset {shown(value)} is not supported; send UTF-8")
    return found


def checked_encoding(content_encoding: str) -> bool:
    """Return whether a body is compressed with gzip.

    Raises:
        MediaTypeNotSupported: the coding is neither gzip nor identity.
    """
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return False
    if coding in ("gzip", "x-gzip"):
        return True
    detail = f"the Content-Encoding {shown(content_encoding)} is not supported; send gzip, or leave it out"
    raise MediaTypeNotSupported(detail, accept_encoding="gzip")


def unpacked(body: bytes, max_bytes: int, *, limit: str = "max_decompressed_bytes") -> bytes:
    """Unpack a gzip body of one or more members; stop as soon as the output exceeds the bound.

    Raises:
        LimitExceeded: the output is larger than `max_bytes`.
        MalformedBody: the body is not gzip, is truncated, or has too many members.
    """
    found, packed = BytesIO(), memoryview(body)
    at = members = 0
    member = None
    while (fed := packed[at : at + _FED]) or (member and not member.eof):
        if member is None or member.eof:
            members += 1
            if members > _MEMBERS:
                raise MalformedBody("body", body[:8], f"has more than {_MEMBERS} gzip members; compress it as a whole")
            member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            piece = member.decompress(fed, _PIECE)
        except zlib.error as error:
            raise MalformedBody(
                "body", body[:8], f"is not gzip ({error}); leave Content-Encoding out if it is not compressed"
            ) from None
        at += len(fed) - len(member.unconsumed_tail) - len(member.unused_data)
        if found.tell() + len(piece) > max_bytes:
            raise LimitExceeded(limit, max_bytes, found.tell() + len(piece), "split the body")
        found.write(piece)
        if not piece and not fed and not member.eof:
            raise MalformedBody("body", body[:8], "is truncated: the gzip stream does not end")
    return found.getvalue()


def read_rows(body: bytes, read: Format, limits: IngestLimits, max_rows: int, now_ms: float) -> Intake:
    """Parse a body into batches and rejected rows. Takes about 10 µs per row: run it in a thread for a large body.

    Raises:
        MalformedBody: the body as a whole cannot be parsed.
        LimitExceeded: the body has too many rows.
    """
    return collect(read(body), limits, max_rows, now_ms)


class BodyReader:
    """Reads bodies for one process: small ones on the event loop, others in a thread.

    Args:
        limits: of a batch.
        max_rows: largest number of rows in one body.
    """

    def __init__(self, limits: IngestLimits, max_rows: int) -> None:
        self._limits = limits
        self._max_rows = max_rows
        self._typed = TypedRows(limits, max_rows)

    async def read(self, body: bytes, form: IngestFormat, now_ms: float) -> Intake:
        """Parse a body into batches and rejected rows.

        Args:
            body: unpacked.
            form: of the body.
            now_ms: used for a reading without a time, Unix ms.

        Raises:
            MalformedBody: the body as a whole cannot be parsed.
            LimitExceeded: the body has too many rows.
        """
        size, bounds = len(body), (self._limits, self._max_rows, now_ms)
        if form.typed is not None:
            if size <= _TYPED_INLINE_BYTES:
                intake = self._typed.intake(body, form.typed, now_ms)
            else:
                intake = await asyncio.to_thread(self._typed.intake, body, form.typed, now_ms)
            if intake is not None:
                return intake
        if size <= _INLINE_BYTES:
            return read_rows(body, form.rows, *bounds)
        return await asyncio.to_thread(read_rows, body, form.rows, *bounds)
