"""Configures the dashboard's log on standard error, and logs requests without their query strings."""

from __future__ import annotations

import logging

from tornado.web import RequestHandler

from tidewire.commands.terminal import PlainFormatter
from tidewire.errors import shown

__all__ = ["configure_logging", "log_request"]

_log = logging.getLogger("tidewire")


def configure_logging(level: str) -> None:
    """Log Tidewire's events from a level upwards, and only warnings of other libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    _log.setLevel(level.upper())


def log_request(handler: RequestHandler) -> None:
    """Log a request that was answered with an error; for the ``log_function`` setting of an application.

    Tornado's own log line contains the query, which may hold a ticket.
    """
    status, request = handler.get_status(), handler.request
    if status >= 400 and not getattr(handler, "refused", False):
        write = _log.warning if status >= 500 else _log.info
        write("%s %s from %s answered with %d", request.method, shown(request.path), request.remote_ip, status)
