"""Logs once, when Redis first answers, which of its settings could lose readings."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire.redislog.redis_url import Address
from tidewire.redislog.server_checks import check_replicas, check_server

__all__ = ["check_when_reached"]

_PAUSE_S: Final = 2.0
_log = structlog.get_logger("tidewire_service")


async def check_when_reached(log: PartitionedLog) -> None:
    """Wait until each server of the log answers, then log its version and its risky settings."""
    checked: set[Address | None] = set()
    for one in log.servers:
        await _check(one, checked)


async def _check(log: RedisLog, checked: set[Address | None]) -> None:
    while True:
        try:
            info = await log.info()
        except LogUnavailable:
            await asyncio.sleep(_PAUSE_S)
            continue
        if log.locator.address in checked:
            return
        checked.add(log.locator.address)
        _log.info("redis_reached", server=info.name, version=info.version, redis=log.url)
        watched = log.locator.target.sentinels is not None or log.locator.clustered
        for finding in (*check_server(info), *(check_replicas(info) if watched else ())):
            _log.warning("redis_setting_risky", finding=f"{finding.found}: {finding.remedy}")
        return
