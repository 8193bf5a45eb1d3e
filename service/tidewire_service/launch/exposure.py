"""Finds settings that expose the service or its traffic to others; the warnings are logged at start; pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from tidewire.settings import is_loopback
from tidewire_service.settings import ServiceSettings

__all__ = ["warnings"]


def warnings(settings: ServiceSettings) -> list[str]:
    """Return one warning per risky setting; empty if there is none."""
    found = []
    reachable = not is_loopback(settings.host)
    if settings.insecure and reachable:
        found.append(f"--insecure: anyone who reaches {settings.host} may publish and read everything")
    if settings.auth and reachable and not settings.tls_cert:
        found.append(
            f"tokens travel to {settings.host} in clear text; give --tls-cert and --tls-key, or listen on 127.0.0.1 "
            "behind a proxy that speaks HTTPS"
        )
    if not settings.auth and not reachable:
        foreign = [name for name in settings.allowed_hosts if not is_loopback(name.strip("[]"))]
        if foreign:
            found.append(
                f"allowed_hosts has {', '.join(foreign)}: requests through a proxy need no token; "
                "add --auth unless the proxy authenticates"
            )
    redis = urlsplit(settings.redis)
    if redis.scheme == "redis" and not is_loopback(redis.hostname or "localhost"):
        found.append("Redis is reached over the network without TLS; use rediss://")
    if redis.scheme in ("redis", "rediss") and not is_loopback(redis.hostname or "localhost") and not redis.password:
        found.append("Redis on the network is used without a password; give its users passwords (docs/security.md)")
    return found
