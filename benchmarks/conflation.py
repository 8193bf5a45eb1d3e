"""S8: 10,000 readings/s in, 1,000 subscribers at `every=1s`: `python benchmarks/conflation.py [--full]`.

As 10,000 batches of one reading, and as 1,000 batches of ten; subscribers of one of 100 metrics each, and of all. The
sum of the counts that each subscriber was told must be what was published.
"""

from __future__ import annotations

import time

from rig.contenders import CONTENDERS, start
from rig.feeder import Feeder
from rig.load import BASE, Load
from rig.processes import Redis, Usage
from rig.results import Aim, Section, arguments

RATE, METRICS, SUBSCRIBERS = 10_000, 100, 1_000


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    seconds = 20.0 if given.full else 6.0
    section = Section("conflation", "S8: conflation, 10,000 readings/s in, 1,000 subscribers", given)
    rows, worst, lost = [], 0.0, 0
    with Redis() as redis:
        for readings in (1, 10):
            for name, path, share in (
                ("one metric each", None, 1 / METRICS),
                ("all 100 metrics", "/v1/stream?metric=bench/**&replay=none&every=1s", 1.0),
            ):
                running = start(CONTENDERS["tidewire"], redis.port)
                with running.child, Feeder(running, redis.port, METRICS, readings=readings) as feeder:
                    feeder.feed(METRICS, 1)
                    time.sleep(2.2)  # the interval in which they were born is closed: it is nobody's
                    sets = [[n % METRICS] for n in range(SUBSCRIBERS)]
                    paths = [path] * SUBSCRIBERS if path else None
                    with Load(running, sets, "--conflated", suffix="&every=1s", paths=paths, base=0) as load:
                        time.sleep(1.2)  # the interval of the births may still be handed to whoever comes first
                        load.mark()
                        start_at = feeder.sequence
                        usage = Usage(running.child.pid)
                        feeder.feed(RATE / readings, seconds)
                        cores = usage.cores
                        load.wait(BASE, 2.5)  # never reached: the last intervals close meanwhile
                        report = load.report(0)
                        expected = (feeder.sequence - start_at) * METRICS * readings * share
                        missing = int(expected - report["readings_min"] + report["readings_max"] - expected)
                        missing += int(abs(expected - report["readings_max"]))
                        worst, lost = max(worst, cores), lost + missing
                        rows.append((f"batches of {readings}", name, cores, report["events_max"], missing))
    section.table(["published as", "each subscribes to", "cores", "events each", "readings wrong"], rows)
    section.aims([
        Aim("share of a core, the worst of the four", "≤ 0.30", f"{worst:.2f}", worst <= 0.30),
        Aim("readings not in any interval, or in two", "0", str(lost), lost == 0),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
