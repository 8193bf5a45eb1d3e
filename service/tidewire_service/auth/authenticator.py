"""Authenticates requests against a cached copy of the token store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire_service.auth.scopes import ANYONE, Identity
from tidewire_service.auth.tokens import Token, TokenStore, identity_of, parse_token, proves
from tidewire_service.errors import Unauthenticated
from tidewire_service.hub.end_reason import EndReason

if TYPE_CHECKING:
    from tidewire_service.auth.jwt import JwtVerifier

__all__ = ["Authenticator"]

_REFRESH_S: Final = 1.0  # how soon a process knows of a new or revoked token
_SOONEST_S: Final = 0.2  # between two reads, however many unknown tokens come: at most 5 a second reach Redis
_NOTE_USED_S: Final = 10.0
_MAX_BEARER: Final = 16 * 1024
_log = structlog.get_logger("tidewire_service")


class Authenticator:
    """Authenticates requests against a copy of all tokens, at most a second old: a known token waits for nothing.

    While Redis is away, the copy stays valid; an unknown token cannot be decided, and its sender is told to come back.

    Args:
        store: the tokens; None lets everybody in without one.
        jwt: verifies JSON Web Tokens, if there is an identity provider.
        now_ms: Unix ms.

    Attributes:
        counters: authentications by outcome.
    """

    def __init__(
        self,
        store: TokenStore | None,
        jwt: JwtVerifier | None = None,
        *,
        now_ms: Callable[[], float] = lambda: time.time() * 1e3,
    ) -> None:
        self.counters = dict.fromkeys(("accepted", "missing", "refused", "forbidden", "undecided", "limited"), 0)
        self._store = store
        self._jwt = jwt
        self._now_ms = now_ms
        self._tokens: dict[str, Token] = {}
        self._version: bytes | None = None
        self._used: dict[str, float] = {}
        self._refreshed_s = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether requests need no token."""
        return self._store is None

    def identity(self, authorization: str) -> Identity | None:
        """Return the identity behind a request; None if only `refreshed_identity` can tell.

        Args:
            authorization: the header's value, empty if there is none.

        Raises:
            Unauthenticated: it cannot be any token of this service.
        """
        if self._store is None:
            return ANYONE
        bearer = self._bearer(authorization)
        parsed = parse_token(bearer)
        if parsed is None:
            return self._foreign(bearer)
        id_, secret = parsed
        token = self._tokens.get(id_)
        if not proves(secret, token) or token is None:
            return None
        return self._accepted(identity_of(id_, token))

    async def refreshed_identity(self, authorization: str) -> Identity:
        """Return the identity behind a request, after reading changed tokens from Redis.

        Raises:
            Unauthenticated: it cannot be any token of this service.
            LogUnavailable: Redis does not answer; the token may be valid.
        """
        try:
            if parse_token(self._bearer(authorization)) is None and self._jwt is not None:
                await self._jwt.refresh()
            else:
                await self._refresh()
        except LogUnavailable:
            self.counters["undecided"] += 1
            raise
        found = self.identity(authorization)
        if found is None:
            self.counters["refused"] += 1
            raise Unauthenticated(
                "the token is not known here, or was revoked; `tidewire token list` shows those that are",
                token_given=True,
            )
        return found

    def end_of(self, identity: Identity) -> EndReason | None:
        """Return why a stream of this identity must end; None if it may go on."""
        if identity.expired(self._now_ms()):
            return EndReason.EXPIRED
        if identity.kind == "token" and self._version is not None and identity.id not in self._tokens:
            return EndReason.REVOKED
        return None

    async def watch(self) -> None:
        """Read new and revoked tokens every second, and store when tokens were used; until cancelled."""
        noted_s = time.monotonic()
        while self._store is not None:
            try:
                await self._refresh()
                if time.monotonic() - noted_s >= _NOTE_USED_S:
                    noted_s = time.monotonic()
                    await self.note_used()
            except LogUnavailable as error:
                _log.debug("tokens_not_read", error=str(error))  # the hub has said already that Redis is away
            await asyncio.sleep(_REFRESH_S)

    async def note_used(self) -> None:
        """Store in Redis when tokens were last used."""
        used, self._used = self._used, {}
        if used and self._store is not None:
            await self._store.note_used({id_: ms for id_, ms in used.items() if id_ in self._tokens})

    def _bearer(self, authorization: str) -> str:
        if not authorization:
            self.counters["missing"] += 1
            raise Unauthenticated(
                "this service wants a token: send it as `Authorization: Bearer …`; `tidewire token create` makes one",
                token_given=False,
            )
        scheme, _, bearer = authorization.partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != "bearer" or not bearer or len(bearer) > _MAX_BEARER:
            self.counters["refused"] += 1
            raise Unauthenticated("expected `Authorization: Bearer …` with one token", token_given=True)
        return bearer

    def _foreign(self, bearer: str) -> Identity | None:
        """Return the identity of a JSON Web Token."""
        if self._jwt is None:
            self.counters["refused"] += 1
            raise Unauthenticated("what was given is no token of this service; they begin with tw_", token_given=True)
        try:
            identity = self._jwt.verify(bearer, self._now_ms())
        except Unauthenticated:
            self.counters["refused"] += 1
            raise
        return None if identity is None else self._accepted(identity)

    def _accepted(self, identity: Identity) -> Identity:
        now_ms = self._now_ms()
        if identity.expired(now_ms):
            self.counters["refused"] += 1
            raise Unauthenticated(
                "the token's time is over; make a new one with `tidewire token create`", token_given=True
            )
        self.counters["accepted"] += 1
        if identity.kind == "token":
            self._used[identity.id] = now_ms
        return identity

    async def _refresh(self) -> None:
        """Read changed tokens; concurrent callers share one read."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read_changes(), name="tidewire-tokens")
        await asyncio.shield(self._refreshing)

    async def _read_changes(self) -> None:
        assert self._store is not None  # noqa: S101 - only called with a store
        await asyncio.sleep(max(0.0, self._refreshed_s + _SOONEST_S - time.monotonic()))
        self._refreshed_s = time.monotonic()
        version = await self._store.version()
        if version != self._version:
            self._tokens, self._version = await self._store.tokens(), version
