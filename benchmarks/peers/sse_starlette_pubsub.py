"""sse-starlette with one Redis Pub/Sub connection per subscriber, as its examples have it: PORT REDIS_PORT."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import uvicorn
from redis.asyncio import Redis
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

PORT, REDIS_PORT = int(sys.argv[1]), int(sys.argv[2])
redis = Redis(port=REDIS_PORT, max_connections=20_000)


async def stream(request: Request) -> EventSourceResponse:
    metrics = request.query_params.getlist("metric")

    async def events() -> AsyncIterator[dict[str, str]]:
        async with redis.pubsub() as pubsub:
            await pubsub.subscribe(*metrics)
            yield {"comment": "hi"}
            async for message in pubsub.listen():
                if message["type"] == "message":
                    yield {"data": message["data"].decode()}

    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
uvicorn.run(app, host="127.0.0.1", port=PORT, backlog=4096, access_log=False, log_level="error", loop="uvloop")
