"""Faults rows 6 to 11: Redis is there, but does not answer, is cut off, half heard, or full."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from waiting import eventually

from .conftest import World
from .processes import Service

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]


async def _post_all(service: Service, count: int) -> tuple[set[int], set[str | None], float]:
    """Post at once; return the statuses, the Retry-After headers, and how long the slowest took."""
    started = time.monotonic()
    answers = await asyncio.gather(
        *(service.http.post("/v1/readings", json={"metric": "posted", "value": n}) for n in range(count))
    )
    took_s = time.monotonic() - started
    return {a.status_code for a in answers}, {a.headers.get("retry-after") for a in answers}, took_s


@pytest.mark.parametrize("how", ["CLIENT PAUSE", "SIGSTOP"])
@pytest.mark.long
async def test_row_6_a_paused_redis_meets_deadlines_everywhere(world: World, how: str) -> None:
    service = await world.service("", "--redis-timeout-s=1")
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(10)]
    await world.all_live()
    feed = world.feed().start(METRICS)
    await eventually(lambda: len(world.book.acked) > 100)
    paused_s = time.time()
    if how == "SIGSTOP":
        world.valkey.pause()
    else:
        world.valkey.client.execute_command("CLIENT", "PAUSE", 15_000, "ALL")
    statuses, retry_after, took_s = await _post_all(service, 40)  # more than the pool has connections
    assert statuses == {503}
    assert None not in retry_after
    assert took_s < world.lateness.allow(3.0), "each waits for a connection, then for an answer"
    await world.lateness.within(5.0, service.unready, "I8: readiness shows it within 5 s")
    unready_s = time.time() - paused_s
    await eventually(lambda: min(s.heard_s for s in subscribers) > paused_s + 1, "heartbeats go on")
    if how == "SIGSTOP":
        world.valkey.resume()
    else:
        await asyncio.sleep(max(0.0, paused_s + 15 - time.time()))  # the pause itself
    resumed_s = time.time()
    await eventually(service.ready)
    statuses, _, took_s = await _post_all(service, 40)
    assert statuses == {200}, "the pool is whole again"
    await eventually(lambda: [b for b in world.book.acked if b.sent_s > resumed_s])
    await feed.stop()
    await world.settled()
    print(f"row 6, {how}: 503 in {took_s:.2f} s, unready after {unready_s:.2f} s")
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}
    assert world.valkey.connections("tidewire") <= 16 + 1 + 1 + 16, "service pool, live, feed"
    assert not service.errors()


async def test_row_7_a_half_open_connection_is_noticed_and_replaced(world: World) -> None:
    link = await world.redis_proxy()
    service = await world.service(link.url, "--redis-timeout-s=1")
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(5)]
    await world.all_live()
    feed = world.feed().start(METRICS)
    await eventually(lambda: all(len(s.ledger.got) > 50 for s in subscribers))
    link.black_hole()
    stopped_s = time.time()
    await world.lateness.within(5.0, service.unready, "I8: readiness shows it within 5 s")
    connections = link.connections
    await eventually(lambda: link.connections > connections + 1, "both kinds of connection are made anew")
    noticed_s = time.time() - stopped_s
    await eventually(lambda: min(s.heard_s for s in subscribers) > stopped_s + 1, "heartbeats go on")
    link.close_all()
    link.forward()
    forward_s = time.time()
    await eventually(service.ready)
    came = [b for b in world.book.acked if b.sent_s > forward_s] or [world.book.acked[-1]]
    await eventually(lambda: all(came[0].body in s.ledger.got for s in subscribers))
    await feed.stop()
    await world.settled()
    print(f"row 7: noticed after {noticed_s:.2f} s")
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}
    assert not service.errors()


async def test_row_7_only_the_live_connection_is_half_open(world: World) -> None:
    live = await world.redis_proxy()
    service = await world.service(live.url)
    subscriber = world.subscriber(service.address, "plant/**")
    await world.all_live()
    feed = world.feed()
    await feed.publish(*METRICS)
    for link in live.links("SUBSCRIBE"):
        link.stop()
    stopped_s = time.monotonic()
    connects = await service.count("live_connects")

    async def rebuilt() -> bool:
        return await service.count("live_connects") > connects

    await world.lateness.within(10.0, rebuilt, "an unanswered ping ends the connection")  # nothing published
    print(f"row 7, live only: rebuilt after {time.monotonic() - stopped_s:.2f} s")
    await feed.publish(*METRICS)
    await world.settled()
    assert subscriber.ledger.count("gap") == 0


async def test_row_8_a_reply_lost_after_the_append_leaves_one_entry(world: World) -> None:
    link = await world.redis_proxy()
    service = await world.service()
    subscriber = world.subscriber(service.address, "plant/**")
    await world.all_live()
    feed = world.feed(link.url)
    for nth in (1, 3, 2, 5):
        link.lose_reply("append", nth)
        for _ in range(6):
            await feed.publish(*METRICS)
    assert feed.failures == 4
    assert link.commands["append"] == feed.sequence + 4
    await world.settled()
    stored = await world.stored()
    assert len(stored) == len(world.book.acked) == 24 * len(METRICS)
    assert {len(cursors) for cursors in stored.values()} == {1}
    assert set(subscriber.ledger.got) == set(stored)
    print(f"row 8: 4 replies lost, {len(stored)} batches stored once each")


async def test_row_8_a_reply_lost_behind_the_http_door_leaves_one_entry(world: World) -> None:
    link = await world.redis_proxy()
    service = await world.service(link.url)
    for sequence in range(1, 9):
        link.lose_reply("append")
        for expected in (503, 200, 200):  # the lost one, its repetition, and a needless one
            answer = await service.http.post(
                "/v1/readings",
                json={"metric": "posted", "value": sequence},
                headers={"Idempotency-Key": f"agent:{sequence}"},
            )
            assert answer.status_code == expected, answer.text
    stored = await world.stored()
    assert sum(len(cursors) for cursors in stored.values()) == 8


async def test_row_9_killed_pubsub_connections_leave_holes_that_are_filled(world: World) -> None:
    service = await world.service()
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(5)]
    await world.all_live()
    feed = world.feed().start(METRICS, every_s=0.002)
    for kill in range(1, 6):
        connects = await service.count("live_connects")
        seen = len(world.book.acked)
        assert world.valkey.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1

        async def again(connects: float = connects) -> bool:
            return await service.count("live_connects") > connects

        await eventually(again, f"connection {kill} is replaced")
        await eventually(lambda seen=seen: len(world.book.acked) > seen + 50)
    await feed.stop()
    await world.settled()
    slowest_s = max(s.ledger.latencies_s(world.book)[-1] for s in subscribers)
    holes = await service.count("holes") + await service.count("checks_behind")
    print(f"row 9: 5 kills under load, {holes:g} holes, slowest batch {slowest_s * 1e3:.0f} ms")
    assert slowest_s < world.lateness.allow(1.0)
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}
    assert not service.errors()


async def test_row_9_a_process_too_slow_for_its_output_buffer_loses_nothing(world: World) -> None:
    world.valkey.client.config_set("client-output-buffer-limit", "pubsub 65536 32768 1")
    service = await world.service()
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(5)]
    await world.all_live()
    feed = world.feed()
    await feed.publish(*METRICS)
    service.pause()

    def cut_off() -> bool:
        return world.valkey.connections("tidewire-hub") == 0

    big = [f"plant/{n}/{'x' * 200}" for n in range(100)]
    for _ in range(300):  # 30 KB each: past the kernel's buffers, then past the tiny one
        await feed.publish(*big)
        if cut_off():
            break
    assert cut_off(), "Redis has given up on the connection"
    service.resume()
    resumed_s = time.time()
    await world.settled()
    took_s = max(s.ledger.last_s for s in subscribers) - resumed_s
    print(f"row 9, tiny buffer: {len(world.book.acked)} batches, whole {took_s:.2f} s after SIGCONT")
    assert took_s < world.lateness.allow(1.0)
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}
    assert not service.errors()


@pytest.mark.parametrize("every_s", [0.002, 2.5])
async def test_row_10_a_deaf_connection_is_found_from_the_clock_and_rebuilt(world: World, every_s: float) -> None:
    link = await world.redis_proxy()
    service = await world.service(link.url)
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(5)]
    await world.all_live()
    feed = world.feed().start(METRICS, every_s=every_s)
    await eventually(lambda: all(s.ledger.got for s in subscribers))
    connects = await service.count("live_connects")
    link.deafen()
    deaf_s = time.time()

    async def rebuilt() -> bool:
        return await service.count("live_connects") > connects

    # a check that finds something missing needs something published: twice, for a slow feed
    bound_s = 2.0 if every_s < 0.1 else 2.0 + 2 * every_s
    await world.lateness.within(bound_s, rebuilt, "the connection is rebuilt")
    rebuilt_s = time.time() - deaf_s
    published = len(world.book.acked)
    await eventually(lambda: len(world.book.acked) > published + 1)
    await feed.stop()
    await world.settled()
    slowest_s = max(s.ledger.latencies_s(world.book)[-1] for s in subscribers)
    print(f"row 10: {link.frames_dropped} frames dropped, slowest batch {slowest_s:.2f} s, rebuilt {rebuilt_s:.2f} s")
    assert link.frames_dropped
    assert slowest_s < world.lateness.allow(1.0)
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}


async def test_row_11_a_full_redis_refuses_says_so_and_recovers(world: World) -> None:
    service = await world.service()
    subscribers = [world.subscriber(service.address, "plant/**") for _ in range(5)]
    await world.all_live()
    feed = world.feed()
    for _ in range(5):
        await feed.publish(*METRICS)
    used = world.valkey.client.info("memory")["used_memory"]
    world.valkey.client.config_set("maxmemory-policy", "noeviction")
    world.valkey.client.config_set("maxmemory", used // 2)
    answer: httpx.Response = await service.http.post("/v1/readings", json={"metric": "posted", "value": 1})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert "full" in answer.json()["detail"]
    counters = await service.counters()
    refused = [name for name in counters if 'status="503"' in name and counters[name] == 1]
    assert refused, "counted and shown in /metrics"
    full_s = time.time()
    sending = asyncio.create_task(feed.publish(*METRICS))
    await eventually(lambda: feed.failures > 2 or sending.done())
    assert not sending.done()
    await eventually(lambda: min(s.heard_s for s in subscribers) > full_s, "heartbeats go on")
    assert await service.ready(), "what is in the log can be read and streamed"
    late = world.subscriber(service.address, "plant/**", replay="last")
    await world.all_live([late])
    assert late.ledger.of("message"), "a snapshot needs no memory"
    world.valkey.client.config_set("maxmemory", 0)
    await sending
    await feed.publish(*METRICS)
    answer = await service.http.post("/v1/readings", json={"metric": "posted", "value": 2})
    assert answer.status_code == 200
    await world.settled()
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset")} == {0}
    assert not service.errors()


async def test_row_11_an_evicting_policy_is_warned_about_at_start(world: World) -> None:
    world.valkey.client.config_set("maxmemory-policy", "allkeys-lru")
    service = await world.service()
    await eventually(lambda: "allkeys-lru" in service.log, "a warning names the policy")
