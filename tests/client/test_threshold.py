"""Thresholds: levels, hysteresis, and alarms under a clock of the test's."""

from __future__ import annotations

import math

from tidewire.model.threshold import Alarm, Threshold

HOT = Threshold(metric="t", warn_above=935, critical_above=950, hysteresis=5)


def test_a_value_on_the_limit_is_no_alarm() -> None:
    assert HOT.level(935, None) is None
    assert HOT.level(935.1, None) == "warn"
    assert HOT.level(950.1, None) == "critical"
    assert HOT.level(math.nan, None) is None


def test_an_alarm_ends_only_behind_the_hysteresis() -> None:
    assert [HOT.level(value, "warn") for value in (931, 930.1, 930)] == ["warn", "warn", None]
    assert [HOT.level(value, "critical") for value in (946, 944, 929)] == ["critical", "warn", None]


def test_both_sides_have_limits() -> None:
    both = Threshold(metric="t", warn_above=10, warn_below=0, critical_below=-5, hysteresis=1)
    found = [both.level(value, None) for value in (11, 5, -1, -6)]
    assert found == ["warn", None, "warn", "critical"]
    assert both.level(0.5, "warn") == "warn"
    assert both.level(1, "warn") is None


def test_it_begins_after_the_time_without_a_pause_and_ends_at_once() -> None:
    alarm = Alarm(Threshold(metric="t", warn_above=1, for_s=3))
    seen = []
    for second, value in enumerate([2, 2, 0, 2, 2, 2, 2, 2, 0]):
        alarm.evaluate(value, second * 1e3)
        seen.append(alarm.level)
    assert seen == [None, None, None, None, None, None, "warn", "warn", None]


def test_a_higher_level_has_a_time_of_its_own() -> None:
    alarm = Alarm(Threshold(metric="t", warn_above=1, critical_above=5, for_s=2))
    seen = []
    for second, value in enumerate([2, 2, 2, 6, 6, 6, 2]):
        alarm.evaluate(value, second * 1e3)
        seen.append(alarm.level)
    assert seen == [None, None, "warn", "warn", "warn", "critical", "warn"]
    assert alarm.since_ms == 6_000


def test_a_climb_through_warn_to_critical_counts_from_where_it_left_normal() -> None:
    alarm = Alarm(Threshold(metric="t", warn_above=1, critical_above=5, for_s=2))
    levels = []
    for second, value in enumerate([2, 6, 6, 6]):
        alarm.evaluate(value, second * 1e3)
        levels.append(alarm.level)
    assert levels == [None, None, "critical", "critical"]
