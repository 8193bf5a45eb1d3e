"""Very many series as a few rows, against NumPy and pandas: the functions, and what the frames of a window hold."""

from __future__ import annotations

import asyncio
import math
import warnings
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from loop_meter import HELD_S, measured

from tidewire.evaluation.summaries import (
    MOST_BINS,
    QUANTILES,
    bins_for,
    counts_by_bin,
    extremes,
    live_counts,
    quantiles,
    ranked,
)
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.formula_view import FormulaPast, FormulaView
from tidewire.livestore.store import Store
from tidewire.livestore.summary import Summary, SummaryKind
from tidewire.livestore.view_frame import SNAPSHOT, exponents_of, unpack_frame
from tidewire.model.batch import Batch
from tidewire.model.formulas.parser import parse_formula

T0 = 1_790_000_000_000.0
numbers = st.floats(-1e9, 1e9).map(lambda value: round(value, 3)) | st.integers(-5, 5).map(float) | st.just(math.nan)
matrices = st.tuples(st.integers(0, 12), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=numbers)
)


@given(matrices)
def test_quantiles_and_counts_are_those_of_numpy(value: npt.NDArray[np.float64]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanquantile(value, QUANTILES, axis=0) if value.shape[0] else np.full((5, value.shape[1]), np.nan)
    np.testing.assert_allclose(quantiles(value), expected, rtol=1e-12, atol=1e-6)
    counts = pd.DataFrame(value).count().to_numpy(dtype=float)
    np.testing.assert_array_equal(np.nan_to_num(live_counts(value)), counts)


@given(matrices)
def test_what_is_summarized_stays_as_it_is(value: npt.NDArray[np.float64]) -> None:
    before = value.copy()
    extremes(value)
    ranked(value, 10)
    quantiles(value)
    np.testing.assert_array_equal(value, before)


def test_a_time_at_which_all_are_silent_counts_none_and_one_before_the_first_is_not_known() -> None:
    nan = math.nan
    value = np.array([[nan, 1.0, nan, 2.0, nan], [nan, nan, nan, 3.0, nan]])
    np.testing.assert_array_equal(live_counts(value), [nan, 1, 0, 2, 0])
    np.testing.assert_array_equal(live_counts(value[:, :1], begun=True), [0])
    np.testing.assert_array_equal(live_counts(value[:, :1]), [nan])


def test_when_all_series_have_fallen_silent_the_count_at_the_end_is_none() -> None:
    store = Store()
    for node in range(30):
        times = [T0 - 1_000.0 * second for second in range(10, -1, -1)]
        store.append(
            Batch(metric="cpu", labels={"node": f"{node}"}, time=times, value=[1.0] * 11), int(T0) << 32 | node
        )
    readings = FormulaReadings(store, 120_000.0)
    view = FormulaView(readings, parse_formula("cpu"), 60_000.0, 60, summary=Summary("band"))
    drawn, counts = Drawn(view), []
    for tick in range(400):
        now_ms = T0 + 100.0 * tick
        readings.refresh(now_ms)
        view.tick(tick, now_ms)
        drawn.take(tick)
        counts.append(drawn.values[0].get(view.live.last, math.nan))
    assert counts[0] == 30
    assert counts[-1] == 0, "silent, and not as many as when they were heard last"


@given(matrices, st.sampled_from([1e-200, 1e-3, 1.0, 1e290]))
def test_each_value_is_counted_once_in_the_range_that_holds_it(value: npt.NDArray[np.float64], scale: float) -> None:
    value = value * scale
    there = value[~np.isnan(value)]
    if not there.size:
        return
    bins = bins_for(float(there.min()), float(there.max()))
    assert 1 <= bins.many <= MOST_BINS
    counts = np.nan_to_num(counts_by_bin(value, bins))
    np.testing.assert_array_equal(counts.sum(axis=0), np.nan_to_num(live_counts(value)))
    for at in range(bins.many):
        low, high = bins.edges(at)
        inside = ((value >= low) & (value < high)).sum(axis=0)
        edge = np.isclose(value / bins.width, np.rint(value / bins.width), rtol=0, atol=1e-6).sum(axis=0)
        assert (np.abs(counts[at] - inside) <= edge).all(), "and only what lies on an edge may be rounded over it"


def test_ranges_stay_while_they_hold_and_fill() -> None:
    bins = bins_for(0.0, 97.5)
    assert (bins.width, bins.edges(0), bins.edges(bins.many - 1)) == (2.5, (0.0, 2.5), (97.5, 100.0))
    assert bins_for(1.0, 99.0, bins) is bins
    assert bins_for(1.0, 100.0, bins).edges(0) == (0.0, 5.0), "cut anew for a value that none holds"
    assert bins_for(40.0, 42.0, bins).width <= 0.1, "and when few of them hold all"
    assert bins_for(0.3, 0.3).hold(0.3, 0.3)
    assert bins_for(-1.7e308, 1.7e308).many <= MOST_BINS
    width = bins_for(0.0, 3.8).width
    assert [bins_for(0.0, 3.8).number(width * n) for n in range(30)] == list(range(30)), "an edge is in the upper one"


@given(matrices)
def test_what_stands_out_is_what_pandas_finds(value: npt.NDArray[np.float64]) -> None:
    frame = pd.DataFrame(value).dropna(axis=1, how="all")
    newest = frame.iloc[:, -1].dropna() if frame.shape[1] else pd.Series(dtype=float)
    assert [float(newest[at]) for at in ranked(value, 3).tolist()] == newest.nlargest(3).tolist()
    found = extremes(value)
    assert len(set(found.values())) == len(found)
    assert ("highest" in found) == (len(newest) > 0)
    assert ("lowest" in found) == (len(newest) > 1)
    if "highest" in found:
        assert newest[found["highest"]] == newest.max()
    if "lowest" in found:
        assert newest[found["lowest"]] == newest.drop(found["highest"]).min()
    if "changed" in found:
        reach = pd.DataFrame(value).max(axis=1) - pd.DataFrame(value).min(axis=1)
        others = [found[role] for role in ("highest", "lowest") if role in found]
        assert reach[found["changed"]] == reach.drop(others).max()


class Drawn:
    """A viewer that puts together what it is sent, by the rows that it was told of."""

    def __init__(self, view: FormulaView) -> None:
        self.view = view
        self.since: int | None = None
        self.values: dict[int, dict[int, float]] = {}
        self.bytes = 0

    def take(self, seq: int) -> None:
        data = self.view.frame(3, self.since)
        frame, self.since, self.bytes = unpack_frame(data), seq, self.bytes + len(data)
        if frame.kind == SNAPSHOT:
            self.values.clear()
        exponents = exponents_of(frame.records["flags"])
        for row, buckets in enumerate(frame.body):
            values = self.values.setdefault(int(frame.records[row]["index"]), {})
            for at, bucket in enumerate(buckets):
                value = np.ldexp(float(bucket["max"]), exponents[row]) + frame.records[row]["base"]
                values[int(frame.first) + at] = float(value)


@pytest.mark.parametrize("kind", get_args(SummaryKind))
def test_the_frames_of_a_summary_are_that_of_the_window(kind: SummaryKind) -> None:
    """Forty series and more: born, late, without a number, silent, jumping; looked at often, and seldom."""
    random, store, id_ = np.random.default_rng(7), Store(), 0

    def publish(node: int, time_ms: float, value: float | None) -> None:
        nonlocal id_
        id_ += 1
        labels = {"node": f"{node:03}"}
        batch = Batch(metric="cpu", labels=labels, unit="%", time=[time_ms], value=[value])
        store.append(batch, (int(time_ms) << 32) + id_)

    for node in range(40):
        for second in range(20):
            publish(node, T0 - 20_000 + 1_000 * second, 50.0)
    readings = FormulaReadings(store, 60_000.0)
    summary = Summary(kind)
    view = FormulaView(readings, parse_formula("cpu"), 15_000.0, 30, summary=summary)
    often, seldom = Drawn(view), Drawn(view)
    checked = 0
    for tick in range(200):
        now = T0 + tick * 200.0
        for node in random.integers(0, 40 + (tick > 60) * 20, 12).tolist():
            if node % 9 == 0 and tick > 100:
                continue  # falls silent
            number = float(round(30 + node + random.normal(0, 5 + (tick > 140) * 200), 1))
            late_ms = 3_000 if random.random() < 0.05 else 0
            publish(node, now - late_ms, None if random.random() < 0.05 else number)
        readings.refresh(now)
        view.tick(tick, now)
        if tick == 120:
            past = {(("__name__", "cpu"), ("node", "007")): np.full(14, 12.0)}
            view.set_past(FormulaPast(view.first - 5, view.first + 9, past))
        often.take(tick)
        if tick % 17 == 0:
            seldom.take(tick)
        if tick % 17 or not view.live.complete:
            continue
        rows, value = summary.rows, view.live.value
        expected = {"count": live_counts(value)}
        places = {tuple(sorted(labels.items())): at for at, labels in enumerate(view.plan.labels)}
        for quantile, row in zip(QUANTILES, quantiles(value), strict=True):
            expected[f"p{quantile * 100:g}"] = row
        for drawn in (often, seldom):
            for index, row in enumerate(rows):
                if row.role == "cell":
                    low, high = float(row.labels["from"]), float(row.labels["to"])
                    wanted = ((value >= low) & (value < high)).sum(axis=0).astype(float)
                    wanted[wanted == 0] = np.nan
                else:
                    wanted = expected[row.role] if row.role in expected else value[places[row.key[1]]]
                got = [drawn.values[index][view.first + at] for at in range(view.count)]
                np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4, err_msg=f"{kind} {row} at tick {tick}")
        assert summary.compute(value).shape == (len(rows), view.count)
        checked += 1
    assert checked > 8
    if kind == "heat":
        assert np.nansum(summary.compute(view.live.value)[1:], axis=0)[-1] == live_counts(view.live.value)[-1]


@pytest.mark.parametrize("kind", get_args(SummaryKind))
def test_what_is_sent_does_not_grow_with_the_number_of_series(kind: SummaryKind) -> None:
    sent = []
    for count in (50, 1_000):
        store = Store()
        for node in range(count):
            times = [T0 - 1_000 * second for second in range(10, -1, -1)]
            values = [float((node * 37 + second * 11) % 97) for second in range(11)]
            batch = Batch(metric="cpu", labels={"node": f"{node}"}, unit="%", time=times, value=values)
            store.append(batch, (int(T0) << 32) + node)
        readings = FormulaReadings(store, 60_000.0)
        summary = Summary(kind)
        view = FormulaView(readings, parse_formula("cpu"), 10_000.0, 60, summary=summary)
        drawn = Drawn(view)
        for tick in range(20):
            readings.refresh(T0 + tick * 100.0)
            view.tick(tick, T0 + tick * 100.0)
            drawn.take(tick)
        assert view.live.complete
        assert len(summary.rows) <= 1 + MOST_BINS
        assert drawn.values[0][view.first + 40] == count
        sent.append(drawn.bytes)
    assert sent[1] < 1.5 * sent[0]


async def test_a_tick_over_two_thousand_series_leaves_the_loop_to_others() -> None:
    """As many as a formula may select, each with a reading a second, as a band, a heat map and a top ten at once."""
    store, seq, count = Store(), 0, 2_000

    def publish(now_ms: float, nodes: range) -> None:
        for node in nodes:
            batch = Batch(metric="cpu", labels={"node": f"{node}"}, unit="%", time=[now_ms], value=[float(node % 97)])
            store.append(batch, (int(now_ms) << 32) + node)

    for second in range(5):
        publish(T0 - 5_000 + 1_000 * second, range(count))
    readings = FormulaReadings(store, 900_000.0)
    views = [
        FormulaView(readings, parse_formula("cpu"), 300_000.0, buckets, summary=Summary(kind))
        for kind, buckets in (("band", 300), ("heat", 60), ("top", 60))
    ]

    async def ticks() -> int:
        nonlocal seq
        for _ in range(60):
            seq += 1
            now_ms = T0 + 100.0 * seq
            publish(now_ms, range(seq % 10, count, 10))
            await asyncio.sleep(0)
            readings.refresh(now_ms)
            await asyncio.sleep(0)
            for view in views:  # each has a turn of its own: see SharedFormulas.ready
                view.tick(seq, now_ms)
                view.frame(3, seq - 1)
                await asyncio.sleep(0)
        return sum(view.live.complete for view in views)

    held_s, complete = await measured(ticks)
    assert complete[-1] == len(views)
    assert held_s < HELD_S
