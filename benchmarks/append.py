"""S7: append by 8 publishers against bare XADD + PUBLISH, pipelined: `python benchmarks/append.py [--full]`.

Both in one run on one server, interleaved; each publisher is a connection with a fixed number of bytes in flight. Also:
readings/s in batches of 50, and what a reading costs in Redis's memory then.
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Barrier

import redis as redis_py
from rig.feed import Connection, resp
from rig.processes import LOAD, Redis
from rig.results import Aim, Section, arguments

from tidewire.batch import DEFAULT_LIMITS, Batch, EncodedBatch, encode_batch, make_batch
from tidewire.keys import Keys
from tidewire.log_calls import AppendCall, LogFunctions, Retention
from tidewire.redis_log import BlockingRedisLog

PUBLISHERS = 8
IN_FLIGHT = 1_000  # batches per connection
KEPT = 20_000
ROUND = 40_000  # batches per publisher
Pipeline = tuple[bytes, int, int]  # commands, replies, batches


def batch(publisher: int, readings: int) -> EncodedBatch:
    """Return a batch of a metric of the publisher, one reading a second."""
    times = [1_790_000_000_000.0 + n * 1_000 for n in range(readings)]
    made: Batch = make_batch(f"plant/{publisher}", [round(20 + n % 90 / 10, 1) for n in range(readings)], time=times)
    return encode_batch(made)


def bare(publisher: int, readings: int) -> Pipeline:
    """XADD and PUBLISH of the same bytes."""
    one = batch(publisher, readings)
    log = ("XADD", f"bare:{publisher}", "MAXLEN", "~", str(KEPT), "*", "d", one.body)
    return (resp(*log) + resp("PUBLISH", "bare", one.body)) * IN_FLIGHT, 2 * IN_FLIGHT, IN_FLIGHT


def append(url: str, publisher: int, readings: int, per_call: int) -> Pipeline:
    """Calls of the append function."""
    log = BlockingRedisLog(url)
    log.append([])
    epoch = log.clock().epoch
    log.redis.close()
    functions = LogFunctions(Keys("tw"), Retention(batches=KEPT), DEFAULT_LIMITS)
    command = functions.append(AppendCall([batch(publisher, readings)] * per_call), epoch)
    call = resp(*[word if isinstance(word, bytes) else str(word) for word in command])
    calls = max(1, IN_FLIGHT // per_call)
    return call * calls, calls, calls * per_call


def publish(port: int, pipeline: Pipeline, batches: int, barrier: Barrier) -> None:
    """One publisher: pipelines until it has sent its batches."""
    commands, replies, each = pipeline
    connection = Connection(port)
    barrier.wait()
    for _ in range(max(1, batches // each)):
        connection.write(commands)
        connection.read(replies)
    barrier.wait()


def rate(port: int, pipelines: list[Pipeline], batches: int) -> float:
    """Return batches/s of all publishers together."""
    barrier = multiprocessing.Barrier(PUBLISHERS + 1)
    workers = [
        multiprocessing.Process(target=publish, args=(port, pipeline, batches, barrier), daemon=True)
        for pipeline in pipelines
    ]
    for worker in workers:
        worker.start()
    barrier.wait(20)
    started = time.perf_counter()
    barrier.wait(120)
    took = time.perf_counter() - started
    for worker in workers:
        worker.join(10)
    return sum(max(1, batches // each) * each for _, _, each in pipelines) / took


def bytes_per_reading(url: str, port: int, readings: int) -> float:
    """Return what Redis holds for a reading of a log of a million in batches, every node of the stream counted."""
    client = redis_py.Redis(port=port)
    client.flushall()
    log = BlockingRedisLog(url, retention=Retention(batches=1_000_000))
    one = batch(0, readings)
    calls = 1_000_000 // readings // 400
    for _ in range(calls):
        log.append([one] * 400)
    held = client.memory_usage(log.keys.log(one.metric), samples=0) or 0
    return held / (calls * 400 * readings)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    rounds = 5 if given.full else 3
    section = Section("append", "S7: append against bare XADD + PUBLISH, 8 publishers", given)
    found: dict[str, list[float]] = {}
    with Redis() as redis:
        everyone = range(PUBLISHERS)
        cases = {
            "bare XADD + PUBLISH": [bare(n, 1) for n in everyone],
            "append, calls of 1 batch": [append(redis.url, n, 1, 1) for n in everyone],
            "append, calls of 100 batches": [append(redis.url, n, 1, 100) for n in everyone],
            "append, calls of 20 batches of 50 readings": [append(redis.url, n, 50, 20) for n in everyone],
            "bare, batches of 50 readings": [bare(n, 50) for n in everyone],
        }
        for _ in range(rounds):
            for name, pipelines in cases.items():
                found.setdefault(name, []).append(rate(redis.port, pipelines, ROUND if given.full else ROUND // 4))
        size = bytes_per_reading(redis.url, redis.port, 50)
    medians = {name: statistics.median(values) for name, values in found.items()}
    names = list(medians)
    base = medians[names[0]]
    section.table(
        ["", "batches/s", "to bare"],
        [(name, value, value / (base if "50" not in name else medians[names[4]])) for name, value in medians.items()],
    )
    readings = medians[names[3]] * 50
    ones, hundreds = medians[names[1]] / base, medians[names[2]] / base
    section.aims([
        Aim("calls of 1 batch, to bare", "≥ 0.5 ×", f"{ones:.2f} ×", ones >= 0.5),
        Aim("calls of 100 batches, to bare", "≥ 0.5 ×", f"{hundreds:.2f} ×", hundreds >= 0.5),
        Aim("readings/s in batches of 50", "≥ 1,500,000", f"{readings:,.0f}", readings >= 1_500_000),
        Aim("Redis bytes per reading at 50 per batch", "≤ 25", f"{size:.1f}", size <= 25),
    ])  # fmt: skip
    section.text(
        "Where the 30 µs of a call of one batch go, found by returning early: taking its 22 arguments 4.5, the clock "
        "(HMGET, TIME) 4, directory, last reading and XADD 10, writing both back 2.5, clock, frame and PUBLISH 9; the "
        "budget of the aim is 7. It is nine commands against two: what a metric's directory, last readings and the "
        "partition's order cost, once a call. Publishers send what they have in one call."
    )
    section.raw("rounds", found)
    section.raw("load cores", LOAD)
    section.write()


if __name__ == "__main__":
    main()
