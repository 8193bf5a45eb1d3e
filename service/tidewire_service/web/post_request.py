"""Reads what is posted: the headers that name a call, and the body up to a bound."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any, Final

from litestar import Request
from litestar.datastructures import Headers, State

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire_service.errors import MalformedBody

__all__ = ["call_name", "read_body"]

_DISCARD_BODIES: Final = 8  # times `max_body_bytes` that are read and dropped, so that the sender reads the refusal
_DISCARD_S: Final = 2.0
_SEQUENCE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([1-9][0-9]{0,11})", re.ASCII)
_KEY: Final = re.compile(r"[!-~\x80-\xff]{1,255}", re.ASCII)  # bytes as latin-1


def call_name(headers: Headers) -> tuple[str, int, str]:
    """Return the publisher and its sequence, or the idempotency key, by which a repeat is known; empty and 0 if none.

    Raises:
        InvalidInput: one is malformed, or both are given.
    """
    publisher, sequence = _publisher_and_sequence(_only(headers, "Tidewire-Sequence"))
    key = _checked_key(_only(headers, "Idempotency-Key"))
    if publisher and key:
        raise InvalidInput("Idempotency-Key", key, "cannot be sent with Tidewire-Sequence; send one of them")
    return publisher, sequence, key


def _only(headers: Headers, name: str) -> str:
    """Return the value of a header that may be given once; empty if absent.

    Raises:
        InvalidInput: it is given with different values.
    """
    found = dict.fromkeys(headers.getall(name, []))
    if len(found) > 1:
        raise InvalidInput(name, list(found), "is given more than once")
    return next(iter(found), "")


def _publisher_and_sequence(text: str) -> tuple[str, int]:
    """Parse the header of an SDK's publisher, ``<publisher>:<sequence>``; return an empty publisher if it is empty.

    Raises:
        InvalidInput: it is not of that form.
    """
    if not text:
        return "", 0
    found = _SEQUENCE.fullmatch(text)
    if found is None:
        raise InvalidInput("Tidewire-Sequence", text, "expected publisher:number, the number rising by call from 1")
    return found[1], int(found[2])


def _checked_key(key: str) -> str:
    """Return a key, which may be anything that has no spaces and at most 255 bytes; empty if absent.

    Raises:
        InvalidInput: the key has spaces or control characters, or is longer.
    """
    if key and not _KEY.fullmatch(key):
        raise InvalidInput("Idempotency-Key", key, "expected 1 to 255 bytes without spaces and control characters")
    return key


async def read_body(
    request: Request[Any, Any, State],
    max_bytes: int,
    *,
    limit: str = "max_body_bytes",
    may_be_empty: bool = False,
    on_size: Callable[[int], None] | None = None,
) -> bytes:
    """Return the body.

    Args:
        request: whose body has not been read.
        max_bytes: of the body as it is sent.
        limit: the setting that says so.
        may_be_empty: an empty body is no error.
        on_size: called with the size of what has arrived so far; may raise to refuse it.

    Raises:
        LimitExceeded: the body is longer. Some of the rest is read and dropped, so that the sender reads the answer.
        MalformedBody: the body is empty.
    """
    declared = request.headers.get("content-length", "")
    expects = request.headers.get("expect", "").lower() == "100-continue"
    if (
        expects and declared.isdigit() and int(declared) > max_bytes
    ):  # the sender waits for 100 Continue and has sent nothing
        raise LimitExceeded(limit, max_bytes, int(declared), "split the body, or send it with gzip")
    pieces: list[bytes] = []
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            async for piece in request.stream():
                size += len(piece)
                if size <= max_bytes:
                    if on_size is not None:
                        on_size(size)
                    pieces.append(piece)
                    continue
                pieces.clear()
                if deadline.when() is None:
                    deadline.reschedule(asyncio.get_running_loop().time() + _DISCARD_S)
                if size >= max_bytes * _DISCARD_BODIES:
                    break
    if size > max_bytes:
        got = int(declared) if declared.isdigit() else size
        raise LimitExceeded(limit, max_bytes, got, "split the body, or send it with gzip")
    if not size and not may_be_empty:
        raise MalformedBody("body", "", "is empty; send readings")
    return b"".join(pieces)
