"""S4: 5,000 idle subscribers: memory of the server for each, and connects/s: `python benchmarks/idle.py [--full]`.

A Tidewire subscription counts as connected when it says that it is live; a peer's when its first body bytes are there.
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import statistics
import time

from rig.contenders import Contender, available, start
from rig.feeder import Feeder
from rig.load import Load
from rig.processes import Redis, Usage
from rig.results import Aim, Section, arguments

NAMES = ("tidewire", "nchan, in memory", "Node + ioredis", "queue + Litestar SSE")


def one(contender: Contender, redis_port: int, subscribers: int) -> tuple[float, float]:
    """Return KiB for each and connects/s."""
    running = start(contender, redis_port)
    with running.child, Feeder(running, redis_port) as feeder:
        feeder.feed(10, 0.2)
        with Load(running, [[0]] * 10):  # what is allocated once
            pass
        time.sleep(0.3)
        usage = Usage(running.child.pid)
        before = usage.memory_bytes
        with Load(running, [[0]] * subscribers, "--concurrency", "100", base=feeder.sequence) as load:
            if load.opened["reached"] != subscribers:
                return float("nan"), 0.0
            time.sleep(1)
            return (usage.memory_bytes - before) / subscribers / 1024, subscribers / load.opened["seconds"]


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], subscribers=(5_000, "open streams"))
    section = Section("idle", f"S4: {given.subscribers:,} idle subscribers", given)
    rounds = 3 if given.full else 1
    with Redis() as redis:
        contenders = available(NAMES)
        found: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in contenders:
                found[contender.name].append(one(contender, redis.port, given.subscribers))
    medians = {name: [statistics.median(column) for column in zip(*all_, strict=True)] for name, all_ in found.items()}
    section.table(["", "KiB each", "connects/s"], [(name, *row) for name, row in medians.items()])
    ours, node = medians["tidewire"], medians.get("Node + ioredis")
    section.aims([
        Aim("memory each", "≤ 14 KiB", f"{ours[0]:.1f} KiB", ours[0] <= 14),
        Aim("connects/s to Node", "≥ 1.2 ×", f"{ours[1] / node[1]:.2f} ×" if node else "-",
            ours[1] >= 1.2 * node[1] if node else None),
    ])  # fmt: skip
    section.text(
        "Where a connect's time goes: the kernel 25 %, uvloop, the parser and malloc 8 %, Python 66 % (perf). By "
        "function (py-spy, inclusive): the stream's handler 46 %, in it the response's head 11 %, the stream's "
        "beginning 12 %, the write 10 % and its subscription 8 %; uvicorn's parser and connection 17 %; the origin "
        "guard 5 %. A tenth of all is the collector's one walk over what is new: 48 objects a stream, 35 of them "
        "uvicorn's, uvloop's and asyncio's. Node's first thousand connects cost half as much again as Tidewire's, "
        "its fifth, compiled by then, less."
    )
    section.raw("rounds", found)
    section.write()


if __name__ == "__main__":
    main()
