"""When a silence of a series is a gap; pure.

The deck draws by the same rule, in `client/chart/src/model/freshness.ts` and `buckets.ts`;
`tests/chart/vectors/gaps.json` holds both.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["gap_limit_ms", "gaps_before"]

_EXPECTED_TIMES: Final = 3.0
_LEAST_GAP_MS: Final = 2_000.0
_LEAST_BUCKETS: Final = 2.0
# A silence is a gap if it is so many times as long as those around it: a pace that was slower once had no gaps then.
_USUAL_TIMES: Final = 3.0
_NEIGHBOURS: Final = 5  # silences at either side that tell what was usual


def gap_limit_ms(expected_ms: float, step_ms: float = 0.0) -> float:
    """Return the longest silence that is no gap.

    Args:
        expected_ms: the usual interval of the series; NaN if nobody can tell.
        step_ms: width of the buckets in which its readings are known; 0 if each is known by its own time.

    Returns:
        Milliseconds; NaN, which no silence exceeds, if the interval is not known.
    """
    if math.isnan(expected_ms):
        return math.nan
    return max(_EXPECTED_TIMES * expected_ms, _LEAST_GAP_MS, _LEAST_BUCKETS * step_ms)


def gaps_before(number: npt.NDArray[np.int64], step_ms: float, expected_ms: float) -> npt.NDArray[np.bool_]:
    """Tell before which buckets of a series a gap lies.

    Args:
        number: int64[n], the numbers of the buckets that hold a reading, ascending.
        step_ms: their width.
        expected_ms: the usual interval of the series now; NaN if nobody can tell.

    Returns:
        bool[n]; False for the first, before which nothing is known.
    """
    limit_ms = gap_limit_ms(expected_ms, step_ms)
    silence_ms = (np.diff(number) - 1) * float(step_ms)
    found = np.zeros(number.size, dtype=np.bool_)
    for at in np.flatnonzero(silence_ms > limit_ms - step_ms).tolist():
        # From reading to reading; where every bucket is full, nobody can tell how many readings it holds.
        around = np.delete(silence_ms[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1], min(at, _NEIGHBOURS))
        paces = np.sort(np.where(around > 0, around + step_ms, 0.0))
        usual_ms = float(paces[paces.size // 2]) if paces.size >= 2 else 0.0
        found[at + 1] = silence_ms[at] + step_ms > _USUAL_TIMES * usual_ms
    return found
