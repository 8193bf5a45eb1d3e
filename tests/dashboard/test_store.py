"""The store: what was appended, in whatever order, is what its rings and tiers hold."""

from __future__ import annotations

import math
from time import time as now_s

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Service

from tidewire.livestore.backfill import backfill
from tidewire.livestore.buckets import LAST, MAX, MIN, NUMBER, NUMERIC, SUM
from tidewire.livestore.column_ring import ColumnRing
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import FLAG_ENDED, exponent_for, exponents_of, unpack_frame
from tidewire.model.batch import ANNOTATIONS, FINISHED, Batch
from tidewire.model.bucket_steps import column_step_for

T0 = 1_790_000_000_000  # a whole second


def batch(times: list[float], values: list[float | None], metric: str = "m", **more: object) -> Batch:
    return Batch(metric=metric, time=times, value=values, **more)  # type: ignore[arg-type]


def id_at(ms: float, n: int = 0) -> int:
    return int(ms) << 32 | n


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 32))
def test_a_ring_holds_the_newest_rows_side_by_side(sizes: list[int], capacity: int) -> None:
    ring, expected = ColumnRing(2, capacity), np.empty((2, 0))
    for size in sizes:
        rows = np.arange(expected.shape[1], expected.shape[1] + size, dtype=float)
        both = np.stack((rows, -rows))
        if size == 1:
            ring.append_row((both[0, 0], both[1, 0]))
        else:
            ring.append(both)
        expected = np.concatenate((expected, both), axis=1)
        assert ring.rows().tolist() == expected[:, -capacity:].tolist()[:2]
        assert ring.last_row() == expected[:, -1].tolist()
    assert ring.dropped == (expected.shape[1] > capacity)


def test_a_window_is_a_contiguous_view_of_the_ring() -> None:
    ring = ColumnRing(2, 8)
    for number in range(13):
        ring.append_row((float(number), 0.0))
    times = ring.rows()[0]
    assert times.flags.c_contiguous
    assert times.base is not None
    assert times.tolist() == [5, 6, 7, 8, 9, 10, 11, 12]


@given(st.integers(0, 20), st.integers(0, 8), st.integers(0, 8))
def test_a_ring_grows_and_loses_its_tail_without_disorder(before: int, cut: int, after: int) -> None:
    ring = ColumnRing(1, 8)
    expected = [float(number) for number in range(before)][-8:]
    for number in range(before):
        ring.append_row((float(number),))
    ring.grow(16)
    cut = min(cut, len(expected))
    tail = [100.0 + number for number in range(after)]
    ring.replace_tail(cut, np.array([tail]).reshape(1, -1))
    expected = expected[: len(expected) - cut] + tail
    assert ring.rows()[0].tolist() == expected


@pytest.mark.parametrize(
    ("window_ms", "columns", "step_ms"),
    [
        (300_000, 294, 1_021),
        (300_000, 300, 1_000),
        (900_000, 294, 3_062),
        (900_001, 294, 4_000),
        (86_400_000, 294, 294_000),
        (1_000, 2_000, 1),
        (1_000, 2, 500),
    ],
)
def test_columns_of_a_long_window_are_whole_seconds(window_ms: int, columns: int, step_ms: int) -> None:
    assert column_step_for(window_ms, columns) == step_ms


reading = st.tuples(st.integers(0, 9_000), st.one_of(st.none(), st.integers(-5, 5)))


@given(st.lists(st.lists(reading, min_size=1, max_size=8), min_size=1, max_size=12))
def test_late_and_unordered_readings_end_up_where_they_belong(batches: list[list[tuple[int, int | None]]]) -> None:
    store = Store()
    arrived: list[tuple[float, float]] = []
    for number, readings in enumerate(batches):
        times = [T0 + float(time) for time, _ in readings]
        values = [None if value is None else float(value) for _, value in readings]
        assert store.append(batch(times, values), id_at(T0 + 10_000, number + 1)) == len(readings)
        arrived += sorted(
            ((time, math.nan if value is None else value) for time, value in zip(times, values, strict=True)),
            key=lambda r: r[0],
        )
    ordered = sorted(arrived, key=lambda row: row[0])  # stable: of one time, the earlier arrival comes first
    series = store.series[0]
    held = series.raw.rows()
    assert held[0].tolist() == [time for time, _ in ordered]
    np.testing.assert_array_equal(held[1], [value for _, value in ordered])

    seconds: dict[float, list[float]] = {}
    for time, value in ordered:
        if not math.isnan(value):
            seconds.setdefault(time // 1_000, []).append(value)
    rows = series.seconds.rows()
    assert rows[NUMBER].tolist() == list(seconds)
    for at, values_of in enumerate(seconds.values()):
        expected = [values_of[-1], min(values_of), max(values_of), sum(values_of), len(values_of)]
        assert rows[[LAST, MIN, MAX, SUM, NUMERIC], at].tolist() == pytest.approx(expected)

    state = store.state[0]
    assert state["total"] == len(arrived)
    assert state["last_time_ms"] == ordered[-1][0]
    np.testing.assert_array_equal(state["last_value"], ordered[-1][1])


def test_a_batch_that_comes_again_is_dropped_and_counted() -> None:
    store = Store()
    first = batch([T0, T0 + 1.0], [1.0, 2.0])
    store.append(first, id_at(T0))
    store.append(batch([T0 + 2.0], [3.0]), id_at(T0 + 5))
    assert store.append(first, id_at(T0)) == 0
    assert store.duplicates == 2
    assert store.state[0]["total"] == 3


def test_after_a_lost_log_readings_are_compared_one_by_one() -> None:
    store = Store()
    store.append(batch([T0, T0 + 1.0], [1.0, 2.0]), id_at(T0 + 50))
    store.new_lineage()
    assert store.append(batch([T0, T0 + 1.0, T0 + 2.0], [1.0, 9.0, 3.0]), id_at(T0 + 20)) == 2
    assert store.series[0].raw.rows().tolist() == [[T0, T0 + 1, T0 + 1, T0 + 2], [1, 2, 9, 3]]
    assert store.append(batch([T0 + 2.0], [3.0]), id_at(T0 + 60)) == 1, "beyond the doubtful ids equal readings are new"


def test_a_snapshot_and_the_batch_it_came_from_count_once() -> None:
    store = Store()
    assert store.append(batch([T0 + 2.0], [3.0]), id_at(T0 + 9), snapshot=True) == 1
    assert store.state[0]["last_id_ms"] == T0 + 9
    assert store.append(batch([T0, T0 + 1.0, T0 + 2.0], [1.0, 2.0, 3.0]), id_at(T0 + 9)) == 2
    assert store.append(batch([T0 + 2.0], [3.0]), id_at(T0 + 9), snapshot=True) == 0
    assert store.series[0].raw.rows()[1].tolist() == [1, 2, 3]


def test_equal_readings_in_new_batches_all_count() -> None:
    store = Store()
    for n in range(3):
        assert store.append(batch([T0], [1.0]), id_at(T0, n + 1)) == 1
    assert store.series[0].buckets(1_000, T0 // 1_000, T0 // 1_000)[NUMERIC].tolist() == [3]


def test_the_expected_interval_is_that_of_the_readings_before_and_after_an_outage() -> None:
    store = Store()
    store.append(batch([T0, T0 + 100.0], [1.0, 1.0]), id_at(T0))
    assert math.isnan(store.series[0].expected_ms())
    times = [T0 + 1_000.0 + 250 * n + (9_000 if n > 30 else 0) for n in range(40)]
    store.append(batch(times, [1.0] * 40), id_at(T0 + 1))
    assert store.series[0].expected_ms() == 250


def test_the_newest_reading_tells_whether_its_series_has_ended() -> None:
    store = Store()
    store.append(batch([T0], [1.0]), id_at(T0))
    [series] = store.series
    assert not series.ended
    store.append(batch([T0, T0], [1.0, 1.0], text=[None, FINISHED]), id_at(T0 + 1))
    assert series.ended
    assert not store.events, "the end of the line says it"
    store.append(batch([T0 - 5.0], [0.0]), id_at(T0 + 2))
    assert series.ended, "what comes late does not make it go on"
    store.append(batch([T0 + 9.0], [2.0]), id_at(T0 + 3))
    assert not series.ended
    store.append(batch([T0 + 9.0, T0 + 10.0], [2.0, 3.0], text=[FINISHED, None]), id_at(T0 + 4))
    assert not series.ended, "only the newest says it"
    store.append(batch([T0 + 11.0], [4.0], text=["recipe 15"]), id_at(T0 + 5))
    assert not series.ended
    assert [event.text for event in store.events] == ["recipe 15"]


@pytest.mark.parametrize("metric", [ANNOTATIONS, "machine/state"])
def test_a_text_without_a_number_that_says_finished_is_an_event_or_a_state(metric: str) -> None:
    store = Store()
    store.append(batch([T0], [None], metric=metric, text=["running"]), id_at(T0))
    store.append(batch([T0 + 1.0], [None], metric=metric, text=[FINISHED]), id_at(T0 + 1))
    assert not store.series[0].ended, "a machine that has finished a part goes on"
    assert [event.text for event in store.events][-1:] == [FINISHED]


def test_an_earlier_batch_of_the_same_time_does_not_undo_an_end() -> None:
    store = Store()
    store.append(batch([T0], [1.0], text=[FINISHED]), id_at(T0 + 9), snapshot=True)
    store.append(batch([T0], [1.0]), id_at(T0 + 3))
    assert store.series[0].ended, "of equal times the later id counts, whatever came first"


def test_an_age_is_of_the_newest_reading_and_not_of_what_came_late() -> None:
    store = Store()
    store.append(batch([T0], [1.0]), id_at(T0 + 7))
    store.append(batch([T0 - 60_000.0], [1.0]), id_at(T0 + 5_000))
    assert store.state[0][["last_time_ms", "last_id_ms"]].tolist() == (T0, T0 + 7)
    store.append(batch([T0 + 1_000.0], [1.0]), id_at(T0 + 46_000))
    assert store.state[0][["last_time_ms", "last_id_ms"]].tolist() == (T0 + 1_000, T0 + 46_000)


def test_a_frame_says_which_series_have_ended() -> None:
    store = Store()
    for metric, text in (("a", FINISHED), ("b", None)):
        store.append(batch([T0 - 1.0, T0], [1e300, 2e300], metric=metric, text=[None, text]), id_at(T0))
    view = LiveView(store, None, 60_000.0, 100)
    view.tick(1, T0 + 1.0)
    flags = unpack_frame(view.frame(0, None)).records["flags"]
    assert [bool(each & FLAG_ENDED) for each in flags] == [True, False]
    assert exponents_of(flags).tolist() == [exponent_for(1e300, 2e300, 0.0)] * 2, "which have bits of their own"


def test_rates_are_of_the_last_minute_of_log_time() -> None:
    store = Store()
    for second in range(180):
        store.append(batch([T0 + second * 1_000.0 + n for n in range(6)], [0.0] * 6), id_at(T0 + second * 1_000))
    one = np.array([0])
    assert store.rates(one, T0 + 180_000).tolist() == [pytest.approx(6.0)]
    assert store.readings_per_s(T0 + 180_000) == pytest.approx(6.0)
    assert store.rates(one, T0 + 210_000)[0] == pytest.approx(3.0, abs=0.2)
    assert store.rates(one, T0 + 400_000).tolist() == [0.0]
    assert store.readings_per_s(T0 + 400_000) == 0.0


def test_raw_readings_reach_back_as_long_as_asked_and_seconds_longer() -> None:
    store = Store(raw_ms=10_000, seconds_ms=100_000)
    for n in range(40_000):
        store.append(batch([T0 + n * 10.0], [1.0]), id_at(T0 + n * 10, n + 1))
    series = store.series[0]
    newest = T0 + 399_990
    assert series.raw.rows()[0, 0] <= newest - 10_000
    assert series.raw.capacity <= 2_048
    assert series.seconds.rows()[NUMBER, 0] * 1_000 <= newest - 100_000
    assert series.seconds.capacity <= 256
    assert store.covered(series, 200) == np.inf, "nobody said since when the store was fed"
    store.covered_from_ms = T0
    assert newest - 30_000 < store.covered(series, 200) <= newest - 10_000
    assert newest - 300_000 < store.covered(series, 1_000) <= newest - 100_000


def test_past_its_bound_the_least_recently_seen_series_lose_their_blocks_and_nothing_else() -> None:
    store = Store(store_bytes=1 << 20)
    for name in range(40):
        store.append(batch([T0], [1.0], f"s/{name}"), id_at(T0, name + 1))
    looked_at = store.series[0]
    id_ = 100
    for n in range(1, 600):
        store.mark_viewed([0])
        for name in range(40):
            id_ += 1
            store.append(batch([T0 + n * 1_000.0], [float(n)], f"s/{name}"), id_at(T0 + n * 1_000, id_))
            assert store.bytes_used <= store.store_bytes
    assert store.bytes_used == sum(series.nbytes for series in store.series)
    assert looked_at.evicted_ms == -np.inf
    assert looked_at.raw.rows()[1].tolist() == [1.0, *map(float, range(1, 600))]
    lost = [series for series in store.series if series.evicted_ms > 0]
    assert lost
    assert store.covered(lost[0], 1_000) >= lost[0].evicted_ms
    assert set(store.state["total"][:40].tolist()) == {600.0}


def test_a_flood_in_one_series_takes_a_quarter_of_the_store_at_most() -> None:
    store = Store(store_bytes=1 << 20)
    store.append(batch([T0], [1.0], "quiet"), id_at(T0))
    for n in range(40):
        times = [T0 + 1 + n + i / 1_000 for i in range(1_000)]
        store.append(batch(times, [0.5] * 1_000, "flood"), id_at(T0 + n, n + 2))
    quiet, flood = store.series
    assert flood.nbytes <= store.store_bytes // 4
    assert flood.raw.dropped
    assert flood.raw.rows()[0, -1] == T0 + 1 + 39 + 0.999
    assert quiet.raw.rows().tolist() == [[T0], [1.0]]


def test_series_past_the_limit_are_refused_and_counted_and_old_ones_go_on() -> None:
    store = Store(max_series=2)
    for name in ("a", "b", "c"):
        store.append(batch([T0], [1.0], name), id_at(T0, 1))
    assert (len(store.series), store.refused) == (2, 1)
    assert store.append(batch([T0 + 1.0], [1.0], "a"), id_at(T0 + 1)) == 1


def test_the_directory_tells_births_and_changed_units_by_version() -> None:
    store = Store()
    store.append(batch([T0], [1.0], "a", unit="Cel"), id_at(T0, 1))
    store.append(batch([T0], [1.0], "a", unit="Cel", labels={"site": "B"}), id_at(T0, 2))
    version = store.directory_version
    assert [series.labels for series in store.changed_since(0)] == [{}, {"site": "B"}]
    assert store.changed_since(version) == []
    store.append(batch([T0 + 1.0], [1.0], "a", unit="K"), id_at(T0 + 1))
    assert [(series.index, series.unit) for series in store.changed_since(version)] == [(0, "K")]
    assert store.find("a", {"site": "B"}) is store.series[1]


def test_readings_with_a_text_are_events_and_are_bounded() -> None:
    store = Store(max_events=3)
    for n in range(5):
        store.append(batch([T0 + n], [None], "annotations", text=[f"deploy {n}"]), id_at(T0 + n))
    assert [event.text for event in store.events] == ["deploy 2", "deploy 3", "deploy 4"]
    assert store.events_version == 5


def test_twenty_thousand_events_are_kept_each_once() -> None:
    store = Store()
    times = [T0 + n for n in range(20_500)]
    for repeat in range(2):
        for start in range(0, len(times), 500):
            part = times[start : start + 500]
            texts = [f"event {time_ms % 7}" for time_ms in part]
            store.append(batch(part, [None] * len(part), "annotations", text=texts), 0, snapshot=bool(repeat))
    assert len(store.events) == 20_000
    assert max(event.time_ms for event in store.events) == times[-1]
    assert len({(event.time_ms, event.text) for event in store.events}) == 20_000


def test_an_event_whose_reading_came_in_a_snapshot_is_an_event() -> None:
    """Snapshot and stream race at the start: whichever is first, and whether or not the snapshot has the text."""
    event, id_ = batch([T0], [None], "annotations", text=["deploy"]), id_at(T0)
    for first, second in ((True, False), (False, True)):
        for text in ([None], ["deploy"]):
            store = Store()
            for snapshot in (first, second):
                store.append(
                    batch([T0], [None], "annotations", text=text) if snapshot else event, id_, snapshot=snapshot
                )
            assert [(one.time_ms, one.text) for one in store.events] == [(T0, "deploy")]


def test_of_equal_times_in_one_batch_the_last_counts_though_a_snapshot_brought_it() -> None:
    store = Store()
    store.append(batch([T0], [3.0]), id_at(T0), snapshot=True)
    store.append(batch([T0 - 5, T0, T0], [1.0, 2.0, 3.0]), id_at(T0))
    assert store.state["last_value"][0] == 3.0
    assert store.state["total"][0] == 3


async def test_events_of_before_the_stream_come_with_the_catalog(service: Service) -> None:
    for seconds, text in ((2, "old"), (1, "new")):
        await service.publish("annotations", None, time=[now_s() * 1e3 - 1_000 * seconds], text=[text])
    store = Store()
    assert await backfill(store, service.url, "", ["**"], None)
    assert [event.text for event in store.events] == ["old", "new"]
    assert math.isnan(store.state[0]["last_value"])


def test_many_more_series_than_rows_at_first() -> None:
    store = Store()
    for name in range(1_000):
        store.append(batch([T0 + 1.0], [float(name)], f"s/{name}"), id_at(T0, name + 1))
    assert store.state["last_value"][:1_000].tolist() == list(map(float, range(1_000)))
    assert store.rates(np.arange(1_000), T0 + 2_000).tolist() == pytest.approx([1 / 60] * 1_000)


def test_the_last_reading_is_the_newest_of_snapshots_and_batches_whichever_comes_first() -> None:
    store = Store()
    store.append(batch([T0], [2.0]), id_at(T0, 2), snapshot=True)
    store.append(batch([T0], [1.0]), id_at(T0, 1))  # the log delivers what was logged before the catalog was read
    assert store.state["last_value"][0] == 2.0
    store.append(batch([T0], [3.0]), id_at(T0, 3))
    assert store.state["last_value"][0] == 3.0
    # a reading ahead of its time, from before the replay: the catalog's id is that of the last batch
    store.append(batch([T0 + 60_000], [9.0]), id_at(T0, 3), snapshot=True)
    assert (store.state["last_value"][0], store.state["total"][0]) == (9.0, 4)
    store.append(batch([T0 + 60_000], [9.0]), id_at(T0, 3), snapshot=True)
    assert store.state["total"][0] == 4


def test_readings_of_a_history_read_later_than_the_catalog_are_not_stored_again() -> None:
    store = Store()
    store.append(batch([T0 - 5], [1.0]), id_at(T0, 1), snapshot=True, upto=id_at(T0, 2))
    store.append(batch([T0], [2.0]), id_at(T0, 1), snapshot=True)
    store.append(batch([T0], [2.0]), id_at(T0, 1))
    store.append(batch([T0 - 5], [1.0]), id_at(T0, 2))
    assert store.state["total"][0] == 2


def test_a_change_of_unit_begins_a_new_piece_and_is_marked() -> None:
    store = Store()
    store.append(batch([T0, T0 + 1_000], [20.0, 21.0], unit="Cel"), id_at(T0, 1))
    store.append(batch([T0 + 1_500], [21.5], unit="°C"), id_at(T0, 2))
    assert (store.events_version, store.series[0].unit_since_ms) == (0, -math.inf)
    store.append(batch([T0 + 2_250, T0 + 3_000], [68.0, 69.0], unit="[degF]"), id_at(T0, 3))
    (series,) = store.series
    assert series.unit == "[degF]"
    assert T0 + 1_500 < series.unit_since_ms <= T0 + 2_250
    (mark,) = store.events
    assert (mark.time_ms, mark.text, mark.metric) == (T0 + 2_250, "unit: °C → °F", "m")
    for step_ms in (100, 1_000, 5_000):  # of the readings and of the seconds
        rows = series.buckets(step_ms, T0 // step_ms, (T0 + 10_000) // step_ms)
        assert rows[MIN].min() >= 68
        assert rows[MAX].max() == 69
    store.append(batch([T0 + 4_000], [70.0]), id_at(T0, 4))  # without a unit: it goes on
    store.append(batch([T0 + 5_000], [None], text=["a flag"]), id_at(T0, 5))
    store.append(batch([T0 + 500], [19.0], unit="Cel"), id_at(T0, 6))  # late, and of the piece before
    assert (series.unit, store.state["last_time_ms"][0], len(store.events)) == ("[degF]", T0 + 5_000, 2)
    store.append(batch([T0 + 6_000], [22.0], unit="Cel"), id_at(T0, 7))
    assert (series.unit, len(store.events)) == ("Cel", 3)
    assert T0 + 5_000 < series.unit_since_ms <= T0 + 6_000


def test_a_view_draws_only_the_piece_of_the_newest_unit() -> None:
    store = Store()
    store.covered_from_ms = 0.0
    for n in range(5):
        store.append(batch([T0 + n * 1_000.0], [20.0 + n], unit="Cel"), id_at(T0 + n * 1_000))
    view = LiveView(store, None, 10_000, 10)
    view.tick(1, T0 + 5_000)
    assert np.nanmax(view._window.data[0]["max"] + view._window.records[0]["base"]) == 24
    store.append(batch([T0 + 5_000.0], [68.0], unit="[degF]"), id_at(T0 + 5_000))
    store.append(batch([T0 + 6_000.0], [69.0], unit="[degF]"), id_at(T0 + 6_000))
    view.tick(2, T0 + 6_000)
    drawn, base = view._window.data[0], view._window.records[0]["base"]
    assert np.nanmin(drawn["min"] + base) >= 68
    assert np.nanmax(drawn["max"] + base) == 69


def test_readings_that_came_too_late_for_memory_are_asked_for_from_the_history() -> None:
    """Somebody imports the last two weeks of a series that is live: no window of them may look empty."""
    store, now_ms, hour_ms = Store(), 1_790_000_000_000.0, 3_600_000.0
    store.covered_from_ms = -math.inf
    store.append(Batch(metric="m", time=[now_ms - 1_000], value=[2.0]), int(now_ms) << 32)
    week = LiveView(store, (0,), 168 * hour_ms, 300)
    week.tick(1, now_ms)
    assert week.partial == []
    past = [now_ms - n * hour_ms for n in range(336, 8, -1)]
    store.append(Batch(metric="m", time=past, value=[1.0] * len(past)), (int(now_ms) << 32) + 1)
    week.tick(2, now_ms)
    assert week.partial == [0]
    minutes = LiveView(store, (0,), 600_000, 300)
    minutes.tick(2, now_ms)
    assert minutes.partial == []
