"""The settings of an edge: its own, and those of the service that mean the same here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from tidewire.errors import InvalidInput
from tidewire.settings import (
    ClientSettings,
    Option,
    Settings,
    default_of,
    is_loopback,
    load_settings,
    without_password,
)
from tidewire.subscribing.service_address import checked_token, service_url
from tidewire_service.settings import ServiceSettings

__all__ = ["SHARED", "EdgeSettings", "load_edge_settings"]

SHARED: Final = (
    "host",
    "port",
    "auth",
    "insecure",
    "tls_cert",
    "tls_key",
    "trusted_proxies",
    "drain_s",
    "max_header_bytes",
    "max_url_bytes",
    "head_timeout_s",
    "body_timeout_s",
    "max_waiting",
    "max_patterns",
    "heartbeat_s",
    "retry_min_ms",
    "retry_max_ms",
    "stream_age_s",
    "write_timeout_s",
    "max_streams",
    "max_streams_per_token",
    "max_streams_per_address",
    "soft_memory_bytes",
    "allowed_hosts",
    "allowed_origins",
    "log_level",
    "log_format",
)
"""The settings of the service that an edge has too; they are declared there."""


class EdgeSettings(Settings, frozen=True, kw_only=True):
    """What an edge has besides the settings that it shares with the service.

    Raises:
        InvalidInput: no upstream, or one that is no URL of a service; a token that no header can hold.
    """

    upstream: Annotated[str, Option("service that the edge reads from, http:// or https://; it must be given")] = ""
    token: Annotated[
        str, Option("bearer token for the upstream, of viewers that bring none; without --auth only", secret=True)
    ] = default_of(ClientSettings, "token")
    max_selections: Annotated[
        int, Option("largest number of distinct selections, each with one upstream stream", minimum=1)
    ] = 1_000
    selection_ring_bytes: Annotated[int, Option("memory for the recent events of one selection", minimum=1 << 16)] = (
        4 << 20
    )
    linger_s: Annotated[
        float, Option("time for which a selection stays after its last viewer", minimum=0, maximum=3_600)
    ] = 5.0

    def __post_init__(self) -> None:
        if not self.upstream:
            raise InvalidInput("--upstream", "", "is missing; name the service to read from")
        service_url(self.upstream)
        checked_token(self.token)


def load_edge_settings(given: Mapping[str, Any]) -> tuple[EdgeSettings, ServiceSettings]:
    """Return the settings of an edge, and those that it shares with the service; the others have their defaults.

    Args:
        given: values from the command line; None values count as not given.

    Raises:
        InvalidInput: as `load_settings`; or the edge would read itself.
    """
    own = load_settings(EdgeSettings, given)
    service = load_settings(ServiceSettings, {name: given.get(name) for name in SHARED})
    at = urlsplit(service_url(own.upstream))
    if is_loopback(at.hostname or "") and at.port == service.port != 0:
        raise InvalidInput(
            "--port", service.port, f"is that of {without_password(own.upstream)}: the edge would read itself"
        )
    if own.token and service.auth:
        raise InvalidInput("TIDEWIRE_TOKEN", "…", "is for viewers without a token, which --auth refuses")
    return own, service
