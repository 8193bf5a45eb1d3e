"""Adds security headers to every answer of the dashboard, such as the content security policy.

No other site may show a page in a frame, but for those in a setting, and these only one with ``?embed=1``, on which
nothing can be changed: a click that another page leads somebody to does no harm there.
"""

from __future__ import annotations

import re
from typing import Final

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

__all__ = ["PageHeaders", "is_embedded"]

# Bokeh writes scripts into its page and Panel loads a module from a blob; no other origin may be read or written to.
_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob:; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# With its CORS headers, Panel lets every page read a session that it loads by autoload.js, with cookies.
_REMOVED: Final = (
    "Server",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Credentials",
)
_PAGE: Final = re.compile(r"(?:/[^/]+)*?/(?:d/[^/]+)?")
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def is_embedded(request: HTTPServerRequest) -> bool:
    """Return whether a request is for a page that is to be shown in a frame."""
    embeds = request.query_arguments.get("embed") == [b"1"]
    return embeds and request.method == "GET" and _PAGE.fullmatch(request.path) is not None


class PageHeaders(OutputTransform):
    """Adds the headers that an answer does not set itself, and removes some of Panel's and Tornado's.

    Attributes:
        embed_origins: whose pages may embed ours.
    """

    embed_origins: tuple[str, ...] = ()

    def __init__(self, request: HTTPServerRequest) -> None:
        """Accept the request, as Tornado requires of a transform."""
        self._embedded = bool(self.embed_origins) and is_embedded(request)

    @classmethod
    def embeddable_by(cls, origins: tuple[str, ...]) -> type[PageHeaders]:
        """Return the transform of a dashboard whose pages may be embedded by these origins."""
        return type("EmbeddablePageHeaders", (cls,), {"embed_origins": origins})

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Change the headers before anything is sent."""
        for name, value in _HEADERS.items():
            if name not in headers:
                headers[name] = value
        if self._embedded:
            policy = headers["Content-Security-Policy"]
            ancestors = f"frame-ancestors {' '.join(self.embed_origins)}"
            headers["Content-Security-Policy"] = policy.replace("frame-ancestors 'none'", ancestors)
            headers.pop("X-Frame-Options", None)
        for name in _REMOVED:
            headers.pop(name, None)
        return status_code, headers, chunk
