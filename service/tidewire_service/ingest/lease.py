"""The inbox lease: elects the one service process that appends what foreign producers send, and sweeps.

Every process listens to the inbox channels all the time. Acquiring the lease publishes a marker on these channels:
messages before the marker belong to the old holder, messages after it to the new one. The append function checks the
lease token, so a holder that lost the lease without noticing appends nothing (docs/protocol.md row 27).
"""

from __future__ import annotations

import asyncio
import re
import secrets
from time import monotonic
from typing import Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire.redislog.log import RedisLog

__all__ = ["Lease"]

_MARKER: Final = re.compile(rb"[0-9a-f]{16}")  # a token

_log = structlog.get_logger("tidewire_service")


def _new_token() -> str:
    return secrets.token_hex(8)


class Lease:
    """Acquires, renews and loses the lease for this process.

    Attributes:
        token: identifies this process as a holder; replaced after each loss, so that acquiring publishes a new marker.
        held: Redis confirmed the lease at the last renewal, less than the time to live ago.
        owns: the marker of our token has arrived: this process appends the messages that arrive now, if the append
            function accepts the token.
        changed: set when the lease was acquired.
    """

    def __init__(self, log: RedisLog, ttl_ms: int) -> None:
        self._log = log
        self._ttl_ms = ttl_ms
        self._held_until = 0.0
        self.owns = False
        self._marker_due = 0.0
        self.changed = asyncio.Event()
        self.token = _new_token()

    @property
    def held(self) -> bool:
        """Whether this process certainly holds the lease now."""
        return monotonic() < self._held_until

    def on_marker(self, message: bytes) -> bool:
        """Take a message on the marker's channel; return False if it is no marker of any process.

        Only a marker with our token changes anything: that another process has the lease, the append function says.
        """
        if message == self.token.encode():
            self.owns = True
        return _MARKER.fullmatch(message) is not None

    def mark_lost(self) -> None:
        """Stop acting as the holder, because another process has the lease; bid again with a new token."""
        self._held_until, self.owns = 0.0, False
        self.token = _new_token()

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
