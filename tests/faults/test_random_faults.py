"""The faults in random composition: a Hypothesis state machine over real processes, and the checker after each peace.

A few hundred steps by default, in about a minute and a half. `TIDEWIRE_FAULT_STEPS=10000` runs that many (about one and
a half hours); `TIDEWIRE_FAULT_SEED=n` repeats the choices of a run, which prints its seed and, if it fails, its steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from lanes import bounded
from waiting import HANG_S, eventually

from .clients import Feed, Subscriber
from .conftest import World
from .processes import Lateness, Service
from .proxy import Proxy, RespProxy

pytestmark = pytest.mark.fault
STEPS = bounded(105, 10_000, "TIDEWIRE_FAULT_STEPS")
SEED = int(os.environ.get("TIDEWIRE_FAULT_SEED", "0")) or random.randrange(1, 1 << 31)
STEPS_PER_WORLD = 50
METRICS = ["a/x", "a/y", "b/x", "b/y/z", "c"]
PATTERNS = ["**", "a/*", "*/x", "b/**", "c"]
_MAX_SUBSCRIBERS = 8
_MAX_FLUSHES = 2  # of one world: after a flush there is less to lose
_MAX_FAILOVERS = 2
_SETTLE_S = HANG_S
_STEPS_OF_WAR = 8  # between two times of peace
_BACKLOG_CALLS = 500


class Backlog:
    """A publisher with calls waiting: each is sent until it is acknowledged, whatever happens meanwhile."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.calls: asyncio.Queue[list[str]] = asyncio.Queue()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self.feed.publish(*await self.calls.get())
            self.calls.task_done()


class Machine(RuleBasedStateMachine):
    """Each rule is one thing that happens; `peace` heals everything and checks every promise."""

    steps: ClassVar[int] = 0
    worlds: ClassVar[int] = 0
    acknowledged: ClassVar[int] = 0
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.trace: list[str] = []
        self.paths: dict[Subscriber, Proxy] = {}
        self.restarts: list[asyncio.Task[None]] = []
        self.flushes = self.trims = self.kills = self.failovers = self.since_peace = 0
        self.kept = False
        self.joined = 1
        self.spent = Machine.steps >= STEPS  # Hypothesis decides how long a world lives: past the sum nothing is done
        self.directory = Path(tempfile.mkdtemp(prefix="tidewire-faults-"))
        self.stack = contextlib.AsyncExitStack()

    def do(self, coroutine: Coroutine[Any, Any, Any], said: str) -> None:
        """Run one step; if it fails, tell all that were before."""
        self.since_peace += 1
        if self.spent:
            coroutine.close()
            return
        Machine.steps += 1
        Machine.done[" ".join(said.split()[:2])] += 1
        self.trace.append(said)
        for number, backlog in enumerate(getattr(self, "backlogs", ())):  # everything happens under load
            if backlog.calls.qsize() < _BACKLOG_CALLS:
                for turn in range(3):
                    backlog.calls.put_nowait([METRICS[(Machine.steps + number + turn) % len(METRICS)]])
        try:
            self.loop.run_until_complete(asyncio.wait_for(coroutine, 2 * HANG_S))
        except BaseException as error:
            print(repr(error)[:4000])
            print(f"seed {SEED}; the steps of this world:\n  " + "\n  ".join(self.trace))
            for service in getattr(self, "services", ()):
                print(service.log[-2000:])
            raise

    @initialize()
    def begin(self) -> None:
        Machine.worlds += not self.spent
        self.do(self._begin(), "begin")

    async def _begin(self) -> None:
        self.lateness = await self.stack.enter_async_context(Lateness())
        self.world = World(self.directory, self.stack, self.lateness)
        await self.world.valkey.start()
        self.link: RespProxy = await self.world.redis_proxy()
        options = ("--redis-timeout-s=1", "--write-timeout-s=3", "--drain-s=0.3", "--ring-bytes=65536")
        services = await asyncio.gather(
            self.world.service(self.link.url, *options), self.world.service(self.world.valkey.url, *options)
        )
        self.services: list[Service] = list(services)
        self.backlogs = [Backlog(self.world.feed(url)) for url in (self.link.url, self.world.valkey.url)]
        for backlog in self.backlogs:
            self.stack.callback(backlog.task.cancel)
        await self._subscribe("**", "none")

    async def _subscribe(self, pattern: str, replay: str) -> None:
        path = await self.world.proxy(*(service.address for service in self.services), balance=True)
        path.receive_bytes = 32 * 1024
        subscriber = self.world.subscriber(path.address, pattern, replay=replay)
        self.paths[subscriber] = path

    # -- what happens

    @rule(
        publisher=st.integers(0, 1),
        calls=st.lists(st.lists(st.sampled_from(METRICS), min_size=1, max_size=4), min_size=1, max_size=12),
    )
    def publish(self, publisher: int, calls: list[list[str]]) -> None:
        async def step() -> None:
            for call in calls:
                self.backlogs[publisher].calls.put_nowait(call)
            await asyncio.sleep(0.02)

        self.do(step(), f"publish {publisher} {calls if len(calls) < 13 else len(calls)}")

    @rule(publisher=st.integers(0, 1), calls=st.integers(20, 200))
    def publish_much(self, publisher: int, calls: int) -> None:
        self.publish(publisher, [METRICS[n % 5 :] for n in range(calls)])

    @rule(seconds=st.floats(0.05, 0.8))
    def go_on(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds), f"go on {seconds:.2f}")

    @precondition(lambda self: self.joined < _MAX_SUBSCRIBERS)
    @rule(pattern=st.sampled_from(PATTERNS), replay=st.sampled_from(["none", "last", "5m"]))
    def subscribe(self, pattern: str, replay: str) -> None:
        self.joined += 1
        self.do(self._subscribe(pattern, replay), f"subscribe {pattern} {replay}")

    @rule(which=st.integers(0, _MAX_SUBSCRIBERS - 1))
    def cut(self, which: int) -> None:
        async def step() -> None:
            list(self.paths)[which % len(self.paths)].cut()
            await asyncio.sleep(0)

        self.do(step(), f"cut subscriber {which}")

    @rule(which=st.integers(0, _MAX_SUBSCRIBERS - 1), rate_bps=st.sampled_from([0, 200, 5_000]))
    def slow_down(self, which: int, rate_bps: int) -> None:
        async def step() -> None:
            path = list(self.paths.values())[which % len(self.paths)]
            path.rate_bps = rate_bps
            if not rate_bps:
                path.black_hole()

        self.do(step(), f"slow subscriber {which} to {rate_bps} B/s")

    @rule(which=st.integers(0, 1), gracefully=st.booleans())
    def restart_service(self, which: int, gracefully: bool) -> None:
        async def again() -> None:
            await self.services[which].start(ready=False)

        async def step() -> None:
            for task in self.restarts:
                await task
            if gracefully:
                assert await self.services[which].terminate() == 0
            else:
                self.services[which].kill()
            self.restarts = [asyncio.create_task(again())]

        self.do(step(), f"restart service {which} gracefully={gracefully}")

    @rule(gracefully=st.booleans(), down_s=st.floats(0, 0.5))
    def restart_redis(self, gracefully: bool, down_s: float) -> None:
        async def step() -> None:
            if gracefully:
                await self.world.valkey.terminate()
            else:
                self.kills += 1
                self.world.valkey.kill()
            await asyncio.sleep(down_s)
            await self.world.valkey.start()

        self.do(step(), f"restart Redis gracefully={gracefully}, down {down_s:.2f}")

    @rule(seconds=st.floats(0.05, 1.5))
    def pause_redis(self, seconds: float) -> None:
        async def step() -> None:
            self.world.valkey.pause()
            await asyncio.sleep(seconds)
            self.world.valkey.resume()

        self.do(step(), f"pause Redis {seconds:.2f}")

    @rule(how=st.sampled_from(["close", "deafen", "black hole", "forward", "lose reply", "kill pubsub"]))
    def hurt_link(self, how: str) -> None:
        async def step() -> None:
            match how:
                case "close":
                    self.link.close_all()
                case "deafen":
                    self.link.deafen()
                case "black hole":
                    self.link.black_hole()
                case "forward":
                    self.link.forward()
                case "lose reply":
                    self.link.lose_reply("append")
                case _:
                    self.world.valkey.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.sleep(0)

        self.do(step(), f"link: {how}")

    @rule(metric=st.sampled_from(METRICS), keep=st.integers(0, 5))
    def trim(self, metric: str, keep: int) -> None:
        async def step() -> None:
            self.trims += 1
            self.world.valkey.client.xtrim(f"tw:{{0}}:log:{metric}", maxlen=keep, approximate=False)

        self.do(step(), f"trim {metric} to {keep}")

    @precondition(lambda self: self.flushes < _MAX_FLUSHES)
    @rule()
    def flush(self) -> None:
        self.flushes += 1

        self.kept = False  # a replica holds the flush too

        async def step() -> None:
            self.world.valkey.client.flushall()

        self.do(step(), "flush")

    @precondition(lambda self: self.failovers < _MAX_FAILOVERS)
    @rule()
    def snap(self) -> None:
        self.kept = True  # here, not in the step: which rules are open must follow from the choices alone

        async def step() -> None:
            self.world.valkey.snap()

        self.do(step(), "snap")

    @precondition(lambda self: self.kept)
    @rule()
    def fail_over(self) -> None:
        """A replica that lagged since the snap takes over: what was acknowledged meanwhile is lost."""
        self.kept = False
        self.failovers += 1

        async def step() -> None:
            await self.world.valkey.fail_over()

        self.do(step(), "fail over")

    # -- what must hold

    @precondition(lambda self: self.since_peace >= _STEPS_OF_WAR)
    @rule()
    def peace(self) -> None:
        self.since_peace = 0
        self.do(self._peace(), "peace")

    async def _peace(self) -> None:
        self.link.forward()
        for path in self.paths.values():
            if path.rate_bps:
                path.close_all()
            path.rate_bps = 0
            path.forward()
        for task in self.restarts:
            await task
        for backlog in self.backlogs:
            await asyncio.wait(
                {asyncio.ensure_future(backlog.calls.join()), backlog.task},
                timeout=_SETTLE_S,
                return_when="FIRST_COMPLETED",
            )
            if backlog.task.done():
                backlog.task.result()
        await eventually(lambda: not any(b.calls.qsize() for b in self.backlogs), "every call is acknowledged")
        for service in self.services:
            await eventually(service.ready, "ready")
        await self.world.all_live(limit_s=_SETTLE_S)
        await self.world.settled()
        for subscriber in self.paths:
            assert subscriber.ledger.count("reset") <= self.flushes + self.failovers, "never more resets than losses"
            gaps = {page.data for page in subscriber.ledger.of("gap")}
            # a killed server may have held writes back behind a running fsync (everysec): lost, and announced as such
            losses = self.flushes or self.kills or self.failovers
            assert not any(b'"lost"' in gap for gap in gaps) or losses, "a loss without a cause"
            assert not gaps or self.trims or losses, "a gap without a cause"
            assert set(subscriber.statuses) <= {200}, subscriber.statuses
        assert not [error for service in self.services for error in service.errors()]

    def teardown(self) -> None:
        try:
            if hasattr(self, "backlogs"):
                self.do(self._peace(), "peace at the end")
                Machine.acknowledged += len(self.world.book.acked)
                print(f"world {Machine.worlds}: {Machine.steps} steps", flush=True)
        finally:
            self.loop.run_until_complete(self.stack.aclose())
            self.loop.run_until_complete(asyncio.sleep(0.05))
            self.loop.close()
            shutil.rmtree(self.directory, ignore_errors=True)


@pytest.mark.timeout(300 + STEPS * 4)
@pytest.mark.long
def test_random_faults_break_no_promise() -> None:
    print(f"seed {SEED}, {STEPS} steps")
    started = time.monotonic()
    run_state_machine_as_test(
        seed(SEED)(Machine),
        settings=settings(
            max_examples=max(10, STEPS // 5),
            stateful_step_count=STEPS_PER_WORLD,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # what took real processes cannot be shrunk: the steps are printed instead
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(
        f"seed {SEED}: {Machine.steps} steps in {Machine.worlds} worlds, {Machine.acknowledged} batches acknowledged, "
        f"{time.monotonic() - started:.0f} s, no promise broken; {dict(Machine.done)}"
    )
    assert Machine.steps >= STEPS
