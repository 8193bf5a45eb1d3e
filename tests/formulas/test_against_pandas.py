"""Functions of readings against pandas: random series with gaps, resets, nulls and times twice, at random times.

pandas says what a window holds and what is computed of it; what a formula calls the window is written out in
`before`, by the rules of docs/formulas.md, reading by reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from formula_series import T0, series_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewire.evaluation.evaluate import evaluate
from tidewire.evaluation.reading_table import SeriesReadings

LEAST_S, MOST_S, UNKNOWN_S = 10.0, 3_600.0, 300.0


def series_strategy() -> st.SearchStrategy[tuple[list[float], list[float]]]:
    intervals = st.sampled_from([0.0, 0.25, 1.0, 1.0, 1.0, 2.0, 5.0, 20.0, 400.0, 5_000.0])
    value = st.sampled_from([0.0, 1.0, 2.0, 5.0, 3.5, 1e6, -4.0, math.nan]) | st.floats(-1e3, 1e3).map(
        lambda x: round(x, 3)
    )

    @st.composite
    def build(draw: st.DrawFn) -> tuple[list[float], list[float]]:
        steps = draw(st.lists(intervals, min_size=1, max_size=40))
        times = np.cumsum(steps).tolist()
        return times, draw(st.lists(value, min_size=len(times), max_size=len(times)))

    return build()


SERIES = series_strategy()
EVALUATED = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 7.0, 30.0, 300.0, 5_000.0]), min_size=1, max_size=12).map(
    lambda steps: np.cumsum(steps).tolist()
)
EDGE = st.sampled_from(["at", "before"])


def frame(times: list[float], values: list[float]) -> pd.Series:
    return pd.Series(values, index=times, dtype=float)


def until(series: pd.Series, t: float, edge: str) -> pd.Series:
    return series[series.index <= t] if edge == "at" else series[series.index < t]


def after(series: pd.Series, t: float, edge: str) -> pd.Series:
    return series[series.index > t] if edge == "at" else series[series.index >= t]


def look_back_s(seen: pd.Series) -> float:
    """Return how long the newest of some readings, in the order of time, is the value."""
    recent = seen[seen.index >= seen.index[-1] - 3_600.0][-20:]
    if len(recent) < 3:
        return UNKNOWN_S
    return float(np.clip(3 * np.median(np.diff(recent.index)), LEAST_S, MOST_S))


def value_at(series: pd.Series, t: float, edge: str) -> pd.Series:
    """Return the reading that is the value at a time, alone or none."""
    seen = until(series, t, edge)
    if not len(seen):
        return seen
    newest = after(seen[-1:], t - look_back_s(seen), edge)
    return newest.dropna()


def window(series: pd.Series, t: float, range_s: float | None, edge: str) -> tuple[pd.Series, float]:
    """Return the numbers in a window, and how long it is."""
    seen = until(series, t, edge)
    if range_s is None:
        range_s = look_back_s(seen) if len(seen) else UNKNOWN_S
    return after(seen, t - range_s, edge).dropna(), range_s


def grown(y: pd.Series) -> float:
    steps = y.diff()[1:]
    return float(steps.where(steps >= 0, y[1:]).sum())


def slope(y: pd.Series) -> float:
    x = y.index.to_numpy() - y.index.to_numpy().mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum()) if (x * x).sum() else math.nan


def seconds(y: pd.Series) -> float:
    return float(y.index[-1] - y.index[0])


def ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


OF_READINGS: dict[str, tuple[int, Callable[[pd.Series], Any]]] = {
    "avg_over_time({})": (1, lambda y: y.mean()),
    "min_over_time({})": (1, lambda y: y.min()),
    "max_over_time({})": (1, lambda y: y.max()),
    "sum_over_time({})": (1, lambda y: y.sum()),
    "count_over_time({})": (1, lambda y: float(y.count())),
    "last_over_time({})": (1, lambda y: y.iloc[-1]),
    "stddev_over_time({})": (1, lambda y: float(y.std(ddof=0))),
    "stdvar_over_time({})": (1, lambda y: float(y.var(ddof=0))),
    "present_over_time({})": (1, lambda y: 1.0),
    "quantile_over_time(0.3, {})": (1, lambda y: y.quantile(0.3)),
    "quantile_over_time(0.95, {})": (1, lambda y: y.quantile(0.95)),
    "changes({})": (1, lambda y: float((y.diff()[1:] != 0).sum())),
    "resets({})": (1, lambda y: float((y.diff()[1:] < 0).sum())),
    "irate({})": (2, lambda y: ratio(grown(y[-2:]), seconds(y[-2:]))),
    "idelta({})": (2, lambda y: y.iloc[-1] - y.iloc[-2]),
    "deriv({})": (2, slope),
    "ema({}, 7s)": (
        1,
        lambda y: y.ewm(halflife=pd.Timedelta("7s"), times=pd.to_datetime(y.index, unit="s")).mean().iloc[-1],
    ),
}
FROM_THE_START: dict[str, Callable[[pd.Series], float]] = {
    "increase({})": grown,
    "rate({})": lambda y: ratio(grown(y), seconds(y)),
    "delta({})": lambda y: y.iloc[-1] - y.iloc[0],
}


def check(text: str, series: SeriesReadings, times: list[float], wanted: list[float], edge: Any, scale: float) -> None:
    result = evaluate(text, [series], T0 + np.array(times) * 1e3, edge=edge)
    found = [math.nan] * len(times)
    if result.series:
        found = np.where(result.series[0].here, result.series[0].value, np.nan).tolist()
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-8 * max(1.0, scale), nan_ok=True)


def scale_of(values: list[float]) -> float:
    numbers = [abs(value) for value in values if not math.isnan(value)]
    return max(numbers, default=0.0) ** 2


@settings(max_examples=250, deadline=None)
@given(SERIES, EVALUATED, st.sampled_from([None, 0.5, 3.0, 30.0, 700.0]), EDGE, st.sampled_from(sorted(OF_READINGS)))
def test_a_function_of_a_window(
    given_series: tuple[list[float], list[float]], times: list[float], range_s: float | None, edge: str, text: str
) -> None:
    if text.startswith("ema") and range_s is None:
        range_s = 70.0  # ten half-lives
    readings = frame(*given_series)
    needed, function = OF_READINGS[text]
    wanted = []
    for t in times:
        y, _ = window(readings, t, range_s, edge)
        wanted.append(float(function(y)) if len(y) >= needed else math.nan)
    written = "x" if range_s is None else f"x[{round(range_s * 1e3)}ms]"
    check(text.format(written), series_of("x", *given_series), times, wanted, edge, scale_of(given_series[1]))


@settings(max_examples=250, deadline=None)
@given(SERIES, EVALUATED, st.sampled_from([None, 0.5, 3.0, 30.0, 700.0]), EDGE, st.sampled_from(sorted(FROM_THE_START)))
def test_a_function_that_takes_the_reading_before_the_window_too(
    given_series: tuple[list[float], list[float]], times: list[float], range_s: float | None, edge: str, text: str
) -> None:
    readings = frame(*given_series)
    wanted = []
    for t in times:
        y, length_s = window(readings, t, range_s, edge)
        y = pd.concat([value_at(readings, t - length_s, edge), y])
        wanted.append(FROM_THE_START[text](y) if len(y) >= 2 else math.nan)
    written = "x" if range_s is None else f"x[{round(range_s * 1e3)}ms]"
    check(text.format(written), series_of("x", *given_series), times, wanted, edge, scale_of(given_series[1]))


@settings(max_examples=250, deadline=None)
@given(SERIES, EVALUATED, EDGE, st.sampled_from([0.0, 2.0, 60.0]))
def test_the_value_at_a_time(
    given_series: tuple[list[float], list[float]], times: list[float], edge: str, offset_s: float
) -> None:
    readings = frame(*given_series)
    wanted = []
    for t in times:
        value = value_at(readings, t - offset_s, edge)
        wanted.append(float(value.iloc[0]) if len(value) else math.nan)
    text = f"x offset {round(offset_s)}s" if offset_s else "x"
    check(text, series_of("x", *given_series), times, wanted, edge, 0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SERIES, min_size=1, max_size=12), EVALUATED,
    st.sampled_from(["sum", "avg", "min", "max", "count", "stddev", "stdvar", "quantile", "group"]),
)  # fmt: skip
def test_an_aggregation_is_that_of_the_values_at_each_time(
    given_series: list[tuple[list[float], list[float]]], times: list[float], name: str
) -> None:
    series = [series_of("x", *one, site="AB"[i % 2], i=str(i)) for i, one in enumerate(given_series)]
    columns = {i: [value_at(frame(*one), t, "at") for t in times] for i, one in enumerate(given_series)}
    table = pd.DataFrame({i: [math.nan if not len(v) else v.iloc[0] for v in column] for i, column in columns.items()})
    method: dict[str, Callable[[pd.DataFrame], Any]] = {
        "sum": lambda part: part.sum(axis=1, min_count=1),
        "avg": lambda part: part.mean(axis=1),
        "min": lambda part: part.min(axis=1),
        "max": lambda part: part.max(axis=1),
        "count": lambda part: part.count(axis=1).where(part.count(axis=1) > 0),
        "stddev": lambda part: part.std(axis=1, ddof=0),
        "stdvar": lambda part: part.var(axis=1, ddof=0),
        "quantile": lambda part: part.quantile(0.4, axis=1),
        "group": lambda part: part.count(axis=1).where(part.count(axis=1) > 0).clip(upper=1),
    }
    parameter = "0.4, " if name == "quantile" else ""
    result = evaluate(f"{name} by (site) ({parameter}x)", series, T0 + np.array(times) * 1e3)
    found = {one.labels["site"]: np.where(one.here, one.value, np.nan).tolist() for one in result.series}
    scale = max(scale_of(values) for _, values in given_series)
    for site in "AB":
        members = [i for i in table.columns if "AB"[int(i) % 2] == site]
        wanted = method[name](table[members]).tolist() if members else []
        if all(map(math.isnan, wanted)):
            assert site not in found
        else:
            assert found[site] == pytest.approx(wanted, rel=1e-9, abs=1e-9 * max(1.0, scale), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(SERIES, min_size=1, max_size=8), EVALUATED, st.integers(0, 9), st.sampled_from(["topk", "bottomk"]))
def test_the_largest_and_smallest_series(
    given_series: list[tuple[list[float], list[float]]], times: list[float], count: int, name: str
) -> None:
    series = [series_of("x", *one, i=str(i)) for i, one in enumerate(given_series)]
    result = evaluate(f"{name}({count}, x)", series, T0 + np.array(times) * 1e3)
    for at, t in enumerate(times):
        values = {str(i): value_at(frame(*one), t, "at") for i, one in enumerate(given_series)}
        there = pd.Series({i: value.iloc[0] for i, value in values.items() if len(value)}, dtype=float)
        wanted = there.sort_values(kind="stable", ascending=name == "bottomk").index[:count]
        assert {one.labels["i"] for one in result.series if one.here[at]} == set(wanted)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=120), st.sampled_from([1.0, 3.0, 10.0, 60.0]))
def test_increases_over_windows_that_touch_add_up_to_what_was_counted(steps: list[int], range_s: float) -> None:
    total = np.cumsum(steps)
    times = T0 + np.arange(1, math.ceil(len(steps) / range_s) + 1) * range_s * 1e3
    (one,) = evaluate(
        f"increase(x[{range_s:.0f}s])", [series_of("x", range(len(steps)), total)], times, edge="before"
    ).series
    assert one.value[one.here].sum() == total[-1] - total[0]


@settings(max_examples=100, deadline=None)
@given(SERIES, EVALUATED, st.sampled_from(["rate(x)", "avg_over_time(x[30s])", "x", "deriv(x[5m])", "ema(x, 5s)"]))
def test_what_comes_later_changes_no_value(
    given_series: tuple[list[float], list[float]], times: list[float], text: str
) -> None:
    whole = series_of("x", *given_series)
    together = evaluate(text, [whole], T0 + np.array(times) * 1e3, edge="before").series
    for at, t in enumerate(times):
        seen = whole.time_ms < T0 + t * 1e3
        alone = evaluate(
            text, [whole._replace(time_ms=whole.time_ms[seen], value=whole.value[seen])], [T0 + t * 1e3], edge="before"
        ).series
        there = bool(together) and bool(together[0].here[at])
        assert bool(alone) is there
        if there:
            assert alone[0].value[0] == together[0].value[at]  # to the last bit
