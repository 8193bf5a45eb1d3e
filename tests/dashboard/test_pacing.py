"""The pace of frames, with a clock of the test's own."""

from __future__ import annotations

import itertools

import pytest

from tidewire_dashboard.pacing import TICK_MS, Pacing


def frames(pacing: Pacing, ticks: int, ack_after_ms: float) -> list[float]:
    """Return when frames were sent over so many ticks, each acknowledged so long after it was sent."""
    sent, now, waiting = [], 0.0, None
    for number in range(ticks):
        tick_at = number * TICK_MS
        while waiting is not None and waiting[1] <= tick_at:
            seq, now = waiting
            waiting = None
            if pacing.acknowledged(seq, now):
                sent.append(now)
                pacing.sent(seq + 10_000, now)
                waiting = (seq + 10_000, now + ack_after_ms)
        now = tick_at
        if pacing.tick(number):
            sent.append(now)
            pacing.sent(number, now)
            waiting = (number, now + ack_after_ms)
    return sent


def test_a_prompt_viewer_gets_one_frame_per_interval() -> None:
    sent = frames(Pacing(5), 51, 16)
    assert [after - before for before, after in itertools.pairwise(sent)] == [200.0] * 25


def test_an_acknowledgement_a_little_late_does_not_lose_a_whole_tick() -> None:
    sent = frames(Pacing(5), 51, 210)
    gaps = [after - before for before, after in itertools.pairwise(sent)]
    assert max(gaps) == 210


def test_a_slow_viewer_gets_a_frame_each_time_it_has_drawn_one_and_nothing_queues() -> None:
    sent = frames(Pacing(10), 101, 1_050)
    gaps = [after - before for before, after in itertools.pairwise(sent)]
    assert set(gaps) == {1_050}


def test_a_viewer_that_never_answers_gets_one_frame() -> None:
    assert len(frames(Pacing(10), 1_000, 1e9)) == 1


@pytest.mark.parametrize(("fps", "every"), [(10, 1), (5, 2), (3, 4), (2, 6), (1, 10)])
def test_slower_views_take_the_same_ticks_as_each_other(fps: int, every: int) -> None:
    pacing = Pacing(fps)
    assert [number for number in range(40) if pacing.tick(number)] == list(range(0, 40, every))


def test_old_and_foreign_acknowledgements_change_nothing() -> None:
    pacing = Pacing(5)
    pacing.sent(4, 0)
    assert not pacing.acknowledged(3, 1)
    assert pacing.unacknowledged == 4
    pacing.tick(6)
    assert pacing.due
    pacing.restart()
    assert not pacing.acknowledged(4, 2), "it was sent before the deck said hello again"
    assert pacing.since is None


def test_lag_is_how_late_the_acknowledgement_is_and_stays_until_one_comes_in_time() -> None:
    pacing = Pacing(5)
    assert pacing.lag_ms(1e6) == 0
    pacing.sent(1, 1_000)
    assert pacing.lag_ms(1_100) == 0
    assert pacing.lag_ms(3_200) == 2_000
    pacing.acknowledged(1, 3_400)
    assert pacing.lag_ms(9_000) == 2_200, "a viewer that draws slowly lags all the time, not only while it draws"
    pacing.sent(2, 9_000)
    assert pacing.lag_ms(9_100) == 2_200
    pacing.acknowledged(2, 9_150)
    assert pacing.lag_ms(9_900) == 0
    pacing.sent(3, 10_000)
    pacing.acknowledged(3, 15_000)
    pacing.restart()
    assert pacing.lag_ms(20_000) == 0, "what a hidden tab missed is no lag"
