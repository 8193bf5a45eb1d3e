"""The WebSocket between a deck and this process; it needs the ticket of a page."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from tornado.ioloop import PeriodicCallback
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from tidewire.errors import InvalidInput
from tidewire_dashboard.login import EVERYBODY, Login, Logins
from tidewire_dashboard.pacing import TICK_MS
from tidewire_dashboard.shared_views import SharedViews
from tidewire_dashboard.viewer import Viewer

__all__ = ["CLOSE_FULL", "CLOSE_SIGNED_OUT", "CLOSE_UNKNOWN_TICKET", "FrameSocket", "SocketHub", "Tickets"]

_log = logging.getLogger("tidewire")
CLOSE_UNKNOWN_TICKET: Final = 4401
CLOSE_SIGNED_OUT: Final = 4403
CLOSE_FAILED: Final = 1011  # RFC 6455: an unexpected condition
CLOSE_FULL: Final = 1013  # RFC 6455 registry: try again later
PING_S: Final = 10.0  # a viewer that vanished is noticed within two pings
_CHECK_LOGINS_S: Final = 1.0
_MAX_MESSAGE_BYTES: Final = 64 << 10
_MAX_BAD_MESSAGES: Final = 20
_GRACE_S: Final = 120.0  # in which a page whose session is over may connect again after a cut


class Tickets:
    """The tickets of open pages: one random ticket per page, valid until its session ends and it is gone.

    A page has no session for long if it went to another address before Panel's scripts ran: its socket keeps it open.

    Args:
        limit: most tickets at a time; the oldest is dropped first.
        clock: seconds that only rise.
    """

    def __init__(self, limit: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._tickets: dict[str, Login] = {}
        self._sockets: Counter[str] = Counter()
        self._ends_s: dict[str, float] = {}  # of those without a session: when they end, inf while a socket is open

    def issue(self, login: Login = EVERYBODY, *, with_session: bool = True) -> str:
        """Return a new ticket for a page that this login opened; without a session it ends as after one."""
        for old in [old for old in self._ends_s if not self._lasts(old)]:
            self.revoke(old)
        while len(self._tickets) >= self._limit:
            self.revoke(next(iter(self._tickets)))
        ticket = secrets.token_urlsafe(18)
        self._tickets[ticket] = login
        if not with_session:
            self._ends_s[ticket] = self._clock() + _GRACE_S
        return ticket

    def revoke(self, ticket: str) -> None:
        """Make a ticket invalid."""
        self._tickets.pop(ticket, None)
        self._ends_s.pop(ticket, None)

    def session_ended(self, ticket: str) -> None:
        """Revoke the ticket of a page whose session is over, once the page is gone as well."""
        if ticket in self._tickets and self._sockets[ticket]:
            self._ends_s[ticket] = math.inf
        else:
            self.revoke(ticket)

    def socket_opened(self, ticket: str) -> None:
        """Note that a page with this ticket is connected."""
        self._sockets[ticket] += 1
        if ticket in self._ends_s:
            self._ends_s[ticket] = math.inf

    def socket_closed(self, ticket: str) -> None:
        """Note that it is not any more."""
        self._sockets[ticket] -= 1
        if self._sockets[ticket] <= 0:
            del self._sockets[ticket]
            if ticket in self._ends_s:
                self._ends_s[ticket] = self._clock() + _GRACE_S

    def login(self, ticket: str) -> Login | None:
        """Return the login of a ticket, None if the ticket is unknown."""
        return self._tickets.get(ticket) if self._lasts(ticket) else None

    def _lasts(self, ticket: str) -> bool:
        return self._clock() < self._ends_s.get(ticket, math.inf)


class SocketHub:
    """The connected viewers, their tickets, the tick that serves them, and the checks of their tokens."""

    def __init__(self, shared: SharedViews, logins: Logins | None = None) -> None:
        self.shared = shared
        self.logins = logins
        self.tickets = Tickets()
        self._checking: asyncio.Task[None] | None = None
        self._clock = PeriodicCallback(shared.tick, TICK_MS)

    def add(self, viewer: Viewer) -> None:
        """Start serving a viewer."""
        self.shared.viewers.add(viewer)
        if self.logins is not None and self._checking is None:
            self._checking = asyncio.create_task(self._check_logins(self.logins), name="tidewire-logins")
        if not self._clock.is_running():
            self._clock.start()

    def remove(self, viewer: Viewer) -> None:
        """Stop serving a viewer."""
        self.shared.viewers.discard(viewer)
        viewer.close()
        if not self.shared.viewers:
            self._clock.stop()

    async def _check_logins(self, logins: Logins) -> None:
        """Sign out viewers whose tokens were revoked or have expired; runs until cancelled."""
        while True:
            try:
                await logins.check([viewer.login for viewer in self.shared.viewers])
                for viewer in [viewer for viewer in self.shared.viewers if not logins.is_valid(viewer.login)]:
                    viewer.sign_out()
            except Exception:  # the next check may succeed
                _log.exception("cannot check the log-ins")
            await asyncio.sleep(_CHECK_LOGINS_S)

    async def close(self) -> None:
        """Stop the tick and cancel every task."""
        self._clock.stop()
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self.shared.close()


class FrameSocket(WebSocketHandler):
    """One viewer's socket; Tornado refuses other origins."""

    def initialize(self, hub: SocketHub) -> None:
        """Receive the arguments of the route."""
        self._hub = hub
        self._viewer: Viewer | None = None
        self._ticket = ""
        self._unsent = 0
        self._bad = 0

    @property
    def max_message_size(self) -> int:
        """Return the longest message accepted, in bytes."""
        return _MAX_MESSAGE_BYTES

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Accept the viewer, or close the socket with a code that tells the reason."""
        ticket = self.get_query_argument("ticket", "")
        login = self._hub.tickets.login(ticket)
        logins = self._hub.logins
        if login is None:
            self.close(CLOSE_UNKNOWN_TICKET, "unknown ticket: reload the page")
        elif logins is not None and not logins.is_valid(login):
            self.sign_out()
        elif self._hub.shared.full:
            self.close(CLOSE_FULL, "too many viewers")
        else:
            self.set_nodelay(True)
            self._ticket = ticket
            self._hub.tickets.socket_opened(ticket)
            self._viewer = Viewer(self._hub.shared, self, login)
            self._hub.add(self._viewer)

    def on_message(self, message: str | bytes) -> None:
        """Pass a message to the viewer."""
        if self._viewer is None:
            return
        try:
            self._viewer.receive(message)
        except InvalidInput as error:
            self._bad += 1
            self._viewer.send_problem(str(error))
            if self._bad >= _MAX_BAD_MESSAGES:
                self.close(1008, "too many invalid messages")

    def on_close(self) -> None:
        """Remove the viewer."""
        if self._viewer is not None:
            self._hub.remove(self._viewer)
            self._hub.tickets.socket_closed(self._ticket)
            self._viewer = None

    # -- the viewer's port ---------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Return the number of messages not yet handed to the network."""
        return self._unsent

    def send(self, data: bytes | str) -> None:
        """Send one message: bytes as a binary one."""
        try:
            sending = self.write_message(data, binary=isinstance(data, bytes))
        except WebSocketClosedError:
            return  # on_close follows
        self._unsent += 1
        sending.add_done_callback(self._sent)

    def fail(self) -> None:
        """Close the socket; the deck connects again."""
        self.close(CLOSE_FAILED, "this viewer could not be served")

    def sign_out(self) -> None:
        """Close the socket for good; the page stays open and asks for a token."""
        self.close(CLOSE_SIGNED_OUT, "the token of this page has expired or was revoked")

    def _sent(self, sending: asyncio.Future[None]) -> None:
        self._unsent -= 1
        error = sending.exception()
        if error is not None and not isinstance(error, (WebSocketClosedError, StreamClosedError)):
            _log.error("cannot send a frame", exc_info=error)
