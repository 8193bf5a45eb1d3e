"""Logs viewers in: exchanges a token of the service for a cookie, and checks regularly that the token is valid."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tidewire.errors import ServiceRefused, ServiceUnavailable, ServiceUnreachable
from tidewire.model.answers import WhoamiJson
from tidewire.model.scopes import allows, narrowing
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import bearer

__all__ = ["EVERYBODY", "Login", "Logins"]

_log = logging.getLogger("tidewire")
_CHECK_AGAIN_S: Final = 2.0  # so that a revoked token ends what was opened with it within 5 s
_CHECK_TIMEOUT_S: Final = 2.0
_LOGIN_TIMEOUT_S: Final = 10.0  # somebody waits for it, and would only try again
_MAX_REQUESTS: Final = 8  # to the service at a time
_MAX_LOGINS: Final = 10_000  # the oldest is dropped first
_MAX_TOKEN_CHARS: Final = 8_192
_LIFETIME_S: Final = 12 * 3_600.0  # of a cookie, or as long as its token if that expires earlier


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer who is logged in.

    Attributes:
        name: name of their token, or its id if it has none.
        subscribe: patterns of the metrics that they may see.
        edit: whether they may change decks and thresholds.
        token: the token; empty on a dashboard without log-in.
        expires_ms: Unix ms; None for never.
    """

    name: str
    subscribe: tuple[str, ...]
    edit: bool = False
    token: str = ""
    expires_ms: float | None = None

    def __repr__(self) -> str:
        return f"Login(name={self.name!r}, subscribe={self.subscribe!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name), ("subscribe", self.subscribe)]

    @property
    def narrowed_to(self) -> tuple[str, ...]:
        """The patterns of what may be seen, sorted; empty if everything may be seen."""
        return narrowing(self.subscribe)

    @property
    def expired(self) -> bool:
        """Whether the login has expired."""
        return self.expires_ms is not None and time.time() * 1e3 >= self.expires_ms

    def may_see(self, metric: str) -> bool:
        """Tell whether a metric may be seen."""
        return allows(self.subscribe, metric)


EVERYBODY: Final = Login(name="everybody", subscribe=("**",), edit=True)
"""The login of all viewers of a dashboard without log-in."""


class Logins:
    """The logins by cookie. They are kept in memory only, so a restart logs everybody out.

    Args:
        url: the service that issued the tokens.
    """

    def __init__(self, url: str) -> None:
        self._logins = AsyncServiceClient(url, token="", timeout_s=_LOGIN_TIMEOUT_S)
        self._checks = AsyncServiceClient(url, token="", timeout_s=_CHECK_TIMEOUT_S)
        self._by_cookie: dict[str, Login] = {}
        self._checked_s: dict[str, float] = {}  # by valid token: when the service was asked last
        self._request_slots = asyncio.Semaphore(_MAX_REQUESTS)

    async def close(self) -> None:
        """Close the connections to the service."""
        await asyncio.gather(self._logins.close(), self._checks.close())

    async def admit(self, token: str) -> tuple[str, Login]:
        """Log in with a token and return the new cookie and the login.

        Raises:
            ServiceRefused: the token is invalid, or may see nothing.
            ServiceUnavailable: the service did not answer.
        """
        login = await self._identify(token, self._logins)
        while len(self._by_cookie) >= _MAX_LOGINS:
            self.forget(next(iter(self._by_cookie)))
        cookie = secrets.token_urlsafe(32)
        self._by_cookie[cookie] = login
        self._checked_s[token] = time.monotonic()
        return cookie, login

    def find(self, cookie: str) -> Login | None:
        """Return the login of a cookie, None if there is none or it has expired."""
        login = self._by_cookie.get(cookie)
        if login is not None and login.expired:
            self.forget(cookie)
            return None
        return login

    async def find_checked(self, cookie: str) -> Login | None:
        """Return the login of a cookie like `find`, after asking the service whether its token is still valid."""
        login = self.find(cookie)
        if login is not None:
            await self._check(login.token)
        return self.find(cookie)

    def is_valid(self, login: Login) -> bool:
        """Tell whether a login has neither expired nor been revoked."""
        return not login.token or (not login.expired and login.token in self._checked_s)

    def forget(self, cookie: str) -> None:
        """Log out the viewer with this cookie, if there is one."""
        login = self._by_cookie.pop(cookie, None)
        if login is not None and all(other.token != login.token for other in self._by_cookie.values()):
            self._checked_s.pop(login.token, None)

    async def check(self, logins: Iterable[Login]) -> None:
        """Ask the service whether the tokens of these logins are still valid; forget those that are not."""
        await asyncio.gather(*(self._check(token) for token in {login.token for login in logins if login.token}))

    async def _check(self, token: str) -> None:
        if time.monotonic() - self._checked_s.get(token, float("-inf")) < _CHECK_AGAIN_S:
            return
        try:
            await self._identify(token, self._checks)
        except ServiceUnavailable as error:
            _log.debug("cannot check a log-in: %s", error)  # it stays valid: without the service nothing new is shown
        except ServiceRefused:
            for cookie in [cookie for cookie, login in self._by_cookie.items() if login.token == token]:
                self.forget(cookie)
            self._checked_s.pop(token, None)
        else:
            if token in self._checked_s:
                self._checked_s[token] = time.monotonic()

    async def _identify(self, token: str, client: AsyncServiceClient) -> Login:
        """Ask the service who a token belongs to and what it may do."""
        if not (token.isascii() and token.isprintable() and 0 < len(token) <= _MAX_TOKEN_CHARS):
            raise ServiceRefused(401, "this is not a token")
        try:
            async with self._request_slots:
                answer = await client.fetch("GET", "/v1/whoami", headers=bearer(token))
        except ServiceUnreachable as error:  # anybody can read this message: it tells only the kind of failure
            kind = error.why.partition(":")[0]
            raise ServiceUnavailable(f"the service does not answer ({kind}); try again") from None
        if answer.status in (401, 403):
            raise ServiceRefused(401, "the service does not know this token, or it has expired")
        try:
            who = answer.checked().decoded(WhoamiJson)
        except (ServiceUnavailable, ServiceRefused):
            raise ServiceUnavailable(f"the service answered HTTP {answer.status}; try again") from None
        if who.kind == "open":
            raise ServiceRefused(403, "the service does not use tokens; start it with --auth")
        if not who.subscribe:
            raise ServiceRefused(403, "this token may see nothing; make one with --subscribe")
        expires_ms = (time.time() + _LIFETIME_S) * 1e3
        expires_ms = expires_ms if who.expires_ms is None else min(expires_ms, who.expires_ms)
        name = who.name or who.id
        return Login(name=name, subscribe=who.subscribe, edit=who.edit, token=token, expires_ms=expires_ms)
