"""Functions of the readings in a window, for all series and times at once; pure.

Sums, extremes and counts are reduced over the places of each window. What needs each reading, such as a slope, writes
the windows out one behind the other, in pieces of bounded size. So each result depends only on its window's readings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tidewire.evaluation.frame import Bools, Windows, Work
from tidewire.evaluation.reading_table import COUNT, HIGH, LOW, TOTAL, Floats, Places, Segments

__all__ = ["FROM_THE_START", "window_function"]

FROM_THE_START: Final = frozenset(("rate", "increase", "delta"))
"""Functions that also take the reading that is the value at the window's start."""
_DIVIDED: Final = frozenset(("rate", "irate", "deriv", "predict_linear"))  # nothing where it would be divided by 0
_TWO: Final = FROM_THE_START | {"irate", "idelta", "deriv", "predict_linear", "zscore"}  # that need two readings
_PIECE: Final = 1_000_000  # readings that are written out at once
_FLAT: Final = 1e-12  # of the mean: a deviation below is rounding
_Columns = Callable[["_Written"], Floats]


def window_function(
    name: str, segments: Segments, windows: Windows, before: Bools | None, extra: Sequence[Floats], work: Work
) -> tuple[Floats, Bools]:
    """Return a function of each window.

    Args:
        name: of the function.
        segments: the numbers.
        windows: the windows, [s, n].
        before: for those of `FROM_THE_START`, where the number before a window counts too.
        extra: its other arguments, float64[n] each.
        work: counts the readings looked at.

    Returns:
        float64[s, n], and where there is a value; a NaN there is one.
    """
    low = windows.low if before is None else windows.low - before
    high = windows.high
    count = high - low
    here = count >= (2 if name in _TWO else 1)
    with np.errstate(all="ignore"):
        value = _value(name, segments, windows._replace(low=low), here, extra, work)
    if name in _DIVIDED:
        here &= ~np.isnan(value)
    return value, here


def _value(name: str, segments: Segments, windows: Windows, here: Bools, extra: Sequence[Floats], work: Work) -> Floats:
    low, high, figures = windows.low, windows.high, segments.figures
    count = high - low
    if name in _LAST:
        return _LAST[name](segments, np.where(here, low, 1), np.where(here, high, 2))
    if name == "present_over_time":
        return np.ones(low.shape)
    if name == "count_over_time" and figures is None:
        return count.astype(np.float64)
    if name in _REDUCED:
        work.add(float(count.sum()))
        ufunc, column = _REDUCED[name]
        return _reduced(ufunc, segments.value if figures is None else figures[column], low, high)
    if name == "avg_over_time":
        work.add(float(count.sum()))
        total = _reduced(np.add, segments.value if figures is None else figures[TOTAL], low, high)
        return total / (count if figures is None else _reduced(np.add, figures[COUNT], low, high))
    if name in ("rate", "increase"):
        work.add(float(count.sum()))
        return _grown(name, segments, np.where(here, low, 1), np.where(here, high, 2))
    weight = 30.0 if name == "quantile_over_time" else 12.0
    work.add(float(count.sum()) * weight)
    return _written_out(name, segments, windows, here, extra)


# -- of places ------------------------------------------------------------------------------------------------------


def _reduced(ufunc: np.ufunc, column: Floats, low: Places, high: Places) -> Floats:
    """Return a reduction over the places of each window; of an empty one any number.

    From the last window to the first, so that between the end of one and the begin of the next lies nothing.
    """
    pairs = np.empty((low.size, 2), dtype=np.int64)
    pairs[:, 0], pairs[:, 1] = low.ravel()[::-1], high.ravel()[::-1]
    found: Floats = ufunc.reduceat(column, pairs.ravel())[::2][::-1].reshape(low.shape)
    return found


def _grown(name: str, segments: Segments, low: Places, high: Places) -> Floats:
    """Return the growth of a counter, of windows with two readings."""
    grown = _reduced(np.add, segments.growth, low + 1, high)
    if name == "increase":
        return grown
    seconds = (segments.time[high - 1] - segments.time[low]) / 1e3
    return np.where(seconds > 0, grown / seconds, np.nan)


def _last_two(segments: Segments, low: Places, high: Places) -> Floats:
    found: Floats = segments.value[high - 1] - segments.value[high - 2]
    return found


def _last_rate(segments: Segments, low: Places, high: Places) -> Floats:
    seconds = (segments.time[high - 1] - segments.time[high - 2]) / 1e3
    return np.where(seconds > 0, segments.growth[high - 1] / seconds, np.nan)


def _first_to_last(segments: Segments, low: Places, high: Places) -> Floats:
    found: Floats = segments.value[high - 1] - segments.value[low]
    return found


def _newest(segments: Segments, low: Places, high: Places) -> Floats:
    found: Floats = segments.value[high - 1]
    return found


_LAST: Final[dict[str, Callable[[Segments, Places, Places], Floats]]] = {
    "last_over_time": _newest,
    "idelta": _last_two,
    "irate": _last_rate,
    "delta": _first_to_last,
}
_REDUCED: Final = {
    "sum_over_time": (np.add, TOTAL),
    "min_over_time": (np.minimum, LOW),
    "max_over_time": (np.maximum, HIGH),
    "count_over_time": (np.add, COUNT),
}


# -- of readings ----------------------------------------------------------------------------------------------------


class _Written:
    """Some windows, their readings one behind the other.

    Attributes:
        count: int64[k], of each window, at least 1.
        starts: int64[k], of each in the columns.
        x, y: seconds after the window's end, and values.
        extra: float64[k], the function's other argument at each window.
    """

    def __init__(self, segments: Segments, low: Places, high: Places, time_ms: Floats, extra: Floats) -> None:
        self.count = high - low
        self.starts = np.cumsum(self.count) - self.count
        self.extra = extra
        places = np.arange(int(self.count.sum())) - np.repeat(self.starts - low, self.count)
        self.y: Floats = segments.value[places]
        self.x: Floats = (segments.time[places] - np.repeat(time_ms, self.count)) / 1e3

    def sums(self, column: Floats) -> Floats:
        found: Floats = np.add.reduceat(column, self.starts)
        return found

    def each(self, column: Floats | Places) -> Floats:
        """Return a number of each window for each of its readings."""
        return np.repeat(column, self.count)

    def last(self, column: Floats) -> Floats:
        found: Floats = column[self.starts + self.count - 1]
        return found

    def mean(self) -> Floats:
        return self.sums(self.y) / self.count

    def variance(self) -> Floats:
        return self.sums((self.y - self.each(self.mean())) ** 2) / self.count

    def line(self) -> tuple[Floats, Floats]:
        """Return slope and value at the window's end of the line of least squares."""
        middle, level = self.sums(self.x) / self.count, self.mean()
        x = self.x - self.each(middle)
        spread = self.sums(x * x)
        slope = np.where(spread > 0, self.sums(x * (self.y - self.each(level))) / spread, np.nan)
        return slope, level - slope * middle

    def steps(self, compare: Callable[[Floats, Floats], Bools]) -> Floats:
        """Return how many readings compare so with the one before in their window."""
        found = np.zeros(self.y.size)
        found[1:] = compare(self.y[1:], self.y[:-1])
        found[self.starts] = 0.0
        return self.sums(found)

    def quantile(self) -> Floats:
        order = np.lexsort((self.y, self.each(np.arange(self.count.size))))
        y = self.y[order]
        q = self.extra
        rank = np.where((q >= 0) & (q <= 1), q, 0.0) * (self.count - 1)
        lower = rank.astype(np.int64)
        upper = np.minimum(lower + 1, self.count - 1)
        part = rank - lower
        found = y[self.starts + lower] * (1 - part) + y[self.starts + upper] * part
        return np.where(np.isnan(q), np.nan, np.where(q < 0, -np.inf, np.where(q > 1, np.inf, found)))

    def score(self) -> Floats:
        mean, deviation = self.mean(), np.sqrt(self.variance())
        return np.where(deviation > _FLAT * np.abs(mean), (self.last(self.y) - mean) / deviation, 0.0)

    def faded(self) -> Floats:
        weight = 0.5 ** ((self.each(self.last(self.x)) - self.x) / self.each(self.extra))
        return self.sums(weight * self.y) / self.sums(weight)

    def predicted(self) -> Floats:
        slope, level = self.line()
        return level + slope * self.extra


_WRITTEN: Final[dict[str, _Columns]] = {
    "changes": lambda written: written.steps(np.not_equal),
    "resets": lambda written: written.steps(np.less),
    "stdvar_over_time": _Written.variance,
    "stddev_over_time": lambda written: np.sqrt(written.variance()),
    "deriv": lambda written: written.line()[0],
    "predict_linear": _Written.predicted,
    "quantile_over_time": _Written.quantile,
    "zscore": _Written.score,
    "ema": _Written.faded,
}


def _written_out(name: str, segments: Segments, windows: Windows, here: Bools, extra: Sequence[Floats]) -> Floats:
    cells = np.flatnonzero(here)
    low, high = windows.low.ravel()[cells], windows.high.ravel()[cells]
    column = cells % windows.time_ms.size
    time_ms = windows.time_ms[column]
    argument = extra[0][column] if extra else np.zeros(cells.size)
    found = np.full(here.size, np.nan)
    ends = np.cumsum(high - low)
    first = 0
    while first < cells.size:
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _PIECE, "right")))
        part = slice(first, last)
        written = _Written(segments, low[part], high[part], time_ms[part], argument[part])
        found[cells[part]] = _WRITTEN[name](written)
        first = last
    return found.reshape(here.shape)
