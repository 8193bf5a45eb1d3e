"""The inbox lease: elects the one service process that appends what foreign producers send, and sweeps.

Every process listens to the inbox channels all the time. Acquiring the lease publishes a marker on these channels:
messages before the marker belong to the old holder, messages after it to the new one. The append function checks the
lease token, so a holder that lost the lease without noticing appends nothing (docs/protocol.md row 27).
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
    """Acquires, renews and loses the lease for this process.

    Attributes:
        token: identifies this process as a holder; replaced after each loss, so that acquiring publishes a new marker.
        held: Redis confirmed the lease at the last renewal, less than the time to live ago.
        owns: the last marker on the channels was ours: this process appends the messages that arrive now, if the
            append function accepts the token.
        changed: set when the lease was acquired.
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
        """Whether this process certainly holds the lease now."""
        return monotonic() < self._held_until

    @property
    def owns(self) -> bool:
        """Whether this process appends the messages that arrive on the inbox channels now."""
        return self._last_marker == self.token

    def on_marker(self, marker: bytes) -> None:
        """Record a marker that arrived on the channels: it names the holder of the messages after it."""
        self._last_marker = marker.decode(errors="replace")

    def mark_lost(self) -> None:
        """Stop acting as the holder, because another process has the lease; bid again with a new token."""
        self._held_until, self._last_marker = 0.0, ""
        self.token = secrets.token_hex(8)

    async def run(self) -> None:
        """Bid for the lease or renew it, three times per time to live; until cancelled."""
        while True:
            try:
                await self.renew()
            except LogUnavailable as error:
                _log.debug("lease_not_renewed", error=str(error))
            await asyncio.sleep(self._ttl_ms / 3e3)

    async def renew(self) -> None:
        """Bid for the lease, or renew it, once."""
        asked, held = monotonic(), self.held
        answer = await self._log.acquire_lease(self.token, self._ttl_ms)
        if not answer:
            if held:
                self.mark_lost()
            return
        self._held_until = asked + self._ttl_ms / 1e3
        now = monotonic()
        if answer == 2:
            self._marker_due = now + self._ttl_ms / 1e3
            _log.info("inbox_lease_taken")
        elif not self.owns and now > self._marker_due:
            # our marker never arrived, since the live connection was down: let the lease lapse and bid again
            self.mark_lost()
        if not held and self.held:
            self.changed.set()
