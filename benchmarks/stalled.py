"""S6: one subscriber that never reads among 500: `python benchmarks/stalled.py [--full]`.

Interleaved with and without it, in one run on one server: the others' p99, the growth of the process, and what the
kernel holds for the stalled socket (`ss -tm`: queued for writing).
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import re
import statistics
import subprocess
import time

from rig.contenders import CONTENDERS, start
from rig.feeder import Feeder
from rig.load import Load
from rig.processes import Redis, Usage
from rig.results import Aim, Section, arguments

RATE = 1_000
RING_BYTES = 64 << 20


def queued_bytes(port: int) -> int:
    """Return the most that the kernel holds for one of the server's sockets: queued for writing, overhead included."""
    text = subprocess.run(["ss", "-tmn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return max((int(found) for found in re.findall(r"skmem:\([^)]*?,w(\d+),", text)), default=0)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], subscribers=(500, "healthy ones"))
    rounds, seconds = (7, 8.0) if given.full else (3, 5.0)
    section = Section("stalled", f"S6: one stalled among {given.subscribers}", given)
    p99: dict[bool, list[float]] = {False: [], True: []}
    kernel, wrong, growth = 0, 0, 0
    with Redis() as redis:
        running = start(CONTENDERS["tidewire"], redis.port, "--ring-bytes", str(RING_BYTES))
        with (
            running.child,
            Feeder(running, redis.port) as feeder,
            Load(running, [[0]] * given.subscribers, base=feeder.sequence) as load,
        ):
            feeder.feed(RATE, 3)
            usage = Usage(running.child.pid)
            for number in range(2 * rounds):
                with_stalled = bool(number % 2)
                load.wait(feeder.sequence, 5)
                ahead = usage.memory_bytes
                options = ("--stalled", "1", "--rcvbuf", "4096", "--threads", "1")
                stalled = Load(running, [[0]], *options, base=feeder.sequence) if with_stalled else None
                feeder.feed(RATE, 2)  # until its socket is full
                load.mark()
                feeder.feed(RATE, seconds)
                load.wait(feeder.sequence, 5)
                report = load.report(feeder.sequence)
                p99[with_stalled].append(report["p99_ms"])
                wrong += sum(int(report[key]) for key in ("lost", "missing", "duplicates", "disorder", "closed"))
                if stalled is not None:
                    kernel = max(kernel, queued_bytes(running.port))
                    growth = max(growth, usage.memory_bytes - ahead)
                    stalled.child.stop()
                    time.sleep(0.2)
    without, with_ = statistics.median(p99[False]), statistics.median(p99[True])
    section.table(
        ["", "others' p99 ms, rounds"],
        [("without", ", ".join(f"{v:.1f}" for v in p99[False])), ("with", ", ".join(f"{v:.1f}" for v in p99[True]))],
    )
    section.aims([
        Aim("others' p99, to a run without it", "≤ 1.1 ×", f"{with_ / without:.2f} ×", with_ <= 1.1 * without),
        Aim("growth of the process, ring included", f"≤ {RING_BYTES >> 20} MiB", f"{growth / 2**20:.1f} MiB",
            growth <= RING_BYTES),
        Aim("kernel memory of the stalled socket", "≤ 256 KiB", f"{kernel / 1024:.0f} KiB", kernel <= 256 * 1024),
        Aim("lost, doubled or out of order for the others", "0", str(wrong), wrong == 0),
    ])  # fmt: skip
    section.raw("p99_ms", {str(key): value for key, value in p99.items()})
    section.write()


if __name__ == "__main__":
    main()
