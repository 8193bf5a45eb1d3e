"""Publish a made-up plant for development and screenshots: eleven minutes of history at once, then live until stopped.

    TIDEWIRE_REDIS=redis://127.0.0.1:6379 .venv/bin/python docs/plant.py

It has what a dashboard must show well: three furnaces of which one runs hot, a sensor that misses 42 s, one that falls
silent, byte counts, percentages, a training run and an event.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field

import tidewire

PAST_S = 660.0
TICK_S = 0.05


@dataclass
class Sensor:
    """One series: a wave with noise, at a pace."""

    metric: str
    unit: str
    base: float
    swing: float
    period_s: float
    noise: float
    hz: float = 2.0
    labels: dict[str, str] = field(default_factory=dict)
    silent_after_s: float = math.inf  # counted from the start of the process
    missing: tuple[float, float] = (0.0, 0.0)  # seconds before the start of the process

    def value(self, at_s: float) -> float:
        """Return the reading of a time, seconds since 1970."""
        wave = math.sin(2 * math.pi * at_s / self.period_s) + 0.3 * math.sin(2 * math.pi * at_s / (self.period_s / 3.7))
        return self.base + self.swing * wave + random.gauss(0, self.noise)


def plant() -> list[Sensor]:
    """Return all sensors."""
    sensors = [
        Sensor("furnace/temperature", "Cel", 928, 4, 300, 0.8, labels={"site": "A"}),
        Sensor("furnace/temperature", "Cel", 942, 6, 260, 0.8, labels={"site": "B"}),
        Sensor("furnace/temperature", "Cel", 879, 5, 330, 0.8, labels={"site": "C"}),
        Sensor("furnace/exhaust", "Cel", 314, 6, 120, 1.0),
        Sensor("line-1/pressure", "bar", 6.21, 0.05, 55, 0.012, 5.0, missing=(150.0, 192.0)),
        Sensor("line-1/flow", "L/min", 127, 2.2, 90, 0.7),
        Sensor("line-1/speed", "m/min", 42, 0.6, 200, 0.08, 1.0),
        Sensor("line-1/level", "%", 61, 12, 280, 0.4, 1.0),
        Sensor("line-1/scrap", "%", 0.93, 0.1, 240, 0.02, 1.0),
        Sensor("line-1/tension", "N", 311, 4, 130, 1.0),
        Sensor("line-1/valve", "%", 35.8, 2, 170, 0.4),
        Sensor("line-2/flow", "L/min", 118, 1.8, 100, 0.6),
        Sensor("line-2/pressure", "bar", 5.87, 0.04, 60, 0.01),
        Sensor("line-2/speed", "m/min", 40.5, 0.5, 160, 0.08, 1.0),
        Sensor("line-2/tension", "N", 296, 4, 150, 1.0),
        Sensor("line-2/vibration", "mm/s", 3.1, 0.25, 100, 0.12, 5.0, silent_after_s=20),
        Sensor("host/memory", "By", 43.6e9, 1.1e9, 150, 2e7, 1.0),
        Sensor("train/accuracy", "", 0.912, 0.004, 300, 0.001),
        Sensor("train/epoch", "", 14.5, 2, 2000, 0.0, 1.0),
        Sensor("train/gradient", "", 1.8, 0.3, 140, 0.1),
        Sensor("train/loss", "", 0.31, 0.02, 400, 0.006),
        Sensor("train/rate", "{batches}/s", 41, 1.5, 80, 0.4, 1.0),
    ]
    sensors += [
        Sensor("furnace/power", "kW", 46 - 6 * n, 2, 110 + 30 * n, 0.4, labels={"site": s}) for n, s in enumerate("ABC")
    ]
    sensors += [Sensor("host/cpu", "%", 35 - 6 * n, 9, 40 + 17 * n, 2.0, labels={"core": str(n)}) for n in range(4)]
    sensors += [
        Sensor("host/net", "By/s", 9.5e7 if d == "rx" else 3e7, 9e6, 70, 3e6, labels={"direction": d})
        for d in ("rx", "tx")
    ]
    return sensors


def main() -> None:
    """Publish the history, then live readings until the process is stopped."""
    sensors, started = plant(), time.time()
    with tidewire.Publisher() as publisher:
        for sensor in sensors:
            first, last = sensor.missing
            ages = [PAST_S - n / sensor.hz for n in range(int(PAST_S * sensor.hz))]
            times = [started - age for age in ages if not first < age < last]
            values = [sensor.value(at) for at in times]
            publisher.publish(
                sensor.metric, values, time=[at * 1e3 for at in times], unit=sensor.unit, labels=sensor.labels
            )
        tidewire.annotate("recipe 14 → 15", time=(started - 105) * 1e3)
        due = [started] * len(sensors)
        while True:
            now_s = time.time()
            for n, sensor in enumerate(sensors):
                while (
                    due[n] <= now_s and due[n] < started + sensor.silent_after_s
                ):  # late on a busy machine, never skipped
                    value, at_ms = sensor.value(due[n]), due[n] * 1e3
                    publisher.publish(sensor.metric, value, time=at_ms, unit=sensor.unit, labels=sensor.labels)
                    due[n] += 1 / sensor.hz
            time.sleep(TICK_S)


if __name__ == "__main__":
    main()
