"""Adds security headers to every answer of the dashboard, such as the content security policy."""

from __future__ import annotations

from typing import Final

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

__all__ = ["PageHeaders"]

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
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class PageHeaders(OutputTransform):
    """Adds the headers that an answer does not set itself, and removes some of Panel's and Tornado's."""

    def __init__(self, request: HTTPServerRequest) -> None:
        """Accept the request, as Tornado requires of a transform."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Change the headers before anything is sent."""
        for name, value in _HEADERS.items():
            if name not in headers:
                headers[name] = value
        for name in _REMOVED:
            headers.pop(name, None)
        return status_code, headers, chunk
