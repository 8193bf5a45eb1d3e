"""A queue per subscriber, filled by one Redis subscription, and Litestar's server-sent events: PORT REDIS_PORT."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import uvicorn
from litestar import Litestar, Request, get
from litestar.response import ServerSentEvent
from redis.asyncio import Redis

PORT, REDIS_PORT = int(sys.argv[1]), int(sys.argv[2])
queues: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


@asynccontextmanager
async def listening(_app: Litestar) -> AsyncIterator[None]:
    async def listen() -> None:
        async with Redis(port=REDIS_PORT).pubsub() as pubsub:
            await pubsub.psubscribe("bench/*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    for queue in queues[message["channel"].decode()]:
                        queue.put_nowait(message["data"].decode())

    task = asyncio.create_task(listen())
    yield
    task.cancel()


@get("/stream")
async def stream(request: Request) -> ServerSentEvent:
    metrics = parse_qs(request.url.query)["metric"]
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def events() -> AsyncIterator[dict[str, str]]:
        for metric in metrics:
            queues[metric].add(queue)
        try:
            yield {"comment": "hi"}
            while True:
                yield {"data": await queue.get()}
        finally:
            for metric in metrics:
                queues[metric].discard(queue)

    return ServerSentEvent(events())


app = Litestar([stream], lifespan=[listening])
uvicorn.run(app, host="127.0.0.1", port=PORT, backlog=4096, access_log=False, log_level="error", loop="uvloop")
