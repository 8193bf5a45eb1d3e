"""The sweeper: each minute the lease holder trims idle metrics and forgets metrics and series that are long silent."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from tidewire.errors import LogUnavailable
from tidewire_service.hub.hub import PartitionHub
from tidewire_service.ingest.lease import Lease
from tidewire_service.turns import Turns, sorted_in_turns

__all__ = ["sweep_each_minute"]

_INTERVAL_S: Final = 60.0
_METRICS_A_CALL: Final = 200
_PAUSE_S: Final = 0.01  # between two calls, so that appends are not delayed

_log = structlog.get_logger("tidewire_service")


async def sweep_each_minute(part: PartitionHub, lease: Lease, interval_s: float = _INTERVAL_S) -> None:
    """Sweep all metrics of a partition each minute while this process holds the lease; until cancelled."""
    while True:
        await asyncio.sleep(interval_s)
        if not lease.held:
            continue
        metrics = await sorted_in_turns(tuple(part.partition.tails), Turns())
        forgotten, series_before = 0, part.log.forgotten_series
        try:
            for first in range(0, len(metrics), _METRICS_A_CALL):
                forgotten += await part.log.sweep(metrics[first : first + _METRICS_A_CALL])
                await asyncio.sleep(_PAUSE_S)
        except LogUnavailable as error:
            _log.debug("sweep_failed", error=str(error))
        if forgotten:
            _log.info("metrics_forgotten", count=forgotten)
        if series := part.log.forgotten_series - series_before:
            _log.info("series_forgotten", count=series)
