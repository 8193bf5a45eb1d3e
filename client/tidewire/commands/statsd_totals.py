"""Adds up lines of StatsD, and turns them into readings once an interval; pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final

from tidewire.commands.statsd_lines import Kind, StatsdLine
from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import FINISHED, Batch, checked_name, checked_value

__all__ = ["Totals"]

_SAMPLES: Final = 10_000  # of a timer and an interval that quantiles are taken of; of more, a fair choice
_MEMBERS: Final = 10_000  # of a set and an interval
_FORGET_S: Final = 3_600.0
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _added(total: float, value: float) -> float:
    """Return a sum, or the total as it was if float64 cannot hold it: one line must not spoil all later ones."""
    return found if math.isfinite(found := total + value) else total


class _Series:
    """One series, until its next flush.

    Attributes:
        number: a counter's total, or a gauge's value.
        count: of a timer's values in the interval, those that were not sent included.
        total: their sum.
        seen: values that came; `samples` is a fair choice of them.
        members: of a set in the interval.
        last_s: when a line came last.
    """

    __slots__ = ("count", "kind", "labels", "last_s", "members", "metric", "number", "samples", "seen", "total", "unit")

    def __init__(self, line: StatsdLine) -> None:
        self.kind: Kind = line.kind
        self.metric, self.labels, self.unit = line.metric, line.labels, line.unit
        self.number = self.last_s = 0.0
        self.samples: list[float] = []
        self.members: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self.count = self.total = 0.0
        self.seen = 0
        self.samples.clear()
        self.members.clear()

    def add(self, line: StatsdLine) -> None:
        """Add the values of a line."""
        for text in line.values:
            if self.kind == "set":
                if len(self.members) < _MEMBERS:
                    self.members.add(text)
                continue
            value = float(text)
            if self.kind == "counter":
                self.number = _added(self.number, value / line.rate)
            elif self.kind == "gauge":
                self.number = _added(self.number, value) if text[0] in "+-" else value
            else:
                self.count += 1 / line.rate
                self.total = _added(self.total, value / line.rate)
                self.seen += 1
                if len(self.samples) < _SAMPLES:
                    self.samples.append(value)
                elif (place := random.randrange(self.seen)) < _SAMPLES:  # noqa: S311 - a fair choice
                    self.samples[place] = value

    def readings(self) -> Iterator[tuple[str, float, str]]:
        """Yield name, value and unit of its readings, and begin the next interval."""
        if self.kind in ("counter", "gauge"):
            yield self.metric, self.number, ""
        elif self.kind == "set":
            if self.members:
                yield self.metric, float(len(self.members)), ""
        elif self.samples:
            ordered = sorted(self.samples)
            yield f"{self.metric}/count", self.count, ""
            yield f"{self.metric}/mean", self.total / self.count, self.unit
            for name, share in _QUANTILES.items():
                yield f"{self.metric}/{name}", ordered[min(len(ordered) - 1, int(share * len(ordered)))], self.unit
            yield f"{self.metric}/max", ordered[-1], self.unit
        self._begin()


class Totals:
    """All series.

    Counters are totals since their first line, gauges their last value: both are repeated with each interval, and end
    when no line came for an hour. Timers and sets are those of an interval.

    Args:
        max_series: lines of more series are refused.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._series: dict[tuple[str, tuple[tuple[str, str], ...]], _Series] = {}

    def add(self, line: StatsdLine, now_s: float) -> None:
        """Add a line.

        Args:
            line: parsed.
            now_s: monotonic time.

        Raises:
            InvalidInput: the series is of another kind, or its names would be too long.
            LimitExceeded: too many series.
        """
        key = line.metric, tuple(line.labels.items())
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self._max_series:
                raise LimitExceeded("max_series", self._max_series, self._max_series + 1, "use fewer names or tags")
            if line.kind == "timer":
                checked_name(f"{line.metric}/count")
            series = self._series[key] = _Series(line)
        if series.kind != line.kind:
            raise InvalidInput("line", line.metric, f"is a {series.kind}, and came as a {line.kind}")
        series.add(line)
        series.last_s = now_s

    def flush(self, now_s: float, now_ms: float) -> list[Batch]:
        """Return the readings of the interval that ends now, and the ends of series that were silent for an hour.

        Args:
            now_s: monotonic time.
            now_ms: Unix ms, of the readings.
        """
        batches = []
        for key, series in list(self._series.items()):
            silent = now_s - series.last_s > _FORGET_S
            if silent:
                del self._series[key]
            for metric, number, unit in series.readings():
                value = checked_value(number)  # a sum may leave what float64 can hold
                text: list[str | None] | None = [FINISHED] if silent and value is not None else None
                batches.append(
                    Batch(metric=metric, labels=series.labels, unit=unit, time=[now_ms], value=[value], text=text)
                )
        return batches
