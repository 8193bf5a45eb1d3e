"""The primary on which Sentinels agree: what counts as a majority, who is asked and how, and what ends with a log."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.pretty import pretty_repr
from sentinels import Sentinels
from servers import Valkey
from waiting import HANG_S, eventually, generous

from tidewire.errors import LogUnavailable
from tidewire.model.batch import encode_batch, make_batch
from tidewire.redislog.cluster import Endpoint
from tidewire.redislog.locator import Socket, locator_of
from tidewire.redislog.log import BlockingRedisLog, RedisLog
from tidewire.redislog.redis_url import Address, parse_redis_url
from tidewire.redislog.redis_url import Sentinels as Named
from tidewire.redislog.sentinel import Sentinel, Votes

ROOT = Path(__file__).parents[2]
_PASSWORD, _SENTINEL_PASSWORD = "of-the-data", "of-the-sentinels"
_BATCHES = [encode_batch(make_batch("m", 1.0))]
NODES = tuple(Address(f"s{n}", 26_379) for n in range(5))
OLD, NEW = Address("old", 1), Address("new", 1)


def _votes(count: int) -> Votes:
    return Votes(Named(NODES[:count], "tw"))


@pytest.mark.parametrize(("count", "enough"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_more_than_half_of_those_that_are_named_must_agree(count: int, enough: int) -> None:
    votes = _votes(count)
    for node in NODES[: enough - 1]:
        assert not votes.note(node, OLD)
        assert not votes.note(node, OLD), "who says it twice counts once"
    assert votes.address is None
    assert votes.note(NODES[enough - 1], OLD)
    assert votes.address == OLD
    for node in NODES[enough:count]:
        assert not votes.note(node, NEW)
    assert votes.address == OLD
    for node in NODES[: enough - 1]:
        votes.note(node, NEW)
    moved = votes.address == NEW or votes.note(NODES[enough - 1], NEW)
    assert moved
    assert votes.address == NEW


def test_silence_and_disagreement_keep_the_last_address() -> None:
    votes = _votes(3)
    for node in NODES[:2]:
        votes.note(node, OLD)
    for node in NODES[:3]:
        assert not votes.note(node, "no answer")
    assert votes.address == OLD
    for node, said in zip(NODES[:3], (OLD, NEW, Address("other", 1)), strict=True):
        assert not votes.note(node, said)
    assert votes.address == OLD


def test_what_each_said_is_told_and_bounded() -> None:
    votes = _votes(5)
    votes.note(NODES[0], OLD)
    votes.note(NODES[1], "no answer within 0.5 s")
    assert votes.trouble == (
        "no majority of 5 Sentinels says where 'tw' is "
        "(s0:26379: old:1; s1:26379: no answer within 0.5 s; s2:26379: no answer yet; …)"
    )


async def test_an_address_without_sentinels_is_where_it_says() -> None:
    for url, address in {
        "redis://h": ("h", 6_379),
        "rediss://h:1/3": ("h", 1),
        "redis://[::1]:2": ("::1", 2),
        "unix:///tmp/r.sock": ("/tmp/r.sock", 0),
    }.items():
        locator = locator_of(parse_redis_url(url), "tw:{0}:clock")
        assert isinstance(locator, Socket if url.startswith("unix") else Endpoint)
        locator.doubt()
        assert await locator.locate() == locator.address == address


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    directory = tmp_path_factory.mktemp("sentinels")
    with Sentinels(directory, password=_PASSWORD, sentinel_password=_SENTINEL_PASSWORD) as started:
        yield started


@pytest.fixture
def sentinels(processes: Sentinels) -> Sentinels:
    processes.mend()
    return processes


async def test_what_a_log_of_sentinels_shows_has_no_password(processes: Sentinels) -> None:
    log, blocking = RedisLog(processes.url), BlockingRedisLog(processes.url)
    await _append(log)
    await _append(blocking)
    for one in (log, blocking):
        shown = "\n".join([repr(one), str(one.__dict__), str(one.locator.__dict__), pretty_repr(one.locator.target)])
        assert processes.name in shown
        assert _PASSWORD not in shown
        assert _SENTINEL_PASSWORD not in shown
    await _close(log)
    await _close(blocking)


async def _append(log: Any) -> None:
    if isinstance(log, RedisLog):
        await log.append(_BATCHES)
    else:
        await asyncio.to_thread(log.append, _BATCHES)


async def _close(log: Any) -> None:
    if isinstance(log, RedisLog):
        await log.close()
    else:
        log.close()


both = pytest.mark.parametrize("make", [RedisLog, BlockingRedisLog])


@both
async def test_sentinels_and_primary_have_passwords_of_their_own(sentinels: Sentinels, make: Any) -> None:
    log = make(sentinels.url)
    assert _PASSWORD not in log.url
    assert _SENTINEL_PASSWORD not in log.url
    await _append(log)
    assert log.locator.address == sentinels.primary.address
    await _close(log)
    for without, told in (
        (sentinels.url.partition("?")[0], "give user and password of the Sentinels as ?sentinel_username="),
        (sentinels.url.replace(f":{_PASSWORD}@", ""), "NOAUTH|Authentication required"),
    ):
        log = make(without)
        with pytest.raises(LogUnavailable, match=re.escape(told) if "?" in told else told) as refused:
            await _append(log)
        assert _PASSWORD not in str(refused.value)
        assert _SENTINEL_PASSWORD not in str(refused.value)
        await _close(log)


@both
async def test_a_user_needs_role_to_be_told_from_a_replica_and_goes_on_without(sentinels: Sentinels, make: Any) -> None:
    for server in sentinels.servers:
        server.client.execute_command("ACL", "SETUSER", "some", "on", ">some", "+@all", "~*", "&*", "-role")
    log = make(sentinels.url.replace(f"//:{_PASSWORD}@", "//some:some@"))
    await _append(log)
    await _close(log)


@both
async def test_a_name_that_no_sentinel_knows_and_a_server_that_is_none_are_told(
    sentinels: Sentinels, valkey: Valkey, make: Any
) -> None:
    log = make(sentinels.url.replace(f"/{sentinels.name}?", "/other?"))
    with pytest.raises(LogUnavailable, match="watches no primary named 'other'"):
        await _append(log)
    await _close(log)
    log = make(f"redis+sentinel://127.0.0.1:{valkey.port}/tw")
    with pytest.raises(LogUnavailable, match=rf"127.0.0.1:{valkey.port}: is no Sentinel"):
        await _append(log)
    await _close(log)


@both
async def test_a_sentinel_that_hangs_delays_nobody_for_longer_than_its_time(sentinels: Sentinels, make: Any) -> None:
    sentinels.sentinels[0].signal(signal.SIGSTOP)  # the first that is asked
    log = make(sentinels.url)
    began = time.monotonic()
    await _append(log)
    assert time.monotonic() - began < generous(1.0)
    await _close(log)


@both
async def test_connections_to_the_sentinels_are_two_each_and_end_with_the_log(sentinels: Sentinels, make: Any) -> None:
    def connected() -> list[int]:
        return [len(sentinel.connections()) for sentinel in sentinels.sentinels]

    await eventually(lambda: connected() == [0, 0, 0])
    log = make(sentinels.url)
    await _append(log)
    await eventually(lambda: connected() == [2, 2, 2])
    assert _watching()
    await _close(log)
    assert not _watching()
    await eventually(lambda: connected() == [0, 0, 0])


USER = re.search(r"`(-@all \+auth .*? &\+switch-master)`", (ROOT / "docs/security.md").read_text(), re.DOTALL)


@both
@pytest.mark.parametrize("denied", ["", "+subscribe", "&+switch-master"])
async def test_a_user_of_the_sentinels_follows_also_one_who_may_not_listen(
    sentinels: Sentinels, make: Any, denied: str
) -> None:
    assert USER
    rules = [rule for rule in USER[1].split() if rule != denied]
    for sentinel in sentinels.sentinels:
        sentinel.client.execute_command("ACL", "SETUSER", "asks", "reset", "on", ">asks", "resetchannels", *rules)
        sentinel.client.execute_command("ACL", "LOG", "RESET")
    log = make(f"{sentinels.url.partition('?')[0]}?sentinel_username=asks&sentinel_password=asks")
    old = sentinels.primary
    await _append(log)
    await asyncio.to_thread(sentinels.fail_over, "COORDINATED")
    assert old is not await asyncio.to_thread(lambda: sentinels.primary)

    async def follows() -> bool:
        try:
            await _append(log)
        except LogUnavailable:
            return False
        return bool(log.locator.address != old.address)

    await eventually(follows)
    await _close(log)
    refused = [sentinel.client.execute_command("ACL", "LOG") for sentinel in sentinels.sentinels]
    assert any(refused) == bool(denied)


def _watching() -> list[str]:
    """Return the names of what asks Sentinels: tasks and threads."""
    names = [task.get_name() for task in asyncio.all_tasks()] + [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("tidewire-sentinel")]


async def test_a_log_that_was_closed_finds_the_primary_again(sentinels: Sentinels) -> None:
    for make in (RedisLog, BlockingRedisLog):
        log = make(sentinels.url)
        await _append(log)
        await _close(log)
        await _append(log)
        await _close(log)


async def test_all_that_wait_for_the_first_answer_get_it(sentinels: Sentinels) -> None:
    locator = locator_of(parse_redis_url(sentinels.url), "tw:{0}:clock")
    assert isinstance(locator, Sentinel)
    found = await asyncio.gather(*[locator.locate() for _ in range(20)])
    assert set(found) == {sentinels.primary.address}
    await locator.close()


async def test_no_connection_leads_to_a_replica_that_sentinels_take_for_the_primary(tmp_path: Path) -> None:
    """Sentinels that know of nothing but one server, which follows another: ROLE tells."""
    with Sentinels(tmp_path, replicas=1, sentinels=1) as alone:
        primary, [replica] = alone.primary, alone.replicas
        log, blocking = RedisLog(alone.url), BlockingRedisLog(alone.url)
        await _append(log)
        await _append(blocking)
        primary.client.execute_command("REPLICAOF", "127.0.0.1", replica.port)  # by hand, and unknown to the Sentinel
        for one in (log, blocking):
            with pytest.raises(LogUnavailable):
                await _append(one)
            with pytest.raises(LogUnavailable, match=r"it is a replica, which takes no readings .* are asked again"):
                await _append(one)
        await _close(log)
        await _close(blocking)


async def test_far_sentinels_are_far_and_not_away(processes: Sentinels, tmp_path: Path) -> None:
    """Two connections with their log-ins take some ways to and fro: no answer of any takes half a second."""
    async with contextlib.AsyncExitStack() as stack:
        far = [await stack.enter_async_context(_far(server.port, 0.075)) for server in processes.sentinels]
        nodes = ",".join(f"127.0.0.1:{port}" for port in far)
        url = f"redis+sentinel://:{_PASSWORD}@{nodes}/{processes.name}?sentinel_password={_SENTINEL_PASSWORD}"
        locator = Sentinel(parse_redis_url(url))
        stack.push_async_callback(locator.close)
        assert (await asyncio.wait_for(locator.locate(), HANG_S)).port == processes.primary.port


@contextlib.asynccontextmanager
async def _far(port: int, one_way_s: float) -> AsyncIterator[int]:
    """A port that leads to another one over a long way; gives its number."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                asyncio.get_running_loop().call_later(one_way_s, writer.write, data)
        writer.close()

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_call_ends_when_its_log_is_closed() -> None:
    async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    log = RedisLog(f"redis+sentinel://127.0.0.1:{server.sockets[0].getsockname()[1]}/tw")
    waiting = asyncio.create_task(log.clock())
    await eventually(lambda: "tidewire-sentinels" in {task.get_name() for task in asyncio.all_tasks()})
    await log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        await asyncio.wait_for(waiting, HANG_S)
    server.close()
