"""What the benchmarks send by hand is what the log takes: they pack commands themselves, for speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers import Valkey

from tidewire.model.batch import decode_batch
from tidewire.redislog.log import RedisLog

FEED = Path(__file__).parents[2] / "benchmarks/rig/feed.py"


@pytest.mark.parametrize("readings", [1, 3])
async def test_what_the_feeder_appends_is_what_a_publisher_would(valkey: Valkey, readings: int) -> None:
    feeder = [sys.executable, str(FEED), "tidewire", str(valkey.port), "2", str(readings)]
    order = '{"rate": 1000, "seconds": 0.02, "sequence": 0}\n'
    done = subprocess.run(feeder, input=order, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    log = RedisLog(valkey.url)
    lists, _ = await log.entries_after([("bench/0", 0), ("bench/1", 0)])
    last, _ = await log.last_readings(["bench/0", "bench/1"])
    await log.close()
    for entries, series in zip(lists, last, strict=True):
        batches = [decode_batch(entry.body) for entry in entries]
        assert [len(batch.time) for batch in batches] == [readings] * 10
        assert [batch.value[-1] for batch in batches] == [1_000_000_001 + n for n in range(10)]
        (newest,) = series.values()
        assert newest.readings == 10 * readings
        assert decode_batch(newest.body).time == batches[-1].time[-1:]
