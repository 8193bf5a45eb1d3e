"""How often readings of a series are expected, and when a silence of it is a gap; pure.

The deck draws by the same rules, in `client/chart/src/model/pace.ts`, `freshness.ts` and `buckets.ts`;
`tests/chart/vectors/pace.json` and `gaps.json` hold both.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewire.livestore.column_ring import Floats

__all__ = ["expected_interval_ms", "gap_limit_ms", "gaps_before", "no_data_limit_ms"]

_EXPECTED_TIMES: Final = 3.0
_LEAST_GAP_MS: Final = 2_000.0
_LEAST_BUCKETS: Final = 2.0
_NO_DATA_TIMES: Final = 30.0
_LEAST_NO_DATA_MS: Final = 60_000.0
# A silence is a gap if it is so many times what those around it make expected: a pace that was slower once had no gaps.
_USUAL_TIMES: Final = 3.0
_NEIGHBOURS: Final = 10  # silences at either side that tell what was usual
# Of readings that come at random (exponential intervals), the longest silences that hold a tenth of the time begin at
# about 3.9 mean intervals; six times what those exceed the median is about 20: one silence in 10 ** 8 is longer.
_LONG_SHARE: Final = 0.1
_SPREAD_TIMES: Final = 6.0
_CERTAIN: Final = 16.0  # intervals of which the spread counts once; of half as many it counts three times
_OUTAGES: Final = 100  # intervals of which one may be an outage: of fewer one as well, …
_OUTAGE_AMONG: Final = 6  # … but of so few none


def expected_interval_ms(interval_ms: Floats, spread_from: int = 2) -> float:
    """Return the interval at which readings are expected: three times it is the longest silence that is usual.

    It is the median interval of a series with a pace. Readings that come irregularly are expected by how their
    intervals spread: by those long silences that together hold a tenth of the time. The longest silence does not
    count, nor another for each hundred intervals: it may have been an outage.

    Args:
        interval_ms: float64[n], between readings that follow one another, in any order.
        spread_from: with fewer intervals it is their median, however they spread.

    Returns:
        Milliseconds; NaN with fewer than two intervals.
    """
    count = interval_ms.size
    if count < 2:
        return math.nan
    longest = np.sort(interval_ms)[::-1]
    median_ms = float(longest[(count - 1) // 2] + longest[count // 2]) / 2
    if count < spread_from:
        return median_ms
    usual = longest[1 + count // _OUTAGES if count >= _OUTAGE_AMONG else 0 :]
    held_ms = np.cumsum(usual)
    long_ms = float(usual[np.searchsorted(held_ms, _LONG_SHARE * held_ms[-1], "left")])
    spread_ms = _SPREAD_TIMES * (1 + _CERTAIN / count) * (long_ms - median_ms)
    return max(median_ms, (median_ms + spread_ms) / _EXPECTED_TIMES)


def gap_limit_ms(expected_ms: float, step_ms: float = 0.0) -> float:
    """Return the longest silence that is no gap.

    Args:
        expected_ms: as `expected_interval_ms`; NaN if nobody can tell.
        step_ms: width of the buckets in which its readings are known; 0 if each is known by its own time.

    Returns:
        Milliseconds; NaN, which no silence exceeds, if the interval is not known.
    """
    if math.isnan(expected_ms):
        return math.nan
    return max(_EXPECTED_TIMES * expected_ms, _LEAST_GAP_MS, _LEAST_BUCKETS * step_ms)


def no_data_limit_ms(expected_ms: float) -> float:
    """Return the silence, ms, after which no reading is waited for; NaN, which none exceeds, if nobody can tell."""
    return math.nan if math.isnan(expected_ms) else max(_NO_DATA_TIMES * expected_ms, _LEAST_NO_DATA_MS)


def gaps_before(number: npt.NDArray[np.int64] | Floats, step_ms: float, expected_ms: float) -> npt.NDArray[np.bool_]:
    """Tell before which buckets of a series a gap lies.

    Args:
        number: int64[n] or float64[n], the numbers of the buckets that hold a reading, ascending.
        step_ms: their width.
        expected_ms: of the series now; NaN if nobody can tell.

    Returns:
        bool[n]; False for the first, before which nothing is known.
    """
    limit_ms = gap_limit_ms(expected_ms, step_ms)
    silence_ms = (np.diff(number) - 1) * float(step_ms)
    found = np.zeros(number.size, dtype=np.bool_)
    for at in np.flatnonzero(silence_ms > limit_ms - step_ms).tolist():
        # From reading to reading; where every bucket is full, nobody can tell how many readings it holds.
        around = np.delete(silence_ms[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1], min(at, _NEIGHBOURS))
        usual_ms = expected_interval_ms(np.where(around > 0, around + step_ms, 0.0), _OUTAGE_AMONG)
        found[at + 1] = not silence_ms[at] + step_ms <= _USUAL_TIMES * usual_ms
    return found
