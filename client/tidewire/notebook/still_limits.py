"""The thresholds of a still, and the ranges that they and the values give a dial and bars; pure.

The deck has the same rules in `client/chart/src/chart/kinds` (`gauge.ts`, `bar.ts`, `span.ts`) and
`model/thresholds.ts`; `tests/chart/vectors/ranges.json` holds both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from tidewire.model.numbers import as_given, grouped
from tidewire.model.pattern import compile_pattern
from tidewire.model.threshold import Level, Threshold
from tidewire.notebook.still_axes import nice_step

__all__ = ["Limit", "bar_range", "gauge_range", "limit_text", "limits_of", "zones_of"]

Side = Literal["above", "below"]
_BEYOND: Final = 0.1  # room beyond the outermost limits of a dial, as a share of the range up to there
_NEAR: Final = 0.5  # a limit beyond the values of bars by up to this share of their range is shown
_ROUNDING: Final = 1e-9


class Limit(NamedTuple):
    """One value at which an alarm begins."""

    level: Level
    side: Side
    value: float


class _Named(Protocol):
    """What a threshold is matched with."""

    @property
    def metric(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


def limits_of(thresholds: Iterable[Threshold], series: Iterable[_Named]) -> list[Limit]:
    """Return the limits of the thresholds that apply to any of these series, each once."""
    series = list(series)
    found: dict[Limit, None] = {}
    for one in thresholds:
        matches = compile_pattern(one.metric).matches
        if not any(matches(each.metric) and one.labels.items() <= each.labels.items() for each in series):
            continue
        values: tuple[tuple[Level, Side, float | None], ...] = (
            ("warn", "above", one.warn_above), ("critical", "above", one.critical_above),
            ("warn", "below", one.warn_below), ("critical", "below", one.critical_below),
        )  # fmt: skip
        found |= {Limit(level, side, value): None for level, side, value in values if value is not None}
    return list(found)


def limit_text(value: float, divisor: float) -> str:
    """Return a limit as it was given, in the scale of a unit."""
    shown = value / divisor
    given = as_given(float(f"{shown:.12g}"))
    digits, _, power = given.partition("e")
    return grouped(shown, max(0, len(digits.partition(".")[2]) - int(power or 0)))


def gauge_range(limits: Sequence[Limit], least: float, most: float, unit: str) -> tuple[float, float]:
    """Return the range of a dial: from zero, or below the lowest limit, up to beyond the highest one.

    Without limits it is what the values reach, from zero; 0 to 100 of a percentage.
    """
    if not limits:
        return _by_values(least, most, unit)
    above = [limit.value for limit in limits if limit.side == "above"]
    below = [limit.value for limit in limits if limit.side == "below"]
    low = min(below) if below else min(0.0, *above, least)
    high = max(above) if above else max(*below, most)
    beyond = (high - low or abs(high) or 1.0) * _BEYOND
    start = low - beyond if below else low
    return _outward(max(0.0, start) if low >= 0 else start, high + beyond)


def _by_values(least: float, most: float, unit: str) -> tuple[float, float]:
    if unit == "%" and least >= 0 and most <= 100:
        return 0.0, 100.0
    low, high = min(0.0, least), max(0.0, most)
    if low == high:
        return 0.0, 1.0
    step = nice_step(low, high)
    return math.floor(low / step + _ROUNDING) * step + 0.0, math.ceil(high / step - _ROUNDING) * step + 0.0


def bar_range(values: Iterable[float], limits: Iterable[float]) -> tuple[float, float]:
    """Return the range of bars: from zero to what the values, NaN for none, and the limits near them reach."""
    known = [0.0, *filter(math.isfinite, values)]
    low, high = min(known), max(known)
    room = (high - low) * _NEAR
    near = [limit for limit in limits if low - room < limit < high + room]
    low, high = min([low, *near]), max([high, *near])
    return (0.0, 1.0) if low == high else _outward(low * 1.05, high * 1.05)


def _outward(low: float, high: float) -> tuple[float, float]:
    """Round a range outward to two digits of its length."""
    size = high - low
    if not 0 < size < math.inf:
        return low, high
    step = 10.0 ** (math.floor(math.log10(size)) - 1)
    ends = math.floor(low / step + _ROUNDING) * step, math.ceil(high / step - _ROUNDING) * step
    return float(f"{ends[0]:.12g}"), float(f"{ends[1]:.12g}")


def zones_of(limits: Sequence[Limit], low: float, high: float) -> list[tuple[float, float, Level]]:
    """Return where each limit holds: from it to the next one of its side that is further out, or to the end."""
    found: list[tuple[float, float, Level]] = []
    for level, side, value in limits:
        others = [limit.value for limit in limits if limit.side == side]
        if side == "above":
            start, end = max(low, value), min([high, *(other for other in others if other > value)])
        else:
            start, end = max([low, *(other for other in others if other < value)]), min(high, value)
        if start < end:
            found.append((start, end, level))
    return found
