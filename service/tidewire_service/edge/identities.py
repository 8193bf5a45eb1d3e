"""Who the viewers are, as the upstream says; kept for a short time, and asked again while their streams are open."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import structlog

from tidewire.errors import InvalidInput, ServiceUnavailable
from tidewire.model.answers import WhoamiJson
from tidewire_service.auth.scopes import ANYONE, Identity, Scopes
from tidewire_service.edge.upstream import Upstream, UpstreamRefused
from tidewire_service.hub.end_reason import EndReason

__all__ = ["Identities"]

_KEPT_S: Final = 30.0
_AGAIN_S: Final = 15.0  # between two looks at the identities of open streams
_REFUSED_S: Final = 60.0  # long enough for every sweep of the streams to see it
_MOST: Final = 10_000  # identities that are kept; beyond it the one that was asked for first goes
_log = structlog.get_logger("tidewire_service")


class _Known(NamedTuple):
    identity: Identity
    asked_s: float


class Identities:
    """The identities of a bounded number of tokens.

    Args:
        upstream: judges tokens.
        time_ms: a clock, Unix ms.

    Attributes:
        asked: number of questions to the upstream.
    """

    def __init__(self, upstream: Upstream, time_ms: Callable[[], float] = lambda: time.time() * 1e3) -> None:
        self._upstream = upstream
        self._time_ms = time_ms
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[Identity]] = {}
        self._held: Counter[str] = Counter()
        self._refused: dict[Identity, float] = {}
        self.asked = 0

    async def identity(self, authorization: str) -> Identity:
        """Return who sends an Authorization header, not older than 30 s; many who ask at once ask once.

        Raises:
            UpstreamRefused: the upstream does not know the token.
            ServiceUnreachable: it does not answer.
            ServiceUnavailable: its answer cannot be read.
        """
        known = self._known.get(authorization)
        if known is not None and time.monotonic() - known.asked_s < _KEPT_S:
            if not known.identity.expired(self._time_ms()):
                return known.identity
            del self._known[authorization]
        asking = self._asking.get(authorization)
        if asking is None:
            asking = self._asking[authorization] = asyncio.create_task(self._ask(authorization))
            asking.add_done_callback(lambda task: self._asked(authorization, task))
        return await asyncio.shield(asking)

    def _asked(self, authorization: str, task: asyncio.Task[Identity]) -> None:
        del self._asking[authorization]
        if not task.cancelled():
            task.exception()  # who waited for it may be gone

    async def _ask(self, authorization: str) -> Identity:
        self.asked += 1
        try:
            identity = _identity(await self._upstream.whoami(authorization))
        except UpstreamRefused:
            self._known.pop(authorization, None)
            raise
        self._known.pop(authorization, None)
        self._known[authorization] = _Known(identity, time.monotonic())
        self._refused.pop(identity, None)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return identity

    def hold(self, authorization: str) -> None:
        """Ask again about a token from time to time: a stream of it is open."""
        self._held[authorization] += 1

    def release(self, authorization: str) -> None:
        """Take note that a stream has ended."""
        self._held[authorization] -= 1
        if self._held[authorization] <= 0:
            del self._held[authorization]

    def end_reason(self, identity: Identity) -> EndReason | None:
        """Return why the streams of an identity must end; None if they need not."""
        if identity.expired(self._time_ms()):
            return EndReason.EXPIRED
        return EndReason.REVOKED if identity in self._refused else None

    async def watch(self) -> None:
        """Ask about the tokens of open streams before their answers are 30 s old; until cancelled."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            now_s = time.monotonic()
            self._refused = {who: at_s for who, at_s in self._refused.items() if now_s - at_s < _REFUSED_S}
            for authorization in tuple(self._held):
                await self.look_again(authorization)

    async def look_again(self, authorization: str) -> None:
        """Ask about a token; while the upstream is away, who was known stays so."""
        before = self._known.get(authorization)
        try:
            identity = await self._ask(authorization)
        except UpstreamRefused as refused:
            if before is not None:
                self._refused[before.identity] = time.monotonic()
            _log.info("identity_refused", status=refused.answer.status)
            return
        except ServiceUnavailable as error:
            _log.debug("identity_unknown", error=str(error))
            return
        if before is not None and before.identity != identity:  # what it may see has changed
            self._refused[before.identity] = time.monotonic()


def _identity(who: WhoamiJson) -> Identity:
    """Return the identity that the upstream named.

    Raises:
        ServiceUnavailable: its scopes cannot be read.
    """
    if who.kind == "open":
        return ANYONE
    try:
        scopes = Scopes(publish=who.publish, subscribe=who.subscribe, edit=who.edit, operate=who.operate)
    except InvalidInput as error:
        raise ServiceUnavailable(f"the upstream's answer cannot be read: {error}") from error
    kind: Literal["token", "jwt"] = "jwt" if who.kind == "jwt" else "token"
    return Identity(id=who.id, name=who.name, kind=kind, scopes=scopes, expires_ms=who.expires_ms)
