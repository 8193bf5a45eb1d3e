"""What the benchmarks pack by hand is what the log and the dashboard take: they do it themselves, for speed."""

from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Service, Valkey
from waiting import Eventually

from tidewire.model.batch import decode_batch
from tidewire.redislog.log import RedisLog
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FEED = BENCHMARKS / "rig/feed.py"
Load = Callable[[str], Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return what imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


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


def test_the_floor_of_an_append_makes_the_commands_of_an_append(load: Load, valkey: Valkey) -> None:
    append, feed = load("append"), load("rig.feed")
    valkey.client.function_load(append.FLOOR)
    connection = feed.Connection(valkey.port)

    def commands(pipeline: tuple[bytes, int, int]) -> list[tuple[str, ...]]:
        """Return the commands that one call makes: their names, and the fields of the clock."""
        sent, replies, _ = pipeline
        with valkey.client.monitor() as monitor:
            connection.write(sent[: len(sent) // replies] + feed.resp("ECHO", "end"))
            connection.read(2)
            found = []
            for seen in monitor.listen():
                words = seen["command"].split()
                if words[0] == "ECHO":
                    return sorted(found)
                if seen["client_type"] == "lua":
                    fields = (
                        filter(re.compile("[a-z]+").fullmatch, words)
                        if len(words) > 1 and words[1].endswith(":clock")
                        else ()
                    )
                    found.append((words[0], *fields))
        raise AssertionError("the monitor ended")

    assert commands(append.floor("bench_nine")) == commands(append.append(valkey.url, 0, 1, 1))


async def test_a_viewer_of_the_benchmarks_is_sent_frame_after_frame(
    load: Load, service: Service, valkey: Valkey, eventually: Eventually
) -> None:
    deck = load("rig.deck")
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        with deck.publishing(valkey.url, rate=5):
            page = deck.Viewer(dashboard.url)
            running = asyncio.create_task(page.run())
            # a frame is sent once the one before is acknowledged
            await eventually(lambda: len(page.arrivals) >= 4 or running.done())
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


def test_the_ledger_of_a_day_finds_what_is_lost_doubled_changed_and_unknown(load: Load) -> None:
    day, recordings = load("day"), load("rig.recordings")
    lines = recordings._lines(b'cpu,host=a total=1,idle=2i\nload,host=a value=0.5,note="up"')
    glances = recordings.Recording([b"", b""], [lines, [(key, 7.0) for key, _ in lines[:1]]])
    exporter = recordings.Recording([b""], [recordings._samples(b'up_s{le="1"} 3\nx{a="b"} 4\ny NaN\n', "nas:9100")])

    def events(*left_out: int) -> list[Any]:
        sent = [*lines, (lines[0][0], 7.0), *exporter.readings[0]]
        found = []
        for number, ((metric, labels), value) in enumerate(sent):
            text = value if isinstance(value, str) else None
            event = day.Event(metric, [None if text else value], dict(labels), [text] if text else None)
            found += [] if number in left_out else [event]
        return found

    def outcome(seen: list[Any]) -> tuple[int, int, int]:
        ledger = day.Ledger(glances, exporter)
        for event in seen:
            ledger.take(event)
        sent = day.sent_readings(glances, 2) + day.sent_readings(exporter, 1)
        return ledger.missing(sent), len(ledger.wrong), ledger.unknown.total()

    assert len(events()) == 7, "buckets are left out"
    assert outcome(events()) == (0, 0, 0)
    assert outcome(events(3)) == (1, 0, 0), "lost"
    assert outcome(events(0)) == (1, 1, 0), "lost, and the next is not what had to come"
    assert outcome([*events(), events()[2]]) == (1, 0, 0), "doubled"
    changed = events()
    changed[1].value = [3.0]
    assert outcome(changed) == (0, 1, 0)
    assert outcome([*events(), day.Event("other", [1.0])]) == (0, 0, 1)
    assert outcome([*events(), day.Event("up", [1.0]), day.Event("x", [4.0], text=["finished"])]) == (0, 0, 0)
