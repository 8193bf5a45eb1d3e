"""Alarms of a store, under a clock of the test's."""

from __future__ import annotations

from typing import Any

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
