"""Log-in: a viewer shows a token of the service once and gets a cookie; what the token may see bounds what they see."""

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
_CHECK_S: Final = 2.0  # how soon a revoked token ends what was opened with it: within 5 s
_TIMEOUT_S: Final = 2.0
_AT_ONCE: Final = 8
_LIMIT: Final = 10_000
_LIFETIME_S: Final = 12 * 3_600.0  # of a cookie; a token that ends earlier ends it earlier


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer who logged in.

    Attributes:
        name: of the token.
        subscribe: patterns of the metrics that may be seen.
        edit: they may change decks and thresholds.
        token: what the service is asked with, whether it still holds; empty where nobody logs in.
        ends_ms: Unix ms; None for never.
    """

    name: str
    subscribe: tuple[str, ...]
    edit: bool = False
    token: str = ""
    ends_ms: float | None = None

    def __repr__(self) -> str:
        return f"Login(name={self.name!r}, subscribe={self.subscribe!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name), ("subscribe", self.subscribe)]

    @property
    def narrowed_to(self) -> tuple[str, ...]:
        """The patterns that narrow what is shown, sorted; empty if all may be seen."""
        return narrowing(self.subscribe)

    @property
    def ended(self) -> bool:
        """Tell whether its time is over."""
        return self.ends_ms is not None and time.time() * 1e3 >= self.ends_ms

    def may_see(self, metric: str) -> bool:
        """Tell whether a metric may be seen."""
        return allows(self.subscribe, metric)


EVERYBODY: Final = Login(name="everybody", subscribe=("**",), edit=True)
"""A viewer of a dashboard without log-in: on loopback."""


class Logins:
    """Who is logged in, by the cookie of their browser; in memory: a restart logs everybody out.

    Args:
        url: the service, which knows the tokens.
    """

    def __init__(self, url: str) -> None:
        self._client = AsyncServiceClient(url, token="", timeout_s=_TIMEOUT_S)
        self._by_cookie: dict[str, Login] = {}
        self._checked_s: dict[str, float] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close the connections to the service."""
        await self._client.close()

    async def admit(self, token: str) -> tuple[str, Login]:
        """Return the cookie of a new log-in, and the log-in.

        Raises:
            ServiceRefused: the token is worthless, or may see nothing.
            ServiceUnavailable: the service cannot be asked.
        """
        login = await self._ask(token)
        while len(self._by_cookie) >= _LIMIT:
            self.forget(next(iter(self._by_cookie)))
        cookie = secrets.token_urlsafe(32)
        self._by_cookie[cookie] = login
        self._checked_s[token] = time.monotonic()
        return cookie, login

    def of(self, cookie: str) -> Login | None:
        """Return who a cookie belongs to."""
        login = self._by_cookie.get(cookie)
        if login is not None and login.ended:
            self.forget(cookie)
            return None
        return login

    async def checked(self, cookie: str) -> Login | None:
        """Return who a cookie belongs to, after asking the service whether their token still holds."""
        login = self.of(cookie)
        if login is not None:
            await self._check(login.token)
        return self.of(cookie)

    def holds(self, login: Login) -> bool:
        """Tell whether a log-in still counts."""
        if not login.token:
            return True
        return not login.ended and login.token in self._checked_s

    def forget(self, cookie: str) -> None:
        """Log out."""
        login = self._by_cookie.pop(cookie, None)
        if login is not None and all(other.token != login.token for other in self._by_cookie.values()):
            self._checked_s.pop(login.token, None)

    async def check(self, present: Iterable[Login]) -> None:
        """Ask the service whether the tokens of those present still hold."""
        await asyncio.gather(*(self._check(token) for token in {login.token for login in present if login.token}))

    async def _check(self, token: str) -> None:
        if time.monotonic() - self._checked_s.get(token, float("-inf")) < _CHECK_S:
            return
        try:
            await self._ask(token)
        except ServiceUnavailable as error:
            _log.debug("a log-in could not be checked: %s", error)  # what is seen is as old as the last answer
        except ServiceRefused:
            for cookie in [cookie for cookie, login in self._by_cookie.items() if login.token == token]:
                self.forget(cookie)
            self._checked_s.pop(token, None)
        else:
            if token in self._checked_s:
                self._checked_s[token] = time.monotonic()

    async def _ask(self, token: str) -> Login:
        if not (token.isascii() and token.isprintable() and 0 < len(token) <= 8_192):
            raise ServiceRefused(401, "this is no token")
        try:
            async with self._turns:
                answer = await self._client.fetch("GET", "/v1/whoami", headers=bearer(token))
        except ServiceUnreachable as error:  # strangers read this: no more than the kind of failure
            kind = error.why.partition(":")[0]
            raise ServiceUnavailable(f"the service does not answer ({kind}); try again") from None
        if answer.status in (401, 403):
            raise ServiceRefused(401, "the service does not know this token, or its time is over")
        try:
            who = answer.checked().decoded(WhoamiJson)
        except (ServiceUnavailable, ServiceRefused):
            raise ServiceUnavailable(f"the service answered HTTP {answer.status}; try again") from None
        if who.kind == "open":
            raise ServiceRefused(403, "the service asks nobody for a token; start it with --auth")
        if not who.subscribe:
            raise ServiceRefused(403, "this token may see nothing; make one with --subscribe")
        ends_ms = (time.time() + _LIFETIME_S) * 1e3
        ends_ms = ends_ms if who.expires_ms is None else min(ends_ms, who.expires_ms)
        return Login(name=who.name, subscribe=who.subscribe, edit=who.edit, token=token, ends_ms=ends_ms)
