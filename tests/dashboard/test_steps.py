"""Which series are drawn as steps: decided on every reading of the window, for all that draw it, without flicker."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.livestore.levels import MOST_LEVELS, Levels, are_levels, counts
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import FLAG_STEPS, unpack_frame
from tidewire.livestore.window import Older, pack_range
from tidewire.model.batch import Batch

T0 = 1_790_000_000_000


def store_of(values: list[float | None], *, unit: str = "", every_ms: int = 1_000) -> Store:
    """Return a store with one series whose newest reading is at T0."""
    store = Store()
    store.covered_from_ms = -math.inf
    first = T0 - every_ms * (len(values) - 1)
    for start in range(0, len(values), 1_000):
        part = values[start : start + 1_000]
        times = [float(first + every_ms * (start + n)) for n in range(len(part))]
        store.append(Batch(metric="door", unit=unit, time=times, value=part), (T0 << 32) + start)
    return store


def put(store: Store, at_ms: float, value: float, n: int) -> None:
    store.append(Batch(metric="door", time=[at_ms], value=[value]), (T0 + 60_000) << 32 | n)


def steps_of(view: LiveView, seq: int, now_ms: float) -> bool:
    view.tick(seq, now_ms)
    return bool(unpack_frame(view.frame(0, None)).records["flags"][0] & FLAG_STEPS)


def drawn(values: list[float | None], unit: str = "", window_ms: float = 60_000) -> bool:
    return steps_of(LiveView(store_of(values, unit=unit), (0,), window_ms, 300), 1, float(T0))


@pytest.mark.parametrize(
    ("values", "unit", "steps"),
    [
        ([0.0, 1.0] * 20, "", True),
        ([3.0], "", True),
        ([float(n % 8) for n in range(60)], "", True),
        ([float(n % 9) for n in range(60)], "", False),
        ([float(n) for n in range(60)], "", False),  # a counter that rises for ever
        ([1.0, 2.0, 2.5, 3.0], "", False),
        ([1.0, None, 2.0], "", True),
        ([2.0**60, 2.0**61], "", False),  # float64 has no fractions there
        ([4.0, 5.0], "{parts}", True),
        ([20.0, 21.0, 25.0], "Cel", False),  # a measured quantity that was rounded
        ([1_200.0, 1_210.0], "{rpm}", False),
        ([0.0, 1.0], "%", False),
    ],
)
def test_whole_readings_with_few_values_that_count_something_are_steps(
    values: list[float | None], unit: str, steps: bool
) -> None:
    assert drawn(values, unit) is steps


def test_a_fraction_that_no_bucket_shows_is_seen() -> None:
    """Between two whole extremes, in one column of a day."""
    assert not drawn([0.0, 1.0, 0.5, 1.0, 0.0] * 4, window_ms=86_400_000)


def test_only_the_readings_of_the_window_count() -> None:
    store = store_of([0.5, *[0.0, 1.0] * 100])
    assert steps_of(LiveView(store, (0,), 60_000, 300), 1, float(T0))
    assert not steps_of(LiveView(store, (0,), 300_000, 300), 1, float(T0))


def test_a_view_that_was_a_line_stays_one() -> None:
    store = store_of([0.0, 1.0] * 20)
    view = LiveView(store, (0,), 10_000, 100)
    assert steps_of(view, 1, float(T0))
    put(store, T0 + 100.0, 0.5, 1)
    assert not steps_of(view, 2, T0 + 200.0)
    for n in range(1, 40):
        put(store, T0 + 1_000.0 * n, float(n % 2), n)
        assert not steps_of(view, 2 + n, T0 + 1_000.0 * n + 1), "the fraction has left the window since"
    assert steps_of(LiveView(store, (0,), 10_000, 100), 1, T0 + 39_000.0), "another view begins anew"


def test_what_came_late_counts() -> None:
    store = store_of([0.0, 1.0] * 20)
    view = LiveView(store, (0,), 60_000, 100)
    assert steps_of(view, 1, float(T0))
    put(store, T0 - 7_500.0, 0.25, 1)
    assert not steps_of(view, 2, T0 + 100.0)


def test_values_of_the_history_count() -> None:
    store = store_of([0.0, 1.0] * 5)
    store.covered_from_ms = T0 - 60_000.0
    rows = np.array([[0.0], [7.0], [7.0], [7.0], [7.0], [7.0], [1.0]])
    rows[0] = T0 // 144_000 - 300
    for value, steps in ((7.0, True), (7.5, False)):
        rows[1:6] = value
        view = LiveView(store, (0,), 43_200_000, 300)
        view.set_older(Older({0: rows}, 0.0, T0))
        assert steps_of(view, 1, float(T0)) is steps


@pytest.mark.parametrize(("values", "steps"), [([0.0, 1.0] * 30, True), ([0.0, 0.5, 1.0] * 20, False)])
def test_a_past_window_is_judged_by_its_own_readings(values: list[float | None], steps: bool) -> None:
    store = store_of([*values, *[0.1, 0.2] * 60])
    frame = unpack_frame(pack_range(store, [0], (T0 - 175_000) // 500, 100, 500, request_id=1, seq=1, now_ms=float(T0)))
    assert bool(frame.records["flags"][0] & FLAG_STEPS) is steps


@pytest.mark.parametrize(
    ("values", "unit", "steps"),
    [
        ([1.0, 0.0, 1.0], "", True),
        ([1.0, 0.0, None], "{parts}", True),
        ([1.0, 0.0, 0.5], "", False),
        ([20.0, 21.0], "Cel", False),
        ([None], "", False),
    ],
)
@pytest.mark.parametrize("words", [0, 30])
def test_a_past_window_without_a_number_is_judged_by_what_it_holds(
    values: list[float | None], unit: str, steps: bool, words: int
) -> None:
    store = store_of([*values, *[None] * words], unit=unit)  # readings without a number fill the window, or none does
    store.append(Batch(metric="door", unit=unit, time=[T0 + 60e3], value=[2.0]), (T0 + 60_000) << 32)
    first = (T0 + (-15_000 if words else 15_000)) // 500
    frame = unpack_frame(pack_range(store, [0], first, 20, 500, request_id=1, seq=1, now_ms=T0 + 60_100.0))
    assert np.isnan(frame.body["min"][0, 1:]).all()
    assert bool(frame.records["flags"][0] & FLAG_STEPS) is steps
    numbers = [value for value in values if value is not None]
    assert frame.body["min"][0, 0].tolist() == pytest.approx(numbers[-1] if numbers else math.nan, nan_ok=True)


def test_a_snapshot_has_what_a_series_was_before_its_window() -> None:
    store = store_of([0.0, 1.0, 3.0], every_ms=20_000)
    view = LiveView(store, (0,), 10_000, 100)
    view.tick(1, T0 + 15_000.0)
    frame = unpack_frame(view.frame(0, None))
    record, body = frame.records[0], frame.body[0]
    assert record["before_s"] == T0 // 1_000
    assert body[0].tolist() == (3.0, 3.0, 0, 0, 0, 0)
    assert np.isnan(body["min"][1:]).all()
    view.tick(2, T0 + 15_500.0)
    assert np.isnan(unpack_frame(view.frame(0, 1)).body["min"]).all(), "a difference has none"


def test_a_fraction_that_enters_a_window_makes_it_a_line() -> None:
    """A chart rounds what steps hold: 20.5 would be drawn as 21."""
    view = LiveView(store_of([20.0, 20.5]), (0,), 10_000, 100)
    assert not steps_of(view, 1, T0 + 15_000.0)
    frame = unpack_frame(view.frame(0, None))
    assert frame.body["min"][0, 0] == 20.5
    put(view.store, T0 + 15_500.0, 1.0, 1)
    assert not steps_of(view, 2, T0 + 16_000.0), "without flicker"
    assert steps_of(LiveView(store_of([20.5, 20.0]), (0,), 10_000, 100), 1, T0 + 15_000.0)


readings = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([*map(float, range(12)), 0.5])), max_size=60)


@given(st.lists(readings, max_size=5), st.integers(0, 60))
def test_the_levels_of_any_window_are_those_of_its_readings(parts: list[list[tuple[int, float]]], start: int) -> None:
    levels, rows = Levels(), np.empty((2, 0))
    for part in parts:
        added = np.array(sorted(part), dtype=np.float64).reshape(-1, 2).T
        newest = rows[0].max(initial=-1.0)
        if added.shape[1] == 1 and added[0, 0] > newest:
            levels.add(float(added[0, 0]), float(added[1, 0]))
        else:
            levels.add_all(added)
        rows = np.concatenate((rows, added), axis=1)
    inside = rows[1, rows[0] >= start]
    assert levels.is_line(start) is bool(inside.size and not are_levels(inside))


def test_units_that_count() -> None:
    assert all(map(counts, ("", "1", " ", "{parts}", "{errors}")))
    assert not any(map(counts, ("Cel", "K", "V", "%", "By", "1/s", "{rpm}", "{parts}/min", "m")))
    assert MOST_LEVELS == 8
