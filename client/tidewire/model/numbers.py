"""How readings are written for people: with digits that tell them apart, and no more; pure.

The deck has the same rules in `client/chart/src/base/format.ts` and `model/reading.ts`;
`tests/chart/vectors/numbers.json` holds both.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

__all__ = ["as_given", "decimals_for", "grouped", "mean_text", "reading_text", "without_zeros"]

_MOST_DECIMALS: Final = 3  # unless the range needs more
_MOST_DIGITS: Final = 15  # that a float64 has
_ROUNDING: Final = 1e-12  # values that differ by less than this share of them differ by rounding


def decimals_for(low: float, high: float, *, whole: bool = False) -> int:
    """Return the decimals that give four significant digits, and more where those do not tell a fifth of the range.

    A value that is the only one has no other decimals than it was given with.

    Args:
        low: the smallest value of a window, NaN for none.
        high: its largest.
        whole: all its values are whole numbers.

    Returns:
        Decimals; -n for powers of ten with n + 1 decimals, where values are very small or very large.
    """
    decimals = _decimals(max(abs(low), abs(high)), high - low, whole=whole)
    return min(decimals, len(as_given(high).partition(".")[2])) if low == high and decimals > 0 else decimals


def _decimals(magnitude: float, span: float, *, whole: bool) -> int:
    if not math.isfinite(magnitude) or (whole and magnitude < 1e12):
        return 0
    power = math.floor(math.log10(magnitude) + 1e-9) if magnitude > 0 else 0
    telling = math.ceil(math.log10(5 / span) - 1e-9) if span > magnitude * _ROUNDING else -power
    if magnitude >= 1e12 or 0 < magnitude < 0.001:
        return 1 - max(2, telling + power)
    return max(0, min(_MOST_DECIMALS, 3 - max(0, power)), telling)


def reading_text(value: float, decimals: int) -> str:
    """Return a number with so many decimals; what is not zero is not written as zero: it has its own digits then."""
    if math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "\N{MINUS SIGN}\N{INFINITY}"
    size = abs(value)
    text = _fixed(size, max(0, decimals)) if size < 1e15 else ""
    if size > 0 and decimals >= 0 and text and not text.strip("0."):
        return reading_text(value, _decimals(size, 0.0, whole=False))
    if decimals < 0 or not text:
        text = _scientific(size, max(2, 1 - decimals))
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    return sign + text


def mean_text(mean: float, low: float, high: float, decimals: int, *, whole: bool = False, error: float = 0.0) -> str:
    """Return what is computed of readings, such as their mean, with digits that tell it from their ends if it has them.

    Args:
        mean: as it is shown, as all others.
        low: the smallest reading, NaN for none.
        high: the largest.
        decimals: of readings; those of whole numbers say nothing of their mean.
        whole: all readings are whole numbers.
        error: how far it may be off; what may as well be an end, or nothing, is written as that.
    """
    if abs(mean) <= max(error, (abs(low) + abs(high)) * _ROUNDING):
        mean = 0.0
    for end in (low, high):
        if abs(mean - end) <= max(error, abs(end) * _ROUNDING):
            return reading_text(end, decimals)
    ends = [without_zeros(reading_text(end, decimals)) for end in (low, high)]
    if whole:
        decimals = _decimals(abs(mean), 0.0, whole=False)
    text = reading_text(mean, decimals)
    for _ in range(_MOST_DIGITS):
        if without_zeros(text) not in ends or 10.0**-decimals <= 2 * error:
            break
        decimals += -1 if decimals < 0 else 1
        text = reading_text(mean, decimals)
    return without_zeros(text) if whole else text


def without_zeros(text: str) -> str:
    """Return a number without zeros at its end: 1.500 as 1.5."""
    return re.sub(r"\.$", "", re.sub(r"(\.\d*?)0+$", r"\1", text))


def as_given(value: float) -> str:
    """Return a number with the digits that it was given with, such as a limit: 0.85, 935, 1.5e-09."""
    text = repr(float(f"{value:.15g}"))
    return text.removesuffix(".0")


def grouped(value: float, decimals: int) -> str:
    """Return a finite number with so many decimals, such as the text of a tick: what rounds to zero has no sign."""
    text = _fixed(abs(value), decimals)
    return f"\N{MINUS SIGN}{text}" if value < 0 and text.strip("0.,") else text


def _fixed(size: float, decimals: int) -> str:
    """Round as JavaScript does: a tie away from zero."""
    return f"{Decimal(size).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP):,f}"


def _scientific(size: float, decimals: int) -> str:
    if size == 0:
        return "0"
    mantissa, power = f"{size:.{decimals}e}".split("e")
    sign = "\N{MINUS SIGN}" if power.startswith("-") else "+"
    return f"{mantissa}e{sign}{power[1:].lstrip('0') or '0'}"
