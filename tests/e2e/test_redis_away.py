"""Redis goes away: whoever writes is told to wait, whoever reads keeps the stream, and it goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from servers import StartService, Valkey
from waiting import Eventually


class Stream:
    """The text of one connection, as it grows."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = False

    async def read(self, service: Any) -> None:
        async with service.http.stream("GET", "/v1/stream", params={"metric": "furnace/**"}) as answer:
            async for chunk in answer.aiter_text():
                self.text += chunk
        self.ended = True

    @property
    def heartbeats(self) -> int:
        return self.text.splitlines().count(":")


GONE: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {
    "ended": (lambda valkey: valkey.stop(), lambda valkey: valkey.start()),
    "killed": (lambda valkey: valkey.kill(), lambda valkey: valkey.start()),
    "hanging": (lambda valkey: valkey.pause(), lambda valkey: valkey.resume()),
}


@pytest.mark.fault
@pytest.mark.parametrize("how", GONE)
async def test_posts_answer_503_and_streams_stay_open_and_go_on(
    valkey: Valkey, start_service: StartService, eventually: Eventually, how: str
) -> None:
    go, come = GONE[how]
    service = await start_service(heartbeat_s=0.1, redis_timeout_s=0.5)
    stream = Stream()
    reading = asyncio.create_task(stream.read(service))
    await service.publish("furnace/temperature", 1.0)
    await eventually(lambda: '"value":[1' in stream.text)

    go(valkey)
    answer = await service.http.post("/v1/readings", json={"metric": "furnace/temperature", "value": [2.0]})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await service.http.get("/health/live")).status_code == 200

    async def not_ready() -> bool:
        return (await service.http.get("/health/ready")).status_code == 503

    await eventually(not_ready)
    before = stream.heartbeats
    await eventually(lambda: stream.heartbeats >= before + 2)
    assert not stream.ended

    come(valkey)
    await service.ready()
    await service.publish("furnace/temperature", 3.0)
    await eventually(lambda: '"value":[3' in stream.text)
    assert not stream.ended
    assert "event: gap" not in stream.text
    counters = service.app.state.hub.counters
    assert (counters["redis_lost"], counters["redis_back"]) == (1, 1), "said once each"
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
