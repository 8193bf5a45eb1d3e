"""Checks at the start who can reach the dashboard: refuses open settings and warns of risky ones; pure."""

from __future__ import annotations

import re
from typing import Final

from tidewire.errors import InvalidInput
from tidewire.settings import check_host_name, is_loopback
from tidewire_dashboard.settings import DashboardSettings

__all__ = ["check_exposure", "warnings"]

_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")


def check_exposure(settings: DashboardSettings) -> None:
    """Refuse settings that can never work, contradict each other or let other machines in without a log-in.

    Raises:
        InvalidInput: such a setting; the message says what to do.
    """
    host = settings.dashboard_host
    for name in settings.dashboard_allowed_hosts:
        check_host_name("--dashboard-allowed-hosts", name)
    for origin in settings.dashboard_embed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise InvalidInput("--embed-origins", origin, "expected an origin such as https://wiki.example")
    if not (is_loopback(host) or settings.dashboard_login or settings.dashboard_insecure):
        raise InvalidInput(
            "--host",
            host,
            "other machines can reach this address, and no log-in is required; add --login (and run the service with "
            "--auth), or listen on a loopback address such as 127.0.0.1; --insecure lets everybody in",
        )
    if settings.dashboard_login and settings.dashboard_insecure:
        raise InvalidInput("--insecure", True, "contradicts --login; give one of them")
    if bool(settings.dashboard_tls_cert) != bool(settings.dashboard_tls_key):
        raise InvalidInput("--tls-cert", settings.dashboard_tls_cert, "--tls-cert and --tls-key belong together")


def warnings(settings: DashboardSettings) -> list[str]:
    """Return one sentence for each risk that an operator should know of."""
    found = []
    host, reachable = settings.dashboard_host, not is_loopback(settings.dashboard_host)
    if settings.dashboard_insecure and reachable:
        found.append(f"--insecure: everybody who can reach {host} sees all metrics and may change decks and thresholds")
    if settings.dashboard_login and reachable and not (settings.dashboard_tls_cert or settings.dashboard_https):
        found.append(
            f"tokens and cookies are sent to {host} unencrypted; set --tls-cert and --tls-key, or listen on 127.0.0.1 "
            "behind an HTTPS proxy and add --https"
        )
    if settings.dashboard_login and not settings.token:
        found.append(
            "--login without a token of the dashboard's own: a service with --auth will not let it read; create "
            "one that may read what viewers may see (tidewire token create), and set TIDEWIRE_TOKEN"
        )
    public = [name for name in settings.dashboard_allowed_hosts if not is_loopback(name.strip("[]"))]
    if public and not (reachable or settings.dashboard_login):
        found.append(
            f"--dashboard-allowed-hosts contains {', '.join(public)}, so a proxy may let other machines in, and no "
            "log-in is required; add --login unless the proxy has a log-in of its own"
        )
    return found
