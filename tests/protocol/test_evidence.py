"""What one caller with several calls under way knows of lost writes, whatever order its replies come in."""

from __future__ import annotations

import random
from collections.abc import Callable

from world import World

from tidewire.redislog.lineage import Evidence, Fork, Watermark, lost_from

A, B, C = Fork("a", 0, None), Fork("b", 100, None), Fork("c", 50, None)


def test_a_late_reply_of_the_clock_does_not_lower_what_was_acknowledged() -> None:
    evidence = Evidence()
    evidence.record(Watermark(100, (A,)), current=True)
    evidence.record(Watermark(105, (A,)), current=False)
    evidence.record(Watermark(100, (A,)), current=True)
    assert evidence.to_hand_in == Watermark(105, (A,))


def test_an_acknowledgement_of_an_earlier_lineage_keeps_its_label_and_is_handed_in_if_it_was_lost() -> None:
    evidence = Evidence()
    evidence.record(Watermark(100, (A,)), current=True)
    evidence.record(Watermark(103, (A, B)), current=True)
    evidence.record(Watermark(100, (A,)), current=False)
    assert evidence.to_hand_in == Watermark(103, (A, B)), "what the fork kept is no news"
    evidence.record(Watermark(105, (A,)), current=False)
    assert evidence.to_hand_in == Watermark(105, (A,)), "lost with the fork at 100"
    evidence.record(Watermark(103, (A, B, Fork("d", 103, 100))), current=True)
    assert evidence.unreported is None


def test_an_older_clock_that_comes_late_does_not_take_the_place_of_a_newer_one() -> None:
    evidence = Evidence()
    assert evidence.record(Watermark(103, (A, B)), current=True).epoch == "b"
    assert evidence.record(Watermark(90, (A,)), current=True).epoch == "b"
    assert evidence.record(Watermark(60, (A, C)), current=True).epoch == "c"
    assert evidence.unreported == Watermark(103, (A, B)), (
        "a server that never heard of b: what b wrote is gone from 50 on"
    )


class _Caller:
    """Concurrent calls of one log, as `RedisLog` makes them; the world's log answers at once, the answer takes time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.evidence = Evidence()
        self.known: Watermark | None = None
        self.acked: list[Watermark] = []
        self.under_way: list[Callable[[], None]] = []

    def call(self) -> None:
        redis = self.world.redis
        if self.known is None:
            clock = redis.clock(self.evidence.to_hand_in)
            self.under_way.append(lambda: self._adopt(Watermark(clock.id, clock.chain)))
        elif redis.clock().epoch != self.known.epoch:
            self.under_way.append(self._doubt)
        else:
            known, last = self.known, redis.append(("X",), None)
            self.under_way.append(lambda: self._note(Watermark(last.id, known.chain)))

    def _adopt(self, watermark: Watermark) -> None:
        self.known = self.evidence.record(watermark, current=True)

    def _doubt(self) -> None:
        self.known = None

    def _note(self, watermark: Watermark) -> None:
        self.acked.append(watermark)
        self.evidence.record(watermark, current=False)
        if self.evidence.unreported is not None:
            self.known = None


def test_whatever_was_acknowledged_and_lost_is_announced_and_nothing_else() -> None:
    for number in range(2_000):
        rng = random.Random(number)
        world, said = World(clients=()), []
        caller = _Caller(world)
        for _ in range(rng.randint(5, 40)):
            action = rng.choice(("call", "call", "call", "hear", "hear", "tick", "snap", "failover", "restart"))
            said.append(action)
            if action == "call":
                caller.call()
            elif action == "hear" and caller.under_way:
                caller.under_way.pop(rng.randrange(len(caller.under_way)))()
            elif action not in {"call", "hear"}:
                world.act((action,))
        for _ in range(6):
            while caller.under_way:
                caller.under_way.pop()()
            caller.known = None
            caller.call()
        chain = world.redis.clock().chain
        for watermark in caller.acked:
            assert lost_from(chain, watermark) is None, (number, said, watermark, chain)
        forks = [int(line.split()[2][:-1]) for line in world.log if line.startswith("FAILOVER")]
        for fork in chain:
            if fork.lost is not None:
                assert fork.lost in forks, (number, "a loss without a failover")
                assert any(watermark.id > fork.lost for watermark in caller.acked), (number, said, chain)
