"""What very many series are at each time, as a few: quantiles, counts by value, and those that stand out; pure."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from tidewire.evaluation.reading_table import Floats, Places

__all__ = [
    "MOST_BINS",
    "QUANTILES",
    "Bins",
    "bins_for",
    "counts_by_bin",
    "extremes",
    "live_counts",
    "quantiles",
    "ranked",
]

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_BINS: Final = 40
_FEWEST_BINS: Final = 12  # of a range that shrank; fewer are cut anew
_WIDTHS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_ROUNDING: Final = 1e-9  # of a width: 0.3 / 0.1 is less than 3, and yet at that edge


class Bins(NamedTuple):
    """Equal ranges of values, whose edges are multiples of their width.

    Attributes:
        width: of each, above 0.
        first: the lowest begins at ``first * width``.
        many: how many there are.
    """

    width: float
    first: int
    many: int

    def hold(self, low: float, high: float) -> bool:
        """Tell whether all values between two are in one of them."""
        return self.first <= self.number(low) and self.number(high) < self.first + self.many

    def number(self, value: float) -> int:
        """Return the number of the range that has a value; that of the lowest is `first`."""
        return math.floor(value / self.width + _ROUNDING)

    def edges(self, at: int) -> tuple[float, float]:
        """Return the least value of a range, and the least beyond it."""
        low, high = ((self.first + at + more) * self.width for more in (0, 1))
        return float(f"{low:.12g}"), float(f"{high:.12g}")


def live_counts(value: Floats, *, begun: bool = False) -> Floats:
    """Return how many series have a value at each time, NaN before the first time at which any has one.

    Args:
        value: float64[series, times], NaN where there is none.
        begun: one had a value before these times.
    """
    count: Floats = (~np.isnan(value)).sum(axis=0).astype(np.float64)
    if not begun:
        there = np.flatnonzero(count)
        count[: there[0] if there.size else count.size] = np.nan
    return count


def quantiles(value: Floats) -> Floats:
    """Return the `QUANTILES` over the series that have a value, interpolated as PromQL and NumPy do.

    Args:
        value: float64[series, times], NaN where there is none.

    Returns:
        float64[5, times], NaN where no series has a value.
    """
    result = np.full((len(QUANTILES), value.shape[1]), np.nan)
    if not value.size:
        return result
    ordered = np.sort(value.T, axis=1)  # in rows: sorting along them is four times as fast; NaN come last
    count = value.shape[0] - np.isnan(ordered).sum(axis=1)
    there = np.flatnonzero(count)
    for at, quantile in enumerate(QUANTILES):
        place = quantile * (count[there] - 1)
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, count[there] - 1)
        low, high = ordered[there, below], ordered[there, above]
        result[at, there] = low + (high - low) * (place - below)
    return result


def bins_for(low: float, high: float, before: Bins | None = None) -> Bins:
    """Return at most `MOST_BINS` ranges that hold all values from `low` to `high`.

    Args:
        low: the least value, a number.
        high: the greatest.
        before: what was chosen before, kept while it holds them and they fill enough of it.
    """
    if before is not None and before.hold(low, high):
        filled = before.number(high) - before.number(low) + 1
        if low == high or filled >= min(_FEWEST_BINS, before.many):
            return before
    each = high / MOST_BINS - low / MOST_BINS  # the difference of the two may be beyond float64
    if each == 0:
        each = abs(low) / MOST_BINS or 1.0
    each = max(each, abs(low) * 1e-12, abs(high) * 1e-12, 1e-300)
    while True:  # once or twice: the ends may lie in one range more than their distance takes
        bins = Bins(_round_width(each), 0, MOST_BINS)
        first, last = bins.number(low), bins.number(high)
        if last - first < MOST_BINS:
            return Bins(bins.width, first, last - first + 1)
        each = bins.width * 1.01


def _round_width(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * step for step in _WIDTHS if power * step >= least * (1 - 1e-9))


def counts_by_bin(value: Floats, bins: Bins) -> Floats:
    """Return how many series are in each range at each time.

    Returns:
        float64[bins, times], NaN where there are none.
    """
    times = value.shape[1]
    there = np.isfinite(value)
    place = np.floor(value[there] / bins.width + _ROUNDING) - bins.first
    column = np.nonzero(there)[1]
    held = (place >= 0) & (place < bins.many)
    flat = place[held].astype(np.intp) * times + column[held]
    found = np.bincount(flat, minlength=bins.many * times).astype(np.float64).reshape(bins.many, times)
    found[found == 0] = np.nan
    return found


def _newest(value: Floats) -> Floats:
    """Return each series' value at the newest time at which any has one."""
    there = np.flatnonzero(~np.isnan(value).all(axis=0))
    return value[:, there[-1]] if there.size else np.full(value.shape[0], np.nan)


def extremes(value: Floats) -> dict[str, int]:
    """Return which series are highest and lowest now, and which of the others moved over the widest range.

    Args:
        value: float64[series, times], NaN where there is none.

    Returns:
        Rows by ``highest``, ``lowest`` and ``changed``; each is another one, so there may be fewer.
    """
    newest = _newest(value).copy()
    found: dict[str, int] = {}
    if np.isnan(newest).all():
        return found
    found["highest"] = int(np.nanargmax(newest))
    newest[found["highest"]] = np.nan
    if not np.isnan(newest).all():
        found["lowest"] = int(np.nanargmin(newest))
    reach = np.fmax.reduce(value, axis=1) - np.fmin.reduce(value, axis=1)
    reach[list(found.values())] = np.nan
    if not np.isnan(reach).all():
        found["changed"] = int(np.nanargmax(reach))
    return found


def ranked(value: Floats, most: int) -> Places:
    """Return which series are greatest now, the greatest first; of equal ones that which comes first."""
    newest = _newest(value)
    order = np.argsort(-newest, kind="stable")
    return order[: min(most, int((~np.isnan(newest)).sum()))]
