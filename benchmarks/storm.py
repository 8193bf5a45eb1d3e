"""S5: 2,000 subscribers dropped and back at once, 100 batches to replay each: `python benchmarks/storm.py [--full]`.

The client ignores `retry:`. The time runs from the first connection until the last subscriber has all it missed.
"""

from __future__ import annotations

import statistics
import time

import redis as redis_py
from rig.contenders import available, start
from rig.feeder import Feeder
from rig.load import Load
from rig.processes import Redis, Usage
from rig.results import Aim, Section, arguments

BATCHES = 100


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], subscribers=(2_000, "that come back at once"))
    rounds = 7 if given.full else 3
    section = Section("storm", f"S5: {given.subscribers:,} subscribers back at once", given)
    rows = []
    aims: list[Aim] = []
    with Redis() as server:
        client = redis_py.Redis(port=server.port)
        for contender in available(["tidewire", "nchan, in memory"]):
            times, commands, wrong, cpu = [], [], 0, []
            running = start(contender, server.port)
            with running.child, Feeder(running, server.port) as feeder:
                sets = [[0]] * given.subscribers
                with Load(running, sets, "--concurrency", "1000000", base=feeder.sequence) as load:
                    for _ in range(rounds):
                        feeder.feed(50, 0.2)
                        load.wait(feeder.sequence, 5)
                        load.mark()
                        load.drop()
                        time.sleep(0.7)  # the server has noticed
                        feeder.feed(1_000, BATCHES / 1_000)
                        time.sleep(0.1)
                        before = client.info("stats")["total_commands_processed"]
                        usage = Usage(running.child.pid)
                        back = load.back(feeder.sequence, 20)
                        cpu.append(usage.cpu_s)
                        commands.append(client.info("stats")["total_commands_processed"] - before - 1)
                        report = load.report(feeder.sequence)
                        wrong += sum(
                            int(report[key]) for key in ("lost", "missing", "duplicates", "disorder", "refused")
                        )
                        times.append(back["seconds"] if back["seconds"] > 0 else float("inf"))
            median = statistics.median(times)
            rows.append((contender.name, median, max(times), statistics.median(cpu), max(commands), wrong))
            section.raw(contender.name, {"seconds": times, "commands": commands, "cpu_s": cpu})
            if contender.name == "tidewire":
                share = max(commands) / given.subscribers
                aims = [
                    Aim("all back with all they missed", "≤ 0.8 s", f"{median:.2f} s", median <= 0.8),
                    Aim("Redis commands per client", "≤ 1 %", f"{share:.2%}", share <= 0.01),
                    Aim("lost, doubled or out of order", "0", str(wrong), wrong == 0),
                ]
    section.table(["", "median s", "slowest s", "CPU s", "Redis commands", "wrong"], rows)
    section.aims(aims)
    section.write()


if __name__ == "__main__":
    main()
