"""Refuses requests with a wrong Host header, from another origin, or that would embed a page; also of sockets."""

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

__all__ = ["guard_rules"]

_log = logging.getLogger("tidewire")
_READING_METHODS: Final = frozenset({"GET", "HEAD"})


class _ForeignPage(Matcher):
    """Matches requests that a page of another origin makes, except followed links.

    Bokeh checks only the origin of its own socket, without the port, and lets every page read `autoload.js`.
    """

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return {} for such a request, None for any other."""
        headers = request.headers
        origin, site = headers.get("Origin", ""), headers.get("Sec-Fetch-Site", "")
        if origin:
            return None if urlsplit(origin).netloc.lower() == request.host.lower() else {}
        if site in ("", "same-origin", "none"):
            return None
        followed = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
        return None if followed and request.method in _READING_METHODS else {}


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


def guard_rules(hosts: Iterable[str]) -> list[Rule]:
    """Return the routing rules that refuse requests before they reach any route.

    Args:
        hosts: allowed host names of the dashboard, at any port.
    """
    allowed = "|".join(re.escape(host) for host in hosts)
    return [
        Rule(HostMatches(rf"(?i:(?!(?:{allowed})$).*)$"), _WrongHost),
        Rule(_ForeignPage(), _Foreign),
        Rule(PathMatches(r".*/autoload\.js"), _NotServed),  # other sites would embed our pages by it
    ]
