"""The feed: a real service's stream in the store, and what is said of the connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import Eventually

from tidewire.livestore.feed import Feed
from tidewire.livestore.store import Store


@pytest.fixture
def feed(service: Any) -> Iterator[Feed]:
    feed = Feed(Store(), ("**",), url=service.url)
    yield feed
    feed.stop()
    assert not feed.running


def values(feed: Feed, metric: str) -> list[float]:
    found = feed.store.find(metric, {})
    if found is None:
        return []
    with feed.store.lock:
        return [float(value) for value in found.raw.rows()[1]]


async def test_the_replay_fills_the_store_and_live_readings_follow(
    service: Any, feed: Feed, eventually: Eventually
) -> None:
    now_ms = time.time() * 1e3
    await service.publish(
        "m", *map(float, range(50)), time=[now_ms - 60_000 + n * 1_000 for n in range(50)], unit="Cel"
    )
    feed.start()
    await eventually(lambda: feed.status.state == "live")
    assert values(feed, "m") == list(range(50))
    assert feed.store.covered_from_ms == pytest.approx(now_ms - 900_000, abs=10_000)
    await service.publish("m", 50.0, unit="Cel")
    await eventually(lambda: values(feed, "m")[-1:] == [50.0])
    assert feed.store.series[0].unit == "Cel"
    assert feed.now_ms() == pytest.approx(time.time() * 1e3, abs=2_000)
    message = feed.message()
    assert (message.state, message.metrics, message.recovered) == ("live", 1, 0)


async def test_series_that_were_silent_throughout_the_replay_are_known(
    service: Any, feed: Feed, eventually: Eventually
) -> None:
    old_ms = time.time() * 1e3 - 3_600_000
    times = [old_ms - 1_000.0 * n for n in range(30, -1, -1)]
    await service.publish("silent", *[1.0] * 30, 7.0, time=times, labels={"site": "A"})
    feed._replay_s = 1
    await eventually(lambda: time.time() * 1e3 - old_ms > 3_602_000)
    feed.start()
    found = await eventually(lambda: feed.store.find("silent", {"site": "A"}))
    await eventually(lambda: feed.store.state[found.index]["last_value"] == 7.0)
    state = feed.store.state[found.index]
    assert state["last_time_ms"] == pytest.approx(old_ms)
    assert state["last_id_ms"] > old_ms
    await eventually(lambda: found.expected_ms() == 1_000)


async def test_a_service_that_ends_and_comes_back_leaves_no_hole(
    service: Any, feed: Feed, eventually: Eventually
) -> None:
    feed.start()
    await eventually(lambda: feed.status.state == "live")
    await service.publish("m", 1.0)
    await eventually(lambda: values(feed, "m") == [1.0])
    await service.stop()
    await eventually(lambda: feed.status.state == "reconnecting")
    lost = feed.status
    message = feed.message()
    assert message.retry_at_ms is not None
    assert message.reason
    await service.start()
    await service.publish("m", 2.0, 3.0)
    feed.retry_now()
    await eventually(lambda: feed.status.state == "live")
    assert values(feed, "m") == [1.0, 2.0, 3.0]
    assert feed.status.since_ms >= lost.since_ms
    await service.publish("m", 4.0)
    await eventually(lambda: values(feed, "m") == [1.0, 2.0, 3.0, 4.0])


async def test_without_a_service_it_says_so_and_goes_on_trying(
    feed: Feed, service: Any, eventually: Eventually
) -> None:
    await service.stop()
    feed.start()
    await eventually(lambda: feed.status.attempts > 0)
    assert feed.status.state == "connecting"
    assert feed.message().retry_at_ms is not None
    await service.start()
    await eventually(lambda: feed.status.state == "live")


async def test_a_refusal_is_final_until_somebody_asks_again(service: Any, eventually: Eventually) -> None:
    with Feed(Store(), ("a//b",), url=service.url) as feed:
        await eventually(lambda: feed.status.state == "ended")
        assert "empty level" in feed.status.reason
        since_ms = feed.status.since_ms
        feed.retry_now()
        await eventually(lambda: feed.status.since_ms > since_ms)
    assert not feed.running
