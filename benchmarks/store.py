"""Readings per second that the dashboard's store takes in one process: `python benchmarks/store.py`.

The aim is 500,000 readings/s in batches; one by one is what a publisher that never batches costs.
"""

from __future__ import annotations

import os
import platform
import statistics
import time

import numpy as np

from tidewire.batch import Batch
from tidewire.live_view import LiveView
from tidewire.store import Store

SERIES = 40
READINGS = 400_000
T0 = 1_790_000_000_000.0


def batches(per_batch: int) -> list[Batch]:
    """Return batches of 40 series in turn, 50 readings/s each."""
    made = []
    for number in range(READINGS // per_batch):
        series, turn = number % SERIES, number // SERIES
        times = [T0 + (turn * per_batch + n) * 20.0 for n in range(per_batch)]
        made.append(Batch(metric=f"plant/{series}", time=times, value=[float(n) for n in range(per_batch)]))
    return made


def ingest(per_batch: int) -> float:
    """Return readings per second."""
    made, store = batches(per_batch), Store()
    started = time.perf_counter()
    for n, batch in enumerate(made):
        store.append(batch, int(batch.time[-1]) << 32 | n)
    return READINGS / (time.perf_counter() - started)


def long_window_ms() -> float:
    """Return how long the first frame of a 6 h window of one series takes, milliseconds (1 reading/s in memory)."""
    store = Store()
    times = np.arange(T0, T0 + 6 * 3_600_000, 1_000.0)
    for part in np.array_split(times, 30):
        batch = Batch(metric="m", time=part.tolist(), value=np.sin(part).tolist())
        store.append(batch, int(part[-1]) << 32)
    started = time.perf_counter()
    view = LiveView(store, (0,), 6 * 3_600_000.0, 700)
    view.tick(1, float(times[-1]))
    view.frame(0, None)
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Measure, and print what was measured with the machine."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    for per_batch in (1, 10, 50, 1_000):
        runs = [ingest(per_batch) for _ in range(3)]
        print(f"batches of {per_batch:>5}: {statistics.median(runs):>12,.0f} readings/s (median of 3)")
    print(f"first frame of 6 h of one series: {statistics.median(long_window_ms() for _ in range(5)):.1f} ms")


if __name__ == "__main__":
    main()
