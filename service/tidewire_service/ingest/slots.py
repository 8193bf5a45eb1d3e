"""Shares the slots for request bodies fairly by token and by address: nobody is shut out by one who is slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from tidewire_service.errors import RateExceeded

__all__ = ["Slot", "Slots"]

_LIMIT: Final = "max_posts"


class Slot:
    """One slot that is held.

    Attributes:
        token: id of the token of the request; empty for none.
        address: of the client; empty if unknown.
    """

    __slots__ = ("_waiting", "address", "token")

    def __init__(self, token: str, address: str) -> None:
        self.token = token
        self.address = address
        self._waiting: asyncio.Timeout | None = None

    @property
    def waits(self) -> bool:
        """Whether it is held only for the client, who has not sent all of its body."""
        return self._waiting is not None

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Return a context in which the body is received.

        Raises:
            RateExceeded: the slot was needed for another token or address, which holds fewer.
        """
        try:
            async with asyncio.timeout(None) as self._waiting:
                yield
        except TimeoutError:
            detail = "others need the slot, and this token or address holds more of them; send the body faster"
            raise RateExceeded(detail, limit=_LIMIT, retry_after_s=1.0) from None
        finally:
            self._waiting = None

    def end_waiting(self) -> None:
        """Let what waits for the client end."""
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())


class Slots:
    """All slots of a process. Any token or address may hold all of them, until another needs one.

    Then one of those that hold more loses the slot of its oldest body that has not arrived whole: 128 bodies of one
    token that dribble kept everybody else out for a minute.

    Args:
        most: number of slots.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Slot, None] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def held(self, token: str, address: str) -> Iterator[Slot]:
        """Hold a slot for one body.

        Args:
            token: id of the token of the request; empty for none.
            address: of the client; empty if unknown.

        Raises:
            RateExceeded: all slots are held, by bodies that have arrived or by others that hold no more than this one.
        """
        slot = Slot(token, address)
        if len(self._held) >= self._most:
            self._make_room(slot)
        self._held[slot] = None
        try:
            yield slot
        finally:
            self._held.pop(slot, None)

    def _make_room(self, newcomer: Slot) -> None:
        given_up = self._given_up("token", newcomer.token) or self._given_up("address", newcomer.address)
        if given_up is None:
            detail = f"{len(self)} bodies are in progress (max_posts); try again"
            raise RateExceeded(detail, limit=_LIMIT, retry_after_s=1.0)
        del self._held[given_up]
        given_up.end_waiting()

    def _given_up(self, by: str, newcomer: str) -> Slot | None:
        """Return the slot that the holder of most gives up; None if none holds more than the newcomer would."""
        if not newcomer:
            return None
        held = Counter(holder for slot in self._held if (holder := getattr(slot, by)))
        for holder, count in held.most_common():
            if count <= held[newcomer] + 1:
                return None
            waiting = (slot for slot in self._held if slot.waits and getattr(slot, by) == holder)
            if (found := next(waiting, None)) is not None:
                return found
        return None
