"""Tickets: one stream each, for a browser's `EventSource`, which can send no header; safe with its reconnects.

A ticket opens its stream once, within a minute. From then on it opens it again for whoever shows a cursor that the
stream itself has given: an `EventSource` sends its own by itself, and who has only seen the address has none.
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
_AWAY_S: Final = 120  # how long after its stream has ended a ticket can still go on
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class _Ticket(msgspec.Struct, frozen=True):
    """What is kept of a ticket; its text is kept nowhere.

    Attributes:
        identity: whose it is, as at the time when it was made.
        patterns: what its stream may ask for.
        since: the log's position at its first use, as a cursor; empty before.
    """

    identity: Identity
    patterns: tuple[str, ...]
    since: str = ""


class Tickets:
    """The tickets of one Redis.

    Args:
        log: whose Redis and keys to use.
        stream_age_s: the longest life of one stream.

    Raises (every method): LogUnavailable: Redis does not answer.
    """

    def __init__(self, log: RedisLog, stream_age_s: float) -> None:
        self._log = log
        self._kept_s = int(stream_age_s) + _AWAY_S

    async def create(self, identity: Identity, patterns: tuple[str, ...]) -> str:
        """Return the text of a new ticket."""
        text = secrets.token_urlsafe(32)
        body = msgspec.json.encode(_Ticket(identity, patterns))
        await self._log.run(("SET", self._key(text), body, "EX", FIRST_USE_S))
        return text

    async def identity(self, text: str, patterns: tuple[str, ...]) -> Identity:
        """Return whose stream a ticket opens, without using it up: there may be no room for the stream yet.

        Args:
            text: of the ticket.
            patterns: what the stream asks for.

        Raises:
            Unauthenticated: the ticket is over, or is for something else.
        """
        [body] = await self._log.run(("GET", self._key(text))) if _TEXT.fullmatch(text) else [None]
        return self._found(body, patterns).identity

    async def redeem(self, text: str, last_event_id: str, patterns: tuple[str, ...]) -> None:
        """Use a ticket for a stream that is about to be opened.

        Args:
            text: of a ticket whose `identity` was asked for.
            last_event_id: what the browser sent, empty if nothing.
            patterns: what the stream asks for.

        Raises:
            Unauthenticated: the ticket is over, was used, or is for something else.
        """
        key = self._key(text)
        first, body = await self._log.run(("SET", f"{key}:used", "1", "NX", "EX", self._kept_s), ("GET", key))
        found = self._found(body, patterns)
        if first is None:
            self._check_goes_on(found, last_event_id)
            await self._log.run(("EXPIRE", key, self._kept_s), ("EXPIRE", f"{key}:used", self._kept_s))
        else:
            clock = await self._log.clock()
            used = msgspec.structs.replace(found, since=str(Cursor(clock.epoch, clock.id)))
            await self._log.run(("SET", key, msgspec.json.encode(used), "EX", self._kept_s))

    def _found(self, body: bytes | None, patterns: tuple[str, ...]) -> _Ticket:
        if body is None:
            raise Unauthenticated("the ticket is over or none of this service; ask for a new one", token_given=True)
        found = msgspec.json.decode(body, type=_Ticket)
        if not set(patterns) <= set(found.patterns):
            raise Unauthenticated("the ticket is for other metrics than the stream asks for", token_given=True)
        return found

    def _check_goes_on(self, ticket: _Ticket, last_event_id: str) -> None:
        try:
            given, since = Cursor.parse(last_event_id), Cursor.parse(ticket.since)
        except InvalidInput:
            raise Unauthenticated(
                "the ticket was used; only its own stream goes on with it", token_given=True
            ) from None
        if given.epoch == since.epoch and given.id < since.id:
            raise Unauthenticated("the ticket was used; only its own stream goes on with it", token_given=True)

    def _key(self, text: str) -> str:
        return self._log.keys.ticket(hashlib.sha256(text.encode()).hexdigest())
