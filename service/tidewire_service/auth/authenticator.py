"""Authenticates requests against a cached copy of the token store."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire_service.auth.scopes import ANYONE, Identity
from tidewire_service.auth.tokens import Token, TokenStore, identity_of, parse_token, secret_matches
from tidewire_service.errors import Unauthenticated
from tidewire_service.hub.end_reason import EndReason

if TYPE_CHECKING:
    from tidewire_service.auth.jwt import JwtVerifier

__all__ = ["Authenticator"]

_REFRESH_S: Final = 1.0  # after which a process knows of a new or revoked token
_MIN_REFRESH_S: Final = 0.2  # between two reads: unknown tokens cause at most 5 reads of Redis per second
_STORE_LAST_USED_S: Final = 10.0
_MAX_BEARER_CHARS: Final = 16 * 1024
_log = structlog.get_logger("tidewire_service")


class Authenticator:
    """Authenticates requests against a copy of all tokens, at most a second old, so a known token costs no round trip.

    While Redis does not answer, the copy stays valid; a request with an unknown token is told to try again.

    Args:
        store: the tokens; None admits every request without a token.
        jwt: verifies JSON Web Tokens; None if no identity provider is set.

    Attributes:
        counters: authentications by outcome.
    """

    def __init__(self, store: TokenStore | None, jwt: JwtVerifier | None = None) -> None:
        self.counters = dict.fromkeys(("accepted", "missing", "refused", "forbidden", "undecided", "limited"), 0)
        self._store = store
        self._jwt = jwt
        self._tokens: dict[str, Token] = {}
        self._version: bytes | None = None
        self._used: dict[str, float] = {}
        self._refreshed_s = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether requests are admitted without a token."""
        return self._store is None

    def identity(self, authorization: str) -> Identity | None:
        """Return the identity of a request; None if the token is not in the copy: then call `refreshed_identity`.

        Args:
            authorization: the value of the Authorization header, empty if there is none.

        Raises:
            Unauthenticated: there is no token, or one that this service cannot have issued.
        """
        if self._store is None:
            return ANYONE
        bearer = self._bearer(authorization)
        parsed = parse_token(bearer)
        if parsed is None:
            return self._jwt_identity(bearer)
        id_, secret = parsed
        token = self._tokens.get(id_)
        if not secret_matches(secret, token) or token is None:
            return None
        return self._accepted(identity_of(id_, token))

    async def refreshed_identity(self, authorization: str) -> Identity:
        """Read changed tokens from Redis, then return the identity of a request.

        Raises:
            Unauthenticated: there is no token, or an invalid one.
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
                "the token does not exist or was revoked; `tidewire token list` shows the valid ones",
                token_given=True,
            )
        return found

    def end_reason(self, identity: Identity) -> EndReason | None:
        """Return why a stream of this identity must end; None if it may continue."""
        if identity.expired(time.time() * 1e3):
            return EndReason.EXPIRED
        if identity.kind == "token" and self._version is not None and identity.id not in self._tokens:
            return EndReason.REVOKED
        return None

    async def watch(self) -> None:
        """Read new and revoked tokens every second, and store when tokens were last used; until cancelled."""
        stored_s = time.monotonic()
        while self._store is not None:
            try:
                await self._refresh()
                if time.monotonic() - stored_s >= _STORE_LAST_USED_S:
                    stored_s = time.monotonic()
                    await self.store_last_used()
            except LogUnavailable as error:
                _log.debug("tokens_not_read", error=str(error))  # debug only: the hub has logged that Redis is away
            await asyncio.sleep(_REFRESH_S)

    async def store_last_used(self) -> None:
        """Store in Redis when tokens were last used."""
        used, self._used = self._used, {}
        if used and self._store is not None:
            await self._store.set_last_used({id_: ms for id_, ms in used.items() if id_ in self._tokens})

    def _bearer(self, authorization: str) -> str:
        """Return the token of an Authorization header."""
        if not authorization:
            self.counters["missing"] += 1
            raise Unauthenticated(
                "this service needs a token: send it as `Authorization: Bearer …`; `tidewire token create` makes one",
                token_given=False,
            )
        scheme, _, bearer = authorization.partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != "bearer" or not bearer or len(bearer) > _MAX_BEARER_CHARS:
            self.counters["refused"] += 1
            raise Unauthenticated("expected `Authorization: Bearer …` with one token", token_given=True)
        return bearer

    def _jwt_identity(self, bearer: str) -> Identity | None:
        """Return the identity of a JSON Web Token; None if its key is not known yet."""
        if self._jwt is None:
            self.counters["refused"] += 1
            raise Unauthenticated("this is not a token of this service; those begin with tw_", token_given=True)
        try:
            identity = self._jwt.verify(bearer, time.time() * 1e3)
        except Unauthenticated:
            self.counters["refused"] += 1
            raise
        return None if identity is None else self._accepted(identity)

    def _accepted(self, identity: Identity) -> Identity:
        """Check that an identity is not expired, and count it."""
        now_ms = time.time() * 1e3
        if identity.expired(now_ms):
            self.counters["refused"] += 1
            raise Unauthenticated(
                "the token has expired; make a new one with `tidewire token create`", token_given=True
            )
        self.counters["accepted"] += 1
        if identity.kind == "token":
            self._used[identity.id] = now_ms
        return identity

    async def _refresh(self) -> None:
        """Read the tokens if they changed; concurrent callers share one read."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read_changes(), name="tidewire-tokens")
        await asyncio.shield(self._refreshing)

    async def _read_changes(self) -> None:
        assert self._store is not None  # noqa: S101 - only called with a store
        await asyncio.sleep(max(0.0, self._refreshed_s + _MIN_REFRESH_S - time.monotonic()))
        self._refreshed_s = time.monotonic()
        version = await self._store.version()
        if version != self._version:
            self._tokens, self._version = await self._store.tokens(), version
