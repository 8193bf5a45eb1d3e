"""When a series that lives is called silent: never if it has no pace, soon if it has one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import pytest

from tidewire.livestore.gaps import gap_limit_ms
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import arrival_ms, unpack_frame
from tidewire.model.batch import Batch

T0 = 1_790_000_000_000.0


def silences(intervals_ms: Iterator[float], count: int) -> list[tuple[int, float, float]]:
    """Append readings at these intervals; return the silences that were called so: which, its length, the limit."""
    store, now_ms, found = Store(), T0, []
    for number in range(count):
        store.append(Batch(metric="m", time=[now_ms], value=[1.0]), int(now_ms) << 32)
        limit_ms = gap_limit_ms(store.series[0].expected_ms())
        silence_ms = next(intervals_ms)
        if silence_ms > limit_ms:
            found.append((number, silence_ms, limit_ms))
        now_ms += silence_ms
    return found


def every(interval_ms: Callable[[int], float]) -> Iterator[float]:
    number = 0
    while True:
        yield interval_ms(number)
        number += 1


@pytest.mark.parametrize("mean_s", [1, 10, 300])
def test_what_comes_at_random_over_hours_is_never_called_silent_once_it_is_known(mean_s: float) -> None:
    chance = random.Random(mean_s)
    found = silences(every(lambda _: chance.expovariate(1e-3 / mean_s)), 2_000)
    assert [each for each in found if each[0] >= 10] == []
    assert len(found) <= 1, "of the first readings one may be mistaken: nobody can tell a pace from three"


def test_bursts_with_long_pauses_are_not_silent_after_two_pauses() -> None:
    chance = random.Random(5)
    found = silences(every(lambda n: chance.uniform(30e3, 90e3) if n % 25 == 24 else 100.0), 1_000)
    assert [number for number, _, _ in found] == [24, 49], "what was never seen is a silence while it lasts"


def test_a_pace_with_jitter_is_called_silent_within_a_few_intervals() -> None:
    chance = random.Random(6)
    jitter = [1_000 + chance.uniform(-300, 300) for _ in range(400)]
    assert silences(iter(jitter), 400) == []
    jitter[200] = 30_000.0
    [(number, _, limit_ms)] = silences(iter(jitter), 400)
    assert number == 200
    assert 2_000 <= limit_ms <= 5_000


def test_a_hole_does_not_make_the_next_one_usual() -> None:
    holes = [30_000.0 if number in (100, 180) else 1_000.0 for number in range(300)]
    assert [(number, limit) for number, _, limit in silences(iter(holes), 300)] == [(100, 3_000), (180, 3_000)]


def test_hourly_values_are_silent_after_three_hours() -> None:
    hourly = [3.6e6] * 20 + [4 * 3.6e6]
    assert silences(iter(hourly), 21) == [(20, 4 * 3.6e6, 3 * 3.6e6)]


def test_two_readings_have_no_pace() -> None:
    assert silences(iter([1_000.0, 86_400e3]), 2) == []


def test_the_pace_of_many_readings_is_not_told_anew_with_each() -> None:
    store = Store()
    times = [T0 + 1_000.0 * number for number in range(300)]
    store.append(Batch(metric="m", time=times, value=[1.0] * 300), 1)
    [series] = store.series
    assert series.expected_ms() == 1_000
    for number in range(40):  # from now on twice as slow
        times.append(times[-1] + 2_000)
        store.append(Batch(metric="m", time=times[-1:], value=[1.0]), 2 + number)
        assert 1_000 <= series.expected_ms() <= 3_000
    store.append(Batch(metric="m", time=[T0 - 500.0], value=[1.0]), 99)  # late: told anew
    assert not math.isnan(series.expected_ms())


class Log:
    """What a producer's readings, one a second, look like in the store; times are seconds since `T0`."""

    def __init__(self) -> None:
        self.store = Store()
        self.view = LiveView(self.store, (0,), 60_000, 60)
        self._seq = 0

    def publish(self, came_s: float, from_s: float, to_s: float) -> None:
        times = [T0 + 1e3 * at for at in range(int(from_s), int(to_s))]
        self.store.append(Batch(metric="m", time=times, value=[1.0] * len(times)), int(T0 + 1e3 * came_s) << 32)

    def blocks_s(self, now_s: float) -> float:
        """Return how far apart the page is told that blocks come; 0 if they do not."""
        self._seq += 1
        self.view.tick(self._seq, T0 + 1e3 * now_s)
        [record] = unpack_frame(self.view.frame(0, None)).records
        return arrival_ms(0.0, int(record["flags"])) / 1e3


def test_readings_that_are_delivered_together_are_not_silent_in_between() -> None:
    log = Log()
    for minute in range(1, 9):
        log.publish(60 * minute, 60 * (minute - 1), 60 * minute)
        blocks_s = log.blocks_s(60 * minute + 1)
        assert blocks_s == (0 if minute < 4 else pytest.approx(60, rel=0.05)), "three silences make a habit"
        assert log.store.series[0].expected_ms() == 1_000, "between its readings nothing changed"


def test_a_producer_that_delivers_each_reading_again_has_its_own_pace_again() -> None:
    log = Log()
    for minute in range(1, 9):
        log.publish(60 * minute, 60 * (minute - 1), 60 * minute)
    for second in range(480, 640):
        log.publish(second + 0.1, second, second + 1)
    assert log.blocks_s(640) == 0


@pytest.mark.parametrize("kept", [True, False], ids=["made up for", "lost"])
def test_outages_are_no_deliveries(kept: bool) -> None:
    log, at = Log(), 0
    for outage_s in (60, 60, 60, 60, 60):
        for second in range(at, at + 180 if kept else at + 30):
            log.publish(second + 0.1, second, second + 1)
        at = second + outage_s
        log.publish(at, second + 1 if kept else at - 1, at)
    assert log.blocks_s(at + 1) == 0


def test_late_readings_of_a_slow_series_are_no_blocks() -> None:
    log = Log()
    for minute in range(1, 9):
        log.publish(60 * minute + 45, 60 * minute, 60 * minute + 1)
    assert log.blocks_s(600) == 0
