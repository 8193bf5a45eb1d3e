"""The shape of the cost: subscribers, metrics, patterns, length of the log: `python benchmarks/shape.py [--full]`.

Expected: CPU per delivery flat over subscribers, metrics and patterns (matching happens at birth), and the
time to go live flat over the length of the log. Drawn into shape.svg.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import redis as redis_py
from rig.contenders import CONTENDERS, start
from rig.feed import body
from rig.feeder import Feeder
from rig.load import BASE, Load
from rig.plot import Panel, draw
from rig.processes import Redis, Usage
from rig.results import Section, arguments

from tidewire.model.batch import EncodedBatch
from tidewire.model.cursor import Cursor, parse_id
from tidewire.redislog.calls import Retention
from tidewire.redislog.log import BlockingRedisLog

SERVICE = CONTENDERS["tidewire"]
Points = list[tuple[float, float]]
WIDE = ("--max-patterns", "2000", "--max-url-bytes", "131072", "--max-header-bytes", "131072")


def delivery_us(
    redis: Redis, sets: list[list[int]], metrics: int, rate: float, seconds: float, *, path: str = ""
) -> tuple[float, float]:
    """Return CPU µs per delivery at a rate, and CPU ms to open one of the subscriptions."""
    running = start(SERVICE, redis.port, *WIDE)
    with running.child, Feeder(running, redis.port, metrics) as feeder:
        feeder.feed(max(metrics * 1.0, 1), 0.5 if metrics < 5_000 else 1)
        usage = Usage(running.child.pid)
        paths = [path] * len(sets) if path else None
        with Load(running, sets, "--concurrency", "50", base=feeder.sequence, paths=paths) as load:
            open_ms = usage.cpu_s / len(sets) * 1e3
            load.mark()
            usage.restart()
            feeder.feed(rate, seconds)
            load.wait(feeder.sequence, 3)
            report = load.report(feeder.sequence)
            if report["lost"] or report["missing"] or not report["events"]:
                raise RuntimeError(f"not lossless: {report}")
            return usage.cpu_s / report["events"] * 1e6, open_ms


def subscribers(redis: Redis, seconds: float, sizes: list[int]) -> Points:
    return [(n, delivery_us(redis, [[0]] * n, 1, 10 if n <= 3_000 else 3, seconds)[0]) for n in sizes]


def metrics(redis: Redis, seconds: float, sizes: list[int]) -> Points:
    """CPU per delivery for 20 subscribers of everything, 1,000 events/s spread over so many metrics."""
    found = []
    for n in sizes:
        everything = "/v1/stream?metric=bench/**&replay=none"
        total = max(seconds, n / 1_000)
        found.append((float(n), delivery_us(redis, [list(range(n))] * 20, n, 1_000, total, path=everything)[0]))
    return found


def patterns(redis: Redis, seconds: float, sizes: list[int]) -> tuple[Points, Points]:
    """CPU per delivery and to open, 100 subscribers with so many patterns each (one of them selects what is fed)."""
    deliveries, opens = [], []
    for n in sizes:
        names = "&".join(f"metric=other/{k}" for k in range(n - 1))
        path = "/v1/stream?metric=bench/0&replay=none" + ("&" + names if names else "")
        us, ms = delivery_us(redis, [[0]] * 100, 1, 20, seconds, path=path)
        deliveries.append((float(n), us))
        opens.append((float(n), ms))
    return deliveries, opens


def log_length(sizes: list[int]) -> tuple[Points, Points]:
    """Milliseconds until live, from a cursor 100 batches before the end and with the last reading, without a ring."""
    resumed: Points = []
    fresh: Points = []
    with Redis() as redis:
        log = BlockingRedisLog(redis.url, retention=Retention(batches=10_000_000))
        client, filled = redis_py.Redis(port=redis.port), 0
        text = body(0)
        for size in sizes:
            while filled < size:
                part = min(500, size - filled)
                made = [
                    (text % (1_790_000_000_000.0 + filled + k, BASE + filled + k + 1)).encode() for k in range(part)
                ]
                log.append([EncodedBatch("bench/0", one, '{"line":"4","site":"north"}', one, 1) for one in made])
                filled += part
            entry = client.execute_command(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
                "XREVRANGE", log.keys.log("bench/0"), "+", "-", "COUNT", 101
            )[-1][0]
            cursor = Cursor(log.clock().epoch, parse_id(entry))
            running = start(SERVICE, redis.port)
            with running.child:
                for rest, points in ((f"replay=none&cursor={cursor}", resumed), ("replay=last", fresh)):
                    times = []
                    for _ in range(9):
                        with Load(running, [[0]], paths=[f"/v1/stream?metric=bench/0&{rest}"], base=filled) as load:
                            times.append(load.opened["seconds"] * 1e3)
                    points.append((float(size), statistics.median(times)))
    return resumed, fresh


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    seconds = 6.0 if given.full else 2.0
    section = Section("shape", "The shape of the cost", given)
    panels: list[Panel] = []

    def add(title: str, x: str, y: str, lines: dict[str, Points]) -> None:
        panels.append(Panel(title, x, y, lines))
        for name, line in lines.items():
            section.table(
                [x, *(f"{point[0]:,.0f}" for point in line)], [(f"{y}, {name}" if name else y, *(p[1] for p in line))]
            )
        section.raw(title, lines)

    with Redis() as redis:
        steps: Callable[[int, int], list[int]] = lambda low, high: [10**k for k in range(low, high + 1)]  # noqa: E731
        add("Subscribers", "subscribers of one metric", "CPU µs per delivery",
            {"": subscribers(redis, seconds, [100, 300, 1_000, 3_000, 10_000])})  # fmt: skip
        add("Metrics", "metrics, 1,000 events/s in all, 20 subscribers of all", "CPU µs per delivery",
            {"": metrics(redis, seconds, steps(0, 4))})  # fmt: skip
        deliveries, opens = patterns(redis, seconds, steps(0, 3))
        add("Patterns: delivery", "patterns per subscription", "CPU µs per delivery", {"": deliveries})
        add("Patterns: opening", "patterns per subscription", "CPU ms to open one", {"": opens})
    resumed, fresh = log_length(steps(3, 6))
    add(
        "Length of the log",
        "batches in the log of the metric",
        "ms until live",
        {"100 to catch up": resumed, "last": fresh},
    )
    if not given.no_write:
        draw(Path(__file__).with_name("shape.svg"), panels)
    section.text("![cost against subscribers, metrics, patterns and length of the log](shape.svg)")
    section.write()


if __name__ == "__main__":
    main()
