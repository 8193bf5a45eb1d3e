"""Closes connections that send or read too slowly, and bounds how many may be awaiting a request."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Literal, Protocol

import structlog

from tidewire_service.limit_counters import LimitCounters
from tidewire_service.settings import ServiceSettings

__all__ = ["Connection", "Phase", "SlowClients"]

Phase = Literal["head", "body"]

_MIN_PROGRESS_BYTES: Final = 64 * 1024  # that a slow reader reads within the write timeout: 2 KB/s at 30 s
_YOUNG_S: Final = 1.0  # not closed for being too many: in a storm of reconnects thousands arrive within one tick
_LINGER_S: Final = 2.0  # for the last bytes to a connection that is closed, before it is aborted
_log = structlog.get_logger("tidewire_service")


class Connection(Protocol):
    """A connection as `SlowClients` sees it."""

    @property
    def held_by_server(self) -> bool:
        """Whether the server is not reading, or is still answering, so that the client is not the slow one."""

    @property
    def unsent_bytes(self) -> int:
        """What the peer has not read yet."""

    @property
    def address(self) -> str:
        """The client's address."""

    def time_out(self, reason: str) -> None:
        """Say that it was too slow, if an answer is still possible, and close; `reason` is one of `SlowClients`."""

    def abort(self) -> None:
        """End it at once."""


class SlowClients:
    """Tracks every connection that waits for its client: for the rest of a request, or for it to read.

    A connection whose request has arrived whole, and an idle stream, cost nothing here. A new connection awaits the
    head of its first request, so that one which sends nothing is closed too.

    Args:
        settings: `head_timeout_s` runs from the first byte of a request, of a new connection from the start;
            `body_timeout_s` from the end of its head; `write_timeout_s` for a peer to read, but streams have their own
            deadline. Beyond `max_waiting` connections awaiting a request, the one that has waited longest is closed.
        limit_counters: counts the limits that were reached.

    Attributes:
        closed: how many were closed, by reason.
    """

    def __init__(self, settings: ServiceSettings, limit_counters: LimitCounters) -> None:
        self.closed = dict.fromkeys(
            ("malformed", "head_too_large", "head_timeout", "body_timeout", "write_timeout", "max_waiting"), 0
        )
        self._limits_s: dict[Phase, float] = {"head": settings.head_timeout_s, "body": settings.body_timeout_s}
        self._write_timeout_s = settings.write_timeout_s
        self._most = settings.max_waiting
        self._limit_counters = limit_counters
        self._awaiting: dict[Connection, tuple[Phase, float]] = {}
        self._unread: dict[Connection, tuple[float, int]] = {}
        self._closing: dict[Connection, float] = {}

    def __len__(self) -> int:
        return len(self._awaiting)

    def await_request(self, connection: Connection, phase: Phase) -> None:
        """Start the deadline of a phase of a request."""
        self._awaiting.pop(connection, None)  # so that the first is the one that has waited longest
        self._awaiting[connection] = (phase, time.monotonic())
        if len(self._awaiting) > self._most:
            self._make_room()

    def request_received(self, connection: Connection) -> None:
        """Stop the deadline: the request has arrived whole."""
        self._awaiting.pop(connection, None)

    def await_reading(self, connection: Connection) -> None:
        """Start the deadline for a peer that has to read first."""
        self._unread[connection] = (time.monotonic(), connection.unsent_bytes)

    def reading_resumed(self, connection: Connection) -> None:
        """Stop the deadline: the peer has read."""
        self._unread.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        for watched in (self._awaiting, self._unread, self._closing):
            watched.pop(connection, None)

    async def watch(self) -> None:
        """Close what is overdue; until cancelled."""
        period_s = min(1.0, min(*self._limits_s.values(), self._write_timeout_s) / 4)
        while True:
            await asyncio.sleep(period_s)
            self.close_overdue()

    def close_overdue(self) -> None:
        """Close what is overdue now."""
        now_s = time.monotonic()
        for connection, (phase, since_s) in tuple(self._awaiting.items()):
            if now_s - since_s <= self._limits_s[phase]:
                continue
            if connection.held_by_server:
                self._awaiting[connection] = (phase, now_s)
            else:
                self._close(connection, f"{phase}_timeout")
        for connection, (since_s, unsent) in tuple(self._unread.items()):
            left = connection.unsent_bytes
            if left <= unsent - _MIN_PROGRESS_BYTES or not left:
                self._unread[connection] = (now_s, left)
            elif now_s - since_s > self._write_timeout_s:
                del self._unread[connection]
                self._count(connection, "write_timeout")
                connection.abort()

        for connection in [each for each, since_s in self._closing.items() if now_s - since_s > _LINGER_S]:
            del self._closing[connection]
            connection.abort()

    def _make_room(self) -> None:
        connection, (_, since_s) = next(iter(self._awaiting.items()))
        if time.monotonic() - since_s > _YOUNG_S:
            self._close(connection, "max_waiting")

    def _close(self, connection: Connection, reason: str) -> None:
        del self._awaiting[connection]
        self._closing[connection] = time.monotonic()
        self._count(connection, reason)
        connection.time_out(reason)

    def _count(self, connection: Connection, reason: str) -> None:
        self.closed[reason] += 1
        self._limit_counters.count(reason if reason == "max_waiting" else f"{reason}_s")
        _log.debug("connection_closed", reason=reason, address=connection.address)
