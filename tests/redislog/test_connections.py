"""Which answers make a log give up all its connections, and what becomes of commands in flight.

The server is a stand-in: a plain Redis cannot be brought to answer MOVED, CLUSTERDOWN or MASTERDOWN.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from waiting import HANG_S, eventually

from tidewire.errors import LogFull, LogUnavailable
from tidewire.redislog import server as server_module
from tidewire.redislog.log import BlockingRedisLog, RedisLog

ELSEWHERE = [
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MOVED 13907 127.0.0.1:1",
    "ASK 13907 127.0.0.1:1",
    "CLUSTERDOWN The cluster is down",
    "CLUSTERDOWN Hash slot not served",
    "LOADING Redis is loading the dataset in memory",
    "",  # the connection is cut
]
HERE = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOPERM this user has no permissions to run the 'ping' command",
    "BUSY Redis is busy running a script.",
    "MISCONF Redis is configured to save RDB snapshots",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOAUTH Authentication required.",
    "ERR max number of clients reached and more",
]


class Server:
    """Answers PING with what it is told to, and everything else with OK.

    Attributes:
        refusal: the error that answers a PING; None: PONG; "": the connection is cut.
        held: PINGs are not answered until this is set.
        open: connections now.
        accepted: connections so far.
    """

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.asked = 0
        self.open = self.accepted = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.accepted += 1
        try:
            while words := await self._command(reader):
                if words[0] != b"PING":
                    writer.write(b"+OK\r\n")
                    continue
                refusal = self.refusal
                self.asked += 1
                await self.held.wait()
                if refusal == "":
                    return
                writer.write(b"+PONG\r\n" if refusal is None else f"-{refusal}\r\n".encode())
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    @staticmethod
    async def _command(reader: asyncio.StreamReader) -> list[bytes]:
        words = []
        for _ in range(int((await reader.readuntil(b"\r\n"))[1:] or 0)):
            length = int((await reader.readuntil(b"\r\n"))[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        return words


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    yield server
    server.close()


async def pings(log: RedisLog, count: int) -> list[Any]:
    return await asyncio.gather(*[log.ping() for _ in range(count)], return_exceptions=True)


@pytest.mark.parametrize("refusal", ELSEWHERE)
async def test_all_connections_go_when_the_server_may_be_another_one(server: Server, refusal: str) -> None:
    log = RedisLog(await server.start())
    told: list[None] = []
    log.on_given_up = lambda: told.append(None)
    server.held.clear()
    many = asyncio.create_task(pings(log, 6))
    await eventually(lambda: server.asked == 6)
    server.held.set()
    await many
    assert server.open == 6
    server.refusal = refusal
    with pytest.raises(LogUnavailable):
        await log.ping()
    assert told == [None], "the live connection follows"
    server.refusal = None
    await log.ping()
    await eventually(lambda: server.open == 1, "the connections of before are closed")
    await log.close()


@pytest.mark.parametrize("refusal", HERE)
async def test_other_refusals_leave_the_connections_as_they_are(server: Server, refusal: str) -> None:
    log = RedisLog(await server.start())
    log.on_given_up = lambda: pytest.fail("given up")
    await log.ping()
    server.refusal = refusal
    with pytest.raises((LogUnavailable, LogFull)):
        await log.ping()
    server.refusal = None
    await log.ping()
    await eventually(lambda: server.open == 1)
    await log.close()


async def test_commands_in_flight_end_and_their_connections_go_when_they_have_ended(server: Server) -> None:
    log = RedisLog(await server.start())
    server.held.clear()
    in_flight = asyncio.create_task(pings(log, 5))
    await eventually(lambda: server.asked == 5)
    log.give_up()
    server.held.set()
    async with asyncio.timeout(HANG_S):
        assert all(isinstance(answer, float) for answer in await in_flight)
    await log.ping()
    await eventually(lambda: server.open == 1)
    assert server.accepted == 6
    await log.close()


async def test_a_server_that_refuses_everything_is_not_stormed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_GIVE_UP_EACH_S", HANG_S)
    log = RedisLog(await server.start())
    told: list[None] = []
    log.on_given_up = lambda: told.append(None)
    server.refusal = ELSEWHERE[0]
    for _ in range(50):
        assert all(isinstance(answer, LogUnavailable) for answer in await pings(log, 4))
    assert len(told) == 1
    assert server.accepted <= 8, "each connection was made anew once"
    await log.close()


async def test_a_refusal_soon_after_a_timeout_moves_the_others_too(server: Server) -> None:
    log = RedisLog(await server.start())
    told: list[None] = []
    log.on_given_up = lambda: told.append(None)
    log.give_up()
    log.give_up(also_others=True)
    assert not told
    async with asyncio.timeout(HANG_S):
        while not told:
            await asyncio.sleep(0.01)
    log.give_up(also_others=True)
    await log.close()
    await asyncio.sleep(0.2)
    assert len(told) == 1, "a log that is closed gives up nothing"


async def test_a_pool_whose_connections_are_all_busy_is_no_other_server(server: Server) -> None:
    log = RedisLog(await server.start(), timeout_s=0.2)
    log.on_given_up = lambda: pytest.fail("given up")
    await pings(log, 1)
    connections = [await log.redis.connection_pool.get_connection() for _ in range(16)]
    with pytest.raises(LogUnavailable, match="No connection available"):
        await log.ping()
    for connection in connections:
        await log.redis.connection_pool.release(connection)
    await log.close()


@pytest.mark.parametrize("refusal", ELSEWHERE)
async def test_the_blocking_log_connects_anew_too(server: Server, refusal: str) -> None:
    log = BlockingRedisLog(await server.start())
    await asyncio.to_thread(log.ping)
    server.refusal = refusal
    with pytest.raises(LogUnavailable):
        await asyncio.to_thread(log.ping)
    server.refusal = None
    await asyncio.to_thread(log.ping)
    assert server.accepted == 2
    await eventually(lambda: server.open == 1)
    log.close()
