"""Thresholds, and the state of one series' alarm; no I/O."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.batch import checked_labels
from tidewire.model.numbers import as_given
from tidewire.model.pattern import compile_pattern

__all__ = ["Alarm", "Level", "Threshold", "checked_thresholds"]

Level = Literal["warn", "critical"]
_MOST: Final = 1_000
_MAX_FOR_S: Final = 86_400.0


class Threshold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Limits for the series of some metrics.

    Attributes:
        metric: a metric or a pattern.
        labels: all must hold for a series to be meant.
        warn_above, critical_above, warn_below, critical_below: in the metric's unit; at least one is given.
        for_s: seconds for which a limit must be passed without a pause before the alarm begins.
        hysteresis: how far back behind a limit a value must be for its alarm to end, in the metric's unit.
    """

    metric: str
    labels: dict[str, str] = {}
    warn_above: float | None = None
    critical_above: float | None = None
    warn_below: float | None = None
    critical_below: float | None = None
    for_s: Annotated[float, msgspec.Meta(ge=0, le=_MAX_FOR_S)] = 0.0
    hysteresis: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def level(self, value: float, held: Level | None) -> Level | None:
        """Return the level of a value, seen from the level that is held; None for a value that is no number."""
        if math.isnan(value):
            return None
        if self._passed(value, self.critical_above, self.critical_below, easier=held == "critical"):
            return "critical"
        if self._passed(value, self.warn_above, self.warn_below, easier=held is not None):
            return "warn"
        return None

    def passed_limit(self, value: float, level: Level) -> float:
        """Return the limit of a level whose side a value is on, NaN if the level has none there."""
        above, below = (
            (self.critical_above, self.critical_below) if level == "critical" else (self.warn_above, self.warn_below)
        )
        if above is None or (below is not None and abs(value - below) < abs(value - above)):
            return math.nan if below is None else below
        return above

    def _passed(self, value: float, above: float | None, below: float | None, *, easier: bool) -> bool:
        slack = self.hysteresis if easier else 0.0
        return (above is not None and value > above - slack) or (below is not None and value < below + slack)


class Alarm:
    """The alarm of one series under one threshold.

    Attributes:
        level: now; None for no alarm.
        since_ms: when it came to that level, by the clock that `evaluate` was given.
        rising: the level that it has after `for_s` more, None for none.
    """

    __slots__ = ("_rising_ms", "level", "rising", "since_ms", "threshold")

    def __init__(self, threshold: Threshold) -> None:
        """Start without an alarm."""
        self.threshold = threshold
        self.level: Level | None = None
        self.since_ms = -math.inf
        self.rising: Level | None = None
        self._rising_ms = -math.inf

    @property
    def due_ms(self) -> float:
        """Return when the level that is rising comes, if nothing changes."""
        return self._rising_ms + self.threshold.for_s * 1e3

    def evaluate(self, value: float, now_ms: float) -> bool:
        """Take the newest value; True if the level changed.

        It rises only after `for_s` of values that pass the limit, and falls at once.
        """
        found = self.threshold.level(value, self.level)
        if _RANK[found] <= _RANK[self.level]:
            self.rising = None
            return self._become(found, now_ms)
        if self.rising is None or _RANK[found] < _RANK[self.rising]:
            self._rising_ms = now_ms
        self.rising = found
        if now_ms < self.due_ms:
            return False
        self.rising = None
        return self._become(found, now_ms)

    def _become(self, level: Level | None, now_ms: float) -> bool:
        if level == self.level:
            return False
        self.level, self.since_ms = level, now_ms
        return True


_RANK: Final[dict[Level | None, int]] = {None: 0, "warn": 1, "critical": 2}


def checked_thresholds(body: bytes) -> list[Threshold]:
    """Return the thresholds of a JSON document ``{"thresholds": […]}``.

    Raises:
        InvalidInput: it cannot be read, or a threshold can never work as it is; names which.
    """
    try:
        found = msgspec.json.decode(body, type=_Thresholds).thresholds
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput("thresholds", body[:80], str(error)) from None
    if len(found) > _MOST:
        raise InvalidInput("thresholds", f"{len(found)} thresholds", f"at most {_MOST} are kept")
    for place, threshold in enumerate(found):
        _check(threshold, f"thresholds[{place}]")
    return found


class _Thresholds(msgspec.Struct, forbid_unknown_fields=True):
    thresholds: list[Threshold]


def _check(threshold: Threshold, where: str) -> None:
    compile_pattern(threshold.metric)
    checked_labels(threshold.labels)
    limits = (threshold.warn_above, threshold.critical_above, threshold.warn_below, threshold.critical_below)
    given = [limit for limit in limits if limit is not None]
    if not given:
        raise InvalidInput(where, threshold.metric, "has no limit; give warn_above, critical_above, or one of … below")
    if not all(math.isfinite(number) for number in (*given, threshold.hysteresis)):
        raise InvalidInput(where, threshold.metric, "limits and hysteresis must be finite numbers")
    if None not in limits[:2] and limits[0] > limits[1]:  # type: ignore[operator]  # neither is None
        raise InvalidInput(where, threshold.metric, "warn_above must not be above critical_above")
    if None not in limits[2:] and limits[2] < limits[3]:  # type: ignore[operator]
        raise InvalidInput(where, threshold.metric, "warn_below must not be below critical_below")
    above = min((limit for limit in limits[:2] if limit is not None), default=math.inf)
    below = max((limit for limit in limits[2:] if limit is not None), default=-math.inf)
    if below >= above:
        raise InvalidInput(
            where,
            threshold.metric,
            f"every value is above {as_given(above)} or below {as_given(below)}; swap the limits",
        )
    if below + threshold.hysteresis > above - threshold.hysteresis:
        raise InvalidInput(
            where,
            threshold.metric,
            f"with a hysteresis of {as_given(threshold.hysteresis)} an alarm would never end; lower it",
        )
