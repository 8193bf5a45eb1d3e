"""What tokens cost: 1,000 subscribers with `--auth` and without, in one run: `python benchmarks/auth.py [--full]`.

The same service twice; in one of them every stream shows a token that is narrowed to the metrics of the run. Rounds are
interleaved, the order of the two changes with each, and what counts is the median of the ratios within the rounds: a
machine's mood lasts longer than one of them. Besides: how long 1,000 streams take to open.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict

from rig.contenders import CONTENDERS
from rig.processes import Redis
from rig.results import Aim, Section, arguments
from rig.trial import Bench, Outcome, highest

from tidewire.redis_log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore

SUBSCRIBERS = 1_000
RATES = (10, 100)
GUESS = 4_000.0
PRECISION = 1.03
LEEWAY = 0.05


async def made_token(url: str) -> str:
    """Make a token that may see the metrics of the run."""
    log = RedisLog(url)
    try:
        scopes = Scopes(subscribe=("bench/**",))
        return (await TokenStore(log).create("benchmark", scopes, 3_600))[1]
    finally:
        await log.close()


def one_round(redis: Redis, serve: list[str], load: list[str], guess: float, seconds: float) -> dict[str, float]:
    """Measure one of the two once."""
    sets = [[0]] * SUBSCRIBERS
    with Bench(CONTENDERS["tidewire"], redis.port, sets, 1, serve=serve, load=load) as bench:
        bench.up()
        found = {"open_s": float(bench.load.opened["seconds"])}
        for rate in RATES:
            outcome = bench.trial(rate, seconds)
            good(outcome)
            found |= {f"p99_{rate}": outcome.p99_ms, f"cpu_{rate}": outcome.cpu_us}
        best = highest(bench, guess, seconds, 6, PRECISION)
        if best is None:
            raise SystemExit("no rate was lossless")
        return found | {"delivered": best.delivered}


def good(outcome: Outcome) -> None:
    """See that a trial is one."""
    if outcome.wrong or outcome.late:
        raise SystemExit(f"no trial: {outcome}")


def main() -> None:
    """Measure, and write down what was measured with the machine."""
    given = arguments(str(__doc__).splitlines()[0])
    rounds, seconds = (9, 3.0) if given.full else (3, 2.0)
    section = Section("auth", "What tokens cost: 1,000 subscribers of one metric", given)
    found: dict[str, dict[str, list[float]]] = {"off": defaultdict(list), "on": defaultdict(list)}
    with Redis() as redis:
        token = asyncio.run(made_token(redis.url))
        ways: dict[str, tuple[list[str], list[str]]] = {
            "off": ([], []),
            "on": (["--auth"], ["--header", f"Authorization: Bearer {token}"]),
        }
        guess = GUESS
        for number in range(rounds):
            for name in ("off", "on") if number % 2 else ("on", "off"):
                measured = one_round(redis, *ways[name], guess, seconds)
                guess = measured["delivered"] / SUBSCRIBERS
                for figure, value in measured.items():
                    found[name][figure].append(value)
                print(f"  round {number + 1}, auth {name}: {measured}", flush=True)

    def ratio(figure: str) -> float:
        pairs = zip(found["on"][figure], found["off"][figure], strict=True)
        return statistics.median(on / off for on, off in pairs)

    figures = {
        "delivered": "delivered/s, lossless",
        **{f"p99_{rate}": f"p99 at {rate} events/s, ms" for rate in RATES},
        **{f"cpu_{rate}": f"CPU µs/delivery at {rate} events/s" for rate in RATES},
        "open_s": "seconds to open 1,000 streams",
    }
    rows = [
        (what, *(statistics.median(found[name][figure]) for name in ("off", "on")), f"{ratio(figure):.3f}")
        for figure, what in figures.items()
    ]
    section.table(["median of rounds", "auth off", "auth on", "ratio within a round, median"], rows)
    fewer, later = 1 - ratio("delivered"), max(ratio(f"p99_{rate}") for rate in RATES) - 1
    section.aims([
        Aim("fewer deliveries/s with auth on", "≤ 5 %", f"{fewer:.1%}", fewer <= LEEWAY),
        Aim("longer p99 with auth on, the worse of the two rates", "≤ 5 %", f"{later:.1%}", later <= LEEWAY),
    ])  # fmt: skip
    section.raw("rounds", found)
    section.write()


if __name__ == "__main__":
    main()
