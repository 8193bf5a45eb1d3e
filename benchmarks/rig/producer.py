"""One producer script, as people write it: `producer.py KIND REDIS SERVICE fast|paced METRIC …`; prints one JSON line.

fast METRIC SECONDS: as fast as the calls return, then until all is sent. paced METRIC RATE SECONDS: so many a second.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable

ROWS = 1_000  # of a column
MOST = 1_500_000  # calls, and of columns 8,000: what waits must fit the memory


def open_producer(
    kind: str, redis_url: str, service: str, metric: str
) -> tuple[Callable[[float], None], Callable[[], None]]:
    """Return what publishes one number and what waits until all is sent."""
    if kind.startswith("tidewire"):
        import tidewire  # noqa: PLC0415 - each producer pays for what it uses

        publisher = tidewire.Publisher(service if kind == "tidewire-http" else redis_url, max_bytes=1 << 30)
        publish = publisher.publish

        def flush() -> None:
            assert publisher.flush(120), publisher.stats
            assert not publisher.stats.dropped, publisher.stats

        if kind == "tidewire-columns":
            column = [20.5] * ROWS
            return lambda value: publish(metric, column, unit="Cel"), flush
        return lambda value: publish(metric, value, unit="Cel"), flush
    if kind == "requests":
        import requests  # noqa: PLC0415

        session = requests.Session()
        session.trust_env = False
        row = {"metric": metric, "unit": "Cel"}

        def post(value: float) -> None:
            with contextlib.suppress(requests.RequestException):  # it must go on: the reading is lost
                session.post(f"{service}/v1/readings", json={**row, "value": value}, timeout=5).raise_for_status()

        return post, lambda: None
    if kind == "trackio":
        import trackio  # noqa: PLC0415

        trackio.init(project="bench", name=metric.replace("/", "-"))
        return lambda value: trackio.log({metric: value}), trackio.finish
    import redis  # noqa: PLC0415

    client = redis.Redis.from_url(redis_url)
    channel = f"tw:in:{metric}"
    if kind == "redis":

        def one(value: float) -> None:
            with contextlib.suppress(redis.RedisError):
                client.publish(channel, value)

        return one, lambda: None
    pipeline = client.pipeline(transaction=False)

    def execute() -> None:
        try:
            pipeline.execute()
        except redis.RedisError:
            pipeline.reset()

    def queued(value: float) -> None:
        pipeline.publish(channel, value)
        if len(pipeline) >= 100:
            execute()

    return queued, execute


def main() -> None:
    kind, redis_url, service, mode, metric = sys.argv[1:6]
    publish, flush = open_producer(kind, redis_url, service, metric)
    publish(0.0)
    if kind != "trackio":  # it can end but once
        flush()
    took: list[int] = []
    clock = time.perf_counter_ns
    most = 8_000 if kind == "tidewire-columns" else MOST
    rate, seconds = (0.0, float(sys.argv[6])) if mode == "fast" else (float(sys.argv[6]), float(sys.argv[7]))
    calls = min(most, int(rate * seconds)) if rate else most
    began, began_thread = time.perf_counter(), time.thread_time()
    while len(took) < calls and (rate or time.perf_counter() < began + seconds):
        if rate:
            time.sleep(max(0.0, began + len(took) / rate - time.perf_counter()))
        at = clock()
        publish(20.5)
        took.append(clock() - at)
    called = time.perf_counter() - began
    host_us = (time.thread_time() - began_thread) / len(took) * 1e6
    flush()
    whole = time.perf_counter() - began
    took.sort()
    rows = ROWS if kind == "tidewire-columns" else 1
    answer = {
        "calls": len(took) + 1,
        "readings": len(took) * rows + 1,
        "calls_per_s": len(took) / called,
        "readings_per_s": len(took) * rows / whole,
        "host_us": host_us,
        "p50_us": took[len(took) // 2] / 1e3,
        "p99_us": took[len(took) * 99 // 100] / 1e3,
    }
    print(json.dumps(answer))


main()
