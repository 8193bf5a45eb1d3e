"""What live formulas cost the dashboard: `python benchmarks/formulas.py [--full]`.

A thousand series with a reading a second each, and fifty formulas over charts of 800 buckets, evaluated five times a
second: each over twenty of the series, each over all of them, and that with windows of five minutes. It counts the time
of the processor for taking the readings over from the store and for the ticks; the store's own is not in it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from rig.results import Aim, Section, arguments

from tidewire.evaluation.evaluate import evaluate
from tidewire.evaluation.reading_table import SeriesReadings
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.live_formula import LiveFormula
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch
from tidewire.model.formulas.parser import parse_formula

T0: Final = 1_790_000_000_000.0
LINES: Final = 50
MACHINES: Final = 20
FORMULAS: Final = 50
FRAMES_PER_S: Final = 5
WINDOW_MS: Final = 300_000.0
BUCKETS: Final = 800
BEFORE_S: Final = 720  # readings that are there at first
ONE_LINE: Final = (
    "rate(plant/{line}/*/energy[1m])", "sum(rate(plant/{line}/*/energy[1m]))",
    "avg_over_time(plant/{line}/*/energy[30s])",
    "max(plant/{line}/*/energy) - min(plant/{line}/*/energy)", "topk(5, plant/{line}/*/energy)",
    "plant/{line}/*/energy / ignoring (*1) group_left sum(plant/{line}/*/energy)", "ema(plant/{line}/*/energy, 5s)",
    "quantile(0.95, plant/{line}/*/energy)", "plant/{line}/*/energy > 500", "deriv(plant/{line}/*/energy[30s])",
)  # fmt: skip
ALL_LINES: Final = (
    "rate(plant/*/*/energy[{range}])", "sum(rate(plant/*/*/energy[{range}]))",
    "sum by (*1) (rate(plant/*/*/energy[{range}]))", "avg_over_time(plant/*/*/energy[{range}])",
    "max_over_time(plant/*/*/energy[{range}]) - min_over_time(plant/*/*/energy[{range}])",
    "topk(10, rate(plant/*/*/energy[{range}]))", "avg by (*2) (plant/*/*/energy)",
    "increase(plant/*/*/energy[{range}]) > 50", "sum(increase(plant/*/*/energy[{range}])) / {number}",
    "rate(plant/*/*/energy[{range}]) / on (*1) group_left sum by (*1) (rate(plant/*/*/energy[{range}]))",
)  # fmt: skip


def one_line() -> list[str]:
    """Return formulas over twenty series each."""
    return [ONE_LINE[i % len(ONE_LINE)].format(line=i % LINES) for i in range(FORMULAS)]


def all_lines(range_s: int) -> Callable[[], list[str]]:
    """Return formulas over all series, in windows of five lengths."""

    def formulas() -> list[str]:
        return [
            ALL_LINES[i % len(ALL_LINES)].format(range=f"{range_s + i // len(ALL_LINES)}s", number=i + 2)
            for i in range(FORMULAS)
        ]

    return formulas


class Plant:
    """A store that gets a reading of each series in each second, spread over it."""

    def __init__(self) -> None:
        self.store = Store()
        self.now_ms = T0
        self._id = 0
        rng = np.random.default_rng(1)
        self._names = [f"plant/{line}/{machine}/energy" for line in range(LINES) for machine in range(MACHINES)]
        self._phase_ms = rng.uniform(0, 1_000, len(self._names)).tolist()
        self._total = [0.0] * len(self._names)
        for name, phase_ms in zip(self._names, self._phase_ms, strict=True):
            times = [T0 - (BEFORE_S - i) * 1_000.0 + phase_ms for i in range(BEFORE_S)]
            self._append(name, times, [0.5 * i for i in range(BEFORE_S)])

    def _append(self, name: str, times: list[float], values: list[float]) -> None:
        self._id += 1
        batch = Batch(metric=name, unit="kW.h", time=times, value=list(values))
        self.store.append(batch, int(self.now_ms) << 32 | self._id)

    def advance(self, later_ms: float) -> None:
        """Let time pass."""
        start = self.now_ms % 1_000
        self.now_ms += later_ms
        for at, (name, phase_ms) in enumerate(zip(self._names, self._phase_ms, strict=True)):
            if start <= phase_ms < start + later_ms:
                self._total[at] += 1.0
                self._append(name, [self.now_ms - start - later_ms + phase_ms], [500 + self._total[at]])


def core(formulas: list[str], seconds: int) -> tuple[float, float]:
    """Return which share of a core some formulas take while live, and seconds of it until all are complete."""
    plant = Plant()
    readings = FormulaReadings(plant.store, WINDOW_MS + 600_000.0)
    step_ms = WINDOW_MS / BUCKETS
    started = time.process_time()
    live = [LiveFormula(readings, parse_formula(text), step_ms, BUCKETS) for text in formulas]
    while not all(one.complete for one in live):
        readings.refresh(plant.now_ms)
        for one in live:
            one.tick(plant.now_ms)
    opening_s = time.process_time() - started
    spent_s = 0.0
    for _ in range(seconds * FRAMES_PER_S):
        plant.advance(1_000 / FRAMES_PER_S)
        started = time.process_time()
        readings.refresh(plant.now_ms)
        for one in live:
            one.tick(plant.now_ms)
        spent_s += time.process_time() - started
    return spent_s / seconds, opening_s


def parse_ms(text: str) -> float:
    """Return how long reading a formula takes."""
    started = time.process_time()
    for _ in range(20):
        parse_formula(text)
    return (time.process_time() - started) / 20 * 1e3


def day_ms(text: str) -> float:
    """Return how long a formula takes over a day of 20 series, a reading in 10 s, at 1,440 times."""
    times = np.arange(8_640, dtype=np.float64) * 10_000.0 + T0
    series = [SeriesReadings("x", {"i": str(i)}, "", times, np.arange(times.size, dtype=np.float64)) for i in range(20)]
    started = time.process_time()
    evaluate(text, series, np.arange(1, 1_441, dtype=np.float64) * 60_000.0 + T0, step_ms=60_000.0, edge="before")
    return (time.process_time() - started) * 1e3


def main() -> None:
    """Measure, and write down what was measured with the machine."""
    given = arguments(str(__doc__).splitlines()[0])
    seconds, rounds = (20, 5) if given.full else (6, 3)
    section = Section("formulas", "Live formulas", given)
    cases = {
        "20 of the series each": one_line,
        "all 1,000 series each, windows of 30 s": all_lines(30),
        "all 1,000 series each, windows of 5 min": all_lines(300),
    }
    found = {}
    for name, formulas in cases.items():
        measured = [core(formulas(), seconds) for _ in range(rounds)]
        found[name] = tuple(statistics.median(column) for column in zip(*measured, strict=True))
    section.table(
        ["50 formulas, 5 times a second, over", "of a core", "until all are complete, s of a core"],
        [(name, f"{share:.3f}", f"{opening:.2f}") for name, (share, opening) in found.items()],
    )
    longest = " + ".join([f"sum(rate(plant/*/metric_{'x' * 20}[5m]))"] * 60)
    section.table(
        ["once", "ms of a core"],
        [
            ("read a formula of 3 kB", f"{parse_ms(longest):.2f}"),
            ("read `rate(x[5m])`", f"{parse_ms('rate(x[5m])'):.3f}"),
            ("`rate(x[5m])`, a day of 20 series at 1,440 times", f"{day_ms('rate(x[5m])'):.1f}"),
            ("`quantile_over_time(0.95, x[5m])` likewise", f"{day_ms('quantile_over_time(0.95, x[5m])'):.1f}"),
        ],
    )
    some, every = list(found.values())[:2]
    section.aims([
        Aim("50 formulas over 1,000 series, 20 each", "≤ 0.25 core", f"{some[0]:.3f}", some[0] <= 0.25),
        Aim("50 formulas over 1,000 series each", "≤ 0.25 core", f"{every[0]:.3f}", every[0] <= 0.25),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
