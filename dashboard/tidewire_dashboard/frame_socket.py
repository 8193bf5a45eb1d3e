"""The frame socket: the WebSocket between a deck and this process, admitted by a ticket of its page."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Final

from tornado.ioloop import PeriodicCallback
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from tidewire.errors import InvalidInput
from tidewire_dashboard.login import EVERYBODY, Login, Logins
from tidewire_dashboard.pacing import TICK_MS
from tidewire_dashboard.shared_views import Room
from tidewire_dashboard.viewer import Viewer

__all__ = ["CLOSE_FULL", "CLOSE_SIGNED_OUT", "CLOSE_UNKNOWN_TICKET", "FrameSocket", "SocketHub", "Tickets"]

_log = logging.getLogger("tidewire")
CLOSE_UNKNOWN_TICKET: Final = 4401
CLOSE_SIGNED_OUT: Final = 4403
CLOSE_FAILED: Final = 1011  # RFC 6455: an unexpected condition
CLOSE_FULL: Final = 1013  # RFC 6455 registry: try again later
PING_S: Final = 10.0  # a viewer that vanished is noticed within two of these
_CHECK_LOGINS_S: Final = 1.0
_MAX_MESSAGE_BYTES: Final = 64 << 10
_MAX_BAD_MESSAGES: Final = 20


class Tickets:
    """The tickets of the pages that are open: random, one per page, good until the page's session ends.

    Args:
        limit: tickets at a time; the oldest goes first.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._tickets: dict[str, Login] = {}

    def issue(self, login: Login = EVERYBODY) -> str:
        """Return a new ticket of somebody's page."""
        while len(self._tickets) >= self._limit:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(18)
        self._tickets[ticket] = login
        return ticket

    def revoke(self, ticket: str) -> None:
        """Take a ticket back."""
        self._tickets.pop(ticket, None)

    def login(self, ticket: str) -> Login | None:
        """Return whose page a ticket belongs to, None if it is unknown."""
        return self._tickets.get(ticket)

    def __contains__(self, ticket: str) -> bool:
        return ticket in self._tickets


class SocketHub:
    """The tick that drives all viewers, running while there are any; and the tickets that admit them."""

    def __init__(self, room: Room, logins: Logins | None = None) -> None:
        self.room = room
        self.logins = logins
        self.tickets = Tickets()
        self._checking: asyncio.Task[None] | None = None
        self._clock = PeriodicCallback(room.tick, TICK_MS)

    def enter(self, viewer: Viewer) -> None:
        """Serve a viewer."""
        self.room.viewers.add(viewer)
        if self.logins is not None and self._checking is None:
            self._checking = asyncio.create_task(self._check_logins(self.logins), name="tidewire-logins")
        if not self._clock.is_running():
            self._clock.start()

    def leave(self, viewer: Viewer) -> None:
        """Serve a viewer no longer."""
        self.room.viewers.discard(viewer)
        viewer.close()
        if not self.room.viewers:
            self._clock.stop()

    async def _check_logins(self, logins: Logins) -> None:
        """End what is open for tokens that were revoked or are over; until cancelled."""
        while True:
            try:
                await logins.check([viewer.login for viewer in self.room.viewers])
                for viewer in [viewer for viewer in self.room.viewers if not logins.holds(viewer.login)]:
                    viewer.sign_out()
            except Exception:  # the next look may go well; the log says what did not
                _log.exception("log-ins could not be checked")
            await asyncio.sleep(_CHECK_LOGINS_S)

    async def close(self) -> None:
        """Stop the tick and what is under way."""
        self._clock.stop()
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self.room.close()


class FrameSocket(WebSocketHandler):
    """One viewer's socket. Tornado refuses foreign origins."""

    def initialize(self, hub: SocketHub) -> None:
        """Take what the route gives."""
        self._hub = hub
        self._viewer: Viewer | None = None
        self._unsent = 0
        self._bad = 0

    @property
    def max_message_size(self) -> int:
        """Return the longest message taken, in bytes."""
        return _MAX_MESSAGE_BYTES

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Admit the viewer, or close with the code that says why not."""
        login = self._hub.tickets.login(self.get_query_argument("ticket", ""))
        logins = self._hub.logins
        if login is None:
            self.close(CLOSE_UNKNOWN_TICKET, "unknown ticket: reload the page")
        elif logins is not None and not logins.holds(login):
            self.sign_out()
        elif self._hub.room.full:
            self.close(CLOSE_FULL, "too many viewers")
        else:
            self.set_nodelay(True)
            self._viewer = Viewer(self._hub.room, self, login)
            self._hub.enter(self._viewer)

    def on_message(self, message: str | bytes) -> None:
        """Hand a message to the viewer."""
        if self._viewer is None:
            return
        try:
            self._viewer.hear(message)
        except InvalidInput as error:
            self._bad += 1
            self._viewer.send_problem(str(error))
            if self._bad >= _MAX_BAD_MESSAGES:
                self.close(1008, "too many messages that cannot be read")

    def on_close(self) -> None:
        """Forget the viewer."""
        if self._viewer is not None:
            self._hub.leave(self._viewer)
            self._viewer = None

    # -- the port of the viewer ----------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Return how many messages have not left for the network yet."""
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
        """Close, so that the deck connects anew."""
        self.close(CLOSE_FAILED, "this viewer could not be served")

    def sign_out(self) -> None:
        """Close for good: the page stays as it is, and asks for a token."""
        self.close(CLOSE_SIGNED_OUT, "the token of this page is over or was revoked")

    def _sent(self, sending: asyncio.Future[None]) -> None:
        self._unsent -= 1
        error = sending.exception()
        if error is not None and not isinstance(error, (WebSocketClosedError, StreamClosedError)):
            _log.error("a frame could not be sent", exc_info=error)
