"""A formula over the live store: each tick computes what changed, and all of it is what one evaluation would give."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import evaluate
from tidewire.evaluation.reading_table import SeriesReadings
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.live_formula import LiveFormula
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch
from tidewire.model.formulas.parser import parse_formula

T0 = 1_790_000_000_000.0  # a whole second, Unix ms
COUNT = 40
FORMULAS = [
    "a/x", "rate(a/x[3s])", "increase(a/x)", "sum(rate(*/x[5s]))", "avg_over_time(a/x[2s]) / ignoring (k) b/x",
    "a/x > 2",
    "topk(1, */x)", "a/x offset 2s", "ema(a/x, 1s)", "changes(a/x[4s])", "sum by (k) (a/x) or b/x",
    "max(*/x) - min(*/x)",
    "stddev_over_time(b/x[3s])", "quantile_over_time(0.5, a/x[3s])", "label_replace(a/x, 'k', '$1$1', 'k', '(.*)')",
]  # fmt: skip


def whole(store: Store) -> list[SeriesReadings]:
    return [SeriesReadings(one.metric, one.labels, one.unit, *one.raw.rows().copy()) for one in store.series]


def expected(store: Store, live: LiveFormula) -> dict[tuple[tuple[str, str], ...], list[float]]:
    time_ms = (np.arange(live.first, live.last + 1) + 1.0) * live.step_ms
    result = evaluate(live.node, whole(store), time_ms, step_ms=live.step_ms, edge="before")
    return {
        tuple(sorted(one.labels.items())): np.where(one.here & np.isfinite(one.value), one.value, np.nan).tolist()
        for one in result.series
    }


def drawn(live: LiveFormula) -> dict[tuple[tuple[str, str], ...], list[float]]:
    return {
        tuple(sorted(labels.items())): values.tolist()
        for labels, values in zip(live.plan.labels, live.value, strict=True)
        if not np.isnan(values).all()
    }


def same(live: LiveFormula, store: Store) -> None:
    found, wanted = drawn(live), expected(store, live)
    wanted = {labels: values for labels, values in wanted.items() if not all(map(math.isnan, values))}
    assert found.keys() == wanted.keys()
    for labels, values in wanted.items():
        np.testing.assert_array_equal(found[labels], values)


READING = st.tuples(
    st.sampled_from(["a/x", "b/x", "c/x"]),
    st.sampled_from(["0", "1"]),
    st.sampled_from([0.0, 10.0, 120.0, 400.0, -900.0, -5_000.0, 3_000.0]),  # of its own time, against the clock
    st.sampled_from([0.0, 1.0, 2.0, 5.0, 7.25, math.nan]),
)
TICK = st.tuples(st.lists(READING, max_size=6), st.sampled_from([0.0, 100.0, 200.0, 200.0, 1_000.0, 30_000.0]))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(TICK, min_size=1, max_size=25), st.lists(st.sampled_from(FORMULAS), min_size=1, max_size=4, unique=True)
)
def test_every_tick_is_what_one_evaluation_gives(
    ticks: list[tuple[list[tuple[str, str, float, float]], float]], formulas: list[str]
) -> None:
    store, now, id_ = Store(), T0, 0
    readings = FormulaReadings(store, 60_000.0 + COUNT * 200)
    store.append(Batch(metric="a/x", labels={"k": "0"}, unit="", time=[T0 - 100], value=[1.0]), 1)
    live = [LiveFormula(readings, parse_formula(text), 200.0, COUNT) for text in formulas]
    for arrived, later_ms in ticks:
        now += later_ms
        for metric, label, ahead_ms, value in arrived:
            id_ += 1
            given_value = None if math.isnan(value) else value
            batch = Batch(metric=metric, labels={"k": label}, unit="", time=[now + ahead_ms], value=[given_value])
            store.append(batch, (int(now) << 32) + id_)
        readings.refresh(now)
        for one in live:
            before = one.value.copy() if one.complete else None
            plan, first = one.plan, one.first
            with contextlib.suppress(InvalidFormula):  # two series may get the same labels
                changed = one.tick(now)
            if not one.complete:
                return
            same(one, store)
            if before is not None and one.plan is plan and 0 <= one.first - first < COUNT:
                kept = changed - one.first  # what it says did not change did not
                shift = one.first - first
                np.testing.assert_array_equal(one.value[:, : max(0, kept)], before[:, shift:][:, : max(0, kept)])


def filled(series: int, readings: int = 60) -> Store:
    store = Store()
    for index in range(series):
        times = [T0 - (readings - i) * 1_000.0 for i in range(readings)]
        batch = Batch(
            metric=f"plant/{index}/x", labels={}, unit="kW", time=times, value=[float(i) for i in range(readings)]
        )
        store.append(batch, (int(T0) << 32) + index + 1)
    return store


def test_the_past_of_many_series_comes_in_parts_and_ends() -> None:
    store = filled(1_500)
    readings = FormulaReadings(store, 120_000.0)
    live = LiveFormula(readings, parse_formula("rate(plant/*/x[5s])"), 100.0, 600)
    ticks = 0
    while not live.complete:
        readings.refresh(T0)
        live.tick(T0)
        ticks += 1
        assert ticks < 200
    assert ticks > 1
    same(live, store)
    assert live.plan.units[0] == "kW/s"


def test_a_series_that_is_born_joins_and_one_that_is_not_selected_changes_nothing() -> None:
    store = filled(3)
    readings = FormulaReadings(store, 120_000.0)
    live = LiveFormula(readings, parse_formula("sum(plant/*/x)"), 200.0, COUNT)
    readings.refresh(T0)
    live.tick(T0)
    plan = live.plan
    for index, metric in enumerate(("other/x", "plant/new/x")):
        store.append(Batch(metric=metric, labels={}, unit="kW", time=[T0], value=[5.0]), (int(T0) << 32) + 100 + index)
        readings.refresh(T0 + 200)
        live.tick(T0 + 200)
        assert (live.plan is plan) is (metric == "other/x")
        same(live, store)


def test_a_formula_that_is_opened_within_a_tick_disturbs_no_other() -> None:
    store = filled(3)
    readings = FormulaReadings(store, 120_000.0)
    live = LiveFormula(readings, parse_formula("sum(plant/*/x)"), 200.0, COUNT)
    readings.refresh(T0)
    live.tick(T0)
    for index, metric in enumerate(("plant/new/x", "other/x")):
        store.append(Batch(metric=metric, labels={}, unit="kW", time=[T0], value=[5.0]), (int(T0) << 32) + 100 + index)
    other = LiveFormula(readings, parse_formula("other/x"), 200.0, COUNT)
    other.tick(T0)
    same(other, store)
    live.tick(T0)
    for now in (T0 + 100, T0 + 300):
        readings.refresh(now)
        for one in (live, other):
            one.tick(now)
            same(one, store)


@pytest.mark.parametrize("opened_s", [1, 160])
def test_the_pace_of_a_slow_series_outlives_the_readings_of_the_window(opened_s: int) -> None:
    store, id_ = Store(), 0
    readings = FormulaReadings(store, 20_000.0)

    def publish(metric: str, time_ms: float) -> None:
        nonlocal id_
        id_ += 1
        batch = Batch(metric=metric, labels={}, unit="", time=[time_ms], value=[1.0])
        store.append(batch, (int(time_ms) << 32) + id_)

    live: LiveFormula | None = None
    for second in range(250):
        now = T0 + second * 1_000.0
        for tenth in range(10):
            publish("fast", now + tenth)  # so that the readings are moved to make room
        if second % 25 == 0 and second <= 100:
            publish("slow", now)
        if second == opened_s:
            live = LiveFormula(readings, parse_formula("slow offset 15s + 0 * fast"), 200.0, COUNT)
        if live is not None:
            readings.refresh(now + 10)
            live.tick(now + 10)
            same(live, store)
    assert live is not None
    assert np.isnan(live.value).all()  # three intervals after its last reading


def test_a_change_of_unit_begins_the_series_anew() -> None:
    store = filled(1)
    readings = FormulaReadings(store, 120_000.0)
    live = LiveFormula(readings, parse_formula("plant/0/x"), 1_000.0, COUNT)
    readings.refresh(T0)
    live.tick(T0)
    store.append(
        Batch(metric="plant/0/x", labels={}, unit="W", time=[T0 + 500], value=[5_000.0]), (int(T0) << 32) + 100
    )
    readings.refresh(T0 + 1_000)
    live.tick(T0 + 1_000)
    assert live.plan.units == ["W"]
    assert np.nanmin(live.value) == 5_000


def test_readings_beyond_what_memory_holds_raw_are_buckets_of_a_second() -> None:
    store = Store(raw_ms=60_000.0)
    seconds = 600
    for i in range(seconds * 4):
        time_ms = T0 + i * 250.0
        store.append(Batch(metric="x", labels={}, unit="", time=[time_ms], value=[float(i)]), (int(time_ms) << 32) + 1)
    now = T0 + seconds * 1_000.0 - 1
    readings = FormulaReadings(store, 900_000.0)
    text = "{name}_over_time(x[10s])"
    for name in ("avg", "min", "max", "sum", "count"):
        live = LiveFormula(readings, parse_formula(text.format(name=name)), 5_000.0, 100)
        readings.refresh(now)
        while not live.complete:
            live.tick(now)
        raw = SeriesReadings("x", {}, "", T0 + np.arange(seconds * 4) * 250.0, np.arange(seconds * 4, dtype=float))
        times = (np.arange(live.first, live.last + 1) + 1.0) * live.step_ms
        (one,) = evaluate(live.node, [raw], times, step_ms=5_000.0, edge="before").series
        np.testing.assert_allclose(live.value[0], np.where(one.here, one.value, np.nan), rtol=1e-12)


def test_a_formula_that_costs_too_much_says_so_and_rests() -> None:
    store = filled(1_500, readings=400)
    readings = FormulaReadings(store, 500_000.0)
    live = LiveFormula(readings, parse_formula("quantile_over_time(0.5, plant/*/x[6m])"), 200.0, COUNT)
    readings.refresh(T0)
    with pytest.raises(InvalidFormula) as caught:
        live.tick(T0)
    assert caught.value.kind == "cost"
    with pytest.raises(InvalidFormula):
        live.tick(T0)


def test_more_readings_than_fit_are_an_error_until_the_formulas_are_closed() -> None:
    store = filled(1)
    readings = FormulaReadings(store, 120_000.0, max_readings=100)
    live = LiveFormula(readings, parse_formula("plant/0/x"), 200.0, COUNT)
    readings.refresh(T0)
    live.tick(T0)
    for i in range(200):
        batch = Batch(metric="plant/0/x", labels={}, unit="kW", time=[T0 + i], value=[1.0])
        store.append(batch, (int(T0) << 32) + 100 + i)
    readings.refresh(T0 + 200)
    with pytest.raises(InvalidFormula) as caught:
        live.tick(T0 + 200)
    assert caught.value.kind == "cost"
    other = LiveFormula(readings, parse_formula("plant/0/x + 1"), 200.0, COUNT)
    with pytest.raises(InvalidFormula):
        other.tick(T0 + 200)
    live.close()
    other.close()
    with pytest.raises(InvalidFormula) as caught:  # 260 readings at once
        LiveFormula(readings, parse_formula("plant/0/x"), 200.0, COUNT)
    assert caught.value.kind == "cost"
    assert readings.table.size == 0


def test_a_formula_reads_only_what_its_login_may_see() -> None:
    store = filled(4)
    readings = FormulaReadings(store, 120_000.0, may_see=lambda metric: metric != "plant/2/x")
    live = LiveFormula(readings, parse_formula("count({'plant/*/x'})"), 200.0, COUNT)
    readings.refresh(T0)
    live.tick(T0)
    assert live.value[0, -1] == 3
    assert {store.series[index].metric for index in readings.indices[live.plan.used]} == {
        "plant/0/x", "plant/1/x", "plant/3/x",
    }  # fmt: skip


def test_the_last_formula_that_is_closed_frees_the_readings() -> None:
    store = filled(10)
    readings = FormulaReadings(store, 120_000.0)
    one, other = (LiveFormula(readings, parse_formula(text), 200.0, COUNT) for text in ("plant/*/x", "sum(plant/*/x)"))
    assert readings.table.size == 600
    one.close()
    assert readings.table.size == 600
    other.close()
    assert readings.table.size == 0
