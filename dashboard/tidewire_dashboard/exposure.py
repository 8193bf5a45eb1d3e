"""Who reaches the dashboard: what is refused at the start, and what an operator is told once; pure."""

from __future__ import annotations

from tidewire.errors import InvalidInput
from tidewire.settings import is_loopback
from tidewire_dashboard.settings import DashboardSettings

__all__ = ["check_exposure", "warnings"]


def check_exposure(settings: DashboardSettings) -> None:
    """Refuse what would let others in unasked.

    Raises:
        InvalidInput: says what to do.
    """
    host = settings.dashboard_host
    if not (is_loopback(host) or settings.dashboard_login or settings.dashboard_insecure):
        raise InvalidInput(
            "--host",
            host,
            "is reachable by others, and nobody would log in; add --login (and run the service with --auth), or listen "
            "on a loopback address such as 127.0.0.1 (--insecure lets anybody look)",
        )
    if settings.dashboard_login and settings.dashboard_insecure:
        raise InvalidInput("--insecure", True, "contradicts --login; give one of them")
    if bool(settings.dashboard_tls_cert) != bool(settings.dashboard_tls_key):
        raise InvalidInput("--tls-cert", settings.dashboard_tls_cert, "--tls-cert and --tls-key belong together")


def warnings(settings: DashboardSettings) -> list[str]:
    """Return one sentence for each thing that an operator should know; empty if there is nothing."""
    found = []
    host, reachable = settings.dashboard_host, not is_loopback(settings.dashboard_host)
    if settings.dashboard_insecure and reachable:
        found.append(f"--insecure: whoever reaches {host} sees every metric, and may change decks and thresholds")
    if settings.dashboard_login and reachable and not (settings.dashboard_tls_cert or settings.dashboard_https):
        found.append(
            f"tokens and cookies travel to {host} in clear text; give --tls-cert and --tls-key, or listen on 127.0.0.1 "
            "behind a proxy that speaks HTTPS and say --https"
        )
    foreign = [name for name in settings.dashboard_allowed_hosts if not is_loopback(name.strip("[]"))]
    if foreign and not (reachable or settings.dashboard_login):
        found.append(
            f"--dashboard-allowed-hosts has {', '.join(foreign)}: others come in by a proxy and nobody logs in; "
            "add --login unless the proxy asks"
        )
    return found
