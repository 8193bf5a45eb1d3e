"""Alarms of a store, under a clock of the test's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewire.livestore.alarms import Alarms
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch
from tidewire.model.threshold import Threshold

LINE_1 = {"line": "1"}


def put(store: Store, metric: str, value: float | None, **labels: str) -> None:
    put.times += 1.0  # type: ignore[attr-defined]
    store.append(Batch(metric=metric, labels=labels, time=[put.times], value=[value]), 0)  # type: ignore[attr-defined]


put.times = 1e12  # type: ignore[attr-defined]


def alarms_of(alarms: Alarms) -> list[tuple[int, str]]:
    return [(alarm.i, alarm.level) for alarm in alarms.alarms_message().alarms]


def test_the_worst_level_of_each_series_counts_and_labels_and_patterns_select() -> None:
    store = Store()
    put(store, "furnace/a", 960, line="1")
    put(store, "furnace/a", 960, line="2")
    put(store, "other", 960)
    put(store, "furnace/b", None)
    alarms = Alarms(store)
    alarms.set([
        Threshold(metric="furnace/*", warn_above=935),
        Threshold(metric="furnace/a", labels=LINE_1, critical_above=950),
    ])  # fmt: skip
    alarms.evaluate(0)
    assert alarms_of(alarms) == [(0, "critical"), (1, "warn")]


def test_a_series_born_later_is_looked_at_and_others_keep_their_alarms() -> None:
    store = Store()
    put(store, "a", 2)
    alarms = Alarms(store)
    alarms.set([Threshold(metric="*", warn_above=1, for_s=2)])
    for now_ms in (0, 1_000, 1_900):
        alarms.evaluate(now_ms)
    assert alarms_of(alarms) == []
    put(store, "b", 2)
    version = alarms.version
    alarms.evaluate(2_400)
    assert alarms_of(alarms) == [(0, "warn")]
    assert alarms.version > version
    alarms.evaluate(4_500)
    assert alarms_of(alarms) == [(0, "warn"), (1, "warn")]


def test_setting_the_same_again_changes_nothing_and_others_end_alarms() -> None:
    store = Store()
    put(store, "a", 2)
    alarms = Alarms(store)
    hot = Threshold(metric="a", warn_above=1)
    alarms.set([hot])
    alarms.evaluate(0)
    before: Any = (alarms.thresholds_version, alarms.version)
    alarms.set([hot])
    assert (alarms.thresholds_version, alarms.version) == before
    alarms.set([Threshold(metric="a", warn_above=5)])
    alarms.evaluate(1_000)
    assert alarms_of(alarms) == []
    assert alarms.thresholds_message().thresholds == [Threshold(metric="a", warn_above=5.0)]


def test_without_a_threshold_there_is_no_alarm() -> None:
    store = Store()
    put(store, "a", 2)
    alarms = Alarms(store)
    alarms.set([Threshold(metric="a", warn_above=1)])
    alarms.evaluate(0)
    assert alarms_of(alarms) == [(0, "warn")]
    alarms.set([])
    alarms.evaluate(5_000)
    assert alarms_of(alarms) == []


# -- every reading counts


CRITICAL = Threshold(metric="p", critical_above=95)
START_MS = 1.7e12


def batch(times_s: Sequence[float], values: Sequence[float], metric: str = "p", unit: str = "") -> Batch:
    return Batch(metric=metric, labels={}, unit=unit, time=[START_MS + s * 1e3 for s in times_s], value=list(values))


def texts(alarms: Alarms) -> list[str]:
    return [event.text for event in alarms.excursions]


@pytest.mark.parametrize("long_s", [0.05, 0.25, 1.0])
def test_every_excursion_is_an_event_however_short(long_s: float) -> None:
    """Thirteen of them in readings of 20 Hz, which come in batches of a second, looked at twice a second."""
    store = Store()
    alarms = Alarms(store)
    alarms.set([CRITICAL])
    expected = [START_MS + 1e3 * (3.35 + 4 * n) for n in range(13)]
    for second in range(60):
        times = [second + n / 20 for n in range(20)]
        beyond = [any(e <= START_MS + s * 1e3 + 0.1 < e + long_s * 1e3 for e in expected) for s in times]
        store.append(batch(times, [97.25 if b else 50.0 for b in beyond], unit="%"), 0)
        for half in (0.5, 1.0):
            alarms.evaluate(START_MS + (second + half) * 1e3)
    found = [event.time_ms for event in alarms.excursions]
    assert found == pytest.approx(expected, abs=1)
    long = f"{long_s * 1e3:.0f} ms" if long_s < 1 else "1 s"
    assert texts(alarms) == [f"critical for {long}: 97.25 %, above 95"] * 13
    assert alarms_of(alarms) == []


def test_an_excursion_that_goes_on_is_an_alarm_and_becomes_an_event_at_its_end() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([Threshold(metric="p", warn_above=90, critical_above=95)])
    for second, value in enumerate([50, 92, 97, 99, 93]):
        store.append(batch([second], [value]), 0)
        alarms.evaluate(START_MS + second * 1e3)
    assert alarms_of(alarms) == [(0, "warn")]
    assert alarms.alarms_message().alarms[0].since_ms == START_MS + 4_000
    assert texts(alarms) == []
    version = alarms.excursions_version
    store.append(batch([64], [50]), 0)
    alarms.evaluate(START_MS + 64_000)
    assert texts(alarms) == ["critical for 63 s: 99, above 95"]
    assert (alarms_of(alarms), alarms.excursions_version > version) == ([], True)


def test_who_has_the_events_of_a_version_is_told_those_since_and_all_when_some_are_gone() -> None:
    store = Store(max_events=4)
    alarms = Alarms(store)
    alarms.set([Threshold(metric="p", warn_above=90)])

    def told(seen: tuple[int, int] | None) -> tuple[bool, list[str]]:
        message = alarms.events_message(seen, lambda metric: metric != "secret")
        return message.full, [event.text for event in message.events]

    def note(second: float, metric: str = "annotations") -> None:
        time_ms = START_MS + second * 1e3
        store.append(Batch(metric=metric, labels={}, time=[time_ms], value=[None], text=[f"at {second:g}"]), 0)

    assert told(None) == (True, [])
    note(1)
    start = alarms.events_version
    assert told(None) == (True, ["at 1"])
    assert told(start) == (False, [])
    note(2)
    note(1.5)
    note(3, "secret")
    assert told(start) == (False, ["at 1.5", "at 2"])
    store.append(batch([10, 11], [95, 50]), 0)
    alarms.evaluate(START_MS + 11_000)
    (excursion,) = alarms.excursions
    assert (excursion.level, excursion.text) == ("warn", "warn for 1 s: 95, above 90")
    assert told(start) == (False, ["at 1.5", "at 2", excursion.text])
    assert told(alarms.events_version) == (False, [])
    for second in range(20, 25):
        note(second)
    assert told(start) == (True, [excursion.text, "at 21", "at 22", "at 23", "at 24"]), "more came than are kept"
    before = alarms.events_version
    alarms.set([Threshold(metric="p", warn_above=91)])
    assert told(before) == (True, ["at 21", "at 22", "at 23", "at 24"]), "an excursion of no threshold is none"


def test_below_counts_as_above_and_an_end_without_a_number_is_an_end() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([Threshold(metric="p", warn_above=90, critical_below=-5)])
    for values in ([0, -6, -7, 0], [91, None]):
        start = store.state["total"][0]
        store.append(batch([start + n for n in range(len(values))], values), 0)  # type: ignore[arg-type]
    alarms.evaluate(START_MS + 9_000)
    assert texts(alarms) == ["critical for 2 s: -7, below -5", "warn for 1 s: 91, above 90"]


def test_the_value_told_is_the_one_furthest_beyond_the_limit_and_not_one_within_the_hysteresis() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([Threshold(metric="p", critical_above=95, critical_below=5, hysteresis=10)])
    store.append(batch(range(7), [50, 96, 97.5, 86, 50, 4, 50]), 0)
    alarms.evaluate(START_MS + 9_000)
    assert texts(alarms) == ["critical for 3 s: 97.5, above 95", "critical for 1 s: 4, below 5"]


def test_a_late_excursion_is_told_once_and_changes_no_level() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([CRITICAL])
    store.append(batch(range(0, 60, 2), [97 if 20 <= s < 26 else 50 for s in range(0, 60, 2)]), 0)
    alarms.evaluate(START_MS + 60_000)
    before = (alarms.version, texts(alarms))
    assert before[1] == ["critical for 6 s: 97, above 95"]
    store.append(batch([11, 13, 21], [99, 50, 98]), 0)
    alarms.evaluate(START_MS + 61_000)
    assert texts(alarms) == ["critical for 6 s: 97, above 95", "critical for 1 s: 99, above 95"]
    assert (alarms.version, alarms_of(alarms)) == (before[0], [])


@pytest.mark.parametrize("batches", [64, 65, 200])
def test_an_excursion_in_the_first_of_many_late_batches_is_told_once(batches: int) -> None:
    """An outbox that flushes after an outage: more late batches between two looks than a series can tell apart."""
    store = Store()
    alarms = Alarms(store)
    alarms.set([CRITICAL])
    store.append(batch([0, 9_000], [50, 50]), 0)
    alarms.evaluate(START_MS + 9_000_000)
    for number in range(batches):
        store.append(batch([10 + 3 * number, 11 + 3 * number], [97 if number == 0 else 50, 50]), 0)
    alarms.evaluate(START_MS + 9_001_000)
    assert texts(alarms) == ["critical for 1 s: 97, above 95"]
    store.append(batch([5_000], [50]), 0)
    alarms.evaluate(START_MS + 9_002_000)
    assert (texts(alarms), alarms_of(alarms)) == (["critical for 1 s: 97, above 95"], [])


def test_no_late_reading_tells_again_what_was_told_long_ago() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([CRITICAL])
    for number in range(200):
        store.append(batch([10 * number + s for s in range(3)], [50, 97, 50]), 0)
        alarms.evaluate(START_MS + number * 10_000 + 2_000)
    assert len(texts(alarms)) == 200
    store.append(batch([5], [50]), 0)  # before all others but the first
    alarms.evaluate(START_MS + 3_000_000)
    assert len(texts(alarms)) == 200


def test_time_passes_without_a_reading_for_a_limit_that_must_be_passed_for_long() -> None:
    """By the reading's own time and what has passed since it was seen, however late it came."""
    store = Store()
    alarms = Alarms(store)
    alarms.set([Threshold(metric="p", critical_above=95, for_s=10)])
    store.append(batch([0, 4], [99, 99]), 0)
    late_ms = START_MS + 45_000
    seen = []
    for after_s in (0, 5.5, 6.5):
        alarms.evaluate(late_ms + after_s * 1e3)
        seen.append(alarms_of(alarms))
    assert seen == [[], [], [(0, "critical")]]


def test_what_a_threshold_found_goes_with_it_and_what_it_would_have_found_comes_with_it() -> None:
    store = Store()
    alarms = Alarms(store)
    store.append(batch([0, 1, 2], [50, 97, 50]), 0)
    alarms.set([CRITICAL])
    alarms.evaluate(START_MS + 3_000)
    assert texts(alarms) == ["critical for 1 s: 97, above 95"]
    alarms.set([Threshold(metric="p", warn_above=96.5)])
    alarms.evaluate(START_MS + 4_000)
    assert texts(alarms) == ["warn for 1 s: 97, above 96.5"]
    alarms.set([])
    assert texts(alarms) == []


def test_a_reading_of_the_same_time_counts_as_the_newest() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([CRITICAL])
    for value in (50, 97):
        store.append(batch([1], [value]), 0)
        alarms.evaluate(START_MS + value * 1e3)
    assert alarms_of(alarms) == [(0, "critical")]


def test_of_equal_times_the_later_id_counts_though_the_catalogue_brought_it_first() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([CRITICAL])
    store.append(batch([1], [97]), 2 << 32, snapshot=True, upto=2 << 32)
    store.append(batch([1], [50]), 1 << 32)
    alarms.evaluate(START_MS)
    assert alarms_of(alarms) == [(0, "critical")]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([0, 91, 97, 89.5, math.nan]), st.integers(1, 5)), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.sampled_from([0.0, 1.0]),
)
def test_looks_find_what_reading_by_reading_finds(
    steps: list[tuple[float, int]], for_s: float, hysteresis: float
) -> None:
    """The number beside a value is of the readings until the next look."""
    threshold = Threshold(metric="p", warn_above=90, critical_above=95, for_s=for_s, hysteresis=hysteresis)
    looked, each = Store(), Store()
    rare, often = Alarms(looked), Alarms(each)
    for alarms in (rare, often):
        alarms.set([threshold])
    wait = 1
    for second, (value, until_look) in enumerate(steps):
        for store in (looked, each):
            store.append(batch([second], [value]), 0)
        for part in (0, 0.5):
            often.evaluate(START_MS + (second + part) * 1e3)
        wait -= 1
        if not wait:
            rare.evaluate(START_MS + second * 1e3)
            wait = until_look
    end_ms = START_MS + (len(steps) - 1) * 1e3
    for alarms in (rare, often):
        for after_ms in (500, 1_000, 4_500):
            alarms.evaluate(end_ms + after_ms)
    assert rare.excursions == often.excursions
    assert alarms_of(rare) == alarms_of(often)


def test_many_pairs_take_turns_and_none_is_left_out() -> None:
    store = Store()
    alarms = Alarms(store)
    alarms.set([Threshold(metric="**", warn_above=1)])
    for n in range(9_000):
        store.append(batch([1, 2], [2, 0], f"m/{n}"), 0)
    for look in range(3):
        alarms.evaluate(START_MS + 10_000 + look)
    assert alarms.excursions_version == 9_000
    assert len(alarms.excursions) == 1_000
