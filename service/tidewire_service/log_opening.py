"""Opens the log that the settings name, split as it is."""

from __future__ import annotations

from typing import Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire.model.layout import Layout, layout_of
from tidewire.redislog.log import BlockingRedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.settings import ServiceSettings

__all__ = ["open_log"]

_WAIT_S: Final = 2.0  # for the answer of a Redis that may not be there yet

_log = structlog.get_logger("tidewire_service")


def open_log(settings: ServiceSettings) -> PartitionedLog:
    """Return the log; its layout is read from Redis, or written there if there is no log yet.

    Without an answer it is taken for the one that the settings name. If that is wrong, each call says so.
    """
    layout = _layout(settings)
    return PartitionedLog(
        settings.redis,
        layout=layout,
        prefix=settings.prefix,
        retention=settings.retention,
        limits=settings.limits,
        timeout_s=settings.redis_timeout_s,
    )


def _layout(settings: ServiceSettings) -> Layout:
    wanted = layout_of(settings.partitions)
    home = BlockingRedisLog(
        settings.redis, prefix=settings.prefix, timeout_s=min(_WAIT_S, settings.redis_timeout_s), partition=None
    )
    try:
        found = home.read_layout(wanted)
    except LogUnavailable as error:
        _log.info("layout_not_read", taken_for=wanted.partitions, error=str(error))
        return wanted
    finally:
        home.close()
    if settings.partitions > 1 and found != wanted:
        _log.warning("layout_is_another", partitions=found.partitions, wanted=wanted.partitions)
    return found
