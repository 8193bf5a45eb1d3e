"""Takes the bodies that clients of other services post, and bounds the memory of all of them together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from litestar.types import HTTPScope, Receive

from tidewire_service.auth.credentials import bearer_of
from tidewire_service.errors import MemoryShort, RateExceeded
from tidewire_service.ingest.body import checked_encoding, unpacked
from tidewire_service.ingest.slots import Slots
from tidewire_service.request_scope import address_of
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.post_request import headers_of, read_body

__all__ = ["ForeignBodies", "header_credentials"]

_SMALL_BYTES: Final = 16 * 1024  # a body that is not packed and no longer needs no turn
_LARGE_BYTES: Final = 1 << 20
_TURNS: Final = 4  # packed or large bodies that are unpacked and stored; others wait as they were sent
_LARGE_BODIES: Final = 8  # times `max_foreign_body_bytes` that bodies together may have, each beyond its first MiB


class ForeignBodies:
    """Takes bodies: reads one, waits for a turn, unpacks it, and holds the turn until it is stored.

    So at most four bodies are unpacked at a time, each of at most `max_foreign_decompressed_bytes`; those that wait
    are as they were sent.

    Args:
        settings: of the service.
        quota: knows whether memory is short.
        slots: of all bodies in progress.
    """

    def __init__(self, settings: ServiceSettings, quota: StreamQuota, slots: Slots) -> None:
        self._settings = settings
        self._quota = quota
        self._slots = slots
        self._turns = asyncio.Semaphore(_TURNS)
        self._most = _LARGE_BODIES * settings.max_foreign_body_bytes
        self._held = 0

    @asynccontextmanager
    async def one(self, scope: HTTPScope, receive: Receive, limit: str, limit_unpacked: str) -> AsyncIterator[bytes]:
        """Return a context for the body of a request, unpacked; what stores it is done in it.

        Args:
            scope: of the request.
            receive: gives its body, of which nothing has been read.
            limit: the setting of its largest size as it is sent.
            limit_unpacked: the setting of its largest size when it is unpacked.

        Raises:
            MemoryShort: memory is short.
            RateExceeded: too many bodies, or too large ones, are in progress.
            MediaTypeNotSupported: it is packed with something else than gzip.
            MalformedBody: it is not gzip.
            LimitExceeded: it is too large.
        """
        if self._quota.memory_short:
            raise MemoryShort
        identity = identity_of_request(scope)
        with self._slots.held(identity.id, address_of(scope)) as slot, self._large() as on_size:
            packed = checked_encoding(headers_of(scope).get(b"content-encoding", b"").decode("latin-1"))
            async with slot.waiting():
                most = getattr(self._settings, limit)
                body = await read_body(scope, receive, most, limit=limit, may_be_empty=True, on_size=on_size)
            async with self._turns if packed or len(body) > _SMALL_BYTES else contextlib.nullcontext():
                if packed:
                    most = getattr(self._settings, limit_unpacked)
                    body = await asyncio.to_thread(unpacked, body, most, limit=limit_unpacked)
                yield body

    @contextmanager
    def _large(self) -> Iterator[Callable[[int], None]]:
        """Return a context for one body, and what to call with its size as it grows; that raises `RateExceeded`."""
        held = 0

        def on_size(size: int) -> None:
            nonlocal held
            more = size - _LARGE_BYTES - held
            if more <= 0:
                return
            if self._held + more > self._most:
                detail = f"large bodies of {self._held >> 20} MiB are in progress; try again"
                raise RateExceeded(detail, limit="max_posts", retry_after_s=1.0)
            held += more
            self._held += more

        try:
            yield on_size
        finally:
            self._held -= held


def header_credentials(authorization: str, query: bytes) -> str:
    """Return the token of a request that has it in its header only."""
    return bearer_of(authorization)
