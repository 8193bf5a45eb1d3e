"""What tokens cost: 1,000 subscribers with `--auth` and without, in one run: `python benchmarks/auth.py [--full]`.

The same service twice at the same time, each with a Redis and 1,000 streams of its own, one idle while the other is
measured; with auth on, every stream shows a token that is narrowed to the metrics of the run. They are measured by
turns, in an order that changes, and the median of the ratios of neighbours counts: the machine's mood lasts longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics

from rig.contenders import CONTENDERS
from rig.processes import Redis
from rig.results import Aim, Section, arguments
from rig.trial import Bench, Outcome, highest

from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore

SUBSCRIBERS = 1_000
RATES = (10, 100)
GUESS = 3_000.0
PRECISION = 1.03
LEEWAY = 0.05
Pair = dict[str, Outcome]


async def made_token(url: str) -> str:
    """Make a token that may see the metrics of the run."""
    log = RedisLog(url)
    try:
        scopes = Scopes(subscribe=("bench/**",))
        return (await TokenStore(log).create("benchmark", scopes, 86_400))[1]
    finally:
        await log.close()


def by_turns(number: int) -> tuple[str, str]:
    """Return the order of the two in one turn."""
    return ("off", "on") if number % 2 else ("on", "off")


def ratio(pairs: list[Pair], figure: str) -> float:
    """Return how much more there is with auth on: the median over the pairs."""
    ratios: list[float] = [getattr(pair["on"], figure) / getattr(pair["off"], figure) for pair in pairs]
    return statistics.median(ratios)


def row(what: str, pairs: list[Pair], figure: str) -> tuple[object, ...]:
    """Return a row of the table."""
    medians = (statistics.median(getattr(pair[name], figure) for pair in pairs) for name in ("off", "on"))
    return (what, *medians, f"{ratio(pairs, figure):.3f}", len(pairs))


def main() -> None:
    """Measure, and write down what was measured with the machine."""
    given = arguments(str(__doc__).splitlines()[0])
    turns, searches, seconds = (30, 5, 3.0) if given.full else (10, 3, 2.0)
    section = Section("auth", "What tokens cost: 1,000 subscribers of one metric", given)
    at_rate: dict[int, list[Pair]] = {rate: [] for rate in RATES}
    best: list[Pair] = []
    with contextlib.ExitStack() as stack:
        benches = {}
        for name in ("off", "on"):
            redis = stack.enter_context(Redis())
            token = asyncio.run(made_token(redis.url))
            serve, load = (["--auth"], ["--header", f"Authorization: Bearer {token}"]) if name == "on" else ([], [])
            bench = Bench(CONTENDERS["tidewire"], redis.port, [[0]] * SUBSCRIBERS, 1, serve=serve, load=load)
            benches[name] = stack.enter_context(bench)
            bench.up()
        for rate in RATES:
            for number in range(turns):
                pair = {name: benches[name].trial(rate, 1.0) for name in by_turns(number)}
                if all(outcome.good for outcome in pair.values()):
                    at_rate[rate].append(pair)
        guess = GUESS
        for number in range(searches):
            found = {name: highest(benches[name], guess, seconds, 6, PRECISION) for name in by_turns(number)}
            good = {name: outcome for name, outcome in found.items() if outcome is not None}
            if len(good) == len(found):
                best.append(good)
                guess = good["off"].rate
    if not (best and all(at_rate.values())):
        raise SystemExit("nothing was lossless and in time: the machine is busy")
    rows = [row("delivered/s, lossless", best, "delivered")]
    for rate in RATES:
        rows.append(row(f"p99 at {rate} events/s, ms", at_rate[rate], "p99_ms"))
        rows.append(row(f"CPU µs/delivery at {rate} events/s", at_rate[rate], "cpu_us"))
    section.table(["median", "auth off", "auth on", "ratio of neighbours, median", "pairs"], rows)
    fewer, later = 1 - ratio(best, "delivered"), max(ratio(at_rate[rate], "p99_ms") for rate in RATES) - 1
    section.aims([
        Aim("fewer deliveries/s with auth on", "≤ 5 %", f"{fewer:.1%}", fewer <= LEEWAY),
        Aim("longer p99 with auth on, the worse of the two rates", "≤ 5 %", f"{later:.1%}", later <= LEEWAY),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
