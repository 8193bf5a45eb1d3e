"""The service under mixed load with churn: `python benchmarks/soak.py [--full] [--seconds 3600]`.

Producers over the SDK, HTTP and plain `PUBLISH`; subscribers of every kind that come and go, each checking that what it
gets goes on where it was; reads of the past and of the catalogue; every minute the live connection is cut, every five
minutes Redis restarts. What the service holds is asked every half minute; a slope would be a leak. Without `--full`
four minutes; with it an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import statistics
import time
from collections import Counter
from typing import Any, TypedDict

import httpx
import psutil
import redis
from rig.contenders import tidewire as service_command
from rig.processes import LOAD, SERVER, Child, Redis, free_port
from rig.results import Aim, Section, arguments

import tidewire

METRICS, EVERY_S, CHURN = 10, 0.25, 100
READERS, LONGEST_S = 24, 40.0
# small enough to be full in the first quarter: what grows after that is a leak, and no reading
OPTIONS = ("--ring-bytes", str(2 << 20), "--retention-batches", "2000")


class Kind(TypedDict, total=False):
    """How a subscriber asks."""

    replay: str
    every: str
    on_slow: str


KINDS: dict[str, Kind] = {
    "raw": {"replay": "none"},
    "past": {"replay": "1m"},
    "every": {"replay": "none", "every": "1s"},
    "conflate": {"replay": "none", "on_slow": "conflate"},
}
NAMES = ("memory, MB", "tasks", "descriptors", "connections to Redis", "selections")


class Reader:
    """One subscriber; its counters of what it saw are the benchmark's."""

    def __init__(self, url: str, seen: Counter[str]) -> None:
        self._url, self._seen = url, seen

    async def read(self) -> None:
        """Follow one metric for a while, over whatever happens to its connection; leave as it comes."""
        metric = f"soak/{random.randrange(METRICS)}"
        kind = random.choice(tuple(KINDS))
        patterns = (metric, "soak/churn/*") if random.random() < 0.3 else (metric,)
        expected, announced = None, False
        stream = tidewire.astream(*patterns, url=self._url, states=True, **KINDS[kind])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(1, LONGEST_S)), contextlib.aclosing(stream) as items:
                async for item in items:
                    if not isinstance(item, tidewire.StreamBatch):
                        self._seen[type(item).__name__] += 1
                        announced = announced or isinstance(item, tidewire.Gap | tidewire.Reset | tidewire.Skipped)
                        continue
                    if item.metric != metric:
                        continue
                    counts = item.count or [1] * len(item.value)
                    for last, count in zip(item.value, counts, strict=True):
                        if last is None:
                            continue
                        self._seen["readings"] += count
                        if expected is not None and not announced:
                            self._seen["lost"] += max(0, int(last) - count + 1 - expected)
                            self._seen["doubled"] += max(0, expected - (int(last) - count + 1))
                        expected, announced = int(last) + 1, False
        self._seen["subscribers"] += 1


async def produce(url: str, redis_url: str, seen: Counter[str]) -> None:
    """Publish numbered readings of all metrics by the SDK, and by HTTP and PUBLISH beside it."""
    number = 0
    inbox = redis.asyncio.from_url(redis_url)
    async with (
        tidewire.AsyncPublisher(redis_url) as publisher,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        while True:
            for n in range(METRICS):
                publisher.publish(f"soak/{n}", number)
            if number % 4 == 0:
                name = f"soak/churn/{random.randrange(CHURN)}"
                try:
                    await http.post("/v1/readings", json={"metric": name, "value": [number]})
                    await inbox.publish(f"tw:in:{name}", str(number))
                    seen["by HTTP and the inbox"] += 2
                except (httpx.TransportError, redis.RedisError, OSError):
                    seen["refused by HTTP and the inbox"] += 1
            number += 1
            await asyncio.sleep(EVERY_S)


async def ask(url: str, seen: Counter[str]) -> None:
    """Read the past, the catalogue and the counters, again and again."""
    paths = ("/v1/history?metric=soak/*&start=-1m&points=50", "/v1/history?metric=soak/1&start=-10s&format=csv",
             "/v1/catalog?metric=soak/churn/*", "/metrics", "/v1/history?metric=*[&start=x")  # fmt: skip
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        while True:
            for path in paths:
                with contextlib.suppress(httpx.TransportError):
                    seen[f"answers {(await http.get(path)).status_code}"] += 1
                await asyncio.sleep(0.3)


async def hurt(server: Redis, seen: Counter[str], seconds: float) -> None:
    """Cut the live connection every minute; restart Redis with its file every five."""
    turn, pause = 0, min(60.0, seconds / 8)
    while True:
        await asyncio.sleep(pause)
        turn += 1
        if turn % 5 == 0:
            await asyncio.to_thread(server.child.stop)
            await asyncio.to_thread(server.start)
            seen["restarts of Redis"] += 1
        else:
            client = redis.Redis(port=server.port)
            seen["cuts"] += client.client_kill_filter(_type="pubsub")
            client.close()


async def held(url: str, process: psutil.Process, server: Redis) -> dict[str, float]:
    """Return what the service holds now."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        text = (await http.get("/metrics")).text
    counters = {name: float(number) for name, number in re.findall(r"^(tidewire_\w+) (\S+)$", text, re.MULTILINE)}
    client = redis.Redis(port=server.port)
    connections = sum(1 for each in client.client_list() if each["name"] == "tidewire")
    client.close()
    values = (
        process.memory_full_info().uss / 1e6, counters["tidewire_hub_loop_tasks"], process.num_fds(), connections,
        counters["tidewire_hub_selections"],
    )  # fmt: skip
    return dict(zip(NAMES, map(float, values), strict=True))


async def soak(url: str, server: Redis, process: psutil.Process, seconds: float) -> tuple[list[Any], Counter[str]]:
    """Return what was held, each half minute, and what was seen."""
    seen: Counter[str] = Counter()
    found: list[dict[str, float]] = []
    started = time.monotonic()

    async def come_and_go() -> None:
        while True:
            await Reader(url, seen).read()

    async def watch() -> None:
        every = min(30.0, seconds / 24)
        while True:
            await asyncio.sleep(every)
            with contextlib.suppress(redis.ConnectionError, httpx.TransportError):
                found.append({"at_s": time.monotonic() - started, **await held(url, process, server)})
                print(found[-1], dict(seen), flush=True)

    jobs = [produce(url, server.url, seen), ask(url, seen), hurt(server, seen, seconds), watch()]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for job in (*jobs, *(come_and_go() for _ in range(READERS))):
                group.create_task(job)
    return found, seen


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], seconds=(0.0, "another length"))
    seconds = given.seconds or (3_600.0 if given.full else 240.0)
    section = Section("soak", "The service under mixed load with churn", given)
    with Redis(LOAD) as server:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with Child([*service_command(port, server.port), *OPTIONS], SERVER, name="soak-service") as service:
            service.listening(port)
            found, seen = asyncio.run(soak(url, server, psutil.Process(service.pid), seconds))
            errors = sum('"level": "error"' in line for line in service.log.read_text(errors="replace").splitlines())
    section.raw("found", found)
    quarter = max(1, len(found) // 4)
    rows: list[tuple[Any, ...]] = []
    for name in NAMES:
        means = [
            statistics.fmean(one[name] for one in found[at : at + quarter]) for at in range(0, quarter * 4, quarter)
        ]
        later = found[quarter:]
        line = statistics.linear_regression([one["at_s"] / 3600 for one in later], [one[name] for one in later])
        rows.append((name, *means, line.slope))
    section.text(
        f"{seconds / 60:.0f} minutes: {seen['readings']:,} readings at {seen['subscribers']:,} subscribers that came "
        f"and went, {seen['cuts']} cuts of the live connection, {seen['restarts of Redis']} restarts of Redis, "
        f"{CHURN:,} names in turn. Tasks, descriptors and selections follow the {READERS} subscribers of the moment."
    )
    section.table(["mean of each quarter", "1st", "2nd", "3rd", "4th", "slope per hour"], rows)
    section.table(["seen", "times"], sorted(seen.items()))
    memory, tasks, descriptors = rows[0], rows[1], rows[2]
    wrong = seen["lost"] + seen["doubled"]
    section.aims([
        Aim("memory from the second to the last quarter", "≤ 5 MB more", f"{memory[4] - memory[2]:+.1f} MB",
            memory[4] - memory[2] <= 5),
        Aim("tasks, likewise", "≤ 3 more", f"{tasks[4] - tasks[2]:+.1f}", tasks[4] - tasks[2] <= 3),
        Aim("descriptors, likewise", "≤ 3 more", f"{descriptors[4] - descriptors[2]:+.1f}",
            descriptors[4] - descriptors[2] <= 3),
        Aim("lost or doubled without a word", "0", f"{wrong}", wrong == 0),
        Aim("errors in the service's log", "0", f"{errors}", errors == 0),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
