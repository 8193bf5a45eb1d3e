"""Reads a stream as a client does that keeps nothing but its last id: what came of each metric, and what was told."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from waiting import HANG_S

from tidewire.model.sse import Decoder, ServerEvent

__all__ = ["StreamReader", "reading"]


class StreamReader:
    """Takes events, of one session or of several.

    Attributes:
        last_id: as `EventSource` keeps it.
        values: what came of each metric, in order.
        told: the control events in order, each with its data.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.values: dict[str, list[float]] = defaultdict(list)
        self.told: list[tuple[str, Any]] = []

    def take(self, event: ServerEvent) -> None:
        if event.own_id is not None:
            self.last_id = event.own_id
        if event.event != "message":
            self.told.append((event.event, json.loads(event.data)))
            return
        batch = json.loads(event.data)
        self.values[batch["metric"]] += batch["value"]

    def named(self, kind: str) -> list[Any]:
        """Return the data of all control events of a kind."""
        return [data for name, data in self.told if name == kind]

    @property
    def count(self) -> int:
        """How many readings came."""
        return sum(map(len, self.values.values()))


@asynccontextmanager
async def reading(http: httpx.AsyncClient, reader: StreamReader, query: str) -> AsyncIterator[None]:
    """Read a stream from the last id of a reader on, as long as the body runs."""
    headers = {"Last-Event-ID": reader.last_id} if reader.last_id else {}

    async def read() -> None:
        decoder = Decoder()
        async with http.stream("GET", f"/v1/stream?{query}", headers=headers, timeout=HANG_S) as answer:
            assert answer.status_code == 200
            async for chunk in answer.aiter_raw():
                for event in decoder.feed(chunk):
                    reader.take(event)

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, AssertionError):
            raise ended
