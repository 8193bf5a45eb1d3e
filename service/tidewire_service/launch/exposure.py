"""Finds settings that expose the service or its traffic to others; the warnings are logged at start; pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from tidewire.redislog.redis_url import parse_redis_url
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
    target = parse_redis_url(settings.redis)
    redis = urlsplit(target.url)
    nodes = target.sentinels.nodes if target.sentinels else target.nodes
    hosts = [node.host for node in nodes] or [redis.hostname or "localhost"]
    over_network = redis.scheme != "unix" and not all(map(is_loopback, hosts))
    if redis.scheme == "redis" and over_network:
        tls = "rediss+sentinel://" if target.sentinels else "rediss+cluster://" if target.nodes else "rediss://"
        found.append(f"Redis is reached over the network without TLS; use {tls}")
    if over_network and not redis.password:
        found.append("Redis on the network is used without a password; give its users passwords (docs/security.md)")
    return found
