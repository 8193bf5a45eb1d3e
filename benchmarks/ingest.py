"""HTTP in: posts/s and readings/s beside bare Litestar, nchan and InfluxDB: `python benchmarks/ingest.py [--full]`.

Each server has one core; the post client (C, `load/post.c`) and Redis share the other. All are measured in turns, in
several rounds, over keep-alive connections. What was answered with success is counted in the log afterwards.
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import redis as redis_py
from rig.contenders import CONTENDERS, PEERS, Contender, Running, start
from rig.load import Load, built
from rig.processes import LOAD, Redis, Usage, out
from rig.results import Aim, Section, arguments

STREAMS = 1_000
JSON, LINES = "application/json", "text/plain; charset=utf-8"


class Shape(NamedTuple):
    """What is posted.

    Attributes:
        name: in the results.
        media_type: of the bodies.
        bodies: posted in turns.
        each: batches, readings or lines of one body.
        unit: which of them.
        of: path by contender.
        readings: of one body.
        connections: open at a time.
    """

    name: str
    media_type: str
    bodies: Sequence[bytes]
    each: int
    unit: str
    of: dict[str, str]
    readings: int
    connections: int


TIDEWIRE, ECHO, NCHAN, INFLUX = "tidewire", "bare Litestar", "nchan, in memory", "InfluxDB 1.6"
ONE, HUNDRED, METRICS = "one reading", "100 batches of a metric", "100 batches of as many metrics"
COLUMNS, LINE_PROTOCOL = "columns of 1,000", "1,000 lines"


def shapes() -> list[Shape]:
    """Return what is posted; the bodies of lines have no times, so that no line is a repeat."""
    now_ms = time.time() * 1e3

    def body(content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()

    one = [body({"metric": f"plant/{n}/temperature", "unit": "Cel", "value": 20.5 + n}) for n in range(640)]
    hundred = [
        body([{"metric": f"plant/{n}/robots", "labels": {"robot": f"r{m}"}, "value": 20.5 + m} for m in range(100)])
        for n in range(16)
    ]
    metrics = [
        body([{"metric": f"plant/{n}/m{m}", "labels": {"site": "A"}, "value": 20.5 + m} for m in range(100)])
        for n in range(16)
    ]
    columns = [
        body({
            "metric": f"plant/{n}/columns",
            "time": [round(now_ms - 1_000 + m, 1) for m in range(1_000)],
            "value": [round(20 + m % 90 / 10, 1) for m in range(1_000)],
        })
        for n in range(16)
    ]  # fmt: skip
    lines = [
        "\n".join(
            f"cpu,host=h{n},cpu=cpu{m % 250} usage_user={m % 90}.5,usage_system={m % 7}.25,usage_idle=3i"
            for m in range(1_000)
        ).encode()
        for n in range(4)
    ]
    posted = {TIDEWIRE: "/v1/readings"}
    return [
        Shape(ONE, JSON, one, 1, "posts", {**posted, ECHO: "/echo", NCHAN: "/pub?id=bench/0"}, 1, 64),
        Shape(HUNDRED, JSON, hundred, 100, "batches", {**posted, ECHO: "/echo", NCHAN: "/pub?id=bench/0"}, 100, 16),
        Shape(METRICS, JSON, metrics, 100, "batches", posted, 100, 16),
        Shape(COLUMNS, JSON, columns, 1_000, "readings", posted, 1_000, 16),
        Shape(LINE_PROTOCOL, LINES, lines, 1_000, "lines", {TIDEWIRE: "/write?db=d", INFLUX: "/write?db=d"}, 3_000, 8),
    ]


def _influxd(port: int, _redis_port: int) -> list[str]:
    """Return the command of a server on a directory of its own, with Debian's settings but for its addresses."""
    directory = Path(tempfile.mkdtemp(prefix="influxd-", dir=out("influxd", "x").parent))
    config = directory / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{port + 1}"\n'
        f'[meta]\n dir = "{directory}/meta"\n[data]\n dir = "{directory}/data"\n wal-dir = "{directory}/wal"\n'
        f'[http]\n bind-address = "127.0.0.1:{port}"\n log-enabled = false\n[monitor]\n store-enabled = false\n'
    )
    return [shutil.which("influxd") or "influxd", "-config", str(config)]


def contenders() -> dict[str, Contender]:
    """Return those that are there; the others are named."""
    echo = [sys.executable, str(PEERS / "litestar_echo.py")]
    all_ = [
        CONTENDERS[TIDEWIRE],
        Contender(ECHO, "", [], lambda port, redis: [*echo, str(port), str(redis)], lambda _: "/echo"),
        CONTENDERS[NCHAN],
        Contender(
            INFLUX,
            "",
            [Path(shutil.which("influxd") or "/no/influxd")],
            _influxd,
            lambda _: "/write",
            environment={"GOMAXPROCS": "1"},
        ),
    ]
    found = {}
    for contender in all_:
        missing = [str(path) for path in contender.needs if not path.exists()]
        if missing:
            print(f"MISSING {contender.name}: no {missing[0]}", flush=True)
        else:
            found[contender.name] = contender
    return found


class Measured(NamedTuple):
    """One measurement.

    Attributes:
        per_s: posts/s that were answered with success.
        us: CPU of the server per post, microseconds.
        p50_ms: from when a post was due to its answer.
        p99_ms: likewise.
        good: posts that were answered with success.
        wrong: posts that were not; of Tidewire also what the log has too many or too few.
    """

    per_s: float
    us: float
    p50_ms: float
    p99_ms: float
    good: int
    wrong: int


def measure(running: Running, shape: Shape, seconds: float, rate: float = 0.0) -> Measured:
    """Post a shape for some seconds."""
    with tempfile.TemporaryDirectory() as directory:
        for number, body in enumerate(shape.bodies):
            Path(directory, f"{number:04}").write_bytes(body)
        usage = Usage(running.child.pid)
        said = subprocess.run(
            ["taskset", "-c", ",".join(map(str, LOAD)), built("post"), "--port", str(running.port),
             "--path", shape.of[running.contender.name], "--type", shape.media_type, "--bodies", directory,
             "--connections", str(shape.connections), "--seconds", str(seconds), "--rate", str(rate)],
            check=True, capture_output=True, text=True, timeout=seconds + 60,
        )  # fmt: skip
        cpu_s = usage.cpu_s
    found = json.loads(said.stdout)
    wrong = found["posts"] - found["good"] + found["unanswered"]
    if wrong:
        print(f"{running.contender.name}, {shape.name}: {found['statuses']}, {found['unanswered']} unanswered")
    us = cpu_s / max(1, found["posts"]) * 1e6
    return Measured(found["good"] / found["seconds"], us, found["p50_ms"], found["p99_ms"], found["good"], wrong)


def stored(redis_port: int) -> int:
    """Return how many readings the log has ever taken, of all but the service's own."""
    client = redis_py.Redis(port=redis_port)
    count = 0
    for key in client.scan_iter("tw:{0}:last:*", count=1_000):
        if not key.startswith(b"tw:{0}:last:tidewire/"):
            values: Any = client.hvals(key)
            count += sum(int(value.split(b" ", 2)[1]) for value in values)
    client.close()
    return count


def counted(running: Running, redis: Redis, shape: Shape, seconds: float, rate: float = 0.0) -> Measured:
    """Post to Tidewire, and count what the log took: each reading once."""
    before = stored(redis.port)
    found = measure(running, shape, seconds, rate)
    took = stored(redis.port) - before
    if took != found.good * shape.readings:
        print(f"{shape.name}: the log took {took} readings, and {found.good * shape.readings} were answered")
        return found._replace(wrong=found.wrong + abs(took - found.good * shape.readings))
    return found


def medians(found: Sequence[Measured]) -> Measured:
    per_s, us, p50_ms, p99_ms = (
        statistics.median(getattr(one, name) for one in found) for name in ("per_s", "us", "p50_ms", "p99_ms")
    )
    return Measured(per_s, us, p50_ms, p99_ms, sum(one.good for one in found), sum(one.wrong for one in found))


def with_streams(redis: Redis, shape: Shape, rounds: int, seconds: float) -> tuple[float, Measured]:
    """Return the posts/s that a service reaches with 1,000 streams open, and what it does at half of them."""
    running = start(CONTENDERS[TIDEWIRE], redis.port)
    stream = "/v1/stream?metric=plant/0/temperature&replay=none"
    try:
        with Load(running, [[0]] * STREAMS, paths=[stream] * STREAMS):
            full = statistics.median(counted(running, redis, shape, seconds).per_s for _ in range(rounds))
            half = medians([counted(running, redis, shape, seconds, full / 2) for _ in range(rounds)])
    finally:
        running.child.stop()
    return full, half


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    rounds, seconds = (5, 4.0) if given.full else (3, 1.5)
    section = Section("ingest", "HTTP in: one core of the service", given)
    found: dict[tuple[str, str], list[Measured]] = {}
    with Redis() as redis:
        running = {name: start(contender, redis.port) for name, contender in contenders().items()}
        try:
            if INFLUX in running:
                url = f"http://127.0.0.1:{running[INFLUX].port}/query"
                httpx.post(url, data={"q": "CREATE DATABASE d"}, timeout=30).raise_for_status()
            made = shapes()
            for one in range(rounds + 1):  # the first warms
                for shape in made:
                    for name in shape.of:
                        if name in running:
                            args = running[name], shape, seconds if one else 0.5
                            result = counted(args[0], redis, *args[1:]) if name == TIDEWIRE else measure(*args)
                            if one:
                                found.setdefault((shape.name, name), []).append(result)
        finally:
            for each in running.values():
                each.child.stop()
        full, half = with_streams(redis, made[0], rounds, seconds)
    middle = {key: medians(results) for key, results in found.items()}
    section.table(
        ["", "server", "posts/s", "of each", "CPU µs per post", "p50 ms", "p99 ms", "wrong"],
        [
            (shape.name, name, at.per_s, f"{at.per_s * shape.each:,.0f} {shape.unit}/s", at.us, at.p50_ms, at.p99_ms,
             at.wrong)
            for shape in made for name in shape.of if (at := middle.get((shape.name, name)))
        ],
    )  # fmt: skip

    def per_s(shape: str, name: str = TIDEWIRE) -> float:
        return middle[shape, name].per_s if (shape, name) in middle else float("nan")

    def ratio(what: str, shape: str, name: str, aim: float) -> Aim:
        if (shape, name) not in middle:
            return Aim(what, f"≥ {aim:g} ×", "", None)
        value = per_s(shape) / per_s(shape, name)
        return Aim(what, f"≥ {aim:g} ×", f"{value:.2f} ×", value >= aim)

    wrong = sum(at.wrong for (_, name), at in middle.items() if name == TIDEWIRE) + half.wrong
    batches, readings = per_s(HUNDRED) * 100, per_s(COLUMNS) * 1_000
    section.aims([
        ratio("posts of one reading, to bare Litestar's echo", ONE, ECHO, 3),
        ratio("posts of one reading, to nchan's publisher", ONE, NCHAN, 0.25),
        Aim("batches/s in posts of 100", "≥ 100,000", f"{batches:,.0f}", batches >= 100_000),
        Aim("readings/s in columns of 1,000", "≥ 3,000,000", f"{readings:,.0f}", readings >= 3_000_000),
        ratio("line protocol, lines/s to InfluxDB's", LINE_PROTOCOL, INFLUX, 1),
        Aim(f"p99 of a post at half load ({half.per_s:,.0f}/s), {STREAMS:,} streams open", "≤ 10 ms",
            f"{half.p99_ms:.2f} ms", half.p99_ms <= 10),
        Aim("readings that were lost or doubled", "0", str(wrong), not wrong),
    ])  # fmt: skip
    section.text(
        f"With {STREAMS:,} streams open, which get each 640th of them, {full:,.0f} posts of one reading a second. The "
        "echo and nchan check and keep nothing; InfluxDB keeps on disk what it is sent, on one core (GOMAXPROCS=1)."
    )
    section.raw(
        "rounds", {f"{shape}: {name}": [one._asdict() for one in results] for (shape, name), results in found.items()}
    )
    section.write()


if __name__ == "__main__":
    main()
