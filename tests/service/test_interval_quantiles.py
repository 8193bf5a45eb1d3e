"""Quantiles of an interval, against what was really recorded in it."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire_service.ingest.interval_quantiles import (
    QUANTILES,
    Histogram,
    IntervalQuantiles,
    explicit_buckets,
    exponential_buckets,
)

BOUNDS = [0.0, 5.0, 10.0, 25.0, 50.0, 100.0]
KEY = ("m", "{}")
VALUES = st.lists(st.floats(0.001, 90.0), min_size=1, max_size=60)


def explicit(values: Sequence[float], time_ms: float, start_ms: float = 1.0) -> Histogram:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect.bisect_left(BOUNDS, value)] += 1
    return Histogram(start_ms, time_ms, explicit_buckets(BOUNDS, counts))


def exponential(values: Sequence[float], time_ms: float, scale: int = 3, start_ms: float = 1.0) -> Histogram:
    base = 2**2**-scale
    counts = Counter(math.ceil(math.log(value, base)) - 1 for value in values)
    first = min(counts)
    listed = [counts[index] for index in range(first, max(counts) + 1)]
    return Histogram(start_ms, time_ms, exponential_buckets(scale, (0.0, 0), (first, listed), (0, [])), scale)


@given(VALUES, VALUES)
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(before: list[float], since: list[float]) -> None:
    quantiles = IntervalQuantiles()
    quantiles.remember(KEY, explicit(before, 1_000.0))
    found = quantiles.of(KEY, explicit(before + since, 2_000.0), delta=False)
    for name, share in QUANTILES.items():
        exact = float(np.quantile(since, share, method="inverted_cdf"))
        at = bisect.bisect_left(BOUNDS, exact)
        assert BOUNDS[at - 1] <= found[name] <= BOUNDS[at]


@given(VALUES, VALUES)
def test_an_exponential_histogram_is_right_to_its_base(before: list[float], since: list[float]) -> None:
    quantiles = IntervalQuantiles()
    quantiles.remember(KEY, exponential(before, 1_000.0))
    found = quantiles.of(KEY, exponential(before + since, 2_000.0), delta=False)
    base = 2**2**-3
    for name, share in QUANTILES.items():
        exact = float(np.quantile(since, share, method="inverted_cdf"))
        assert exact / base - 1e-9 <= found[name] <= exact * base + 1e-9


def test_a_first_export_counts_if_its_process_has_just_started() -> None:
    quantiles, hour = IntervalQuantiles(), 3_600_000.0
    assert quantiles.of(KEY, explicit([7.0], 2 * hour, start_ms=hour), delta=False) == {}
    assert set(quantiles.of(KEY, explicit([7.0], hour + 1_000, start_ms=hour), delta=False)) == set(QUANTILES)
    assert quantiles.of(KEY, explicit([7.0], hour, start_ms=0.0), delta=False) == {}, "unknown since when"
    assert set(quantiles.of(KEY, explicit([7.0], hour, start_ms=0.0), delta=True)) == set(QUANTILES)


def test_a_restart_a_repeat_and_an_interval_without_values() -> None:
    quantiles = IntervalQuantiles()
    quantiles.remember(KEY, explicit([60.0] * 9, 1_000.0))
    assert quantiles.of(KEY, explicit([60.0] * 9, 2_000.0), delta=False) == {}, "nothing was counted"
    assert quantiles.of(KEY, explicit([60.0] * 10, 1_000.0), delta=False) == {}, "a repeat"
    assert 5 <= quantiles.of(KEY, explicit([7.0], 2_000.0, start_ms=1_500.0), delta=False)["p50"] <= 10
    assert 5 <= quantiles.of(KEY, explicit([7.0], 2_000.0), delta=False)["p50"] <= 10, "counts fell"
    quantiles.remember(KEY, explicit([7.0], 500.0))  # late
    assert quantiles.of(KEY, explicit([60.0] * 9, 2_000.0), delta=False) == {}


def test_other_buckets_than_before_give_no_quantiles_once() -> None:
    quantiles = IntervalQuantiles()
    quantiles.remember(KEY, exponential([7.0] * 4, 1_000.0, scale=4))
    wider = exponential([7.0] * 8, 2_000.0, scale=2)
    assert quantiles.of(KEY, wider, delta=False) == {}
    quantiles.remember(KEY, wider)
    assert quantiles.of(KEY, exponential([7.0] * 8 + [60.0], 3_000.0, scale=2), delta=False)["p50"] > 50
    quantiles.remember(("e", "{}"), explicit([7.0], 1_000.0))
    other = Histogram(1.0, 2_000.0, explicit_buckets([1.0, 2.0], [0, 0, 9]))
    assert quantiles.of(("e", "{}"), other, delta=False) == {}


@pytest.mark.parametrize(
    ("bounds", "counts", "least", "greatest", "expected"),
    [
        ([], [4], None, None, None),  # one bucket without bounds: the values may be anywhere
        ([], [4], 3.0, None, None),
        ([], [4], None, 9.0, None),
        ([], [4], 3.0, 9.0, 6.0),
        ([10.0], [0, 4], None, None, 10.0),
        ([10.0], [0, 4], 12.0, 20.0, 15.0),
        ([10.0], [4, 0], None, None, 5.0),
        ([0.0, 10.0], [4, 0, 0], None, None, 0.0),
        ([-10.0, 10.0], [4, 0, 0], None, None, -10.0),
        ([-10.0, 10.0], [4, 0, 0], -30.0, -20.0, -20.0),
        ([10.0, 20.0], [1, 2, 1], None, None, 15.0),
    ],
)
def test_a_bucket_without_an_end(
    bounds: list[float], counts: list[int], least: float | None, greatest: float | None, expected: float | None
) -> None:
    histogram = Histogram(1.0, 2.0, explicit_buckets(bounds, counts), None, least, greatest)
    found = IntervalQuantiles().of(KEY, histogram, delta=True)
    assert found.get("p50") == (None if expected is None else pytest.approx(expected))


def test_values_below_zero_and_around_it() -> None:
    buckets = exponential_buckets(0, (0.5, 2), (0, [4]), (1, [4]))
    assert buckets == {(1.0, 2.0): 4, (-4.0, -2.0): 4, (-0.5, 0.5): 2}
    found = IntervalQuantiles().of(KEY, Histogram(1.0, 2.0, buckets, 0), delta=True)
    assert -0.5 <= found["p50"] <= 0.5
    assert 1 <= found["p95"] <= 2


@pytest.mark.parametrize("scale", [-10, 0, 20])
@pytest.mark.parametrize("offset", [-(2**31), 0, 2**31 - 1])
def test_any_scale_and_offset_have_bounds(scale: int, offset: int) -> None:
    buckets = exponential_buckets(scale, (0.0, 0), (offset, [1, 2]), (offset, [1]))
    for low, high in buckets:
        assert low <= high
    found = IntervalQuantiles().of(KEY, Histogram(1.0, 2.0, buckets, scale), delta=True)
    assert not any(math.isnan(value) for value in found.values())


def test_what_is_remembered_is_bounded() -> None:
    """In buckets, since a histogram may have one or two thousand."""
    quantiles = IntervalQuantiles()
    buckets = explicit_buckets([float(n) for n in range(989)], [1] * 990)
    for n in range(1_100):
        quantiles.remember((f"m/{n}", "{}"), Histogram(1.0, 2.0, buckets))
        quantiles.remember((f"m/{n}", "{}"), Histogram(1.0, 3.0, buckets))
    assert len(quantiles._last) == 1_000
    assert quantiles._size == 1_000_000
