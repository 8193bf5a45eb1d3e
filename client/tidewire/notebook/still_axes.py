"""Ranges and ticks of a still, as the live chart has them; pure.

The deck has the same rules in `client/chart/src/canvas/scale.ts`, `special.ts` and `time-scale.ts`;
`tests/chart/vectors/ticks.json` holds both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tidewire.model.numbers import as_given, grouped, without_zeros

__all__ = [
    "SWITCH_RANGE",
    "Ticks",
    "is_offset",
    "nice_step",
    "offset_ticks",
    "starts_at_zero",
    "step_decimals",
    "ticks_in",
    "time_labels",
    "time_step",
    "value_ticks",
    "y_range",
]

_MANTISSAS: Final = (1.0, 2.0, 5.0, 2.5)
_ROUNDING: Final = 1e-12
_FLAT_SHARE: Final = 0.1
_OFFSET_SHARE: Final = 1e-3
SWITCH_RANGE: Final = (-0.18, 1.28)
"""The y range of steps between 0 and 1."""
_FROM_ZERO: Final = re.compile(r"^(%|(1|([KMGT]i|[kMGT])?By|([kMGT])?bit|\{[^{}]*\})?/(s|min|h))$")
_PREFIXED: Final = re.compile(r"^(Hz|V|A|W|Pa|m|g|s|N|J|bar|Ω|L|mol|T|F|H|Bq|Sv|K|lx|lm)$")
_PREFIXES: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
_SUFFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_S, _MIN, _H, _D = 1_000, 60_000, 3_600_000, 86_400_000
_TIME_STEPS: Final = (
    *(100, 200, 500, _S, 2 * _S, 5 * _S, 10 * _S, 15 * _S, 30 * _S),
    *(_MIN, 2 * _MIN, 5 * _MIN, 10 * _MIN, 15 * _MIN, 30 * _MIN, _H, 2 * _H, 3 * _H, 6 * _H, 12 * _H),
    *(_D, 2 * _D, 7 * _D, 14 * _D, 28 * _D),
)
_PITCH_MIN, _PITCH_WIDE = 52, 76  # px from label to label
_MINUS: Final = "\N{MINUS SIGN}"


class Ticks(NamedTuple):
    """The ticks of an axis.

    Attributes:
        ticks: heights, in the unit as it is published, and texts.
        unit: as it is written over them.
        base: what the tick ``±0`` is; empty if ticks are values.
    """

    ticks: list[tuple[float, str]]
    unit: str
    base: str


def nice_step(low: float, high: float) -> float:
    """Return the step of 1, 2, 2.5 or 5 times a power of ten whose number of ticks in a range is nearest 4."""
    span = high - low
    if not 0 < span < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    best, best_miss = power, math.inf
    for scale in (power / 10, power, power * 10):
        for mantissa in _MANTISSAS:
            step = mantissa * scale
            count = math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1
            if abs(count - 4) < best_miss:
                best, best_miss = step, abs(count - 4)
    return best


def ticks_in(low: float, high: float, step: float) -> list[float]:
    """Return the multiples of a step in a range."""
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)][:64]


def y_range(low: float, high: float, *, from_zero: bool) -> tuple[float, float]:
    """Return the range of an axis for values between two: 9 % of padding, from zero where the unit is an amount."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if from_zero and low >= 0:
        return 0.0, high * 1.09 or 1.0
    size = max(abs(low), abs(high))
    if high - low <= size * _ROUNDING:
        middle, least = (low + high) / 2, size * _FLAT_SHARE or 1.0
        low, high = middle - least / 2, middle + least / 2
    pad = (high - low) * 0.09
    return low - pad, high + pad


def starts_at_zero(unit: str) -> bool:
    """Tell whether the axis of a unit begins at zero: shares, and amounts per time."""
    return _FROM_ZERO.match(unit) is not None


def is_offset(low: float, high: float) -> bool:
    """Tell whether an axis of values between two is read by differences."""
    size = max(abs(low), abs(high))
    return size * _ROUNDING < high - low < size * _OFFSET_SHARE and low * high > 0


def value_ticks(
    low: float, high: float, divisor: float, unit: str, fits: Callable[[str], bool], *, whole: bool = False
) -> Ticks:
    """Return the ticks of a linear axis.

    Args:
        low: its lower end …
        high: … and its upper one.
        divisor: values are divided by it before they are written.
        unit: as it is written.
        fits: tells whether a text has room beside the plot.
        whole: values are whole numbers.
    """
    step = nice_step(low / divisor, high / divisor)
    if whole:
        step = 2.0 if max(1.0, step) == _MANTISSAS[3] else max(1.0, step)
    values = ticks_in(low / divisor, high / divisor, step)
    texts = _tick_texts(values, step, fits)
    return Ticks([(value * divisor, text) for value, text in zip(values, texts, strict=True)], unit, "")


def offset_ticks(low: float, high: float, divisor: float, unit: str) -> Ticks:
    """Return ticks that are differences to a round value between the ends."""
    least, most = low / divisor, high / divisor
    step = nice_step(0.0, most - least)
    coarse = 10.0 ** math.ceil(math.log10(most - least))
    middle = (least + most) / 2
    rounded = math.floor(middle / coarse + 0.5) * coarse
    base = rounded if least <= rounded <= most else math.floor(middle / step + 0.5) * step
    scale, prefix = _PREFIXES[0]
    if _PREFIXED.match(unit):
        scale, prefix = next((one for one in _PREFIXES if step * 2 >= one[0] * 0.9999), _PREFIXES[-1])
    ticks = []
    for difference in ticks_in(least - base, most - base, step):
        sign = "+" if difference > step / 2 else _MINUS if difference < -step / 2 else "±"
        text = "±0" if sign == "±" else sign + _short_number(abs(difference / scale))
        ticks.append(((base + difference) * divisor, text))
    full = without_zeros(grouped(base, step_decimals(step)))
    return Ticks(ticks, prefix + unit, f"±0 = {full} {unit}".strip())


def time_step(span_ms: float, px: float) -> int:
    """Return the ms from tick to tick of a time axis of some px."""
    fits = (
        step
        for step in _TIME_STEPS
        if step / span_ms * px >= (_PITCH_WIDE if step < _MIN or step >= _D else _PITCH_MIN)
    )
    return next(fits, _TIME_STEPS[-1])


def time_labels(start_ms: float, end_ms: float, px: float) -> list[tuple[float, str]]:
    """Return the ticks of a time axis of some px, and their texts in UTC: the time, and the day at midnight."""
    step = time_step(end_ms - start_ms, px)
    origin = 4 * _D if step % (7 * _D) == 0 else 0
    first = math.ceil((start_ms - origin) / step)
    labels, before = [], ""
    for number in range(first, math.floor((end_ms - origin) / step) + 1):
        at = datetime.fromtimestamp((number * step + origin) / 1e3, UTC)
        today = f"{at.day} {at:%b}"
        turns = step >= _D or (number * step + origin) % _D == 0 or before not in ("", today)
        before = today
        clock = (
            f"{at:%H:%M}"
            if step >= _MIN
            else f"{at:%H:%M:%S}"
            if step >= _S
            else f"{at:%H:%M:%S}.{at.microsecond // 100_000}"
        )
        day = today if step > 2 * _D else f"{at:%a} {today}"
        labels.append((float(number * step + origin), day if turns else clock))
    return labels[:64]


def step_decimals(step: float) -> int:
    """Return the decimals that a step needs, at most 9."""
    for decimals in range(9):
        scaled = step * 10.0**decimals
        if abs(scaled - round(scaled)) < 1e-6 * scaled:
            return decimals
    return 9


def _tick_texts(ticks: Sequence[float], step: float, fits: Callable[[str], bool]) -> list[str]:
    plain = 1e-5 <= step < 1e12
    full = [grouped(tick, step_decimals(step)) if plain else _compact(tick, step) for tick in ticks]
    if all(map(fits, full)):
        return full
    short = [_compact(tick, step) for tick in ticks]
    if all(map(fits, short)):
        return short
    base, coarse = _compact(ticks[0], step), step
    while coarse < abs(ticks[0]) and not fits(base):
        coarse *= 10
        base = f"\N{ALMOST EQUAL TO}{_compact(ticks[0], coarse)}"
    return [base, *(f"+{_compact(tick - ticks[0], step)}" for tick in ticks[1:])]


def _compact(value: float, step: float) -> str:
    """Return a number with a suffix: 1,234,000 as 1.234M; the greatest and smallest with powers of ten."""
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1e15 or size < 1e-3:
        apart = math.floor(math.log10(size) + 1e-9) - math.floor(math.log10(step) + 1e-9)
        return _powers(value, min(6, max(0, apart)))
    rounded = math.floor(size / step + 0.5) * step
    divisor, suffix = next((one for one in _SUFFIXES if rounded >= one[0] * 0.9999999), (1.0, ""))
    return without_zeros(grouped(value / divisor, step_decimals(step / divisor))) + suffix


def _short_number(value: float) -> str:
    if 1e-3 <= value < 1e6:
        given = as_given(float(f"{value:.12g}"))
        return grouped(value, len(given.partition(".")[2]) if "e" not in given else 3)
    return _powers(value, 2)


def _powers(value: float, digits: int) -> str:
    mantissa, power = f"{value:.{digits}e}".split("e")
    text = f"{without_zeros(mantissa) if '.' in mantissa else mantissa}e{int(power)}"
    return text.replace("-", _MINUS)
