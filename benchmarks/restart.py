"""S9: Redis SIGKILL and back under 1,000 subscribers at 100 readings/s: `python benchmarks/restart.py [--full]`.

The publisher numbers its calls and repeats the one that failed under the same number; streams stay open meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time

from rig.contenders import CONTENDERS, start
from rig.feed import body
from rig.load import BASE, Load
from rig.processes import Redis
from rig.results import Aim, Section, arguments

from tidewire.errors import LogUnavailable
from tidewire.model.batch import EncodedBatch
from tidewire.redislog.log import BlockingRedisLog

SUBSCRIBERS, RATE = 1_000, 100.0


class Publisher(threading.Thread):
    """Publishes numbered readings until told to stop; each call is repeated until it is acknowledged."""

    def __init__(self, url: str, sequence: int) -> None:
        super().__init__(daemon=True)
        self.sequence = sequence
        self.repeats = 0
        self._log = BlockingRedisLog(url, timeout_s=1.0)
        self._stopping = threading.Event()

    def run(self) -> None:
        text, due = body(0), time.monotonic()
        while not self._stopping.is_set():
            encoded = (text % (time.time() * 1e3, BASE + self.sequence + 1)).encode()
            batch = EncodedBatch("bench/0", encoded, '{"line":"4","site":"north"}', encoded, 1)
            while True:
                try:
                    self._log.append([batch], publisher="bench", sequence=self.sequence + 1)
                    break
                except LogUnavailable:
                    self.repeats += 1
                    time.sleep(0.02)
            self.sequence += 1
            due = max(due + 1 / RATE, time.monotonic() - 0.5)
            self._stopping.wait(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._stopping.set()
        self.join(10)


def first_after(load: Load, latest: int, limit_s: float) -> float:
    """Return when all subscribers had the next reading after a sequence, on the monotonic clock."""
    load.wait(latest + 1, limit_s)
    return time.monotonic()


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    rounds = 5 if given.full else 2
    section = Section("restart", "S9: Redis SIGKILL under 1,000 subscribers at 100/s", given)
    rows, slowest, wrong = [], 0.0, 0
    with Redis() as redis:
        running = start(CONTENDERS["tidewire"], redis.port)
        publisher = Publisher(redis.url, 0)
        with running.child, Load(running, [[0]] * SUBSCRIBERS, "--base", str(BASE)) as load:
            publisher.start()
            with contextlib.ExitStack() as ends:
                ends.callback(publisher.stop)
                for number in range(rounds):
                    time.sleep(2)
                    redis.kill()
                    latest = publisher.sequence + 1  # the call in flight may have been written before the kill
                    time.sleep(1)
                    redis.start()
                    up = time.monotonic()
                    live_s = first_after(load, latest, 20) - up
                    time.sleep(2)
                    report = load.report(0)
                    bad = {
                        key: int(report[key]) for key in ("lost", "duplicates", "disorder", "gaps", "resets", "closed")
                    }
                    slowest, wrong = max(slowest, live_s), sum(bad.values())
                    rows.append((number + 1, live_s, publisher.repeats, *bad.values()))
            load.wait(publisher.sequence, 5)
            missing = int(load.report(publisher.sequence)["missing"])
    section.table(
        ["kill", "live again after s", "calls repeated", "lost", "doubled", "disorder", "gaps", "resets", "closed"],
        rows,
    )
    section.aims([
        Aim("lost, missing, doubled, gaps, streams closed", "0", str(wrong + missing), wrong + missing == 0),
        Aim("all live again after Redis is up", "≤ 2 s", f"{slowest:.2f} s", slowest <= 2),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
