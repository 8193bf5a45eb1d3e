"""Tickets: let a browser's `EventSource`, which cannot send a header, open one stream and reconnect to it.

A ticket opens its stream once, within a minute. After that it opens it again only together with a cursor that the
stream itself sent: an `EventSource` sends its last one on reconnect, and someone who only saw the address has none.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.cursor import Cursor
from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Identity
from tidewire_service.errors import Unauthenticated

__all__ = ["FIRST_USE_S", "Tickets"]

FIRST_USE_S: Final = 60
_RECONNECT_S: Final = 120  # how long after the end of its stream a ticket can reopen it
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_USED: Final = "the ticket was used; it only reopens its own stream, with a cursor of that stream"


class _Ticket(msgspec.Struct, frozen=True):
    """What is stored of a ticket; its text is not stored.

    Attributes:
        identity: of the owner, as it was when the ticket was created.
        patterns: that its stream may ask for.
        since: the log's position at the first use, as a cursor; empty before.
    """

    identity: Identity
    patterns: tuple[str, ...]
    since: str = ""


class Tickets:
    """Creates and redeems tickets, which are stored in Redis.

    Args:
        log: whose Redis and keys are used.
        stream_age_s: largest age of a stream.

    Raises (every method): LogUnavailable: Redis does not answer.
    """

    def __init__(self, log: RedisLog, stream_age_s: float) -> None:
        self._log = log
        self._kept_s = int(stream_age_s) + _RECONNECT_S

    async def create(self, identity: Identity, patterns: tuple[str, ...]) -> str:
        """Store a new ticket and return its text."""
        text = secrets.token_urlsafe(32)
        body = msgspec.json.encode(_Ticket(identity, patterns))
        await self._log.run(("SET", self._key(text), body, "EX", FIRST_USE_S))
        return text

    async def identity(self, text: str, patterns: tuple[str, ...]) -> Identity:
        """Return the identity of a ticket without redeeming it, since the stream may still be refused by a quota.

        Args:
            text: of the ticket.
            patterns: that the stream asks for.

        Raises:
            Unauthenticated: the ticket has expired, does not exist, or is for other metrics.
        """
        [body] = await self._log.run(("GET", self._key(text))) if _TEXT.fullmatch(text) else [None]
        return self._decode(body, patterns).identity

    async def redeem(self, text: str, last_event_id: str, patterns: tuple[str, ...]) -> None:
        """Redeem a ticket for a stream that is about to open.

        Args:
            text: of a ticket that `identity` accepted.
            last_event_id: that the browser sent, empty if none.
            patterns: that the stream asks for.

        Raises:
            Unauthenticated: the ticket has expired, was used by another client, or is for other metrics.
        """
        key = self._key(text)
        first, body = await self._log.run(("SET", f"{key}:used", "1", "NX", "EX", self._kept_s), ("GET", key))
        found = self._decode(body, patterns)
        if first is None:
            self._check_reconnect(found, last_event_id)
            await self._log.run(("EXPIRE", key, self._kept_s), ("EXPIRE", f"{key}:used", self._kept_s))
        else:
            clock = await self._log.clock()
            used = msgspec.structs.replace(found, since=str(Cursor(clock.epoch, clock.id)))
            await self._log.run(("SET", key, msgspec.json.encode(used), "EX", self._kept_s))

    def _decode(self, body: bytes | None, patterns: tuple[str, ...]) -> _Ticket:
        if body is None:
            raise Unauthenticated("the ticket has expired or does not exist; request a new one", token_given=True)
        found = msgspec.json.decode(body, type=_Ticket)
        if not set(patterns) <= set(found.patterns):
            raise Unauthenticated("the ticket is for other metrics than the stream asks for", token_given=True)
        return found

    def _check_reconnect(self, ticket: _Ticket, last_event_id: str) -> None:
        """Check that the client has a cursor that the stream of this ticket can have sent."""
        try:
            given, since = Cursor.parse(last_event_id), Cursor.parse(ticket.since)
        except InvalidInput:
            raise Unauthenticated(_USED, token_given=True) from None
        if given.epoch == since.epoch and given.id < since.id:
            raise Unauthenticated(_USED, token_given=True)

    def _key(self, text: str) -> str:
        return self._log.keys.ticket(hashlib.sha256(text.encode()).hexdigest())
