"""Refuses requests with a wrong Host header, from another origin, or that would embed a page; answers probes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.routing import HostMatches, Matcher, PathMatches, Rule
from tornado.web import RequestHandler

from tidewire.errors import shown
from tidewire_dashboard.login_page import LoginGate
from tidewire_dashboard.page_headers import is_embedded

__all__ = ["guard_rules"]

_log = logging.getLogger("tidewire")
_PAGE: Final = re.compile(r"/|/d/[^/]+")
_READING_METHODS: Final = frozenset({"GET", "HEAD"})


class _ForeignPage(Matcher):
    """Matches requests that a page of another origin makes, except followed links.

    Bokeh checks only the origin of its own socket, without the port, and lets every page read `autoload.js`.

    Args:
        embeds: pages with ``?embed=1`` may be shown in a frame; whose, is for their headers to say.
    """

    def __init__(self, *, embeds: bool = False) -> None:
        self._embeds = embeds

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return {} for such a request, None for any other."""
        headers = request.headers
        origin, site = headers.get("Origin", ""), headers.get("Sec-Fetch-Site", "")
        if origin:
            return None if _netloc(origin) == request.host.lower() else {}
        if site in ("", "same-origin", "none"):
            return None
        navigated = headers.get("Sec-Fetch-Mode") == "navigate" and request.method in _READING_METHODS
        into = headers.get("Sec-Fetch-Dest")
        framed = self._embeds and into == "iframe" and is_embedded(request)
        return None if navigated and (into == "document" or framed) else {}


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class _HeadOfPage(Matcher):
    """Matches HEAD of a page, which Bokeh answers to GET only, with a new session."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return {} for such a request, None for any other."""
        return {} if request.method == "HEAD" and _PAGE.fullmatch(request.path) else None


class _Head(RequestHandler):
    """Answers as GET: with the page's status, or the way to the log-in."""

    def initialize(self, gate: LoginGate | None) -> None:
        """Receive the arguments of the route."""
        self._gate = gate

    async def head(self) -> None:
        """Answer."""
        if self._gate is not None and await self._gate.login_of(self) is None:
            self.redirect("/login")
            return
        self.set_header("Content-Type", "text/html; charset=utf-8")


class _Live(RequestHandler):
    """Tells a probe, which knows an address and no name, that the process runs."""

    def get(self) -> None:
        """Answer as the service does."""
        self.set_header("Cache-Control", "no-store")
        self.finish({"live": True})

    head = get


class _Refusal(RequestHandler):
    """Refuses every method with one sentence, and logs it."""

    refused = True  # the request log leaves it out

    def refuse(self, status: int, reason: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Connection", "close")
        _log.info(
            "%s %s from %s refused: %s", self.request.method, shown(self.request.path), self.request.remote_ip, reason
        )
        self.finish(f"{reason}\n")


class _WrongHost(_Refusal):
    """Refuses other host names: a foreign name that resolves to this machine must not be served (DNS rebinding)."""

    def prepare(self) -> None:
        """Refuse."""
        name = shown(self.request.host_name)
        self.refuse(421, f"This dashboard is not served at the host {name}; allow it with --dashboard-allowed-hosts.")


class _Foreign(_Refusal):
    def prepare(self) -> None:
        """Refuse."""
        self.refuse(403, "The request comes from a page of another site.")


class _NotServed(_Refusal):
    def prepare(self) -> None:
        """Refuse."""
        self.refuse(404, "There is nothing at this path.")


def guard_rules(hosts: Iterable[str], *, embeds: bool = False, gate: LoginGate | None = None) -> list[Rule]:
    """Return the routing rules that are matched before all others.

    Args:
        hosts: allowed host names of the dashboard, at any port.
        embeds: other sites may embed its pages.
        gate: tells who is logged in; None if everybody may see everything.
    """
    allowed = "|".join(re.escape(host) for host in hosts)
    return [
        Rule(PathMatches("/health/live"), _Live),
        Rule(HostMatches(rf"(?i:(?!(?:{allowed})$).*)$"), _WrongHost),
        Rule(_ForeignPage(embeds=embeds), _Foreign),
        Rule(PathMatches(r".*/autoload\.js"), _NotServed),  # other sites would embed our pages by it
        Rule(_HeadOfPage(), _Head, {"gate": gate}),
    ]
