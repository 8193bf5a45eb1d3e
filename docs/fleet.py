"""Publish the load of 1,000 nodes once a second, after five minutes of past, until it is ended.

    TIDEWIRE_REDIS=redis://127.0.0.1:6379 .venv/bin/python docs/fleet.py

Most are near 35 %; one is high, one low, one swings, a zone has a surge now and then, and twelve have fallen silent.
"""

from __future__ import annotations

import math
import time
from statistics import NormalDist

import tidewire

NODES, PAST_S = 1_000, 300
SURGE_S = 240
LEVELS = {217: 92.0, 880: 4.0, 4: 70.0}
SILENT = range(300, 312)


def load(node: int, at_s: float) -> float:
    """Return the load of a node at a time, in percent."""
    level = LEVELS.get(node, 35 + 9 * NormalDist().inv_cdf((node * 619 % NODES + 0.5) / NODES))
    wave = 9 * math.sin(at_s / 21) if node == 4 else 2 * math.sin(at_s / 9 + node)
    surge = math.exp(-(((at_s % SURGE_S - SURGE_S / 2) / 22) ** 2))
    return round(level + wave + (14 if node % 4 == 3 else 3) * surge, 2)


def main() -> None:
    """Publish until the process ends."""
    with tidewire.Publisher() as publisher:

        def publish(node: int, times_s: list[float]) -> None:
            values, times_ms = [load(node, at) for at in times_s], [at * 1e3 for at in times_s]
            labels = {"az": f"az{node % 4}", "node": f"node-{node:03}"}
            publisher.publish("fleet/cpu", values, time=times_ms, unit="%", labels=labels)

        now_s = math.floor(time.time())
        for node in range(NODES):
            publish(node, [float(now_s - n) for n in range(PAST_S, 90 if node in SILENT else 0, -1)])
            if node % 50 == 0:
                publisher.flush(30)
        while True:
            time.sleep(1 - time.time() % 1)
            for node in range(NODES):
                if node not in SILENT:
                    publish(node, [time.time()])


if __name__ == "__main__":
    main()
