"""The dashboard's log: what it does and what it refuses, on standard error; requests without their queries."""

from __future__ import annotations

import logging

from tornado.web import RequestHandler

from tidewire.errors import shown

__all__ = ["configure_logging", "log_request"]

_log = logging.getLogger("tidewire")


def configure_logging(level: str) -> None:
    """Write Tidewire's events from a level on, and the warnings of the libraries."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    _log.setLevel(level.upper())


def log_request(handler: RequestHandler) -> None:
    """Log what was answered with an error; Tornado's own line has the query, and with it tickets.

    To be the ``log_function`` of an application.
    """
    status, request = handler.get_status(), handler.request
    if status >= 400 and not getattr(handler, "refused", False):
        write = _log.warning if status >= 500 else _log.info
        write("%s %s of %s answered %d", request.method, shown(request.path), request.remote_ip, status)
