"""Readings per second that the dashboard's store takes in one process: `python benchmarks/store.py [--full]`.

In batches and one by one, which is what a publisher that never batches costs; and how long the first frame of a long
window takes, whose buckets of one second are in memory.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from rig.results import Aim, Section, arguments

from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch

SERIES = 40
READINGS = 400_000
T0 = 1_790_000_000_000.0
DAY_MS = 86_400_000.0


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


def long_window_ms(window_ms: float) -> float:
    """Return how long the first frame of one series takes, milliseconds (1 reading/s, all seconds in memory)."""
    store = Store(seconds_ms=window_ms)
    times = np.arange(T0, T0 + window_ms, 1_000.0)
    for part in np.array_split(times, 30):
        batch = Batch(metric="m", time=part.tolist(), value=np.sin(part).tolist())
        store.append(batch, int(part[-1]) << 32)
    started = time.perf_counter()
    view = LiveView(store, (0,), window_ms, 700)
    view.tick(1, float(times[-1]))
    view.frame(0, None)
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Measure, and write down what was measured with the machine."""
    given = arguments(str(__doc__).splitlines()[0])
    rounds = 5 if given.full else 3
    section = Section("store", "The dashboard's store", given)
    rates = {size: statistics.median(ingest(size) for _ in range(rounds)) for size in (1, 10, 50, 1_000)}
    rows = [("readings/s", *rates.values())]
    section.table(["readings per batch", *(f"{size:,}" for size in rates)], rows)
    windows = {
        hours: statistics.median(long_window_ms(hours * DAY_MS / 24) for _ in range(rounds)) for hours in (6, 24)
    }
    section.table(
        ["window of one series, 1 reading/s", "first frame, ms"], [(f"{h} h", ms) for h, ms in windows.items()]
    )
    section.aims([
        Aim("ingest, batches of 50", "≥ 500,000 readings/s", f"{rates[50]:,.0f}", rates[50] >= 500_000),
        Aim("24 h of one series", "≤ 20 ms", f"{windows[24]:.1f} ms", windows[24] <= 20),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
