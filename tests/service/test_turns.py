"""However much there is to replay, to select or to be born, no step of the hub holds the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pytest
from loop_meter import HELD_S, measured
from servers import Service, Valkey
from waiting import HANG_S, eventually

from tidewire.model.batch import EncodedBatch, encode_batch, make_batch
from tidewire.model.cursor import Cursor
from tidewire.redislog.log import RedisLog
from tidewire_service.hub.event_ring import EventRing, RingEntry
from tidewire_service.hub.fanout import Fanout
from tidewire_service.hub.hub import Hub
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.subscription import OnSlow, Replay, Subscription, SubscriptionRequest
from tidewire_service.settings import ServiceSettings
from tidewire_service.turns import Turns

METRICS, SERIES = 20, 2_000
MANY = 100_000
RUNS_TIMEOUT = pytest.mark.timeout(900)  # three runs over all of them, on a busy machine
HOSTILE = [f"**/{'*/' * n}b" for n in range(40, 104)]  # 0.1 ms each for a name of many levels
DEEP = "a/" * 120


class Ears:
    """A socket that takes everything."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    @property
    def heard(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, data: bytes) -> bool:
        self.pieces.append(data)
        return True


def fanout_of(metrics: Sequence[str]) -> Fanout:
    partition = Partition(EventRing(0))
    fanout = Fanout(partition, log_time_ms=lambda: 0.0, fell_back=lambda _: None)
    for metric in metrics:
        fanout.born(metric)
    return fanout


async def attached(fanout: Fanout, patterns: Sequence[str]) -> Subscription:
    request = SubscriptionRequest(patterns=tuple(patterns), replay=Replay("none"))
    matched = await fanout.match(request, (), Turns())
    subscription = fanout.attach(request, Ears(), matched=matched)
    while fanout.enter_some(subscription.selection):
        await asyncio.sleep(0)
    return subscription


async def test_the_widest_selection_comes_and_goes_without_holding_the_event_loop() -> None:
    fanout = fanout_of([f"plant/line{n % 100}/machine{n}/temperature" for n in range(100_000)])
    narrow = await attached(fanout, ["plant/line1/**"])

    async def come_and_go() -> None:
        others = [await attached(fanout, ["**", f"of/{n}"]) for n in range(5)]
        wide = await attached(fanout, ["**"])
        assert len(wide.selection.metrics) == 100_000
        await asyncio.sleep(0)
        for subscription in (wide, *others):
            fanout.detach(subscription)
        await fanout.forget_leaving()

    held_s, _ = await measured(come_and_go)
    assert held_s < HELD_S
    assert fanout.selection_count == 1
    assert {tuple(entered) for entered in fanout._by_metric.values()} == {(), (narrow.selection,)}


async def test_a_selection_that_leaves_gets_no_more_events_and_may_come_back_meanwhile() -> None:
    fanout = fanout_of([f"m/{n}" for n in range(5_000)])
    gone = await attached(fanout, ["**"])
    fanout.go_live(gone)
    fanout.detach(gone)
    back = await attached(fanout, ["**"])
    fanout.go_live(back)
    fanout.applied(RingEntry(1, "m/1", b'{"n":1}', "epoch"))
    fanout.flush()
    await fanout.forget_leaving()
    fanout.applied(RingEntry(2, "m/1", b'{"n":2}', "epoch"))
    fanout.flush()
    assert cast("Ears", gone.sink).heard == b""
    assert re.findall(b"data: (.+)", cast("Ears", back.sink).heard) == [b'{"n":1}', b'{"n":2}']


async def test_metrics_are_expected_without_holding_the_event_loop() -> None:
    fanout = fanout_of(["old"])
    runs = itertools.count()

    async def expect() -> None:
        level = f"{DEEP}run{next(runs)}/"
        open_ = [await attached(fanout, [*HOSTILE[:16], f"{level}{n}", f"of/{n}"]) for n in range(40)]
        born = [f"{level}{n}" for n in range(20)]
        expecting = asyncio.create_task(fanout.expect(born))
        await asyncio.sleep(0)
        assert not expecting.done()
        late = await attached(fanout, [f"{level}*"])
        fanout.detach(open_[0])
        await expecting
        for metric in born:
            fanout.born(metric)
        assert late.selection.metrics == set(born)
        assert open_[1].selection.metrics == {f"{level}1"}
        assert fanout._by_metric[f"{level}0"] == [late.selection]
        assert set(fanout._by_metric[f"{level}1"]) == {open_[1].selection, late.selection}
        assert len(fanout._by_metric[f"{level}1"]) == 2
        for subscription in (*open_[1:], late):
            fanout.detach(subscription)
        await fanout.forget_leaving()

    held_s, _ = await measured(expect)
    assert held_s < HELD_S


async def test_what_is_born_reaches_every_stream_once_and_in_order_however_costly_the_patterns_of_others_are(
    start_service: Callable[..., Any],
) -> None:
    service = await start_service()
    ready = asyncio.Semaphore(0)
    heard: list[str] = []

    async def listen(query: str, into: list[str]) -> None:
        async with service.http.stream("GET", f"/v1/stream?replay=none&{query}") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event: live"):
                    ready.release()
                if '"metric":"' in line:
                    into.append(line.split('"metric":"')[1].split('"')[0])

    costly = [f"metric=of/{n}&" + "&".join(f"metric={one}" for one in HOSTILE[:16]) for n in range(20)]
    listening = [asyncio.create_task(listen(query, [])) for query in costly]
    listening.append(asyncio.create_task(listen(f"metric={DEEP}**&metric=other/*", heard)))
    runs = itertools.count()

    async def bear() -> None:
        heard.clear()
        run = next(runs)
        born, last = [f"{DEEP}run{run}/{n}" for n in range(30)], f"other/{run}"
        for names in (born, [last]):
            posted = await service.http.post("/v1/readings", json=[{"metric": name, "value": 1} for name in names])
            assert posted.status_code == 200
        await eventually(lambda: heard[-1:] == [last])
        assert heard == [*born, last]

    try:
        for _ in listening:
            await asyncio.wait_for(ready.acquire(), HANG_S)
        held_s, _ = await measured(bear)
        assert held_s < HELD_S
    finally:
        for task in listening:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*listening)


@pytest.fixture(scope="module")
async def wide_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with 40,000 series, one batch each, all of them in the event ring."""
    valkey = Valkey(tmp_path_factory.mktemp("wide") / "valkey")
    valkey.start()
    service = Service(ServiceSettings(redis=valkey.url, port=0, drain_s=0.1))
    await service.start()
    log = RedisLog(valkey.url)
    for metric in range(METRICS):
        labels = ({"n": f"{metric}-{n}", "site": "A"} for n in range(SERIES))
        await log.append([encode_batch(make_batch(f"wide/{metric}", [1.0], labels=one)) for one in labels])
    await log.close()
    await eventually(lambda: service.app.state.hub.gauges()["ring_batches"] == METRICS * SERIES)
    yield service
    await service.stop()
    await service.http.aclose()
    valkey.close()


async def read_until_live(service: Service, path: str) -> list[bytes]:
    """Return what a stream says until it is live, in pieces: to join 30 MB would hold the event loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    pieces = [b"", b""]
    while b"event: live" not in pieces[-2][-20:] + pieces[-1]:
        pieces.append(await asyncio.wait_for(reader.read(1 << 18), HANG_S))
        assert pieces[-1], pieces[-2][-500:]
    writer.close()
    return pieces


@pytest.mark.parametrize(
    ("query", "events"),
    [
        pytest.param("metric=wide/**&replay=last", METRICS * SERIES, id="last readings"),
        pytest.param("metric=wide/**&replay=1h", METRICS * SERIES, id="ring"),
        pytest.param("metric=wide/**&replay=1h&label=site:B", 0, id="ring by label"),
        pytest.param("metric=wide/**&replay=1h&every=100ms&label=site:A", None, id="ring as intervals"),
        pytest.param("metric=wide/**&replay=1h&every=1h&label=site:A", None, id="ring as one interval"),
    ],
)
async def test_no_replay_holds_the_event_loop(wide_service: Service, query: str, events: int | None) -> None:
    held_s, replays = await measured(lambda: read_until_live(wide_service, f"/v1/stream?{query}"))
    for pieces in replays:
        heard = b"".join(pieces)
        assert heard.startswith(b"HTTP/1.1 200")
        if events is not None:
            assert heard.count(b'"metric":"wide/') == events
    assert held_s < HELD_S


async def thinned(hub: Hub, patterns: str) -> Ears:
    """Return what a slow subscription that wants only the newest reads from the beginning of the log."""
    request = SubscriptionRequest(
        patterns=(patterns,), replay=Replay("none"), on_slow=OnSlow.CONFLATE, cursor=Cursor(hub.position.epoch, 1)
    )
    ears = Ears()
    fanout = hub.parts[0].fanout
    matched = await fanout.match(request, (), Turns())
    subscription = fanout.attach(request, ears, matched=matched)
    subscription.cursor, subscription.slow, subscription._announce = Cursor(hub.position.epoch, 1), True, False
    await asyncio.sleep(0)

    async def drained() -> None:
        subscription.written()

    await hub.catch_up(subscription, subscription.catch_up(), drained)
    hub.detach(subscription)
    assert subscription.cursor == hub.position
    return ears


async def test_a_slow_subscription_is_thinned_over_the_whole_ring_in_turns(wide_service: Service) -> None:
    hub = wide_service.app.state.hub
    before = hub.counters["batches_skipped"]
    held_s, thinnings = await measured(lambda: thinned(hub, "wide/*"))
    told = sum(ears.heard.count(b'"metric":"wide/') for ears in thinnings)
    assert told == len(thinnings) * METRICS * SERIES - (hub.counters["batches_skipped"] - before)
    assert held_s < HELD_S


def many_batches(value: float) -> list[EncodedBatch]:
    """Return a batch of each of 100,000 metrics: one is encoded, and the names put in, since each would take 10 µs."""
    one = encode_batch(make_batch("many/N", [value], unit="K"))
    bodies = ((f"many/{n}", one.body.replace(b"many/N", b"many/%d" % n)) for n in range(MANY))
    return [one._replace(metric=metric, body=body, last=body) for metric, body in bodies]


@pytest.fixture(scope="module")
async def logged_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that came to a log of 100,000 metrics with two readings each: nothing of it is in the event ring."""
    valkey = Valkey(tmp_path_factory.mktemp("logged") / "valkey")
    valkey.start()
    log = RedisLog(valkey.url)
    for reading in range(2):
        await log.append(many_batches(float(reading)))
    await log.close()
    service = Service(ServiceSettings(redis=valkey.url, port=0, drain_s=0.1))
    await service.start()
    await eventually(lambda: service.app.state.hub.ready)
    yield service
    await service.stop()
    await service.http.aclose()
    valkey.close()


@pytest.mark.parametrize(
    ("query", "events"),
    [
        pytest.param("", 2 * MANY, id="all"),
        pytest.param("&label=site:B", 0, id="by label"),
    ],
)
@pytest.mark.long
@RUNS_TIMEOUT
async def test_no_replay_from_the_log_of_many_metrics_holds_the_event_loop(
    logged_service: Service, query: str, events: int
) -> None:
    counters = logged_service.app.state.hub.counters
    pages, reads = counters["pages_log"], counters["reads"]
    held_s, replays = await measured(
        lambda: read_until_live(logged_service, f"/v1/stream?metric=many/**&replay=1h{query}")
    )
    for pieces in replays:
        assert b"".join(pieces).count(b'"metric":"many/') == events
    assert counters["pages_log"] > pages
    # Read at once, 100,000 metrics take longer than the deadline of a read: it was repeated for ever
    assert counters["reads"] - reads >= len(replays) * MANY / 2_000
    assert held_s < HELD_S


@pytest.mark.long
@RUNS_TIMEOUT
async def test_a_slow_subscription_is_thinned_over_the_log_of_many_metrics_in_turns(
    logged_service: Service,
) -> None:
    hub = logged_service.app.state.hub
    held_s, thinnings = await measured(lambda: thinned(hub, "many/*"))
    for ears in thinnings:
        assert ears.heard.count(b'"metric":"many/') == 2 * MANY  # the newest of each, and what it was spared
    assert held_s < HELD_S


@pytest.mark.long
@RUNS_TIMEOUT
async def test_the_holes_of_many_metrics_are_announced_in_turns(logged_service: Service) -> None:
    """It is the last one with this log, of which nothing is left."""
    log = RedisLog(logged_service.settings.redis)
    for first in range(0, MANY, 10_000):  # as the server evicts them
        await log.redis.unlink(*(log.keys.log(f"many/{n}") for n in range(first, first + 10_000)))
    await log.close()
    held_s, replays = await measured(lambda: read_until_live(logged_service, "/v1/stream?metric=many/**&replay=1h"))
    for pieces in replays:
        assert b"".join(pieces).count(b"event: gap") == MANY
    assert held_s < HELD_S
