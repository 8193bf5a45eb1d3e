"""The host publisher: true readings of this machine, on the second, with units."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire_service.launch.host import HostReadings, next_second

UNITS = {
    "host/cpu": "%",
    "host/load": "1",
    "host/memory": "By",
    "host/swap": "By",
    "host/disk": "By/s",
    "host/net": "By/s",
    "host/temperature": "Cel",
}


def test_it_reads_what_this_machine_has_with_units() -> None:
    taken = list(HostReadings().read())
    metrics = {reading.metric for reading in taken}
    assert {"host/cpu", "host/load", "host/memory", "host/net"} <= metrics <= UNITS.keys()
    assert all(reading.unit == UNITS[reading.metric] for reading in taken)
    assert [reading.labels for reading in taken if reading.metric == "host/cpu"] == [
        {"core": str(core)} for core in range(psutil.cpu_count() or 1)
    ]
    memory = next(reading.value for reading in taken if reading.metric == "host/memory")
    assert memory == pytest.approx(psutil.virtual_memory().used, rel=0.25)
    assert {reading.labels["direction"] for reading in taken if reading.metric == "host/net"} == {"rx", "tx"}
    assert all(reading.value >= 0 for reading in taken if reading.unit in ("%", "By", "By/s"))


def test_rates_are_differences_over_the_time_between() -> None:
    readings = HostReadings()
    readings._net = {name: total - 5_000_000 for name, total in readings._net.items()}
    readings._before_s = time.monotonic() - 10
    rates = [reading.value for reading in readings.read() if reading.metric == "host/net"]
    assert rates == pytest.approx([500_000, 500_000], rel=0.2)


def test_a_counter_that_was_set_back_is_no_negative_rate() -> None:
    readings = HostReadings()
    readings._net = {name: total + 10**12 for name, total in readings._net.items()}
    assert [reading.value for reading in readings.read() if reading.metric == "host/net"] == [0, 0]


@given(
    published=st.integers(1_700_000_000, 1_800_000_000),
    away_s=st.floats(-5000, 5000, allow_nan=False),
)
def test_the_next_second_is_the_following_one_or_the_coming_one(published: int, away_s: float) -> None:
    now_s = published + away_s
    due = next_second(published, now_s)
    assert 0 <= due - now_s <= 1.5
    if 0 <= away_s <= 1:
        assert due == published + 1


@given(now_s=st.floats(1_700_000_000, 1_800_000_000))
def test_the_first_second_is_not_a_moment_away(now_s: float) -> None:
    assert 0.29 < next_second(0, now_s) - now_s <= 1.31


async def test_the_command_publishes_each_second_on_the_second(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    command = [sys.executable, "-m", "tidewire", "host", "--to", valkey.url, "--label", "host=here"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publishing:

        async def series() -> Any:
            answer = await service.http.get("/v1/history", params={"metric": "host/memory", "start": "-1m"})
            found = answer.json()["series"]
            return found[0] if found and len(found[0]["time"]) >= 3 else None

        memory = await eventually(series)
        assert memory["labels"] == {"host": "here"}
        assert memory["unit"] == "By"
        assert all(time_ms % 1000 == 0 for time_ms in memory["time"])
        assert [b - a for a, b in zip(memory["time"], memory["time"][1:], strict=False)] == [1000] * (
            len(memory["time"]) - 1
        )
        publishing.send_signal(signal.SIGTERM)
        said, _ = publishing.communicate(timeout=HANG_S)
    assert publishing.returncode == 0
    assert valkey.url in said
