"""A connection that goes between two steps of redis-py is a log that is away, and no error of a stranger."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from servers import Valkey

from tidewire.errors import LogUnavailable
from tidewire.redislog.log import RedisLog
from tidewire.redislog.server import translated


def test_a_write_to_a_transport_that_uvloop_closed_is_a_log_that_is_away(valkey: Valkey) -> None:
    async def write_late() -> None:
        log = RedisLog(valkey.url)
        try:
            connection = await log.redis.connection_pool.get_connection()
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # the transport is closed in the loop's next turn
            with pytest.raises(LogUnavailable, match="closed"), translated(log.url):
                await connection.send_command("PING")
            await log.redis.connection_pool.release(connection)
            assert await log.ping() >= 0, "the next call has a connection of its own"
        finally:
            await log.close()

    uvloop.run(write_late())


def test_an_error_of_our_own_is_not_taken_for_one(valkey: Valkey) -> None:
    with pytest.raises(RuntimeError, match="something else"), translated(valkey.url):
        raise RuntimeError("something else")


async def test_closing_is_no_error_while_the_server_hangs(valkey: Valkey) -> None:
    """What was written to it is still on its way: the connection does not end in time."""
    log = RedisLog(valkey.url, timeout_s=0.5)
    await log.ping()
    valkey.pause()
    written = asyncio.create_task(log.run(("SET", "a", b"x" * (32 << 20))))
    await asyncio.sleep(0.1)
    await log.close()
    with pytest.raises(LogUnavailable):
        await written
