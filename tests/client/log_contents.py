"""Reads back what publishers put into the log."""

from __future__ import annotations

from tidewire.model.batch import decode_batch
from tidewire.redislog.log import RedisLog

__all__ = ["stored"]


async def stored(url: str, metric: str) -> list[float | None]:
    """Return the values of a metric in the log, in order."""
    log = RedisLog(url)
    try:
        entries = (await log.entries_after([(metric, 0)]))[0][0]
        return [value for entry in entries for value in decode_batch(entry.body).value]
    finally:
        await log.close()
