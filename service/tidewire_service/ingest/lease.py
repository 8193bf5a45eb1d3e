"""The inbox lease: which one of all service processes appends what foreign producers send, and sweeps.

All processes listen to the inbox channels all the time. Taking the lease publishes a marker on the same channels: what
came before it on the wire is the old holder's, what comes after it the new one's. The append function checks the token,
so that a holder that lost the lease unawares appends nothing (docs/protocol.md row 27).
"""

from __future__ import annotations

import asyncio
import secrets
from time import monotonic

import structlog

from tidewire.errors import LogUnavailable
from tidewire.redislog.log import RedisLog

__all__ = ["Lease"]

_log = structlog.get_logger("tidewire_service")


class Lease:
    """This process's side of the lease.

    Attributes:
        token: what this process bids with; a new one after each loss, so that taking it again publishes a marker again.
        held: Redis said so at the last renewal, less than the time to live ago.
        owns: our own marker was the last one on the wire: messages that arrive now are ours to append, if the append
            function agrees.
    """

    def __init__(self, log: RedisLog, ttl_ms: int) -> None:
        self._log = log
        self._ttl_ms = ttl_ms
        self._held_until = 0.0
        self._last_marker = ""
        self._marker_due = 0.0
        self.changed = asyncio.Event()
        self.token = secrets.token_hex(8)

    @property
    def held(self) -> bool:
        """Whether the lease is surely ours at this moment."""
        return monotonic() < self._held_until

    @property
    def owns(self) -> bool:
        """Whether what arrives on the inbox channels now is ours to append."""
        return self._last_marker == self.token

    def heard(self, marker: bytes) -> None:
        """Take a marker from the wire: who holds the lease from here on."""
        self._last_marker = marker.decode(errors="replace")

    def lost(self) -> None:
        """Give up: an append was refused because the lease is another's."""
        self._held_until, self._last_marker = 0.0, ""
        self.token = secrets.token_hex(8)

    async def run(self) -> None:
        """Bid and renew, three times in each time to live; until cancelled."""
        while True:
            try:
                await self.renew()
            except LogUnavailable as error:
                _log.debug("lease_not_renewed", error=str(error))
            await asyncio.sleep(self._ttl_ms / 3e3)

    async def renew(self) -> None:
        """Bid for the lease, or keep it."""
        asked, held = monotonic(), self.held
        answer = await self._log.acquire_lease(self.token, self._ttl_ms)
        if not answer:
            if held:
                self.lost()
            return
        self._held_until = asked + self._ttl_ms / 1e3
        now = monotonic()
        if answer == 2:
            self._marker_due = now + self._ttl_ms / 1e3
            _log.info("inbox_lease_taken")
        elif not self.owns and now > self._marker_due:
            # our marker never came, the live connection was down: let the lease lapse and bid anew
            self.lost()
        if not held and self.held:
            self.changed.set()
