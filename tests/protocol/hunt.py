"""Random schedules with shrinking: `python tests/protocol/hunt.py [seed] [seconds]` hunts with the real code."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from consumers import KINDS
from world import METRICS, Action, Sizes, World, play

BASE: list[Action] = (
    [("append", m) for m in METRICS] * 2
    + [("append", "X", "Z"), ("append", "Y", "X", "Y")]
    + [("hub", 0), ("hub", 1)] * 3
    + [("flush", 0), ("flush", 1)] * 2
    + [("sub", c) for c in (0, 1, 2)] * 4
    + [("recv", c) for c in (0, 1, 2)] * 3
    + [("check", 0), ("check", 1), ("tick",)]
    + [("rest", 0), ("rest", 1), ("go", 0), ("go", 1), ("go", 2)]  # many steps at once reach deeper
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
    "demote": [("demote",), ("lag", 0), ("lag", 1)],
    "flushall": [("flushall",)],
    "noclock": [("noclock",)],
    "goback": [("snap",), ("goback",)],
    "nodirectory": [("nodirectory", m) for m in ("X", "")],
    "trim": [("trim", m) for m in METRICS],
    "delete": [("delete", m, place) for m in METRICS for place in (0, 1, 2)],
    "forget": [("forget", m) for m in METRICS],
}
CASTS = ((0, 1, 2), (0, 5, 6), (1, 6, 2), (3, 4, 7), (3, 7, 0))  # schedules are written for clients 0 to 2


class Case(NamedTuple):
    """A schedule and the world that it is played in."""

    actions: list[Action]
    sizes: Sizes
    clients: tuple[int, ...] = (0, 1, 2)
    labelled: bool = False

    def play(self, **options: Any) -> tuple[str | None, World]:
        return play(self.actions, self.sizes, clients=self.clients, labelled=self.labelled, **options)


def schedule(rng: random.Random, faults: list[str]) -> list[Action]:
    actions = list(BASE)
    for fault in faults:
        actions += FAULTS[fault]
    if rng.random() < 0.4:
        return _story(rng, actions)
    hot = rng.sample(actions, 6)  # a few favoured actions find more than the uniform draw
    return [rng.choice(hot) if rng.random() < 0.4 else rng.choice(actions) for _ in range(rng.randint(8, 60))]


def _story(rng: random.Random, actions: list[Action]) -> list[Action]:
    """Return something happening, then all of it or half of it coming to rest, again and again: reaches deep states."""
    events = [action for action in set(actions) if action[0] not in {"hub", "sub", "recv", "flush", "go", "rest"}]
    events.sort(key=str)
    told: list[Action] = []
    for _ in range(rng.randint(3, 9)):
        told += [rng.choice(events) for _ in range(rng.randint(1, 2))]
        settling: list[Action] = [("check", 0), ("check", 0), ("rest", 0), ("check", 1), ("rest", 1)]
        settling += [("go", c, rng.choice((2, 3, 4, 6, 12))) for c in (0, 1, 2) for _ in range(2)]
        settling = [action for action in settling if rng.random() < 0.8]
        if rng.random() < 0.5:
            rng.shuffle(settling)
        steps = [
            ("hub", rng.randint(0, 1)) if rng.random() < 0.4 else (rng.choice(("sub", "recv")), rng.randint(0, 2))
            for _ in range(rng.randint(0, 8))
        ]
        told += settling + steps if rng.random() < 0.5 else steps + settling
    return told


def sizes(rng: random.Random) -> Sizes:
    fill_page, part = rng.choice(((1, 4_096), (2, 4_096), (500, 4_096), (1, 1), (2, 2), (500, 1)))
    return Sizes(rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2), rng.randint(0, 3), fill_page, part)


def shrink(case: Case, kind: str) -> Case:
    """Return a case with a short schedule that breaks the same invariant (delta debugging)."""
    part = max(1, len(case.actions) // 2)
    while part >= 1:
        index, changed = 0, False
        while index < len(case.actions):
            shorter = case._replace(actions=case.actions[:index] + case.actions[index + part :])
            bad, _ = shorter.play()
            if bad and bad[:2] == kind:
                case, changed = shorter, True
            else:
                index += part
        if not changed:
            part //= 2
    return case


def made(seed: int, only: list[str] | None = None, casts: Sequence[tuple[int, ...]] = CASTS) -> Case:
    """Return the case of a seed."""
    rng = random.Random(seed)
    size = sizes(rng)
    names = only or list(FAULTS)
    faults = rng.sample(names, rng.randint(1, min(4, len(names)))) if rng.random() < 0.7 else names
    if "cut" not in faults and rng.random() < 0.8:
        faults = [*faults, "cut"]
    actions = schedule(rng, faults)
    if rng.random() < 0.4:
        actions += schedule(rng, faults)
    cast = rng.choice(casts)
    return Case([acted_by(cast, action) for action in actions], size, cast, labelled(cast))


def acted_by(cast: tuple[int, ...], action: Action) -> Action:
    """Return an action on client 0, 1 or 2 as one on the clients of a cast."""
    acted = action[0] in {"sub", "recv", "go", "cut", "resume"}
    return (action[0], cast[action[1]], *action[2:]) if acted else action


def labelled(cast: tuple[int, ...]) -> bool:
    """Tell whether each batch needs a series of its own: what lies in an interval must be seen."""
    return any(KINDS[client].every_ms for client in cast)


def hunt(seed: int, seconds: float, only: list[str] | None = None, casts: Sequence[tuple[int, ...]] = CASTS) -> int:
    started, tried, steps, found = time.monotonic(), 0, 0, 0
    by_cast: Counter[tuple[int, ...]] = Counter()
    while time.monotonic() - started < seconds and found < 3:
        case = made(seed + tried, only, casts)
        bad, world = case.play()
        tried, steps = tried + 1, steps + world.steps
        by_cast[case.clients] += world.steps
        if bad:
            found += 1
            case = shrink(case, bad[:2])
            bad, world = case.play()
            print(f"SEED {seed + tried - 1} {case}\n  {bad}")
            print("\n".join(f"    {line}" for line in world.log), flush=True)
    print(
        f"seed {seed}: {tried} schedules, {steps} actions, {found} counterexamples; actions {dict(by_cast)}", flush=True
    )
    return found


if __name__ == "__main__":
    sys.exit(hunt(int(sys.argv[1]) if len(sys.argv) > 1 else 0, float(sys.argv[2]) if len(sys.argv) > 2 else 30.0))
