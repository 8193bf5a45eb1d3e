"""Litestar's Channels plugin over Redis Pub/Sub, with Litestar's own server-sent events: PORT REDIS_PORT."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import uvicorn
from litestar import Litestar, Request, get
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.redis import RedisChannelsPubSubBackend
from litestar.response import ServerSentEvent
from redis.asyncio import Redis

PORT, REDIS_PORT = int(sys.argv[1]), int(sys.argv[2])


@get("/stream")
async def stream(request: Request, channels: ChannelsPlugin) -> ServerSentEvent:
    metrics = parse_qs(request.url.query)["metric"]

    async def events() -> AsyncIterator[dict[str, str]]:
        async with channels.start_subscription(metrics) as subscriber:
            yield {"comment": "hi"}
            async for message in subscriber.iter_events():
                yield {"data": message.decode()}

    return ServerSentEvent(events())


backend = RedisChannelsPubSubBackend(redis=Redis(port=REDIS_PORT))
plugin = ChannelsPlugin(backend=backend, arbitrary_channels_allowed=True)
app = Litestar([stream], plugins=[plugin])
uvicorn.run(app, host="127.0.0.1", port=PORT, backlog=4096, access_log=False, log_level="error", loop="uvloop")
