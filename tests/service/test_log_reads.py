"""Reads that are shared: only with who needs the very same one, for the same barrier.

The log is a stand-in that answers when it is told to: the moment between a server's answer and its arrival cannot be
provoked with a real one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from waiting import HANG_S

from tidewire.errors import LogUnavailable
from tidewire.redislog.calls import Entry, LastReading
from tidewire.redislog.lineage import Clock, Watermark
from tidewire_service.hub import log_reads
from tidewire_service.hub.effects import ReadClock, ReadEntries, ReadLast
from tidewire_service.hub.log_reads import LogReads


class HeldLog:
    """Takes what it has at the moment it is asked, and answers when it is let go."""

    url = "held"

    def __init__(self) -> None:
        self.entries = [Entry(1, 0, b"{}")]
        self.asked = 0
        self.let_go = asyncio.Event()
        self.broken = False
        self.given_up = 0

    async def _held(self) -> None:
        self.asked += 1
        await self.let_go.wait()
        if self.broken:
            raise LogUnavailable("gone")

    async def clock(self, watermark: Watermark | None = None) -> Clock:
        clock = Clock("e", self.entries[-1].id, (), 0.0)
        await self._held()
        return clock

    async def tails(self, watermark: Watermark | None = None) -> tuple[dict[str, int], Clock]:
        return {}, await self.clock()

    async def entries_after(
        self, positions: Sequence[tuple[str, int]], count: int | None = None, watermark: Watermark | None = None
    ) -> tuple[list[list[Entry]], Clock]:
        found = list(self.entries)
        return [found], await self.clock()

    async def last_readings(
        self, metrics: Sequence[str], watermark: Watermark | None = None
    ) -> tuple[list[dict[bytes, LastReading]], Clock]:
        found = {b"{}": LastReading(self.entries[-1].id, 1, b"{}")}
        return [found], await self.clock()

    def give_up(self) -> None:
        self.given_up += 1


async def asked(log: HeldLog, count: int) -> None:
    async with asyncio.timeout(HANG_S):
        while log.asked < count:
            await asyncio.sleep(0)


@pytest.fixture
async def log() -> HeldLog:
    return HeldLog()


@pytest.fixture
async def reads(log: HeldLog) -> LogReads:
    return LogReads(log, Counter(), lambda: None)


async def test_a_read_that_began_before_a_barrier_never_answers_for_it(log: HeldLog, reads: LogReads) -> None:
    """Row 3 once more: the first read was made before entry 2 existed; who knows of 2 must get it."""
    early = asyncio.create_task(reads.shared(ReadEntries((("a", 0),), 10, barrier=1)))
    early_last = asyncio.create_task(reads.shared(ReadLast(("a",), barrier=1)))
    await asked(log, 2)
    log.entries.append(Entry(2, 1, b"{}"))
    late = asyncio.create_task(reads.shared(ReadEntries((("a", 0),), 10, barrier=2)))
    late_last = asyncio.create_task(reads.shared(ReadLast(("a",), barrier=2)))
    await asked(log, 4)
    log.let_go.set()
    assert [entry.id for entry in (await early)[0][0]] == [1]
    assert [entry.id for entry in (await late)[0][0]] == [1, 2]
    assert (await early_last)[0][0][b"{}"].id == 1
    assert (await late_last)[0][0][b"{}"].id == 2


async def test_the_very_same_read_is_made_once(log: HeldLog, reads: LogReads) -> None:
    request = ReadEntries((("a", 0),), 10, barrier=1)
    many = [asyncio.create_task(reads.shared(request)) for _ in range(100)]
    await asked(log, 1)
    log.let_go.set()
    answers = await asyncio.gather(*many)
    assert log.asked == 1
    assert all(answer is answers[0] for answer in answers)
    await reads.shared(request)
    assert log.asked == 2, "what was answered is not kept"


async def test_one_who_leaves_does_not_take_the_answer_from_the_others(log: HeldLog, reads: LogReads) -> None:
    request = ReadEntries((("a", 0),), 10, barrier=1)
    first, second = (asyncio.create_task(reads.shared(request)) for _ in range(2))
    await asked(log, 1)
    first.cancel()
    log.let_go.set()
    assert [entry.id for entry in (await second)[0][0]] == [1]


async def test_a_failure_is_told_to_all_who_wait_and_the_next_reads_anew(log: HeldLog, reads: LogReads) -> None:
    log.broken = True
    requests = [ReadEntries((("a", 0),), 10, barrier=1)] * 3 + [ReadLast(("a",), barrier=1)]
    waiting = [asyncio.create_task(reads.shared(request)) for request in requests]
    await asked(log, 2)
    log.let_go.set()
    for task in waiting:
        with pytest.raises(LogUnavailable, match="gone"):
            await task
    log.broken = False
    assert (await reads.shared(requests[0]))[1].id == 1


async def test_a_read_that_is_late_gives_up_all_connections(
    log: HeldLog, reads: LogReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reads, "_DEADLINE_S", 0.01)
    with pytest.raises(LogUnavailable, match="did not answer"):
        await reads.read(ReadClock(None))
    assert log.given_up == 1


async def test_a_slow_look_at_the_clock_moves_no_default_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is 1,234 ms ahead; some looks take half a second, there or back: none shows the contrary."""
    ahead_ms, now_s, random = 1_234.0, [1.7e9], Random(7)
    monkeypatch.setattr(time, "time", lambda: now_s[0])

    class Remote(HeldLog):
        async def clock(self, watermark: Watermark | None = None) -> Clock:
            now_s[0] += random.choice([0.0002, 0.5])
            found = Clock("e", 1, (), float(int(now_s[0] * 1e3 + ahead_ms)))
            now_s[0] += random.choice([0.0002, 0.5])
            return found

    reads = LogReads(Remote(), Counter(), lambda: None)
    told = []
    for _ in range(200):
        await reads.read(ReadClock(None))
        now_s[0] += 0.5
        told.append(reads.clock_offset_ms)
    assert told[0] == pytest.approx(ahead_ms, abs=501)
    assert told[-1] == pytest.approx(ahead_ms, abs=1.5)
    assert max(told[20:]) - min(told[20:]) < 1, "it stays once it is known"
