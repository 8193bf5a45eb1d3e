"""Reads a request's id, client address and the like from its ASGI scope; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["address_of", "is_head", "last_event_id", "request_id"]


def request_id(scope: Mapping[str, Any]) -> str:
    """Return the id of a request, which is in every log line about it; empty if it has none."""
    return str(scope.get("tidewire.request", ""))


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the client's address; empty if the server does not know it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def last_event_id(scope: Mapping[str, Any]) -> str:
    """Return the Last-Event-ID header, the last one if there are several; empty if there is none."""
    found = [value for name, value in scope["headers"] if name == b"last-event-id"]
    return found[-1].decode("latin-1").strip() if found else ""


def is_head(scope: Mapping[str, Any]) -> bool:
    """Tell whether the client sent HEAD, which the app sees as GET."""
    return scope.get("tidewire.head", False) is True
