"""Random schedules with shrinking: `python tests/protocol/hunt.py [seed] [seconds]` hunts with the real code."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from world import METRICS, Action, Sizes, play

from tidewire_service.fanout import Fanout

BASE: list[Action] = (
    [("append", m) for m in METRICS] * 2
    + [("append", "X", "Z"), ("append", "Y", "X", "Y")]
    + [("hub", 0), ("hub", 1)] * 3
    + [("flush", 0), ("flush", 1)] * 2
    + [("sub", 0), ("sub", 1), ("sub", 2)] * 4
    + [("recv", 0), ("recv", 1), ("recv", 2)] * 3
    + [("check", 0), ("check", 1), ("tick",)]
)
CUTS: list[Action] = [("cut", c) for c in (0, 1, 2)] + [("resume", c, h) for c in (0, 1, 2) for h in (0, 1)]
FAULTS: dict[str, list[Action]] = {
    "cut": CUTS * 2,
    "drop": [("drop", h, n) for h in (0, 1) for n in (0, 1, 5)],
    "conn": [("break", 0), ("resub", 0), ("break", 1), ("resub", 1)],
    "deaf": [("deaf", 0), ("deaf", 1)],
    "kill": [("killhub", 0), ("killhub", 1)],
    "back": [("back",)],
    "fail": [("snap",), ("failover",)],
    "restart": [("restart",)],
    "flushall": [("flushall",)],
    "noclock": [("noclock",)],
    "trim": [("trim", m) for m in METRICS],
    "forget": [("forget", m) for m in METRICS],
}


def schedule(rng: random.Random, faults: list[str]) -> list[Action]:
    actions = list(BASE)
    for fault in faults:
        actions += FAULTS[fault]
    hot = rng.sample(actions, 6)  # a few favoured actions find more than the uniform draw
    return [rng.choice(hot) if rng.random() < 0.4 else rng.choice(actions) for _ in range(rng.randint(8, 60))]


def sizes(rng: random.Random) -> Sizes:
    return Sizes(rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2), rng.randint(0, 3), rng.choice((1, 2, 500)))


def shrink(actions: list[Action], size: Sizes, kind: str, fanout_class: type[Fanout] = Fanout) -> list[Action]:
    """Return a short schedule that breaks the same invariant (delta debugging)."""
    part = max(1, len(actions) // 2)
    while part >= 1:
        index, changed = 0, False
        while index < len(actions):
            shorter = actions[:index] + actions[index + part :]
            bad, _ = play(shorter, size, fanout_class)
            if bad and bad[:2] == kind:
                actions, changed = shorter, True
            else:
                index += part
        if not changed:
            part //= 2
    return actions


def case(seed: int, only: list[str] | None = None) -> tuple[list[Action], Sizes]:
    """Return the schedule and the sizes of a seed."""
    rng = random.Random(seed)
    size = sizes(rng)
    names = only or list(FAULTS)
    faults = rng.sample(names, rng.randint(1, min(4, len(names)))) if rng.random() < 0.7 else names
    if "cut" not in faults and rng.random() < 0.8:
        faults = [*faults, "cut"]
    actions = schedule(rng, faults)
    if rng.random() < 0.4:
        actions += schedule(rng, faults)
    return actions, size


def hunt(seed: int, seconds: float, only: list[str] | None = None, fanout_class: type[Fanout] = Fanout) -> int:
    started, tried, steps, found = time.monotonic(), 0, 0, 0
    while time.monotonic() - started < seconds and found < 3:
        actions, size = case(seed + tried, only)
        bad, world = play(actions, size, fanout_class)
        tried, steps = tried + 1, steps + world.steps
        if bad:
            found += 1
            actions = shrink(actions, size, bad[:2], fanout_class)
            bad, world = play(actions, size, fanout_class)
            print(f"SEED {seed + tried - 1} {size}\n  {bad}\n  {actions}")
            print("\n".join(f"    {line}" for line in world.log), flush=True)
    print(f"seed {seed}: {tried} schedules, {steps} actions, {found} counterexamples", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(hunt(int(sys.argv[1]) if len(sys.argv) > 1 else 0, float(sys.argv[2]) if len(sys.argv) > 2 else 30.0))
