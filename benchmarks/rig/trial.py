"""One trial: a contender under one load and one rate; and the search for its highest lossless rate."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rig.contenders import Contender, start
from rig.feeder import Feeder
from rig.load import Load
from rig.processes import Usage

__all__ = ["Bench", "Outcome", "highest"]

P99_LIMIT_MS = 250.0
# The load client counts on the core on which it reads. Asked while the last event is on its way (an append answers
# before the event is delivered, nchan's POST after it), it would take that event up to 8 ms late: one in ten of a
# second at 10/s.
QUIET_S = 0.1


class Outcome(NamedTuple):
    """What one trial showed.

    Attributes:
        rate: events/s fed.
        delivered: events/s that arrived, over all subscribers.
        wrong: events lost, missing, doubled or out of order.
        cores: of the server.
        cpu_us: of the server per delivery.
        late: the feeder could not keep up (or was held up by the server).
        at_least: the search ended before it found a rate that failed.
    """

    rate: float
    delivered: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    wrong: int
    cores: float
    cpu_us: float
    late: bool
    at_least: bool = False

    @property
    def good(self) -> bool:
        return not self.wrong and not self.late and self.p99_ms < P99_LIMIT_MS


class Bench:
    """A contender with its subscribers and its feeder, started again when a trial has left it behind."""

    def __init__(
        self,
        contender: Contender,
        redis_port: int,
        sets: Sequence[Sequence[int]],
        metrics: int,
        suffix: str = "",
        *,
        serve: Sequence[str] = (),
        load: Sequence[str] = (),
    ) -> None:
        self._serve, self._options = serve, load
        self.contender = contender
        self._redis_port, self._sets, self._metrics, self._suffix = redis_port, sets, metrics, suffix
        self._up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Start server, subscribers and feeder, and warm them up."""
        if self._up:
            return
        self.running = start(self.contender, self._redis_port, *self._serve)
        self._up = True
        try:
            self.feeder = Feeder(self.running, self._redis_port, self._metrics)
            if self.contender.feed == "tidewire" and self._metrics > 1:
                self.feeder.feed(self._metrics * 4, 0.5)  # births first, as in a running system
            self.load = Load(self.running, self._sets, *self._options, base=self.feeder.sequence, suffix=self._suffix)
            if self.load.opened["reached"] != len(self._sets):
                raise RuntimeError(f"{self.contender.name}: {self.load.opened}")
            self.feeder.feed(max(50.0, self._metrics), 0.3)
            self.load.wait(self.feeder.sequence, 5)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        if self._up:
            self._up = False
            for part in ("load", "feeder"):
                if hasattr(self, part):
                    getattr(self, part).child.stop()
            self.running.child.stop()

    def trial(self, rate: float, seconds: float) -> Outcome:
        """Feed at a rate, wait for the rest to arrive, and count."""
        self.up()
        try:
            self.load.mark()
            usage = Usage(self.running.child.pid)
            fed = self.feeder.feed(rate, seconds)
            time.sleep(QUIET_S)
            self.load.wait(self.feeder.sequence, 1.5)
            cpu_s = usage.cpu_s
            report = self.load.report(self.feeder.sequence)
        except RuntimeError as error:  # the server broke off
            print(f"  {self.contender.name}: {error}", flush=True)
            self.down()
            return Outcome(rate, 0, 0, math.inf, math.inf, 1, 0, 0, late=True)
        wrong = sum(int(report[name]) for name in ("lost", "missing", "duplicates", "disorder", "closed"))
        outcome = Outcome(
            rate, report["events"] / fed["seconds"], report["p50_ms"], report["p99_ms"], report["max_ms"], wrong,
            cpu_s / fed["seconds"], cpu_s / max(1, report["events"]) * 1e6,
            fed["seconds"] > (fed["sent"] / rate) * 1.05 + 0.05,
        )  # fmt: skip
        if not outcome.good:
            self.down()
        return outcome


def highest(bench: Bench, guess: float, seconds: float, trials: int, precision: float = 1.12) -> Outcome | None:
    """Return the trial with the highest rate that was lossless, in time and below 250 ms at p99; by bisection."""
    low: Outcome | None = None
    high, rate = math.inf, guess
    for number in range(2 * trials):
        if number >= trials and low is not None:
            break
        outcome = bench.trial(rate, seconds)
        if outcome.good:
            low = outcome
        else:
            high = rate
        if low is not None and high / low.rate < precision:
            break
        if high == math.inf:
            rate *= 1.5
        elif low is None:
            rate /= 1.6
        else:
            rate = math.sqrt(low.rate * high)
    return None if low is None else low._replace(at_least=high == math.inf)
