"""How long ten million readings take to load as a DataFrame: `python benchmarks/loads.py [--full]`.

A real service and Redis; `tidewire.history` in this process. The first load, with everything that is made but once,
apart from the median of those after it.
"""

from __future__ import annotations

import importlib
import statistics
import time

import numpy as np
from rig.contenders import tidewire as service_command
from rig.processes import SERVER, Child, Redis, free_port
from rig.results import Aim, Section, arguments

from tidewire import Publisher, history

METRICS = 100
PER_BATCH = 1_000
SPAN_MS = 3_000_000.0


def publish(url: str, readings: int) -> None:
    """Publish that many readings of the last hour, in batches, and see that all were taken."""
    rng, began_ms = np.random.default_rng(1), time.time() * 1e3 - SPAN_MS
    each = readings // METRICS
    times = began_ms + np.arange(each) * (SPAN_MS / each)
    with Publisher(url) as publisher:
        for number in range(METRICS):
            values = rng.normal(20, 3, each).round(3)
            for first in range(0, each, PER_BATCH):
                part = slice(first, first + PER_BATCH)
                publisher.publish(f"plant/{number:03d}", values[part], time=times[part])
            publisher.flush(60)
        if publisher.stats.sent != readings:
            raise SystemExit(f"{publisher.stats.sent} of {readings} were published")


def main() -> None:
    """Measure, and write down what was measured with the machine."""
    given = arguments(str(__doc__).splitlines()[0])
    section = Section("loads", "A load of the past", given)
    readings = 10_000_000 if given.full else 2_000_000
    for module in ("pandas", "pyarrow"):  # a notebook has them already
        importlib.import_module(module)
    taken_s = []
    with Redis() as redis:
        publish(redis.url, readings)
        port = free_port()
        with Child(service_command(port, redis.port), SERVER, name="service") as service:
            service.listening(port)
            for _ in range(6):
                began_s = time.perf_counter()
                frame = history("plant/**", "-1h", url=f"http://127.0.0.1:{port}")
                taken_s.append(time.perf_counter() - began_s)
                if len(frame) != readings:
                    raise SystemExit(f"{len(frame)} of {readings} came back")
    median_s = statistics.median(taken_s[1:])
    section.table(
        ["readings", "first load, s", "median of five more, s", "readings/s"],
        [[f"{readings:,}", f"{taken_s[0]:.2f}", f"{median_s:.2f}", f"{readings / median_s:,.0f}"]],
    )
    aim_s = 5.0 * readings / 10_000_000
    section.aims([
        Aim(f"{readings:,} readings, first load", f"≤ {aim_s:g} s", f"{taken_s[0]:.2f} s", taken_s[0] <= aim_s),
        Aim("later loads", f"≤ {aim_s:g} s", f"{median_s:.2f} s", median_s <= aim_s),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
