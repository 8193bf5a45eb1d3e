"""The feeder as seen from a benchmark: a process of its own on the load cores, told how much to publish."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rig.contenders import Running
from rig.processes import LOAD, Child, Stopped

__all__ = ["Feeder"]


class Feeder(Stopped):
    """Publishes to one contender; a context manager that ends it.

    Attributes:
        sequence: the last one published, of every metric.
    """

    def __init__(
        self, running: Running, redis_port: int, metrics: int = 1, *, readings: int = 1, cores: Sequence[int] = LOAD
    ) -> None:
        kind = running.contender.feed
        port = running.port if kind == "nchan" else redis_port
        script = str(Path(__file__).with_name("feed.py"))
        self.sequence = 0
        command = [sys.executable, script, kind, str(port), str(metrics), str(readings)]
        self.child = Child(command, cores, name="feeder", pipes=True)
        self.answer()

    def begin(self, rate: float, seconds: float) -> None:
        """Start to publish; `answer` waits for the end."""
        assert self.child.process.stdin is not None
        command = {"rate": rate, "seconds": seconds, "sequence": self.sequence}
        self.child.process.stdin.write(json.dumps(command) + "\n")
        self.child.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.child.process.stdout is not None
        line = self.child.process.stdout.readline()
        if not line:
            time.sleep(0.1)
            raise RuntimeError(f"the feeder ended: {self.child.log.read_text()[-800:]}")
        answer: dict[str, Any] = json.loads(line)
        self.sequence = int(answer.get("sequence", self.sequence))
        return answer

    def feed(self, rate: float, seconds: float) -> dict[str, Any]:
        """Publish `rate` events/s in all for so many seconds; return what was sent."""
        self.begin(rate, seconds)
        return self.answer()

    def stop(self) -> None:
        self.child.stop()
