"""An edge beside the hub that it reads from: `python benchmarks/edge.py [--full] [--viewers 2000 --selections 20]`.

The same viewers at the hub and at an edge of it, by turns in one run: CPU per delivery, what the hub pays for the edge,
and how many upstream streams there are. `--full`: 20,000 viewers of 100 selections.
"""

# ruff: noqa: RUF001 - a multiplication sign is meant

from __future__ import annotations

import re
import resource
import statistics
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rig.contenders import CONTENDERS, Running, start
from rig.feeder import Feeder
from rig.load import Load
from rig.processes import Redis, Usage
from rig.results import Aim, Section, arguments

RATES, FULL_RATES = (1, 10), (1, 3)  # events/s of each selection: at most what one core delivers
MOST_STREAMS = ("--max-streams", "50000")


class Outcome(NamedTuple):
    """What one trial showed.

    Attributes:
        cpu_us: of the server that the viewers are at, per delivery.
        hub_cpu_us: of the hub, per event that was fed.
        p99_ms: from the append to the viewer.
        wrong: events lost, missing, doubled or out of order, and connections closed.
    """

    cpu_us: float
    hub_cpu_us: float
    p99_ms: float
    wrong: int


def edge_of(hub: Running) -> Running:
    """Start an edge of a hub, on the same core."""
    program = str(Path(sys.executable).parent / "tidewire")
    contender = CONTENDERS["tidewire"]._replace(
        name="edge",
        command=lambda port, _: [
            program, "edge", "--upstream", f"http://127.0.0.1:{hub.port}", "--port", str(port),
            "--log-level", "warning", *MOST_STREAMS,
        ],
    )  # fmt: skip
    return start(contender, 0)


def upstream_streams(edge: Running) -> int:
    """Return how many upstream streams an edge says that it has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.port}/metrics", timeout=10) as answer:
        found = re.search(r"^tidewire_edge_upstream_streams (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return round(float(found[1]))


def settled(edge: Running, feeder: Feeder, selections: int) -> tuple[int, float]:
    """Feed until all viewers share; return how many upstream streams are left, and after how many seconds."""
    began = time.monotonic()
    while (streams := upstream_streams(edge)) > selections and time.monotonic() - began < 60:
        feeder.feed(2 * selections, 0.5)
    return streams, time.monotonic() - began


def trial(at: Running, hub: Running, feeder: Feeder, load: Load, rate: float, seconds: float) -> Outcome:
    load.mark()
    here, there = Usage(at.child.pid), Usage(hub.child.pid)
    fed = feeder.feed(rate, seconds)
    time.sleep(0.1)
    load.wait(feeder.sequence, 5)
    cpu_s, hub_s = here.cpu_s, there.cpu_s
    report = load.report(feeder.sequence)
    wrong = sum(int(report[key]) for key in ("lost", "missing", "duplicates", "disorder", "closed"))
    return Outcome(
        cpu_s / max(1, report["events"]) * 1e6, hub_s / max(1, fed["sent"]) * 1e6, report["p99_ms"], wrong
    )  # fmt: skip


def median(outcomes: Sequence[Outcome], field: str) -> float:
    return float(statistics.median(getattr(outcome, field) for outcome in outcomes))


def main() -> None:
    given = arguments(
        str(__doc__).splitlines()[0], viewers=(0, "how many; 2,000 or 20,000"), selections=(0, "20 or 100")
    )
    viewers = given.viewers or (20_000 if given.full else 2_000)
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if open_files != resource.RLIM_INFINITY and viewers > open_files * 3 // 4:
        viewers = open_files * 3 // 4
        print(f"{viewers:,} viewers: this machine allows {open_files:,} open files", flush=True)
    selections = given.selections or (100 if given.full else 20)
    rounds, seconds = (3, 4.0) if given.full else (2, 2.0)
    rates = FULL_RATES if given.full else RATES
    section = Section("edge", f"An edge beside its hub: {viewers:,} viewers of {selections} selections", given)
    found: dict[tuple[str, int], list[Outcome]] = defaultdict(list)
    streams, shared_s, opened_s = [], [], defaultdict(list)
    sets = [[number % selections] for number in range(viewers)]
    with Redis() as redis:
        hub = start(CONTENDERS["tidewire"], redis.port, *MOST_STREAMS)
        with hub.child, Feeder(hub, redis.port, selections) as feeder:
            feeder.feed(selections * 4, 0.5)  # births first, as in a running system
            edge = edge_of(hub)
            with edge.child:
                for _ in range(rounds):
                    for name, at in (("hub", hub), ("edge", edge)):
                        with Load(at, sets, base=feeder.sequence) as load:
                            if load.opened["reached"] != viewers:
                                raise RuntimeError(f"{name}: {load.opened}")
                            opened_s[name].append(float(load.opened["seconds"]))
                            feeder.feed(2 * selections, 1)
                            if at is edge:
                                left, took_s = settled(edge, feeder, selections)
                                streams.append(left)
                                shared_s.append(took_s)
                            load.wait(feeder.sequence, 5)
                            for rate in rates:
                                outcome = trial(at, hub, feeder, load, rate * selections, seconds)
                                found[name, rate].append(outcome)
                                print(f"  {name} at {rate}/s: {outcome}", flush=True)
                        time.sleep(1)
    section.table(
        ["viewers at", "events/s of a selection", "CPU µs per delivery", "hub's CPU µs per event", "p99 ms"],
        [
            (name, rate, *(f"{median(outcomes, field):.2f}" for field in ("cpu_us", "hub_cpu_us", "p99_ms")))
            for (name, rate), outcomes in found.items()
        ],
    )
    wrong = sum(outcome.wrong for outcomes in found.values() for outcome in outcomes)
    ratios = [median(found["edge", rate], "cpu_us") / median(found["hub", rate], "cpu_us") for rate in rates]
    section.aims([
        Aim("upstream streams", str(selections), str(max(streams)), max(streams) == selections),
        *(
            Aim(f"CPU per delivery at {rate}/s, to the hub's", "≤ 1.2 ×", f"{ratio:.2f} ×", ratio <= 1.2)
            for rate, ratio in zip(rates, ratios, strict=True)
        ),
        Aim("lost, doubled or out of order", "0", str(wrong), wrong == 0),
    ])  # fmt: skip
    section.text(
        f"All viewers opened in {statistics.median(opened_s['hub']):.1f} s at the hub and "
        f"{statistics.median(opened_s['edge']):.1f} s at the edge, where each fresh one first has an upstream "
        "stream of its own. Hub and edge are on the same core; their CPU is counted apart."
    )
    section.raw("outcomes", {f"{name} {rate}": [o._asdict() for o in all_] for (name, rate), all_ in found.items()})
    section.write()


if __name__ == "__main__":
    main()
