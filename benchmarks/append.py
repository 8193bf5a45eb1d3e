"""S7: append by 8 publishers against bare XADD + PUBLISH, pipelined: `python benchmarks/append.py [--full]`.

Both in one run on one server, interleaved; each publisher is a connection with a fixed number of batches in flight.
Also: readings/s in batches of 50, what a reading costs in Redis's memory then, and the floor of a call: a function that
does nothing, and one that only makes the nine commands of a call of one batch.
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

import redis as redis_py
from rig.feed import Connection, resp, taken
from rig.processes import LOAD, REDIS, SERVER, Redis, Usage
from rig.results import Aim, Section, arguments

from tidewire.model.batch import DEFAULT_LIMITS, Batch, EncodedBatch, encode_batch, make_batch
from tidewire.redislog.calls import AppendCall, LogFunctions, Retention
from tidewire.redislog.keys import Keys
from tidewire.redislog.log import BlockingRedisLog

PUBLISHERS = 8
NOT_REDIS = sorted({*SERVER, *LOAD} - set(REDIS)) or REDIS  # cores of the publishers: what is measured is Redis
IN_FLIGHT = 1_000  # batches per connection
KEPT = 20_000
ROUND = 40_000  # batches per publisher
Pipeline = tuple[bytes, int, int]  # commands, replies, batches
FLOOR = """#!lua name=bench
local function nothing() return 1 end
local function nine(keys, argv)
  redis.call('HMGET', 'floor:clock', 'epoch', 'run', 'ms', 'n', 'chain', 'forgot', 'metrics', 'newest', 'layout')
  redis.call('TIME')
  redis.call('HMGET', 'floor:tail', 'plant/0')
  redis.call('HMGET', 'floor:last', '{}')
  redis.call('XADD', 'floor:log', '*', 'p', '1790000000000-1', 'd', argv[1])
  redis.call('HSET', 'floor:last', '{}', argv[1])
  redis.call('HSET', 'floor:tail', 'plant/0', '1790000000000-1')
  redis.call('HSET', 'floor:clock', 'ms', '1790000000000', 'n', '1', 'newest', '1790000000000-1 plant/0')
  redis.call('PUBLISH', 'floor:live', argv[1])
  return 1
end
redis.register_function('bench_nothing', nothing)
redis.register_function('bench_nine', nine)
"""
BARE, ONE, HUNDRED, COLUMNS, BARE_COLUMNS, NOTHING, NINE = (
    "bare XADD + PUBLISH",
    "append, calls of 1 batch",
    "append, calls of 100 batches",
    "append, calls of 20 batches of 50 readings",
    "bare, batches of 50 readings",
    "a function that does nothing",
    "a function of the nine commands alone",
)


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
    """Calls of the append function; one is made here to see that the log takes it."""
    log = BlockingRedisLog(url)
    log.append([])
    epoch = log.clock().epoch
    functions = LogFunctions(Keys("tw"), Retention(batches=KEPT), DEFAULT_LIMITS)
    command = functions.append(AppendCall([batch(publisher, readings)] * per_call), epoch)
    reply = log.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    log.redis.close()
    if not taken(reply):
        raise RuntimeError(f"append answered {reply!r}")
    call = resp(*[word if isinstance(word, bytes) else str(word) for word in command])
    calls = max(1, IN_FLIGHT // per_call)
    return call * calls, calls, calls * per_call


def floor(function: str) -> Pipeline:
    """Calls of a function of the floor."""
    return resp("FCALL", function, "1", "floor:clock", batch(0, 1).body) * IN_FLIGHT, IN_FLIGHT, IN_FLIGHT


def publish(port: int, pipeline: Pipeline, batches: int, barrier: Barrier) -> None:
    """One publisher: pipelines until it has sent its batches."""
    commands, replies, each = pipeline
    os.sched_setaffinity(0, NOT_REDIS)
    connection = Connection(port)
    barrier.wait()
    for _ in range(max(1, batches // each)):
        connection.write(commands)
        connection.read(replies)
    barrier.wait()


class Rate(NamedTuple):
    """What all publishers reached together.

    Attributes:
        batches_s: batches/s.
        us: CPU of Redis per batch, microseconds.
        busy: share of its core that Redis used: well below 1, the publishers are the limit.
    """

    batches_s: float
    us: float
    busy: float


def rate(redis: Redis, pipelines: list[Pipeline], batches: int) -> Rate:
    """Return what the publishers reach together."""
    barrier = multiprocessing.Barrier(PUBLISHERS + 1)
    workers = [
        multiprocessing.Process(target=publish, args=(redis.port, pipeline, batches, barrier), daemon=True)
        for pipeline in pipelines
    ]
    for worker in workers:
        worker.start()
    barrier.wait(20)
    started, usage = time.perf_counter(), Usage(redis.child.pid)
    barrier.wait(120)
    took, cpu_s = time.perf_counter() - started, usage.cpu_s
    for worker in workers:
        worker.join(10)
    sent = sum(max(1, batches // each) * each for _, _, each in pipelines)
    return Rate(sent / took, cpu_s / sent * 1e6, cpu_s / took)


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
    found: dict[str, list[Rate]] = {}
    with Redis() as redis:
        client = redis_py.Redis(port=redis.port)
        client.function_load(FLOOR)
        client.close()
        everyone = range(PUBLISHERS)
        cases = {
            BARE: [bare(n, 1) for n in everyone],
            ONE: [append(redis.url, n, 1, 1) for n in everyone],
            HUNDRED: [append(redis.url, n, 1, 100) for n in everyone],
            COLUMNS: [append(redis.url, n, 50, 20) for n in everyone],
            BARE_COLUMNS: [bare(n, 50) for n in everyone],
            NOTHING: [floor("bench_nothing") for _ in everyone],
            NINE: [floor("bench_nine") for _ in everyone],
        }
        for _ in range(rounds):
            for name, pipelines in cases.items():
                found.setdefault(name, []).append(rate(redis, pipelines, ROUND if given.full else ROUND // 4))
        size = bytes_per_reading(redis.url, redis.port, 50)
    medians = {name: Rate(*map(statistics.median, zip(*rates, strict=True))) for name, rates in found.items()}

    def to_bare(name: str) -> float:
        return medians[name].batches_s / medians[BARE_COLUMNS if "50" in name else BARE].batches_s

    section.table(
        ["", "batches/s", "to bare", "Redis: CPU µs per batch", "its share of a core"],
        [(name, value.batches_s, to_bare(name), value.us, value.busy) for name, value in medians.items()],
    )
    readings, ones, hundreds = medians[COLUMNS].batches_s * 50, to_bare(ONE), to_bare(HUNDRED)
    section.aims([
        Aim("calls of 1 batch, to bare", "≥ 0.5 ×", f"{ones:.2f} ×", ones >= 0.5),
        Aim("calls of 100 batches, to bare", "≥ 0.5 ×", f"{hundreds:.2f} ×", hundreds >= 0.5),
        Aim("readings/s in batches of 50", "≥ 1,500,000", f"{readings:,.0f}", readings >= 1_500_000),
        Aim("Redis bytes per reading at 50 per batch", "≤ 25", f"{size:.1f}", size <= 25),
    ])  # fmt: skip
    one, nothing, nine = medians[ONE].us, medians[NOTHING].us, medians[NINE].us
    section.text(
        f"A call of one batch costs Redis {one:.1f} µs: calling a function {nothing:.1f}, its nine commands "
        f"{nine - nothing:.1f} (clock and time, directory and last reading are read; log, last reading, directory and "
        f"clock are written; published), Lua {one - nine:.1f}. Those nine commands alone, nothing between them, "
        f"reach {to_bare(NINE):.2f} × of bare: the aim of 0.5 is out of reach for a log that keeps, in one step, a "
        "directory, last readings and one order of all metrics. They are shared by the batches of a call, and "
        "publishers send what they have in one call."
    )
    section.raw("rounds", {name: [rate._asdict() for rate in rates] for name, rates in found.items()})
    section.raw("publishers' cores", NOT_REDIS)
    section.write()


if __name__ == "__main__":
    main()
