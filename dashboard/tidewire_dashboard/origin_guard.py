"""The gate: what every request of the dashboard must satisfy, sockets included: Host, origin, and no embedding."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.routing import HostMatches, Matcher, PathMatches, Rule
from tornado.web import Application, RequestHandler

from tidewire.errors import shown

__all__ = ["guard_origin"]

_log = logging.getLogger("tidewire")
_SAFE: Final = frozenset({"GET", "HEAD"})


class _ForeignPage(Matcher):
    """Matches what a page of another origin asks for; a link that was followed to here is none.

    Bokeh checks the origin of its own socket only, at any port of a host, and lets every page read `autoload.js`.
    """

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return {} for such a request, None for all others."""
        headers = request.headers
        origin, site = headers.get("Origin", ""), headers.get("Sec-Fetch-Site", "")
        if origin:
            return None if urlsplit(origin).netloc.lower() == request.host.lower() else {}
        if site in ("", "same-origin", "none"):
            return None
        followed = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
        return None if followed and request.method in _SAFE else {}


class _Refusal(RequestHandler):
    """Answers with a sentence, whatever is asked, and logs it."""

    refused = True  # so that nobody logs it once more

    def refuse(self, status: int, reason: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Connection", "close")
        _log.info(
            "%s %s of %s refused: %s", self.request.method, shown(self.request.path), self.request.remote_ip, reason
        )
        self.finish(f"{reason}\n")


class _WrongHost(_Refusal):
    """A page of another name that resolves to this machine must not read what is here (DNS rebinding)."""

    def prepare(self) -> None:
        """Refuse."""
        name = shown(self.request.host_name)
        self.refuse(421, f"This dashboard does not answer to the name {name}; add it with --dashboard-allowed-hosts.")


class _Foreign(_Refusal):
    def prepare(self) -> None:
        """Refuse."""
        self.refuse(403, "The request comes from a page of another site.")


class _NotServed(_Refusal):
    def prepare(self) -> None:
        """Refuse."""
        self.refuse(404, "There is nothing at this path.")


def guard_origin(application: Application, hosts: Iterable[str]) -> None:
    """Put the gate before every route of an application.

    Args:
        application: Bokeh's.
        hosts: names that a browser may use for it, any port.
    """
    allowed = "|".join(re.escape(host) for host in hosts)
    application.default_router.rules[:0] = [
        Rule(HostMatches(rf"(?i:(?!(?:{allowed})$).*)$"), _WrongHost),
        Rule(_ForeignPage(), _Foreign),
        Rule(PathMatches(r".*/autoload\.js"), _NotServed),  # for pages of others that would embed ours
    ]
