"""The blocks of a stream: each has data, since some clients make an empty message of one that has none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from servers import Valkey
from waiting import HANG_S, Eventually


async def _blocks(service: Any, query: str, until: str, **headers: str) -> list[list[str]]:
    """Return the lines of each block that a stream sends, up to an event; comment lines are left out."""
    blocks: list[list[str]] = [[]]
    async with service.http.stream("GET", f"/v1/stream?{query}", headers=headers, timeout=HANG_S) as answer:
        async for line in answer.aiter_lines():
            if line:
                blocks[-1] += [line] if not line.startswith(":") else []
                continue
            if f"event: {until}" in blocks[-1]:
                return blocks
            blocks.append([])
    return blocks[:-1] if not blocks[-1] else blocks


def _check(blocks: list[list[str]], first: str = "hello") -> None:
    assert blocks[0][:2] == [blocks[0][0], f"event: {first}"]
    assert re.fullmatch(r"retry: \d+", blocks[0][0]), blocks[0]
    for block in blocks:
        assert any(line.startswith("data: ") for line in block), block


async def test_the_first_block_is_hello_with_the_pause(service: Any) -> None:
    await service.post({"metric": "m", "value": 1})
    _check(await _blocks(service, "metric=m", "live"))


@pytest.mark.parametrize(
    "query",
    [
        "metric=m&replay=none",
        "metric=m&replay=1h",
        "metric=m&every=100ms",
        "metric=none",
        "metric=m&cursor=aaaaaaa.1-0",
    ],
)
async def test_every_block_of_any_stream_has_data(start: Any, query: str) -> None:
    service = await start(stream_age_s=1.0, heartbeat_s=0.5)
    await service.post({"metric": "m", "value": [1, 2, 3]})
    blocks = await _blocks(service, query, "bye")
    _check(blocks)
    assert re.fullmatch(r"retry: \d+", blocks[-1][0]), "bye has its pause in its own block"
    assert blocks[-1][1] == "event: bye"


async def test_a_stream_that_is_put_off_is_one_block(start: Any) -> None:
    service = await start(max_streams=1)
    async with service.http.stream("GET", "/v1/stream?metric=m"):
        blocks = await _blocks(service, "metric=m", "bye")
    assert len(blocks) == 1
    _check(blocks, "bye")


async def test_a_stream_that_waits_for_redis_begins_with_the_same_block(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    valkey.stop()
    service = await start(wait=False, heartbeat_s=0.5)
    async with service.http.stream("GET", "/v1/stream?metric=m", timeout=HANG_S) as answer:
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry: "), "at once"
        valkey.start()
        while (line := await anext(lines)).startswith(":"):
            pass
        assert line == "event: hello"
