"""The hub's shell: what it does when an operation of the continuity tracker fails, and what is not a live frame."""

from __future__ import annotations

import asyncio

import pytest
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire.errors import LogUnavailable
from tidewire.model.batch import encode_batch, make_batch
from tidewire.model.pattern import compile_patterns
from tidewire.redislog.lineage import Clock, Watermark
from tidewire.redislog.log import RedisLog
from tidewire_service.errors import FrameMalformed
from tidewire_service.hub.conflation import Skipped, Thinner
from tidewire_service.hub.event_ring import EventRing, RingEntry
from tidewire_service.hub.hub import Hub
from tidewire_service.hub.live_frame import parse_frame
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.selection import Selection, SelectionKey
from tidewire_service.settings import ServiceSettings
from tidewire_service.turns import at_once


def thinned(entries: list[RingEntry]) -> tuple[list[RingEntry], list[Skipped]]:
    thinner = Thinner()
    thinner.add(entries)
    return at_once(thinner.thinning())


class FailingLog(RedisLog):
    """A real log whose clock can fail in a way that nobody foresaw."""

    failing = False

    async def clock(self, watermark: Watermark | None = None) -> Clock:
        if self.failing:
            raise RuntimeError("unforeseen")
        return await super().clock(watermark)


async def test_a_waiting_sync_is_told_of_any_failure_and_the_tracker_goes_on(
    valkey: Valkey, eventually: Eventually
) -> None:
    log = FailingLog(valkey.url)
    hub = Hub(log, ServiceSettings(redis=valkey.url))
    await hub.start()
    try:
        await eventually(lambda: hub.ready)
        log.failing = True
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="unforeseen"):
                await asyncio.wait_for(hub.parts[0].feed.sync_clock(), HANG_S)
        assert hub.counters["tracker_errors"] >= 1
        log.failing = False
        assert (await asyncio.wait_for(hub.parts[0].feed.sync_clock(), HANG_S)).epoch == hub.position.epoch
        await eventually(lambda: hub.ready)
        log.failing = True
        waiting = asyncio.create_task(hub.parts[0].feed.sync_clock())
        await asyncio.sleep(0)
    finally:
        await hub.close()
        await log.close()
    with pytest.raises((LogUnavailable, asyncio.CancelledError)):
        await asyncio.wait_for(waiting, HANG_S)


def test_the_ring_holds_bytes_whoever_read_from_it_by_label_or_was_slow() -> None:
    ring = EventRing(0)
    partition = Partition(ring)
    for n in range(1, 5):
        encoded = encode_batch(make_batch("m", [float(n)], labels={"site": "AB"[n % 2]}))
        ring.append(RingEntry(n, "m", encoded.body, "abc1234"))
    selection = Selection(SelectionKey(("m",), (("site", "A"),)), compile_patterns(("m",)), partition)
    selection.metrics.add("m")
    entries = list(selection.wanted(0, 4))
    assert [entry.id for entry in entries] == [2, 4]
    assert [entry.id for entry in thinned(entries)[0]] == [4]
    assert [entry.id for entry in ring.after(0, 4) if entry.kept is not None] == []


def test_a_slow_subscriber_is_spared_all_but_the_newest_reading_of_a_series() -> None:
    def entry(id_: int, *times: float, metric: str = "m") -> RingEntry:
        return RingEntry(id_, metric, encode_batch(make_batch(metric, list(times), time=list(times))).body, "epoch")

    t = 1.7e12
    entries = [
        entry(1, t),
        entry(2, t + 9, t + 1),
        entry(3, t + 5),
        entry(4, t, metric="n"),
        entry(5, t + 9),
        entry(6, t),
    ]
    kept, left_out = thinned(entries)
    assert [one.id for one in kept] == [4, 5]
    assert left_out == [("m", 4, 1, 6)]


@pytest.mark.parametrize(
    "message",
    [
        b"1 abc1234 5-0 2\n6-1 1 2\nmxx6-0 1 2\nmxx",  # ids fall
        b"1 abc1234 5-0 2\n6-0 1 2\nmxx6-0 1 2\nmxx",  # ids repeat
        b"1 abc1234 5-0 1\n5-0 1 2\nmxx",  # at what was before the call
        b"1 abc1234 5-0 1\n6- 1 2\nmxx",
        b"1 abc1234 5-0 1\n6-0 1 2\nmx",
        b"2 abc1234 5-0 1\n6-0 1 2\nmxx",
        b"1 abc1234 5-0 0\n",
    ],
)
def test_what_is_no_live_frame_moves_nothing(message: bytes) -> None:
    assert parse_frame(b"1 abc1234 5-0 2\n6-0 1 2\nmxx6-1 1 2\nmyy").entries[1] == ((6 << 32) + 1, "m", b"yy")
    with pytest.raises(FrameMalformed):
        parse_frame(message)
