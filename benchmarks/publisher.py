"""What a producer pays per call, and what it loses in an outage: `python benchmarks/publisher.py [--full]`.

Tidewire's publisher beside what people write today: redis-py's `publish` per call, the same pipelined by a hundred,
`requests.post` per call with a session. All tell the same service; what is stored is counted in its log. And trackio's
`log`, which queues as wandb's does: it has no service but a SQLite file of the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from rig.contenders import tidewire as service_command
from rig.processes import LOAD, SERVER, Child, Redis, free_port, out
from rig.results import Aim, Section, arguments

PRODUCER = str(Path(__file__).with_name("rig") / "producer.py")
KINDS = {
    "tidewire, Redis": "tidewire",
    "tidewire, HTTP": "tidewire-http",
    "tidewire, columns of 1,000": "tidewire-columns",
    "redis-py publish": "redis",
    "redis-py pipeline of 100": "redis-pipeline",
    "requests.post": "requests",
    "trackio.log": "trackio",
}
PEERS_PYTHON = out("peers", "venv", "bin", "python")
OURS = ("tidewire, Redis", "tidewire, HTTP")
OUTAGE_S, RATE = 10.0, 100


def produce(kind: str, redis: Redis, service: str, *more: object) -> dict[str, Any]:
    """Run one producer to its end; return what it says of itself."""
    python = str(PEERS_PYTHON) if kind == "trackio" else sys.executable
    command = ["taskset", "-c", ",".join(map(str, LOAD)), python, PRODUCER, kind, redis.url, service, *map(str, more)]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TRACKIO_DIR": folder, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stderr[-800:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def trackio_installed() -> bool:
    """Tell whether the peer is there."""
    command = [str(PEERS_PYTHON), "-c", "import trackio"]
    return PEERS_PYTHON.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def stored(service: str, metric: str) -> int:
    """Return how many readings of a metric the service has stored, once no more come."""
    before, count = -1, 0
    while count != before:
        before = count
        time.sleep(1.5)
        series = httpx.get(f"{service}/v1/catalog", params={"metric": metric}, trust_env=False).json()["series"]
        count = sum(each["count"] for each in series)
    return count


def network_bytes(redis: Redis) -> int:
    """Return what Redis has read from the network so far."""
    import redis as redis_py  # noqa: PLC0415 - the name is taken

    client = redis_py.Redis.from_url(redis.url, retry=None)
    try:
        return int(client.info("stats")["total_net_input_bytes"])
    finally:
        client.close()


def outage(kind: str, redis: Redis, service: str) -> tuple[int, int]:
    """Return how many readings were published, 100/s with Redis away for ten seconds, and how many are stored."""
    metric = f"outage/{kind}"
    with ThreadPoolExecutor(1) as pool:  # Redis is started from this thread: it ends with the one that started it
        producing = pool.submit(produce, kind, redis, service, "paced", metric, RATE, OUTAGE_S + 6)
        time.sleep(2)
        redis.kill()
        time.sleep(OUTAGE_S)
        redis.start()
        published = producing.result()["calls"]
    return published, stored(service, metric)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    seconds, rounds = (5.0, 3) if given.full else (2.0, 1)
    section = Section("publisher", "What a producer pays per call", given)
    rows, found = [], {}
    with Redis() as redis:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with Child(service_command(port, redis.port), SERVER, name="service") as service:
            service.listening(port)
            for name, kind in KINDS.items():
                if kind == "trackio" and not trackio_installed():
                    section.text("Missing: trackio (benchmarks/peers/install.py).")
                    continue
                trials = [produce(kind, redis, url, "fast", f"fast/{kind}/{n}", seconds) for n in range(rounds)]
                best = sorted(trials, key=lambda trial: trial["readings_per_s"])[len(trials) // 2]
                before = network_bytes(redis)
                counted = produce(kind, redis, url, "paced", f"bytes/{kind}", 1_000, 2.0)
                straight = kind not in {"tidewire-http", "requests", "trackio"}
                wire = (network_bytes(redis) - before) / counted["readings"] if straight else "-"
                if kind in {"tidewire-columns", "trackio"}:
                    published, kept = 0, 0
                else:
                    published, kept = outage(kind, redis, url)
                found[name] = {**best, "published": published, "kept": kept}
                lost = "-" if not published else f"{published - kept:,} of {published:,}"
                rows.append((
                    name, best["readings_per_s"], best["host_us"], best["p50_us"], best["p99_us"], wire, lost,
                ))  # fmt: skip
                print(rows[-1], flush=True)
    section.raw("found", found)
    head = ["", "readings/s, stored", "host thread, µs per call", "call p50, µs", "call p99, µs"]
    section.table([*head, "bytes to Redis per reading", f"lost in an outage of {OUTAGE_S:.0f} s"], rows)
    one, columns = found["tidewire, Redis"], found["tidewire, columns of 1,000"]["readings_per_s"]
    lost = sum(found[name]["published"] - found[name]["kept"] for name in OURS)
    section.aims([
        Aim("calls one by one", "≥ 100,000/s", f"{one['calls_per_s']:,.0f}/s", one["calls_per_s"] >= 100_000),
        Aim("readings in columns", "≥ 200,000/s", f"{columns:,.0f}/s", columns >= 200_000),
        Aim("a call, p50", "≤ 20 µs", f"{one['p50_us']:.1f} µs", one["p50_us"] <= 20),
        Aim("a call, p99", "≤ 1 ms", f"{one['p99_us']:.0f} µs", one["p99_us"] <= 1_000),
        Aim("lost in an outage", "0", f"{lost:,}", lost == 0),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
