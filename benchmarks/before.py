"""A change against the commit before it, in one run: `python benchmarks/before.py --before CHECKOUT [--full]`.

CHECKOUT is a second clone with an environment of its own, `CHECKOUT/.venv`. The service (S1, S2, S4) and the dashboard
(viewers) of both are measured by turns, in an order that changes; the append (S7) by each checkout's own `append.py`.
The median of the ratios of neighbours counts: the machine's mood lasts longer than one pair.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from idle import one as idle
from rig.contenders import CONTENDERS, Contender, tidewire
from rig.deck import house
from rig.processes import Redis
from rig.results import Section, arguments
from rig.trial import Bench, highest
from viewers import measure

NOW, BEFORE = "now", "before"
NOISE = 0.05
VIEWERS = 50
Pairs = dict[str, list[Mapping[str, float]]]  # figure → pairs, each side → value


def contender(side: str, program: str) -> Contender:
    """Return one side's service as a contender."""
    plain = CONTENDERS["tidewire"]
    return plain._replace(name=f"tidewire, {side}", command=lambda port, redis: tidewire(port, redis, program=program))


def by_turns(number: int) -> tuple[str, str]:
    """Return the order of the two in one turn."""
    return (BEFORE, NOW) if number % 2 else (NOW, BEFORE)


def measure_latency(found: Pairs, sides: Mapping[str, Contender], redis: Redis, rounds: int) -> None:
    """S1; three times the pairs, since one stall of the machine makes a p99 of 800 deliveries."""
    for number in range(3 * rounds):
        pairs: dict[str, dict[str, float]] = defaultdict(dict)
        for side in by_turns(number):
            with Bench(sides[side], redis.port, [[0]] * 100, 1) as bench:
                bench.trial(10, 0.5)
                outcome = bench.trial(10, 8)
                pairs["S1: p50, ms"][side], pairs["S1: p99, ms"][side] = outcome.p50_ms, outcome.p99_ms
        for figure, pair in pairs.items():
            found[figure].append(pair)


def measure_cost(found: Pairs, sides: Mapping[str, Contender], redis: Redis, rounds: int) -> None:
    """S2 at 10/s, at 100/s and at its highest lossless rate."""
    guess = 4_000.0
    for number in range(rounds):
        pairs: dict[str, dict[str, float]] = defaultdict(dict)
        for side in by_turns(number):
            with Bench(sides[side], redis.port, [[0]] * 1_000, 1) as bench:
                for rate in (10, 100):
                    pairs[f"S2 at {rate}/s: CPU µs per delivery"][side] = bench.trial(rate, 3).cpu_us
                best = highest(bench, guess, 1.5, 5, 1.05)
                if best is not None:
                    pairs["S2: delivered/s"][side], guess = best.delivered, best.rate
        for figure, pair in pairs.items():
            found[figure].append(pair)


def measure_idle(found: Pairs, sides: Mapping[str, Contender], redis: Redis, rounds: int) -> None:
    """S4."""
    for number in range(rounds):
        pairs = {side: idle(sides[side], redis.port, 5_000) for side in by_turns(number)}
        for index, figure in enumerate(("S4: KiB of an idle stream", "S4: connects/s")):
            found[figure].append({side: pair[index] for side, pair in pairs.items()})


def measure_append(found: Pairs, roots: Mapping[str, Path], rounds: int) -> None:
    """S7, each checkout with its own function and its own script."""
    for number in range(rounds):
        pairs: dict[str, dict[str, float]] = defaultdict(dict)
        for side in by_turns(number):
            root = roots[side]
            command = [str(root / ".venv/bin/python"), str(root / "benchmarks/append.py"), "--no-write"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for name, rates in json.loads((root / "benchmarks/out/append.json").read_text())["rounds"].items():
                if name.startswith("append"):
                    pairs[f"S7: {name}, batches/s"][side] = statistics.median(rate["batches_s"] for rate in rates)
        for figure, pair in pairs.items():
            found[figure].append(pair)


def measure_viewers(found: Pairs, programs: Mapping[str, str], rounds: int) -> None:
    """Viewers of 20 charts of 4 series."""
    for number in range(rounds):
        pairs: dict[str, dict[str, float]] = defaultdict(dict)
        for side in by_turns(number):
            with house(program=programs[side]) as at:
                cost = asyncio.run(measure(at, VIEWERS, 10))
            pairs[f"{VIEWERS} viewers: cores"][side] = cost.cores
            pairs[f"{VIEWERS} viewers: gap p95, ms"][side] = cost.p95_gap_ms
            pairs["a viewer: MB"][side] = cost.memory_mb
        for figure, pair in pairs.items():
            found[figure].append(pair)


def write(section: Section, found: Pairs) -> None:
    """Write each figure's medians and the median ratio of neighbours."""
    rows: list[tuple[object, ...]] = []
    for figure, all_ in found.items():
        pairs = [pair for pair in all_ if pair.keys() == {NOW, BEFORE}]
        if not pairs:
            rows.append((figure, "-", "-", "-", 0))
            continue
        medians = [statistics.median(pair[side] for pair in pairs) for side in (BEFORE, NOW)]
        ratios = sorted(pair[NOW] / pair[BEFORE] for pair in pairs)
        ratio = f"{statistics.median(ratios):.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        rows.append((figure, *medians, ratio, len(pairs)))
    section.table(["", "before", "now", "ratio of neighbours: median (least to most)", "pairs"], rows)


def main() -> None:
    given: argparse.Namespace = arguments(
        str(__doc__).splitlines()[0],
        before=("", "the other checkout"),
        only=("latency,cost,idle,append,viewers", "only these"),
        rounds=(3, "pairs of each"),
    )
    if not given.before:
        raise SystemExit("say which checkout to measure against: --before CHECKOUT (it has a .venv of its own)")
    here, before = Path(__file__).parents[1], Path(given.before).resolve()
    programs = {NOW: str(Path(sys.executable).parent / "tidewire"), BEFORE: str(before / ".venv/bin/tidewire")}
    sides = {side: contender(side, program) for side, program in programs.items()}
    section = Section("before", "Against the commit before", given)
    found: Pairs = defaultdict(list)
    with Redis() as redis:
        parts: dict[str, Callable[[], None]] = {
            "latency": lambda: measure_latency(found, sides, redis, given.rounds),
            "cost": lambda: measure_cost(found, sides, redis, given.rounds),
            "idle": lambda: measure_idle(found, sides, redis, given.rounds),
            "append": lambda: measure_append(found, {NOW: here, BEFORE: before}, given.rounds),
            "viewers": lambda: measure_viewers(found, programs, given.rounds),
        }
        for name in given.only.split(","):
            parts[name]()
    write(section, found)
    section.raw("pairs", found)
    section.write()


if __name__ == "__main__":
    main()
