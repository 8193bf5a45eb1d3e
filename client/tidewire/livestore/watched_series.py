"""Evaluates one series under one threshold, reading by reading, and finds the times beyond its limits; no I/O."""

from __future__ import annotations

import math
from array import array
from typing import Final, NamedTuple

import numpy as np

from tidewire.livestore.column_ring import Floats
from tidewire.model.numbers import as_given
from tidewire.model.threshold import Alarm, Level, Threshold
from tidewire.model.units import shown_unit

__all__ = ["RANK", "Excursion", "WatchedSeries"]

RANK: Final[dict[Level | None, int]] = {None: 0, "warn": 1, "critical": 2}
_KNOWN: Final = 1_000  # excursions that late readings do not tell again, as many as are kept as events


class Excursion(NamedTuple):
    """A time beyond a limit that is over; `extreme` is the value furthest beyond it, `limit` what it passed."""

    from_ms: float
    to_ms: float
    level: Level
    extreme: float
    limit: float

    def is_passed_by(self, value: float) -> bool:
        """Return whether a value is further beyond the limit."""
        return value > self.extreme if self.extreme > self.limit else value < self.extreme

    def text(self, unit: str) -> str:
        """Return what an event says of it; `unit` is that of the series."""
        shown = shown_unit(unit, max(abs(self.extreme), abs(self.limit)))
        value, limit = (as_given(number / shown.divisor) for number in (self.extreme, self.limit))
        side = "above" if self.extreme > self.limit else "below"
        long_s = (self.to_ms - self.from_ms) / 1e3
        long = (
            f"{long_s * 1e3:.0f} ms" if long_s < 1 else f"{long_s:.3g} s" if long_s < 100 else f"{long_s / 60:.0f} min"
        )
        return f"{self.level} for {long}: {value} {shown.text}".rstrip() + f", {side} {limit}"


class WatchedSeries:
    """One series under one threshold: its alarm, and up to where its readings were evaluated."""

    def __init__(self, index: int, threshold: Threshold) -> None:
        self.index = index
        self.alarm = Alarm(threshold)
        self.version = -1  # of the series at the last look
        self.total = -1.0  # readings of the series then
        self.time_ms = -math.inf  # of the newest reading evaluated …
        self.value = math.nan
        self.seen_ms = 0.0  # … and the log time at which it was
        self._worst: Excursion | None = None  # of the excursion that goes on
        self._known = array("d")  # from and to, in turn: 16 kB at most

    def take(self, rows: Floats) -> list[Excursion]:
        """Evaluate readings, float64[2, n] in order of time, none older than before; return excursions that ended."""
        if not rows.shape[1]:
            return []
        ended = []
        if self.alarm.level or self.alarm.rising or _any_passes(self.alarm.threshold, rows[1]):
            for time_ms, value in zip(rows[0].tolist(), rows[1].tolist(), strict=True):
                self.wait(time_ms)
                if (excursion := self._step(value, time_ms)) is not None:
                    ended.append(excursion)
                self.value = value
        self.time_ms, self.value = rows[:, -1].tolist()
        return ended

    def take_one(self, time_ms: float, value: float) -> list[Excursion]:
        """Evaluate one reading newer than all before: a quarter of the time."""
        ended = None
        if self.alarm.level or self.alarm.rising or self.alarm.threshold.level(value, None):
            self.wait(time_ms)
            ended = self._step(value, time_ms)
        self.time_ms, self.value = time_ms, value
        return [] if ended is None else [ended]

    def wait(self, until_ms: float) -> None:
        """Let time pass without a reading: the value holds, until the alarm that it raises is due."""
        if self.alarm.rising and self.alarm.due_ms <= until_ms:
            self._step(self.value, self.alarm.due_ms)

    def _step(self, value: float, time_ms: float) -> Excursion | None:
        """Evaluate one value at its time; return the excursion that it ends."""
        alarm, worst = self.alarm, self._worst
        alarm.evaluate(value, time_ms)
        if alarm.level is None:
            self._worst = None
            if worst is not None:
                worst = worst._replace(to_ms=time_ms)
                self._note(worst)
            return worst
        if worst is None or RANK[alarm.level] > RANK[worst.level]:
            from_ms = alarm.since_ms if worst is None else worst.from_ms
            limit = alarm.threshold.passed_limit(value, alarm.level)
            self._worst = Excursion(from_ms, time_ms, alarm.level, value, limit)
        elif alarm.level == worst.level and worst.is_passed_by(value):
            self._worst = worst._replace(extreme=value)
        return None

    def take_late(self, rows: Floats) -> list[Excursion]:
        """Return the excursions of late readings and those around them, float64[2, n], that are not known yet."""
        late = WatchedSeries(self.index, self.alarm.threshold).take(rows)
        if not late:
            return []
        goes_on_ms = math.inf if self._worst is None else self._worst.from_ms
        known_from_ms, known_to_ms = np.array(self._known).reshape(-1, 2).T
        found = [
            excursion
            for excursion in late
            if excursion.to_ms < goes_on_ms
            and not ((known_from_ms <= excursion.to_ms) & (excursion.from_ms <= known_to_ms)).any()
        ]
        for excursion in found:
            self._note(excursion)
        return found

    def _note(self, told: Excursion) -> None:
        self._known.extend((told.from_ms, told.to_ms))
        del self._known[: -2 * _KNOWN]


def _any_passes(threshold: Threshold, values: Floats) -> bool:
    aboves = [limit for limit in (threshold.warn_above, threshold.critical_above) if limit is not None]
    belows = [limit for limit in (threshold.warn_below, threshold.critical_below) if limit is not None]
    return bool((aboves and (values > min(aboves)).any()) or (belows and (values < max(belows)).any()))
