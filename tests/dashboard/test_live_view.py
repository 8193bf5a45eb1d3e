"""The live view: frames by delta show what a snapshot would, and only what changed is sent."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.livestore.buckets import BUCKET_ROWS, bucket_readings
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import (
    DELTA,
    FLAG_PARTIAL,
    SNAPSHOT,
    ViewFrame,
    base_for,
    exponents_of,
    unpack_frame,
)
from tidewire.livestore.window import BEYOND, Older, pack_range
from tidewire.model.answers import SeriesInfo
from tidewire.model.batch import Batch

T0 = 1_790_000_000_000
NAN = math.nan


class Column(NamedTuple):
    """What a bucket of a frame means."""

    first: float
    last: float
    low: float
    high: float
    mean: float
    readings: int


def columns_of(frame: ViewFrame, at: int) -> list[Column | None]:
    """Return the buckets of one series of a frame; None where one is empty."""
    exponent, base = int(exponents_of(frame.records["flags"])[at]), float(frame.records["base"][at])
    found: list[Column | None] = []
    for least, most, *parts, readings in frame.body[at].tolist():
        if math.isnan(least):
            assert math.isnan(most)
            assert (*parts, readings) == (0, 0, 0, 0)
            found.append(None)
            continue
        if not readings:  # what the series had before the window
            assert not found
            found.append(None)
            continue
        low, high = base + math.ldexp(least, exponent), base + math.ldexp(most, exponent)
        first, last, mean = (low + (high - low) * (part / 65_535) for part in parts)
        found.append(Column(first, last, low, high, mean, readings))
    return found


class DeckModel:
    """What a deck keeps of the frames of one view: the reading side of docs/view-frame.md."""

    def __init__(self) -> None:
        self.lines: dict[int, dict[int, Column]] = {}
        self.records: dict[int, np.void] = {}
        self.last = -1
        self.first = 0
        self.count = 0
        self.seq = -1
        self.kinds: list[int] = []

    def apply(self, data: bytes) -> None:
        frame = unpack_frame(data)
        self.kinds.append(frame.kind)
        first, buckets = int(frame.first), frame.body.shape[1]
        if frame.kind == SNAPSHOT:
            self.lines, self.first, self.count = {}, first, buckets
        else:
            assert frame.kind == DELTA
            assert first <= self.last + 1, "a hole"
        assert frame.seq > self.seq
        self.seq, self.last = frame.seq, first + buckets - 1
        for at, record in enumerate(frame.records):
            index = int(record["index"])
            line = self.lines.setdefault(index, {})
            if frame.kind == DELTA:
                assert record["base"] == self.records[index]["base"], "a base changes only with a snapshot"
            self.records[index] = record
            for bucket in range(first, self.last + 1):
                line.pop(bucket, None)
            for bucket, column in enumerate(columns_of(frame, at), first):
                if column is not None:
                    line[bucket] = column

    def window(self, index: int) -> dict[int, Column]:
        """Return the buckets of the present window."""
        return {bucket: line for bucket, line in self.lines[index].items() if bucket > self.last - self.count}


def put(store: Store, metric: str, times: list[float], values: list[float | None], at: float, n: int = 0) -> None:
    store.append(Batch(metric=metric, time=times, value=values), int(at) << 32 | n)


def steady(store: Store, metric: str, start: float, end: float, every: float) -> None:
    """One batch of readings at a pace, value = seconds since T0."""
    times = np.arange(start, end, every).tolist()
    put(store, metric, times, [(time - T0) / 1_000 for time in times], end)


offset_lists = st.lists(st.integers(-4_000, 200), min_size=1, max_size=12)
step_of = st.sampled_from([37, 100, 1_000, 2_000])
events = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(0, 900)),
        st.tuples(
            st.just("read"),
            st.integers(0, 2),
            st.lists(st.integers(-4_000, 200), min_size=1, max_size=12),
            st.booleans(),
        ),
        st.tuples(st.just("draw"), st.integers(0, 1)),
    ),
    min_size=5,
    max_size=40,
)


@given(events, step_of)
def test_deltas_over_skipped_ticks_show_what_the_readings_say(script: list[tuple[object, ...]], step_ms: int) -> None:
    store = Store()
    store.covered_from_ms = T0 - 1e9
    for name in range(3):
        steady(store, f"m{name}", T0 - 3_000, T0, [70, 400, 2_500][name])
    view = LiveView(store, (0, 1, 2), 20 * step_ms, 20)
    assert view.step_ms == step_ms
    decks = [DeckModel(), DeckModel()]
    now, ids = float(T0), 0
    view.tick(0, now)
    for deck in decks:
        deck.apply(view.frame(0, None))
    for seq, event in enumerate(script, 1):
        if event[0] == "time":
            now += event[1]  # type: ignore[operator]
        elif event[0] == "read":
            ids += 1
            offsets: list[int] = event[2]  # type: ignore[assignment]
            values = [None if event[3] and n % 3 == 0 else float(offset) for n, offset in enumerate(offsets)]
            put(store, f"m{event[1]}", [now + offset for offset in offsets], values, now, ids)
        view.tick(seq, now)
        number = event[1] if event[0] == "draw" else 0
        assert isinstance(number, int)
        deck = decks[number]
        deck.apply(view.frame(0, deck.seq))
    view.tick(10_000, now)
    for deck in decks:
        deck.apply(view.frame(0, deck.seq))
        for index in range(3):
            held = store.series[index].raw.rows()
            rows = bucket_readings(held[0], held[1], step_ms)
            first, last = math.floor(now / step_ms) - 19 - BEYOND, math.floor(now / step_ms)
            rows = rows[:, (rows[0] >= first) & (rows[0] <= last)]
            drawn = deck.window(index)
            assert sorted(drawn) == rows[0].tolist()
            for number, first_, last_, low, high, total, count in rows.T.tolist():
                expected = (first_, last_, low, high, total / count, count)
                assert drawn[int(number)] == pytest.approx(expected, rel=1e-5, abs=(high - low) / 60_000 + 1e-3)


def test_without_late_readings_only_the_last_bucket_is_sent_again() -> None:
    store = Store()
    steady(store, "m", T0 - 60_000, T0, 100)
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0)
    view.frame(0, None)
    for seq in range(2, 60):
        now = T0 + (seq - 1) * 200.0
        steady(store, "m", now - 200 + 1, now, 99)
        view.tick(seq, now)
        frame = unpack_frame(view.frame(0, seq - 1))
        assert frame.kind == DELTA
        assert frame.first >= math.floor((now - 200) / 1_000), "the bucket that was open, and no more"
        assert frame.first + frame.body.shape[1] - 1 == math.floor(now / 1_000)


def test_a_late_reading_sends_from_its_bucket_on_and_no_more() -> None:
    store = Store()
    steady(store, "m", T0 - 60_000, T0, 1_000)
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0)
    put(store, "m", [T0 - 7_500.0], [99.0], T0, 1)
    view.tick(2, T0)
    frame = unpack_frame(view.frame(0, 1))
    assert frame.kind == DELTA
    assert frame.first == T0 // 1_000 - 8
    assert columns_of(frame, 0)[0] == pytest.approx((-8, 99, -8, 99, 45.5, 2), abs=1e-3)


def test_a_viewer_that_is_too_far_behind_gets_a_snapshot() -> None:
    store = Store()
    steady(store, "m", T0 - 60_000, T0, 1_000)
    view = LiveView(store, (0,), 60_000, 60)
    for seq in range(1, 300):
        view.tick(seq, T0 + seq)
    assert unpack_frame(view.frame(0, 1)).kind == SNAPSHOT
    assert unpack_frame(view.frame(0, 290)).kind == DELTA
    view.tick(300, T0 + 3_600_000)
    assert unpack_frame(view.frame(0, 299)).kind == SNAPSHOT


def test_viewers_of_one_view_share_the_same_bytes() -> None:
    store = Store()
    steady(store, "m", T0 - 60_000, T0, 1_000)
    view = LiveView(store, None, 60_000, 60)
    view.tick(1, T0)
    assert view.frame(1, None) is view.frame(1, None)
    view.tick(2, T0 + 100)
    assert view.frame(1, 1) is view.frame(1, 1)


def test_a_birth_starts_a_view_of_all_series_anew() -> None:
    store = Store()
    view = LiveView(store, None, 60_000, 60)
    view.tick(1, T0)
    assert unpack_frame(view.frame(1, None)).body.shape == (0, 60 + BEYOND)
    steady(store, "m", T0 - 60_000, T0, 1_000)
    view.tick(2, T0)
    frame = unpack_frame(view.frame(1, 1))
    assert (frame.kind, frame.view, frame.records["index"].tolist()) == (SNAPSHOT, 1, [0])


def test_a_bucket_holds_first_min_max_and_last() -> None:
    store = Store()
    steady(store, "fast", T0 - 60_000, T0, 100)
    put(store, "spiky", [T0 - 900.0, T0 - 600.0, T0 - 300.0, T0 - 100.0], [5.0, 15.0, 1.0, 6.0], T0, 1)
    view = LiveView(store, (0, 1), 60_000, 60)
    view.tick(1, T0)
    frame = unpack_frame(view.frame(0, None))
    fast, spiky = columns_of(frame, 0), columns_of(frame, 1)
    assert fast[-3] == pytest.approx((-2.0, -1.1, -2.0, -1.1, -1.55, 10), rel=1e-4)
    assert fast[-2] == pytest.approx((-1.0, -0.1, -1.0, -0.1, -0.55, 10), rel=1e-4)
    assert fast[-1] is None, "now lies at the start of a bucket that holds nothing yet"
    assert spiky[-2] == pytest.approx((5, 6, 1, 15, 6.75, 4), abs=14 / 65_535)
    assert spiky[:-2] == [None] * 60
    assert frame.records["last_value"].tolist() == [pytest.approx(-0.1), 6.0]


readings = st.lists(
    st.tuples(st.integers(0, 8_000), st.one_of(st.none(), st.integers(-9, 9), st.floats(-1e6, 1e6, width=32))),
    min_size=1,
    max_size=80,
)


@given(readings, st.one_of(st.integers(1, 3_000), st.sampled_from([1_000, 2_000, 3_000])), st.integers(0, 5_000))
def test_buckets_are_m4_of_the_readings_at_any_width_and_phase(
    given_: list[tuple[int, float | None]], step_ms: int, phase_ms: int
) -> None:
    ordered = sorted(given_, key=lambda one: one[0])
    start = T0 + phase_ms
    times = [float(start + time) for time, _ in ordered]
    store = Store()
    put(store, "m", times, [value for _, value in ordered], start + 8_000)
    last = (start + 8_000) // step_ms
    columns: dict[int, list[float]] = {}
    for time, (_, value) in zip(times, ordered, strict=True):
        if value is not None:
            columns.setdefault(int(time // step_ms), []).append(value)
    rows = store.series[0].buckets(step_ms, last - 9_000, last)
    assert rows.shape[0] == BUCKET_ROWS
    expected = [[n, v[0], v[-1], min(v), max(v), sum(v), len(v)] for n, v in columns.items()]
    assert rows.T.tolist() == [pytest.approx(row, rel=1e-9, abs=1e-6) for row in expected]


def test_change_compares_with_the_window_before_where_that_is_covered() -> None:
    store = Store()
    store.covered_from_ms = T0 - 130_000.0
    times = [T0 - 130_000.0 + n * 1_000 for n in range(130)]
    put(store, "m", times, [10.0 if time < T0 - 60_000 else 12.0 for time in times], T0, 1)
    put(store, "young", [T0 - 90_000.0 + n * 1_000 for n in range(90)], [1.0] * 90, T0, 2)
    view = LiveView(store, (0, 1), 60_000, 60)
    view.tick(1, T0 - 1)
    change = unpack_frame(view.frame(0, None)).records["change"]
    assert change[0] == pytest.approx(0.2)
    assert math.isnan(change[1]), "its first window began before its first reading"
    store.covered_from_ms = T0 - 100_000.0
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0 - 1)
    assert math.isnan(unpack_frame(view.frame(0, None)).records["change"][0])


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (-10.0, -12.0, -0.2),
        (-10.0, -5.0, 0.5),
        (10.0, 0.0, -1.0),
        (0.0, 5.0, None),
        (-1.0, 5.0, None),
        (3.0, -1.0, None),
    ],
)
def test_change_says_what_rose_and_nothing_across_zero(before: float, after: float, change: float | None) -> None:
    store = Store()
    store.covered_from_ms = T0 - 130_000.0
    times = [T0 - 130_000.0 + n * 1_000 for n in range(130)]
    put(store, "m", times, [before if time < T0 - 60_000 else after for time in times], T0, 1)
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0 - 1)
    found = float(unpack_frame(view.frame(0, None)).records["change"][0])
    assert found == pytest.approx(math.nan if change is None else change, nan_ok=True)


def test_what_memory_does_not_hold_comes_from_the_history() -> None:
    store = Store()
    store.covered_from_ms = T0 - 10_000.0
    steady(store, "m", T0 - 10_000, T0, 1_000)
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0)
    assert unpack_frame(view.frame(0, None)).records["flags"][0] & FLAG_PARTIAL
    assert view.partial == [0]
    numbers = np.arange(T0 // 1_000 - 70, T0 // 1_000 + 1.0)
    table = np.stack((numbers, *[np.full(numbers.size, 5.0)] * 5, np.ones(numbers.size)))
    view.set_older(Older({0: table}, T0 - 70_000.0, float(T0)))
    view.tick(2, T0)
    frame = unpack_frame(view.frame(0, 1))
    assert frame.kind == SNAPSHOT
    assert view.partial == []
    assert frame.body[0, : 49 + BEYOND]["max"].tolist() == [5.0] * (49 + BEYOND)
    assert frame.body[0, 49 + BEYOND : -1]["max"].tolist() == pytest.approx(list(range(-10, 0)))


def test_small_changes_of_large_values_keep_their_digits() -> None:
    store = Store()
    times = [T0 - 1_000.0 * n for n in range(59, -1, -1)]
    values = [1e12 + n / 8 for n in range(60)]
    put(store, "counter", times, values, T0)
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0 + 999)
    frame = unpack_frame(view.frame(0, None))
    drawn = frame.body[0, BEYOND:]["max"].astype(float) + frame.records["base"][0]
    assert drawn.tolist() == values
    assert base_for(0.0, 1.0) == 0.0
    assert base_for(921.4, 921.4) == 921.4
    assert base_for(NAN, NAN) == 0.0
    with warnings.catch_warnings(action="error"):
        assert base_for(np.float64(-1e308), np.float64(1e308)) == 0.0


@pytest.mark.parametrize("scale", [1e300, 3.5e38, 1e-300, 1e-42])
def test_values_beyond_float32_are_what_they_are(scale: float) -> None:
    store = Store()
    put(store, "m", [T0 - 2_000.0, T0 - 1_000.0], [scale, -0.5 * scale], T0)
    view = LiveView(store, (0,), 60_000, 60)
    with warnings.catch_warnings(action="error"):
        view.tick(1, T0)
        drawn = columns_of(unpack_frame(view.frame(0, None)), 0)
    assert [column and column.high for column in drawn[-3:-1]] == pytest.approx([scale, -0.5 * scale], rel=1e-6)


def test_a_value_that_float32_cannot_hold_is_drawn_at_once() -> None:
    store = Store()
    steady(store, "m", T0 - 60_000, T0, 1_000)
    view = LiveView(store, (0,), 60_000, 60)
    view.tick(1, T0)
    put(store, "m", [T0 + 100.0], [2e300], T0 + 200, 1)
    with warnings.catch_warnings(action="error"):
        view.tick(2, T0 + 200)
        frame = unpack_frame(view.frame(0, 1))
    assert frame.kind == SNAPSHOT
    column = columns_of(frame, 0)[-1]
    assert column is not None
    assert column.high == pytest.approx(2e300, rel=1e-6)


def test_a_range_is_one_fixed_window() -> None:
    store = Store()
    store.covered_from_ms = T0 - 100_000.0
    steady(store, "a", T0 - 60_000, T0, 1_000)
    steady(store, "b", T0 - 60_000, T0, 100)
    frame = unpack_frame(pack_range(store, (1, 0), T0 // 1_000 - 30, 10, 1_000, request_id=7, seq=3, now_ms=float(T0)))
    assert (frame.kind, frame.view, frame.first, frame.step_ms) == (4, 7, T0 // 1_000 - 30, 1_000)
    assert frame.records["index"].tolist() == [1, 0]
    assert frame.body[1]["first"].tolist() == [0] * 10
    assert frame.body[1]["min"].tolist() == pytest.approx(list(range(-30, -20)))
    assert not (frame.records["flags"] & FLAG_PARTIAL).any()


def test_a_snapshot_and_a_range_say_when_the_newest_reading_before_them_was() -> None:
    store = Store()
    store.covered_from_ms = T0 - 900_000.0
    steady(store, "silent", T0 - 300_000.0, T0 - 200_000.0, 1_000)
    put(store, "silent", [T0 - 500.0], [1.0], T0, 1)
    steady(store, "born", T0 - 20_000.0, T0, 1_000)
    view = LiveView(store, (0, 1), 60_000, 60)
    view.tick(1, float(T0))
    before = unpack_frame(view.frame(0, None)).records["before_s"].tolist()
    assert before == [T0 // 1_000 - 201, 0]
    for n in range(90):
        put(store, "born", [T0 + 1_000.0 * n], [2.0], T0 + 1_000 * n, 2 + n)
        view.tick(2 + n, T0 + 1_000.0 * n)
    later = unpack_frame(view.frame(0, None)).records["before_s"].tolist()
    assert later[0] == T0 // 1_000 - 1, "the reading that slid out since"
    assert later[1] in (T0 // 1_000 + 27, T0 // 1_000 + 28)
    data = pack_range(store, (0,), T0 // 1_000 - 100, 50, 1_000, request_id=1, seq=99, now_ms=T0 + 90_000.0)
    assert unpack_frame(data).records["before_s"].tolist() == [T0 // 1_000 - 201]


class _Watched(list[SeriesInfo]):
    """Rows of a catalogue, of which each part that is taken in is followed by a look."""

    look: Callable[[], None]

    def __getitem__(self, key: Any) -> Any:
        self.look()
        return super().__getitem__(key)


def test_a_view_of_all_series_waits_for_the_rest_of_a_catalogue() -> None:
    rows = _Watched(
        SeriesInfo(
            metric=f"m/{n}", labels={}, unit="", id=f"{T0}-{n}", time=T0, value=1.0, text=None, count=1, rate=None
        )
        for n in range(1_700)
    )
    store = Store()
    seen: list[int] = []
    views = [LiveView(store, None, 60_000, 40)]
    ticks = itertools.count(1)

    def look() -> None:
        views.append(LiveView(store, None, 60_000, 40))  # of a page that opens meanwhile
        for view in (views[0], views[-1]):
            view.tick(next(ticks), T0 + 1_000)
            seen.append(len(unpack_frame(view.frame(1, None)).records))

    rows.look = look
    store.restart(rows, {0: T0 << 32}, T0)
    assert len(seen) == 8
    assert set(seen) == {0}
    look()
    assert seen[-2:] == [1_700, 1_700]
    store.restart(rows, {0: T0 << 32}, T0)
    assert seen[-8::2] == [1_700] * 4, "who has them keeps them"
    look()
    assert seen[-2:] == [1_700, 1_700]
