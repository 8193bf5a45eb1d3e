"""Reads what is posted: the headers that name a call, and the body up to a bound."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Final

from litestar.types import HTTPScope, Receive

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire_service.errors import MalformedBody

__all__ = ["call_name", "headers_of", "read_body"]

_SPLIT: Final = "split the body, or send it with gzip"
_TWICE: Final = "is given more than once"
_NAMES_CALL: Final = {b"tidewire-sequence": "Tidewire-Sequence", b"idempotency-key": "Idempotency-Key"}
_DISCARD_BODIES: Final = 8  # times `max_body_bytes` that are read and dropped, so that the sender reads the refusal
_DISCARD_S: Final = 2.0
_SEQUENCE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([1-9][0-9]{0,11})", re.ASCII)
_KEY: Final = re.compile(r"[!-~\x80-\xff]{1,255}", re.ASCII)  # bytes as latin-1


def headers_of(scope: HTTPScope) -> dict[bytes, bytes]:
    """Return the headers of a request by their small names; of one that is given several times the first.

    Raises:
        InvalidInput: one that names the call is given with different values.
    """
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        first = found.setdefault(name, value)
        if first != value and name in _NAMES_CALL:
            raise InvalidInput(_NAMES_CALL[name], [first.decode("latin-1"), value.decode("latin-1")], _TWICE)
    return found


def call_name(headers: Mapping[bytes, bytes]) -> tuple[str, int, str]:
    """Return the publisher and its sequence, or the idempotency key, by which a repeat is known; empty and 0 if none.

    Raises:
        InvalidInput: one is malformed, or both are given.
    """
    publisher, sequence = _publisher_and_sequence(headers.get(b"tidewire-sequence", b"").decode("latin-1"))
    key = _checked_key(headers.get(b"idempotency-key", b"").decode("latin-1"))
    if publisher and key:
        raise InvalidInput("Idempotency-Key", key, "cannot be sent with Tidewire-Sequence; send one of them")
    return publisher, sequence, key


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
    scope: HTTPScope,
    receive: Receive,
    max_bytes: int,
    *,
    limit: str = "max_body_bytes",
    may_be_empty: bool = False,
    on_size: Callable[[int], None] | None = None,
) -> bytes:
    """Return the body.

    Args:
        scope: of the request.
        receive: of the request; nothing has been received.
        max_bytes: of the body as it is sent.
        limit: the setting that says so.
        may_be_empty: an empty body is no error.
        on_size: called with the size of what has arrived so far; may raise to refuse it.

    Raises:
        LimitExceeded: the body is longer. Some of the rest is read and dropped, so that the sender reads the answer.
        MalformedBody: the body is empty, or the client left before its end.
    """
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"").decode("latin-1")
    if declared.isdecimal() and int(declared) > max_bytes and _waits_for_continue(scope):
        raise LimitExceeded(limit, max_bytes, int(declared), _SPLIT)  # the sender has sent nothing
    body, more = await _piece(receive)
    size = len(body)
    if more:
        body, size = await _rest(body, receive, max_bytes, on_size)
    elif on_size is not None and size <= max_bytes:
        on_size(size)
    if size > max_bytes:
        raise LimitExceeded(limit, max_bytes, int(declared) if declared.isdecimal() else size, _SPLIT)
    if not size and not may_be_empty:
        raise MalformedBody("body", "", "is empty; send readings")
    return body


def _waits_for_continue(scope: HTTPScope) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """Return the next piece of a body, and whether more is to come."""
    message = await receive()
    if message["type"] != "http.request":
        raise MalformedBody("body", "", "ended before all of it had arrived; nothing of it was stored")
    return message.get("body", b""), message.get("more_body", False)


async def _rest(
    first: bytes, receive: Receive, max_bytes: int, on_size: Callable[[int], None] | None
) -> tuple[bytes, int]:
    """Return a body of several pieces and its size; of one longer than `max_bytes` nothing, and what was read of it."""
    pieces: list[bytes] = []
    piece, more, size = first, True, 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            while True:
                size += len(piece)
                if size <= max_bytes:
                    if on_size is not None:
                        on_size(size)
                    pieces.append(piece)
                else:
                    pieces.clear()
                    if deadline.when() is None:
                        deadline.reschedule(asyncio.get_running_loop().time() + _DISCARD_S)
                if not more or size >= max_bytes * _DISCARD_BODIES:
                    break
                piece, more = await _piece(receive)
    return b"".join(pieces), size
