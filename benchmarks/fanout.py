"""S1 to S3 beside the peers, one server core each, in one run: `python benchmarks/fanout.py [--full] [--only s1,s3]`.

S1: 100 subscribers, 10 readings/s: latency. S2: 1,000 subscribers of one metric: the highest lossless rate, and the CPU
per delivery at 10/s and 100/s. S3: 1,000 subscribers over 100 metrics, each of one, or of a different set of four.
Rounds are interleaved: all contenders once, then all again; medians count. Each scenario is a section of its own:
`--only` and `--contenders "tidewire;nchan, in memory"` refresh it in minutes.
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Sequence

from rig.contenders import CONTENDERS, Contender, available
from rig.processes import Redis
from rig.results import Aim, Section, arguments
from rig.trial import Bench, Outcome, highest

SUBSCRIBERS = 1_000
METRICS = 100
SET = 4
NCHAN = ("nchan, in memory", "nchan, Redis mode")
Found = dict[tuple[str, str], list[Outcome]]


def different_sets() -> list[list[int]]:
    """Return 1,000 different sets of four of 100 metrics."""
    dice = random.Random(7)
    sets: set[tuple[int, ...]] = set()
    while len(sets) < SUBSCRIBERS:
        sets.add(tuple(sorted(dice.sample(range(METRICS), SET))))
    return [list(numbers) for numbers in sorted(sets)]


def latency(found: Found, contender: Contender, redis: Redis, seconds: float) -> None:
    """S1."""
    with Bench(contender, redis.port, [[0]] * 100, 1) as bench:
        bench.trial(10, 0.5)
        for _ in range(3):  # 40 events each: of ten the 99th percentile would be the slowest
            found["S1", contender.name].append(bench.trial(10, 4 * seconds))


def fixed(found: Found, contender: Contender, redis: Redis, seconds: float) -> None:
    """S2 at 10/s and 100/s."""
    with Bench(contender, redis.port, [[0]] * SUBSCRIBERS, 1) as bench:
        for rate in (10, 100):
            found[f"S2 at {rate}/s", contender.name].append(bench.trial(rate, seconds))


def search(found: Found, contender: Contender, redis: Redis, scenario: str, seconds: float, trials: int) -> None:
    """The highest lossless rate of S2 or S3; begins where the last round ended."""
    sets: Sequence[Sequence[int]] = [[0]] * SUBSCRIBERS
    metrics, fan_out = 1, float(SUBSCRIBERS)
    if scenario == "S3":
        sets, metrics, fan_out = [[n % METRICS] for n in range(SUBSCRIBERS)], METRICS, SUBSCRIBERS / METRICS
    elif scenario == "S3 sets":
        sets, metrics, fan_out = different_sets(), METRICS, SUBSCRIBERS * SET / METRICS
    before = found[scenario, contender.name]
    slower = 1 if scenario == "S2" else 0.07 if contender.guess > 1e6 else 0.7
    guess = before[-1].rate if before else contender.guess * slower / fan_out
    with Bench(contender, redis.port, sets, metrics) as bench:
        best = highest(bench, guess, seconds, trials)
    if best is not None:
        found[scenario, contender.name].append(best)
        rate = delivered([best])
        print(f"  {scenario:8} {contender.name:28} {rate:>14}/s p99 {best.p99_ms:.0f} ms", flush=True)


def median(outcomes: Sequence[Outcome], field: str) -> float:
    return statistics.median(getattr(outcome, field) for outcome in outcomes) if outcomes else float("nan")


def delivered(outcomes: Sequence[Outcome]) -> str:
    """Return the median as text; "≥" if a search ended before it found a rate that failed, "-" if none was found."""
    if not outcomes:
        return "-"
    return ("≥ " if any(o.at_least for o in outcomes) else "") + f"{median(outcomes, 'delivered'):,.0f}"


def ratio(found: Found, scenario: str, field: str, others: Sequence[str]) -> float | None:
    """Return Tidewire's median over the best of others (highest delivered, else lowest)."""
    best = max if field == "delivered" else min
    values = [median(found[scenario, name], field) for name in others if found[scenario, name]]
    ours = found[scenario, "tidewire"]
    return median(ours, field) / best(values) if values and ours else None


def aim_of(what: str, aim: str, value: float | None, good: bool, unit: str = "×") -> Aim:
    return Aim(what, aim, "-" if value is None else f"{value:.3g} {unit}", None if value is None else good)


def write_s1(section: Section, found: Found, contenders: Sequence[Contender]) -> None:
    rows = []
    for contender in contenders:
        outcomes = found["S1", contender.name]
        rows.append((contender.name, f"{median(outcomes, 'p50_ms'):.2f}", f"{median(outcomes, 'p99_ms'):.2f}"))
    section.table(["", "p50 ms", "p99 ms"], rows)
    made = []
    for field in ("p50_ms", "p99_ms"):
        for name, limit in (("nchan, Redis mode", 1.0), ("nchan, in memory", 1.3)):
            value = ratio(found, "S1", field, [name])
            made.append(aim_of(f"{field[:3]} to {name}", f"≤ {limit} ×", value, (value or 9) <= limit))
    section.aims(made)
    section.text(
        "A reading is in Redis before anybody sees it, so that it is kept and every process has it: an append and a "
        "live frame, where nchan in memory has neither. `latency.py` says what the append takes of it."
    )


def write_s2(section: Section, found: Found, contenders: Sequence[Contender]) -> None:
    rows = []
    for contender in contenders:
        slow, fast = found["S2 at 10/s", contender.name], found["S2 at 100/s", contender.name]
        busy = f"{median(fast, 'cores'):.2f}, {median(fast, 'p99_ms'):.0f} ms"
        kept_up = all(outcome.good for outcome in fast)
        rows.append((
            contender.name, median(slow, "cpu_us"), median(fast, "cpu_us") if kept_up else "-",
            busy if kept_up else "does not keep up", delivered(found["S2", contender.name]),
        ))  # fmt: skip
    section.table(["", "10/s: CPU µs per delivery", "at 100/s", "at 100/s: cores, p99", "delivered/s"], rows)
    peers = [name for name in CONTENDERS if name not in {"tidewire", "C ceiling"}]
    best, ceiling = ratio(found, "S2", "delivered", peers), ratio(found, "S2", "delivered", ["C ceiling"])
    cpu = ratio(found, "S2 at 10/s", "cpu_us", NCHAN[:1])
    ours = found["S2 at 100/s", "tidewire"]
    cores, p99 = median(ours, "cores"), median(ours, "p99_ms")
    section.aims([
        aim_of("rate to the C ceiling", "≥ 0.8 ×", ceiling, (ceiling or 0) >= 0.8),
        aim_of("rate to the best peer", "≥ 10 ×", best, (best or 0) >= 10),
        aim_of("10/s: CPU per delivery to nchan", "≤ 1.0 ×", cpu, (cpu or 9) <= 1),
        aim_of("100/s: share of a core", "≤ 0.6", cores, cores <= 0.6, ""),
        aim_of("100/s: p99", "≤ 60 ms", p99, p99 <= 60, "ms"),
    ])  # fmt: skip


def write_s3(section: Section, found: Found, contenders: Sequence[Contender]) -> None:
    one, sets = "each of one of 100 metrics", "each of a different set of four"
    rows = [(c.name, delivered(found["S3", c.name]), delivered(found["S3 sets", c.name])) for c in contenders]
    section.table(["delivered/s", one, sets], [row for row in rows if set(row[1:]) != {"-"}])
    made = []
    for scenario, what, limit in (("S3", one, 9), ("S3 sets", sets, 4)):
        value = ratio(found, scenario, "delivered", NCHAN)
        made.append(aim_of(f"{what}, to nchan", f"≥ {limit} ×", value, (value or 0) >= limit))
    section.aims(made)
    section.text(
        "With a metric for every ten subscribers the limit is ingest: each event is parsed, kept in the ring and "
        "joined for its selection, for ten deliveries; with four metrics for each subscriber it is for forty."
    )


WRITERS = {
    "s1": ("S1: latency beside the peers, 100 subscribers at 10/s", write_s1),
    "s2": ("S2: 1,000 subscribers of one metric, beside the peers", write_s2),
    "s3": ("S3: 1,000 subscribers over 100 metrics, beside the peers", write_s3),
}


def main() -> None:
    given = arguments(
        str(__doc__).splitlines()[0],
        contenders=("", "only these, separated by semicolons"),
        only=(",".join(WRITERS), "only these scenarios"),
    )
    names, only = given.contenders.split(";") if given.contenders else None, given.only.split(",")
    seconds, trials, rounds = (2.0, 5, 2) if given.full else (1.0, 4, 1)
    found: Found = defaultdict(list)
    asked = f' --contenders "{given.contenders}"' if given.contenders else ""
    sections = {
        name: Section(name, title, given, script=f"fanout.py --only {name}{asked}")
        for name, (title, _) in WRITERS.items() if name in only
    }  # fmt: skip
    contenders = available(names)
    with Redis() as redis:
        for _ in range(rounds):
            for contender in contenders:
                if "s1" in only:
                    latency(found, contender, redis, seconds)
                if "s2" in only:
                    fixed(found, contender, redis, seconds)
            for scenario in ("S2", "S3", "S3 sets"):
                for contender in contenders:
                    named = names is not None or contender.name in {"tidewire", NCHAN[0]}
                    if scenario[:2].lower() in only and (scenario == "S2" or given.full or named):
                        search(found, contender, redis, scenario, seconds, trials)
    for name, section in sections.items():
        WRITERS[name][1](section, found, contenders)
        outcomes = {key: all_ for key, all_ in found.items() if key[0][:2].lower() == name}
        section.raw("outcomes", {" | ".join(key): [o._asdict() for o in all_] for key, all_ in outcomes.items()})
        section.write()


if __name__ == "__main__":
    main()
