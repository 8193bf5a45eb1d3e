"""Publish to receive for 100 subscribers at 10 readings/s: `python benchmarks/latency.py [--full]`.

From the timestamp taken before the append to the moment at which the load client has read the bytes; every event of
every subscriber counts. Also at 1 and 1,000 subscribers, and for one reading over 20 metrics on one stream.
"""

from __future__ import annotations

import statistics

from rig.contenders import CONTENDERS
from rig.processes import Redis
from rig.results import Aim, Section, arguments
from rig.trial import Bench

CASES = {
    "1 subscriber": ([[0]], 1),
    "**100 subscribers**": ([[0]] * 100, 1),
    "1,000 subscribers": ([[0]] * 1_000, 1),
    "100 subscribers of 20 metrics": ([list(range(20))] * 100, 20),
}


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    rounds, seconds = (5, 10.0) if given.full else (3, 4.0)
    section = Section("latency", "Publish to receive at 10 readings/s", given)
    rows, p50, p99 = [], 0.0, 0.0
    with Redis() as redis:
        for name, (sets, metrics) in CASES.items():
            with Bench(CONTENDERS["tidewire"], redis.port, sets, metrics) as bench:
                found = [bench.trial(10, seconds) for _ in range(rounds)]
            wrong = sum(outcome.wrong for outcome in found)
            row = [statistics.median(getattr(o, field) for o in found) for field in ("p50_ms", "p99_ms", "max_ms")]
            rows.append((name, *row, wrong))
            section.raw(name, [outcome._asdict() for outcome in found])
            if "**" in name:
                p50, p99 = row[:2]
    section.table(["", "p50 ms", "p99 ms", "max ms", "wrong"], rows)
    section.aims([
        Aim("100 subscribers, p50", "≤ 3 ms", f"{p50:.2f} ms", p50 <= 3),
        Aim("100 subscribers, p99", "≤ 15 ms", f"{p99:.2f} ms", p99 <= 15),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
