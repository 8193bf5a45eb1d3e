"""Tickets: let a browser's `EventSource`, which cannot send a header, open one stream and reconnect to it.

A ticket opens its stream once, within a minute. After that it opens the same stream again, and only from a cursor that
the stream can have sent: an `EventSource` sends its last one on reconnect, and who only saw the address has none
(docs/decisions/0014-what-a-used-ticket-opens.md).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tidewire.errors import InvalidInput, LogUnavailable
from tidewire.model.cursor import Cursor
from tidewire.model.pattern import compile_patterns
from tidewire.model.vector_cursor import AnyCursor, parse_cursor, position_in
from tidewire.redislog.lineage import Clock, chain_text, fork_after, parse_chain, resolve_cursor, whole_epoch
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.auth.scopes import Identity
from tidewire_service.errors import Unauthenticated
from tidewire_service.hub.subscription import SubscriptionRequest

__all__ = ["FIRST_USE_S", "Tickets"]

FIRST_USE_S: Final = 60
_RECONNECT_S: Final = 120  # how long after the end of its stream a ticket can reopen it
_USED_LONGER_S: Final = 60  # the mark of a used ticket outlives the ticket, which would otherwise be new again
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_USED: Final = "the ticket was used; it only reopens its own stream, with a cursor of that stream"


class _Ticket(msgspec.Struct, frozen=True):
    """What is stored of a ticket; its text is not stored.

    Attributes:
        identity: of the owner, as it was when the ticket was created.
        patterns: that its stream may ask for.
    """

    identity: Identity
    patterns: tuple[str, ...]


class _Begun(msgspec.Struct, frozen=True):
    """The stream that a ticket has opened.

    Attributes:
        request: a hash of what it asked for.
        cursor: that it began from, empty if none.
        address_cursor: the cursor in its address, empty if none; who saw the address has it.
        began: for each partition that was there the id after which it began, and the lineage then.
    """

    request: str
    cursor: str
    address_cursor: str
    began: dict[int, tuple[int, str]]


class Tickets:
    """Creates and redeems tickets, which are stored in Redis.

    Args:
        log: whose Redis and keys are used.
        stream_age_s: largest age of a stream.

    Raises (every method): LogUnavailable: Redis does not answer.
    """

    def __init__(self, log: PartitionedLog, stream_age_s: float) -> None:
        self._partitions = log
        self._log = log.home
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
        return _decoded(body, patterns).identity

    async def redeem(
        self, text: str, request: SubscriptionRequest, starts: Sequence[int], *, last_event_id: str, address_cursor: str
    ) -> None:
        """Redeem a ticket for a stream that is about to open.

        Args:
            text: of a ticket that `identity` accepted.
            request: what the stream asks for, without a cursor.
            starts: for each partition the id after which it starts if it has no cursor.
            last_event_id: the header that the client sent; empty if none.
            address_cursor: the cursor in the address of the stream; empty if none.

        Raises:
            Unauthenticated: the ticket has expired, or was used by another client or for another stream.
            InvalidCursor: the ticket is unused, and the cursor is malformed.
        """
        key, used = self._key(text), f"{self._key(text)}:used"
        clocks = await self._clocks(request.patterns)
        body, begun = await self._log.run(("GET", key), ("GET", used))
        _decoded(body, request.patterns)
        digest = hashlib.sha256(msgspec.json.encode(request)).hexdigest()
        keep, used_s = ("EXPIRE", key, self._kept_s), self._kept_s + _USED_LONGER_S
        if begun is not None:
            if not _resumes(begun, digest, last_event_id, address_cursor, clocks):
                raise Unauthenticated(_USED, token_given=True)
            await self._log.run(keep, ("EXPIRE", used, used_s))
            return
        cursor = last_event_id or address_cursor
        given = parse_cursor(cursor) if cursor else None
        began = {
            number: (_start(starts[number], given, number, clock), chain_text(clock.chain))
            for number, clock in clocks.items()
        }
        mark = msgspec.json.encode(_Begun(digest, cursor, address_cursor, began))
        first, _ = await self._log.run(("SET", used, mark, "NX", "EX", used_s), keep)
        if first is None:  # another request was faster
            raise Unauthenticated(_USED, token_given=True)

    async def _clocks(self, patterns: tuple[str, ...]) -> dict[int, Clock]:
        """Return the clocks of the partitions that patterns touch, without those that are known to be away.

        Raises:
            LogUnavailable: none of them answers.
        """
        compiled = compile_patterns(patterns)
        literals = [pattern.text for pattern in compiled] if all(pattern.literal for pattern in compiled) else None
        numbers = self._partitions.layout.touched(literals)
        asked = [number for number in numbers if number not in self._partitions.away]
        if not asked:
            raise LogUnavailable(f"partition {numbers[0]} of the log at {self._log.url} does not answer")
        clocks = await asyncio.gather(*(self._partitions.parts[number].clock() for number in asked))
        return dict(zip(asked, clocks, strict=True))

    def _key(self, text: str) -> str:
        return self._log.keys.ticket(hashlib.sha256(text.encode()).hexdigest())


def _decoded(body: bytes | None, patterns: tuple[str, ...]) -> _Ticket:
    try:
        found = None if body is None else msgspec.json.decode(body, type=_Ticket)
    except (msgspec.MsgspecError, InvalidInput, RecursionError):  # another program has overwritten it
        found = None
    if found is None:
        raise Unauthenticated("the ticket has expired or does not exist; request a new one", token_given=True)
    if not set(patterns) <= set(found.patterns):
        raise Unauthenticated("the ticket is for other metrics than the stream asks for", token_given=True)
    return found


def _start(start: int, given: AnyCursor | None, number: int, clock: Clock) -> int:
    """Return the id after which a stream starts in a partition, or an earlier one."""
    position = None if given is None else position_in(given, number)
    if position is None:
        return start
    found = resolve_cursor(clock.chain, whole_epoch(clock.chain, position.epoch), position.id)
    return min(start, found.id) if found.known else start


def _resumes(mark: bytes, digest: str, last_event_id: str, address_cursor: str, clocks: Mapping[int, Clock]) -> bool:
    """Tell whether a request is for the stream that a ticket began, from a cursor which that stream can have sent."""
    try:
        begun = msgspec.json.decode(mark, type=_Begun)
        if digest != begun.request:
            return False
        if last_event_id:
            return last_event_id == begun.cursor or _can_have_sent_all(begun, parse_cursor(last_event_id), clocks)
        return address_cursor != begun.address_cursor and _can_have_sent_all(
            begun, parse_cursor(address_cursor), clocks
        )
    except (msgspec.MsgspecError, InvalidInput):  # a mark of another program, or no cursor
        return False


def _can_have_sent_all(begun: _Begun, cursor: AnyCursor, clocks: Mapping[int, Clock]) -> bool:
    """Tell whether a stream can have sent a cursor, in each partition that is known now.

    One that was away when the stream began has no beginning to compare with.

    Raises:
        LogUnavailable: all partitions of the cursor are away.
    """
    positions = {0: cursor} if isinstance(cursor, Cursor) else dict(cursor.parts)
    known = {number: at for number, at in positions.items() if number in clocks}
    if not known:
        raise LogUnavailable("the partitions of the cursor do not answer")
    return all(
        number not in begun.began
        or _can_have_sent(*begun.began[number], _whole(at, begun.began[number][1], clocks[number]), clocks[number])
        for number, at in known.items()
    )


def _whole(cursor: Cursor, chain: str, clock: Clock) -> Cursor:
    """Return a cursor with the whole of its epoch, of which a vector names the beginning."""
    return Cursor(whole_epoch(clock.chain, whole_epoch(parse_chain(chain), cursor.epoch)), cursor.id)


def _can_have_sent(since: int, chain: str, cursor: Cursor, clock: Clock) -> bool:
    """Tell whether a stream can have sent a cursor: one of an epoch it lived in or replayed, and not before its start.

    The lineage may have changed since: a failover makes an epoch that can fork before the start of the stream, and a
    lost log one that has nothing in common with it, in which the stream was reset.
    """
    then = parse_chain(chain)
    epoch, id_ = cursor
    replayed = fork_after(then, epoch)
    if replayed is not None and replayed[0] is not None and id_ > replayed[0]:
        return False  # no id of that epoch lies beyond its end
    if fork_after(clock.chain, epoch) is None:
        return replayed is not None and id_ >= since
    if epoch == clock.epoch and id_ > clock.id:
        return False
    lived = fork_after(clock.chain, then[-1].epoch)
    if lived is None:
        return replayed is None or id_ >= since
    if replayed is None:
        since = min([since, *(entry.fork for entry in lived[1])])
    return id_ >= since
