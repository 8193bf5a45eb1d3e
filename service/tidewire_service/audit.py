"""The audit: what of Redis's own settings would break the promise, said once in the log when it is first reached."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire.log_calls import ServerInfo
from tidewire.redis_log import RedisLog

__all__ = ["audit_when_reached", "findings"]

_PAUSE_S: Final = 2.0
_log = structlog.get_logger("tidewire_service")


def findings(info: ServerInfo) -> list[str]:
    """Return what is wrong with a server's settings, each with its remedy; empty if nothing is."""
    found = []
    if info.eviction_policy not in ("noeviction", "?"):
        found.append(
            f"maxmemory-policy is {info.eviction_policy}: when memory is short, Redis deletes readings without a word; "
            "set it to noeviction"
        )
    if not info.append_only:
        found.append("appendonly is off: a restart of Redis loses what it has not saved; turn it on")
    return found


async def audit_when_reached(log: RedisLog) -> None:
    """Wait until Redis answers, then log what was found."""
    while True:
        try:
            info = await log.info()
        except LogUnavailable:
            await asyncio.sleep(_PAUSE_S)
            continue
        _log.info("redis_reached", server=info.name, version=info.version, redis=log.url)
        for finding in findings(info):
            _log.warning("redis_setting_risky", finding=finding)
        return
