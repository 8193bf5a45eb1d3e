"""Computes the quantiles of what a histogram counted between two of its exports; pure.

A cumulative histogram says what was counted since its process started: its quantiles move ever less, and a slow minute
of today is not seen in them. What was counted since the export before is the difference of the two.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["QUANTILES", "Buckets", "Histogram", "IntervalQuantiles", "explicit_buckets", "exponential_buckets"]

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""The quantiles by the names of their metrics."""
_MAX_BUCKETS: Final = 1_000_000  # remembered, about 150 bytes each; what was not seen for longest goes
_HISTOGRAM: Final = 10  # what a histogram takes besides its buckets, counted in these
_YOUNG_MS: Final = 5 * 60_000.0  # a histogram that is no older when it is first seen counted all of it just now

Buckets = Mapping[tuple[float, float], float]
"""Counts by the bounds of their buckets, ]low, high]; buckets do not overlap."""


class Histogram(NamedTuple):
    """One export of a histogram.

    Attributes:
        start_ms: since when it counts, Unix ms; 0 if unknown.
        time_ms: until when, Unix ms.
        buckets: its counts.
        scale: of an exponential histogram, whose buckets are joined in pairs when it falls; None of another.
        least: the smallest value that was counted; None if unknown.
        greatest: the largest one.
    """

    start_ms: float
    time_ms: float
    buckets: Buckets
    scale: int | None = None
    least: float | None = None
    greatest: float | None = None


def explicit_buckets(bounds: Sequence[float], counts: Sequence[int]) -> Buckets:
    """Return the buckets between ascending bounds: one more than bounds, or none if nothing but a count is known."""
    edges = [-math.inf, *bounds, math.inf]
    return dict(zip(itertools.pairwise(edges), counts, strict=True)) if counts else {}


def exponential_buckets(
    scale: int, zero: tuple[float, int], positive: tuple[int, Sequence[int]], negative: tuple[int, Sequence[int]]
) -> Buckets:
    """Return the buckets of an exponential histogram.

    Args:
        scale: from -10 to 20; bucket i lies between base ** i and base ** (i + 1), with base = 2 ** 2 ** -scale.
        zero: width and count of the bucket around zero.
        positive: index of the first bucket, and counts.
        negative: likewise, for values below zero.

    Source: opentelemetry-specification, metrics/data-model.md, ExponentialHistogram.
    """
    found: dict[tuple[float, float], float] = {}
    for offset, counts in (positive,):
        for index, count in enumerate(counts, offset):
            if count:
                found[_bound(index, scale), _bound(index + 1, scale)] = count
    for index, count in enumerate(negative[1], negative[0]):
        if count:
            found[-_bound(index + 1, scale), -_bound(index, scale)] = count
    if zero[1]:
        found[-zero[0], zero[0]] = zero[1]
    return found


def _bound(index: int, scale: int) -> float:
    """Return the lower bound of a bucket, within float64."""
    exponent = math.ldexp(index, -scale)
    return 0.0 if exponent < -1_074 else sys.float_info.max if exponent >= 1_024 else 2.0**exponent


class IntervalQuantiles:
    """Remembers the last export of each histogram."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], Histogram] = OrderedDict()
        self._size = 0

    def of(
        self, key: tuple[str, str], now: Histogram, *, delta: bool, latest: Histogram | None = None
    ) -> dict[str, float]:
        """Return the quantiles of what was counted since the export before; none if that is unknown or nothing.

        None either of a single bucket without bounds, unless the least and the greatest value are known.

        Args:
            key: metric and series key.
            now: the export.
            delta: it holds what was counted since the export before.
            latest: the export before, if it is not stored yet.
        """
        if delta:
            return _quantiles(now.buckets, now.least, now.greatest)
        before = latest or self._last.get(key)
        if before is None:
            young = now.start_ms > 0 and now.time_ms - now.start_ms <= _YOUNG_MS
            return _quantiles(now.buckets, now.least, now.greatest) if young else {}
        if now.time_ms <= before.time_ms:
            return {}
        if before.start_ms != now.start_ms:  # the process has restarted
            return _quantiles(now.buckets, now.least, now.greatest)
        if before.scale != now.scale or (now.scale is None and before.buckets.keys() != now.buckets.keys()):
            return {}  # other buckets: nothing can be taken off
        if any(now.buckets.get(bounds, 0) < count for bounds, count in before.buckets.items()):
            return _quantiles(now.buckets, now.least, now.greatest)
        counted = {
            bounds: count - before.buckets.get(bounds, 0)
            for bounds, count in now.buckets.items()
            if count > before.buckets.get(bounds, 0)
        }
        return _quantiles(counted, now.least, now.greatest)

    def remember(self, key: tuple[str, str], now: Histogram) -> None:
        """Remember an export that was stored; one that is repeated or comes late changes nothing."""
        before = self._last.get(key)
        if before is not None and now.time_ms <= before.time_ms:
            return
        self._size += _size(now) - (0 if before is None else _size(before))
        self._last[key] = now
        self._last.move_to_end(key)
        while self._size > _MAX_BUCKETS:
            self._size -= _size(self._last.popitem(last=False)[1])


def _size(histogram: Histogram) -> int:
    return len(histogram.buckets) + _HISTOGRAM


def _quantiles(buckets: Buckets, least: float | None, greatest: float | None) -> dict[str, float]:
    counted = sorted((bounds, count) for bounds, count in buckets.items() if count > 0)
    if counted and counted[0][0] == (-math.inf, math.inf) and (least is None or greatest is None):
        return {}  # the values may be anywhere
    total = sum(count for _, count in counted)
    return (
        {name: _quantile(counted, total, share, least, greatest) for name, share in QUANTILES.items()} if total else {}
    )


def _quantile(
    counted: Sequence[tuple[tuple[float, float], float]],
    total: float,
    share: float,
    least: float | None,
    greatest: float | None,
) -> float:
    """Return a quantile, as if the values of a bucket lay evenly between its bounds.

    A bucket without an end ends at the least or greatest value, if that is known, else at its other bound, and the
    first one at zero if that bound is above zero: so does Prometheus' ``histogram_quantile``.
    """
    rank = share * total
    for (low, high), count in counted:
        if rank <= count or (low, high) == counted[-1][0]:
            break
        rank -= count
    if low == -math.inf:
        low = least if least is not None and least <= high else min(0.0, high)
    if high == math.inf:
        high = greatest if greatest is not None and greatest >= low else low
    found = low + (high - low) * min(1.0, rank / count)
    if least is not None:
        found = max(found, least)
    return found if greatest is None else min(found, greatest)
