"""What comparing runs by step costs the dashboard: `python benchmarks/runs.py [--full]`.

The CPU time of taking a past into a line, of 50 runs with four metrics of ten readings a second each, of the answer
to a page that has all of their points, and to one that has none; and of the list of many runs with their settings.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from rig.results import Aim, Section, arguments

from tidewire.livestore.run_line import MOST_POINTS, RunLine
from tidewire.livestore.run_list import RunList
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch

T0: Final = 1_790_000_000_000.0
RUNS: Final = 50
METRICS: Final = 4
READINGS_PER_S: Final = 10
BEFORE: Final = 20_000  # steps that each run has at first
LISTS: Final = ((50, 10), (500, 30), (900, 60))


def cost_ms(work: Callable[[], object]) -> float:
    """Return the time of the processor that something takes."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def past_ms(steps: int) -> float:
    """Return how long a past of so many steps takes to become a line."""
    x = np.arange(steps, dtype=np.float64)
    return cost_ms(lambda: RunLine().add(x, np.sin(x)))


def live_ms(seconds: int) -> tuple[float, float, float]:
    """Return ms a second: taking the readings of all runs, answering a page that follows, and answering a new one."""
    series = [RunSeries() for _ in range(RUNS * METRICS)]
    steps = np.arange(BEFORE, dtype=np.float64)
    for one in series:
        one.add(T0 + steps * 100, np.sin(steps), steps, None)
    taken, followed = [], []
    for second in range(seconds):
        x = BEFORE + second * READINGS_PER_S + np.arange(READINGS_PER_S, dtype=np.float64)
        seen = [one.steps.version for one in series]

        def take(x: np.ndarray[tuple[int], np.dtype[np.float64]] = x) -> None:
            for one in series:
                one.add(T0 + x * 100, np.sin(x), x, None)

        taken.append(cost_ms(take))
        followed.append(cost_ms(lambda seen=seen: answer(series, seen)))  # type: ignore[misc]  # mypy has no type for it
    return statistics.median(taken), statistics.median(followed), cost_ms(lambda: answer(series, [0] * len(series)))


def answer(series: list[RunSeries], seen: list[int]) -> bytes:
    """Return the lines as they are sent."""
    return msgspec.json.encode(
        [one.steps.since(version, i) for i, (one, version) in enumerate(zip(series, seen, strict=True))]
    )


def listed_ms(runs: int, settings: int) -> tuple[float, float]:
    """Return ms of the list of so many runs with so many settings each: of the longest answer at first, and later."""
    store, own = Store(), []
    for run in range(runs):
        labels = {"run": f"{run:04}"}
        for n, metric in enumerate(["train/loss", *(f"train/config/{n:02}" for n in range(settings))]):
            store.append(
                Batch(metric=metric, labels=labels, time=[T0 + run], value=[float(n)]), (int(T0) + run << 32) + n
            )
        series = store.find("train/loss", labels)
        assert series is not None
        own.append((series, RunSeries()))
        own[-1][1].add(np.array([T0 + run]), np.array([0.0]), np.array([1.0]), None)
    gc.collect()
    gc.freeze()  # a collection that visits all of the store is no part of an answer
    listing, complete, first = RunList(store), False, []

    def ask() -> None:
        nonlocal complete
        found, _, complete = listing.newest(own, ["train/loss"], lambda _: True, T0)
        msgspec.json.encode(found)

    while not complete:
        first.append(cost_ms(ask))
    return max(first), statistics.median(cost_ms(ask) for _ in range(5))


def main() -> None:
    """Measure, and write down what was measured with the machine."""
    given = arguments(str(__doc__).splitlines()[0])
    seconds, rounds = (20, 5) if given.full else (5, 3)
    section = Section("runs", "Runs by step", given)
    section.table(
        ["a past of so many steps becomes a line", "ms of a core"],
        [
            (f"{steps:,}", f"{statistics.median(past_ms(steps) for _ in range(rounds)):.1f}")
            for steps in (MOST_POINTS, 100_000, 2_000_000)
        ],
    )
    measured = [live_ms(seconds) for _ in range(rounds)]
    taken, followed, opened = (statistics.median(column) for column in zip(*measured, strict=True))
    section.table(
        [f"{RUNS} runs of {METRICS} metrics, {READINGS_PER_S} readings a second each", "ms of a core"],
        [
            ("readings taken, a second", f"{taken:.1f}"),
            ("an answer with what is new", f"{followed:.1f}"),
            ("an answer with all points", f"{opened:.1f}"),
        ],
    )
    section.table(
        ["the list of runs with their settings", "longest answer at first, ms of a core", "then, ms of a core"],
        [
            (f"{runs} runs of {count} settings", *(f"{each:.1f}" for each in listed_ms(runs, count)))
            for runs, count in LISTS
        ],
    )
    share = (taken + followed) / 1e3
    section.aims([Aim(f"{RUNS} runs of {METRICS} metrics, a page", "≤ 0.2 core", f"{share:.3f}", share <= 0.2)])
    section.write()


if __name__ == "__main__":
    main()
