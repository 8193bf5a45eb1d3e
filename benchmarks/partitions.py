"""Eight partitions against one, on one server: `python benchmarks/partitions.py [--full]`.

The service's CPU for a delivery, by turns: one viewer of everything, a hundred viewers of everything, and a thousand
of one metric each. 64 metrics; the same batches go to a log of one partition and to one of eight.
"""

from __future__ import annotations

import statistics
from collections import defaultdict

from rig.contenders import CONTENDERS
from rig.processes import Redis
from rig.results import Aim, Section, arguments
from rig.trial import Bench

METRICS = 64
CASES = (
    ("1 viewer of all", [list(range(METRICS))], 4_000, 1.15),
    ("100 viewers of all", [list(range(METRICS))] * 100, 1_000, 1.15),
    ("1,000 viewers of one metric", [[n % METRICS] for n in range(1_000)], 2_000, 1.03),
)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    seconds, turns = (6.0, 5) if given.full else (3.0, 2)
    section = Section("partitions", "Eight partitions against one: CPU for a delivery", given)
    rows, aims = [], []
    for name, sets, rate, aim in CASES:
        costs: dict[int, list[float]] = defaultdict(list)
        wrong = 0
        for turn in range(turns):
            for partitions in (1, 8) if turn % 2 else (8, 1):
                with (
                    Redis() as redis,
                    Bench(
                        CONTENDERS["tidewire"], redis.port, sets, METRICS, serve=["--partitions", str(partitions)]
                    ) as bench,
                ):
                    bench.trial(rate, 1.0)
                    outcome = bench.trial(rate, seconds)
                    costs[partitions].append(outcome.cpu_us)
                    wrong += outcome.wrong
        ratio = statistics.median(now / one for one, now in zip(costs[1], costs[8], strict=True))
        rows.append((name, rate, statistics.median(costs[1]), statistics.median(costs[8]), ratio, wrong))
        aims.append(Aim(f"{name}: CPU for a delivery, P = 8 over P = 1", f"≤ {aim}", f"{ratio:.2f}", ratio <= aim))
    section.table(["viewers", "batches/s", "P = 1, µs", "P = 8, µs", "ratio", "wrong"], rows)
    section.aims(aims)
    section.write()


if __name__ == "__main__":
    main()
