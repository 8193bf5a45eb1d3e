"""What every layer may read of a request's ASGI scope: its id and the address it comes from; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["address_of", "request_id"]


def request_id(scope: Mapping[str, Any]) -> str:
    """Return the id of a request, which every line of the log about it has; empty if nobody gave it one."""
    return str(scope.get("tidewire.request", ""))


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the address a request comes from; empty where the server does not tell."""
    client = scope.get("client")
    return str(client[0]) if client else ""
