"""Readings with a text and no number are states: bands from change to change, live, of the past and beyond memory."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.livestore.live_view import LiveView
from tidewire.livestore.past import Past
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import FLAG_STEPS, unpack_frame
from tidewire.livestore.window import Older, pack_range
from tidewire.livestore.words import Words, runs_of
from tidewire.model.batch import ANNOTATIONS, Batch

T0 = 1_790_000_000_000.0


def put(store: Store, at_ms: float, *texts: str | None, metric: str = "mode", every_ms: float = 1_000.0) -> None:
    """One batch of words, the last of them at a time."""
    times = [at_ms - every_ms * n for n in reversed(range(len(texts)))]
    batch = Batch(metric=metric, time=times, value=[None] * len(texts), text=list(texts))
    store.append(batch, int(at_ms) << 32)


def states(frame: bytes, index: int = 0) -> list[tuple[float, float, str]]:
    """Return the states of a frame, in seconds since T0."""
    return [((a - T0) / 1e3, (b - T0) / 1e3, text) for a, b, text in unpack_frame(frame).states.get(index, ())]


@pytest.fixture
def store() -> Store:
    store = Store()
    store.covered_from_ms = -math.inf
    return store


def test_equal_words_are_one_state_up_to_the_next(store: Store) -> None:
    put(store, T0, "IDLE", "IDLE", "HEAT", "HEAT", "HEAT", "HOLD")
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0)
    assert states(view.frame(0, None)) == [(-5, -3, "IDLE"), (-3, 0, "HEAT"), (0, 0, "HOLD")]


def test_a_gap_ends_a_state_and_a_reading_without_a_word_too(store: Store) -> None:
    put(store, T0 - 20_000, "IDLE", "IDLE", "IDLE", "IDLE")
    put(store, T0, "IDLE", "IDLE", None, "HEAT")
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0)
    assert states(view.frame(0, None)) == [(-23, -20, "IDLE"), (-3, -1, "IDLE"), (0, 0, "HEAT")]


def test_a_difference_has_what_changed_from_the_reading_before(store: Store) -> None:
    put(store, T0, "IDLE", "IDLE", "HEAT")
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0)
    view.frame(0, None)
    view.tick(2, T0 + 900)
    view.frame(0, 1)
    view.tick(3, T0 + 910)
    assert states(view.frame(0, 2)) == [], "nothing new"
    put(store, T0 + 1_000, "HOLD")
    view.tick(4, T0 + 1_000)
    assert states(view.frame(0, 3)) == [(-2, 0, "IDLE"), (0, 1, "HEAT"), (1, 1, "HOLD")]


def test_a_pace_that_was_slower_once_is_no_row_of_gaps(store: Store) -> None:
    put(store, T0 - 31_000, *["IDLE"] * 10, every_ms=7_000)
    put(store, T0, *["IDLE"] * 30)
    view = LiveView(store, None, 120_000, 300)
    view.tick(1, T0)
    assert states(view.frame(0, None)) == [(-94, 0, "IDLE")]


def test_a_late_word_is_in_its_place(store: Store) -> None:
    put(store, T0, "IDLE", "IDLE", every_ms=4_000)
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0)
    view.frame(0, None)
    store.append(Batch(metric="mode", time=[T0 - 2_000], value=[None], text=["HEAT"]), int(T0 + 1) << 32)
    view.tick(2, T0 + 100)
    assert states(view.frame(0, 1)) == [(-4, -2, "IDLE"), (-2, 0, "HEAT"), (0, 0, "IDLE")]


def test_the_state_before_a_window_enters_it(store: Store) -> None:
    put(store, T0 - 30_000, "IDLE", "HEAT")
    view = LiveView(store, None, 10_000, 100)
    view.tick(1, T0)
    assert states(view.frame(0, None)) == [(-31, -30, "IDLE"), (-30, -30, "HEAT")], (
        "held, though the window has no reading"
    )
    put(store, T0, "HOLD")
    view = LiveView(store, None, 10_000, 100)
    view.tick(1, T0)
    assert states(view.frame(0, None))[1:] == [(-30, 0, "HEAT"), (0, 0, "HOLD")]


def test_a_past_window_has_its_states(store: Store) -> None:
    put(store, T0, *["A"] * 20, *["B"] * 20, *["C"] * 20)
    frame = pack_range(store, [0], int(T0 - 45_000) // 100, 200, 100, request_id=1, seq=1, now_ms=T0)
    assert states(frame) == [(-51, -39, "A"), (-39, -26, "B")]


def test_what_memory_does_not_hold_comes_from_the_history(store: Store) -> None:
    put(store, T0, "HEAT", "HOLD")
    store.covered_from_ms = T0 - 60_000
    rows = [(T0 - 3_600_000, "OFF"), (T0 - 120_000, "HEAT"), (T0 - 10_000, "WRONG: memory knows better")]
    view = LiveView(store, None, 7_200_000, 600)
    view.set_older(Older({}, T0 - 7_200_000, T0, texts={0: rows}))
    view.tick(1, T0)
    assert [text for _, _, text in states(view.frame(0, None))] == ["OFF", "HEAT", "HOLD"]


def test_words_of_the_past_are_joined_with_those_that_came(store: Store) -> None:
    put(store, T0, "HOLD")
    generation = store.begin_past(store.series)
    put(store, T0 + 1_000, "COOL")
    rows = np.array(([T0 - 2_000, T0 - 1_000, T0], [math.nan] * 3))
    texts = [(T0 - 2_000, "IDLE"), (T0 - 1_000, "HEAT"), (T0, "HOLD")]
    assert store.take_past(store.series[0], Past(rows, texts, T0 - 60_000, {0: int(T0) << 32}, T0), generation)
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0 + 1_000)
    assert [text for _, _, text in states(view.frame(0, None))] == ["IDLE", "HEAT", "HOLD", "COOL"]


def test_each_change_is_an_event_and_not_each_reading(store: Store) -> None:
    put(store, T0, "IDLE", "IDLE", "HEAT", "HEAT", "IDLE")
    assert [event.text for event in store.events] == ["IDLE", "HEAT", "IDLE"]
    put(store, T0 + 61_000, "IDLE")
    assert [event.text for event in store.events] == ["IDLE", "HEAT", "IDLE", "IDLE"], "after a minute it is news"
    put(store, T0, "deploy", "deploy", metric=ANNOTATIONS)
    store.append(Batch(metric="t", time=[T0, T0 + 1], value=[1.0, 2.0], text=["weld", "weld"]), int(T0) << 32)
    put(store, T0 + 9, "cut", "cut", metric="t", every_ms=1)  # of a series that has numbers
    assert [event.text for event in store.events][4:] == ["deploy", "deploy", "weld", "weld", "cut", "cut"]
    assert [one.words is None for one in store.series] == [False, True, True]


def test_fast_readings_of_one_state_cost_what_their_changes_do(store: Store) -> None:
    for start in range(0, 9_000, 1_000):
        put(store, T0 + start * 100 + 99_900, *(f"s{(start + n) // 500}" for n in range(1_000)), every_ms=100)
    words = store.series[0].words
    assert words is not None
    assert len(words.since(-math.inf)) < 512 + 20
    view = LiveView(store, None, 900_000, 300)
    view.tick(1, T0 + 899_900)
    found = states(view.frame(0, None))
    assert [(start, text) for start, _, text in found] == [(50 * n, f"s{n}") for n in range(18)]
    assert words.covered_from_ms == -math.inf


def test_words_are_bounded_and_say_since_when_they_are_whole(store: Store) -> None:
    for start in range(0, 6_000, 1_000):
        put(store, T0 + start * 100 + 99_900, *(f"s{start + n}" for n in range(1_000)), every_ms=100)
    series = store.series[0]
    assert series.words is not None
    held = series.words.since(-math.inf)
    assert len(held) == 4_096 + 512
    assert series.words.covered_from_ms == held[0].from_ms
    assert store.covered(series, 1_000) == held[0].from_ms


def test_a_late_word_inside_a_long_state_splits_it(store: Store) -> None:
    put(store, T0, *["A"] * 900, every_ms=100)
    store.append(Batch(metric="mode", time=[T0 - 80_000], value=[None], text=["B"]), int(T0 + 1) << 32)
    view = LiveView(store, None, 120_000, 300)
    view.tick(1, T0)
    assert [(start, text) for start, _, text in states(view.frame(0, None))] == [(-89.9, "A"), (-80, "B"), (-51.1, "A")]


def test_a_series_of_numbers_has_no_states(store: Store) -> None:
    store.append(Batch(metric="t", time=[T0], value=[1.0]), int(T0) << 32)
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0)
    frame = view.frame(0, None)
    assert unpack_frame(frame).states == {}
    assert store.series[0].words is None
    assert len(frame) == 32 + 64 + 302 * 16, "not a byte more than without states"


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ABC")), max_size=40))
def test_words_in_any_order_are_those_in_order(pairs: list[tuple[int, str]]) -> None:
    words = Words()
    kept: dict[int, list[str]] = {}
    for time, text in pairs:
        words.add(float(time), text)
        kept.setdefault(time, []).append(text)
    held = words.since(-1.0)
    assert [run.from_ms for run in held] == sorted(run.from_ms for run in held)
    assert {run.from_ms for run in held} == set(kept)
    assert all(run.text in kept[int(run.from_ms)] for run in held)
    assert all(before.to_ms == after.from_ms for before, after in itertools.pairwise(runs_of(held, math.nan)))


def test_a_series_of_words_has_no_steps(store: Store) -> None:
    put(store, T0, "IDLE", "HEAT")
    view = LiveView(store, None, 60_000, 300)
    view.tick(1, T0)
    assert not unpack_frame(view.frame(0, None)).records["flags"][0] & FLAG_STEPS
