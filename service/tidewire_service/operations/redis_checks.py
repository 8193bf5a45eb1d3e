"""Logs which Redis settings would lose readings, once, when Redis is first reached."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire.redislog.calls import ServerInfo
from tidewire.redislog.log import RedisLog

__all__ = ["check_when_reached", "findings"]

_PAUSE_S: Final = 2.0
_OLDEST: Final = (7, 0)  # FUNCTION
_log = structlog.get_logger("tidewire_service")


def findings(info: ServerInfo) -> list[str]:
    """Return what is wrong with a server's settings, each with its remedy; empty if nothing is."""
    found = []
    if _release(info.version) < _OLDEST:
        found.append(
            f"{info.name} {info.version} has no functions: nothing can be appended; run Redis 7.0 or newer, or Valkey"
        )
    if info.eviction_policy not in ("noeviction", "?"):
        found.append(
            f"maxmemory-policy is {info.eviction_policy}: when memory is short, Redis deletes readings without a word; "
            "set it to noeviction"
        )
    if not info.append_only:
        found.append("appendonly is off: a restart of Redis loses what it has not saved; turn it on")
    elif not info.append_only_written:
        found.append("the append-only file could not be written: a restart of Redis loses readings; look at its disk")
    return found


def _release(version: str) -> tuple[int, ...]:
    """Return a version as numbers; one that is not of that form counts as new."""
    parts = version.split(".")
    return tuple(map(int, parts[:2])) if len(parts) >= 2 and all(part.isdigit() for part in parts[:2]) else _OLDEST


async def check_when_reached(log: RedisLog) -> None:
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
