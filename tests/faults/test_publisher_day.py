"""Faults row 27: a publisher's bad day, played by real producer scripts with a ledger of what they handed over.

Ten minutes without Redis pass in ten seconds, for the script's clocks run sixty times as fast; one script is killed in
the middle of its writes to the spool, one forks a pool, one ends with a full buffer, one has a clock that is an hour
wrong, and one has less disk than it needs. In the end every reading that was acknowledged has arrived once, and every
other one was counted as dropped or, of the killed script, never acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from servers import Valkey
from waiting import HANG_S, generous

from tidewire.model.batch import decode_batch
from tidewire.publishing.publisher import Publisher
from tidewire.redislog.log import RedisLog

pytestmark = pytest.mark.fault

PRELUDE: Final = """
import time, sys, json, os
speed, ahead = {speed!r}, {ahead!r}
_time, _monotonic, _zero = time.time, time.monotonic, (time.time(), time.monotonic())
time.time = lambda: _zero[0] + (_time() - _zero[0]) * speed + ahead
time.monotonic = lambda: _zero[1] + (_monotonic() - _zero[1]) * speed
import tidewire
p = tidewire.Publisher({url!r}, spool={spool!r}, {options})
name = sys.argv[1]
took = []
def publish(value, metric=name):
    began = time.perf_counter()
    p.publish(metric, value)
    took.append(time.perf_counter() - began)
def told(**more):
    took.sort()
    stats = {{each: getattr(p.stats, each) for each in ("queued", "sent", "spooled", "dropped", "rejected")}}
    median, p99 = (took[len(took) // 2] * 1e6, took[len(took) * 99 // 100] * 1e6) if took else (0, 0)
    print(json.dumps({{**stats, "handed": len(took), "median_us": median, "p99_us": p99, **more}}), flush=True)
"""
OUTAGE: Final = """
until = time.monotonic() + 600
n = 0
while time.monotonic() < until:
    publish(n); n += 1
    if n % 10 == 0:
        time.sleep(0.01)
p.close(0.5)
told()
"""
KILLED: Final = """
n = 0
while True:
    publish(n); n += 1
    if n % 100 == 0:
        print(p.stats.spooled, flush=True)
        time.sleep(0.002)
"""
POOL: Final = """
import multiprocessing
def work(number):
    for n in range(300):
        p.publish(f"{name}/{number}", n)
    return number
publish(0)
time.sleep(0.6)
with multiprocessing.get_context("fork").Pool(3) as pool:
    assert sorted(pool.map(work, range(6), chunksize=1)) == list(range(6))
    pool.close(); pool.join()
publish(1)
p.close(5)
told()
"""
FULL_BUFFER: Final = """
for n in range(3_000):
    publish(n)
told()
"""  # and the interpreter ends
WRONG_CLOCK: Final = """
for n in range(500):
    publish(n)
    if n % 50 == 0:
        time.sleep(0.02)
p.close(5)
told()
"""
SMALL_DISK: Final = """
for n in range(60_000):
    publish(n)
    if n % 500 == 0:
        time.sleep(0.01)
p.close(5)
told()
"""


class Day:
    """The scripts of one day, on one folder of spools."""

    def __init__(self, url: str, spool: Path) -> None:
        self.url = url
        self.spool = spool

    def start(self, name: str, body: str, speed: float = 1, ahead: float = 0, options: str = "") -> Any:
        code = PRELUDE.format(speed=speed, ahead=ahead, url=self.url, spool=str(self.spool), options=options)
        command = [sys.executable, "-u", "-c", code + textwrap.dedent(body), name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def ended(self, process: Any, limit_s: float = HANG_S) -> dict[str, Any]:
        out, errors = await asyncio.to_thread(process.communicate, None, limit_s)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        return dict(json.loads(out.splitlines()[-1]))


def acknowledged_until_killed(process: Any) -> int:
    """Kill a script that tells what is on disk, some writes after the first; return what it told last."""
    told: list[int] = []
    for line in process.stdout:
        told.append(int(line))
        if len(set(told)) > 3:  # 0, and three writes
            break
    process.kill()
    rest, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == -signal.SIGKILL, errors
    return [*told, *map(int, rest.split())][-1]


async def arrived(url: str) -> dict[str, Counter[float | None]]:
    """Return how often each value of each metric is in the log."""
    log = RedisLog(url)
    try:
        metrics = sorted((await log.tails())[0])
        lists, _ = await log.entries_after([(metric, 0) for metric in metrics])
        return {
            metric: Counter(value for entry in entries for value in decode_batch(entry.body).value)
            for metric, entries in zip(metrics, lists, strict=True)
        }
    finally:
        await log.close()


@pytest.mark.long
async def test_a_publishers_bad_day(valkey: Valkey, tmp_path: Path) -> None:
    day = Day(valkey.url, tmp_path / "spool")
    small = Day(valkey.url, tmp_path / "small")
    valkey.kill()

    outage = day.start("outage", OUTAGE, speed=60)
    killed = day.start("killed", KILLED)
    pool = day.start("pool", POOL)
    full = day.start("full", FULL_BUFFER)
    late, early = (day.start(f"clock{ahead}", WRONG_CLOCK, ahead=ahead) for ahead in (-3_600, 3_600))
    disk = small.start("disk", SMALL_DISK, options="spool_bytes=1 << 20, max_bytes=1 << 18")
    acknowledged = await asyncio.to_thread(acknowledged_until_killed, killed)
    ledger = {
        name: await day.ended(process)
        for name, process in {
            "outage": outage, "pool": pool, "full": full, "clock-3600": late, "clock3600": early, "disk": disk,
        }.items()
    }  # fmt: skip

    valkey.start()
    swept = []
    for one in (day, small):  # whoever publishes next from the folder sends what the others left
        publisher = Publisher(valkey.url, spool=one.spool)
        began_s = time.monotonic()
        assert await asyncio.to_thread(publisher.flush, HANG_S), publisher.stats
        swept.append((publisher.stats.sent, time.monotonic() - began_s))
        assert publisher.stats.dropped == publisher.stats.rejected == 0
        await asyncio.to_thread(publisher.close)

    found = await arrived(valkey.url)
    assert {value: count for values in found.values() for value, count in values.items() if count > 1} == {}

    def all_of(count: int) -> set[float]:
        return {float(n) for n in range(count)}

    for name in ("outage", "full", "clock-3600", "clock3600"):
        told = ledger[name]
        assert told["dropped"] == told["rejected"] == 0, name
        assert set(found[name]) == all_of(told["handed"]), name
    assert ledger["outage"]["handed"] >= 600, "a reading for each second of ten minutes, at least"
    assert set(found["pool"]) == {0.0, 1.0}
    for number in range(6):
        assert set(found[f"pool/{number}"]) == all_of(300), "each worker's own, with nothing of the parent's"

    assert acknowledged > 0
    assert set(found["killed"]) == all_of(len(found["killed"])), "what came before the kill, with no hole"
    assert len(found["killed"]) >= acknowledged

    told = ledger["disk"]
    assert told["dropped"] > 0
    assert told["handed"] == len(found["disk"]) + told["dropped"], "what is not there was counted"
    assert set(found["disk"]) == {float(n) for n in range(60_000 - len(found["disk"]), 60_000)}, "the oldest went"

    for name, told in ledger.items():
        if told["handed"] >= 500:  # 1.5 µs alone; a wait for the network would be seconds
            assert told["median_us"] < generous(1_000), (name, told)
            assert told["p99_us"] < generous(50_000), (name, told)
        print(f"{name}: {told}")
    print(f"killed: {acknowledged} acknowledged, {len(found['killed'])} arrived; swept (readings, s): {swept}")
