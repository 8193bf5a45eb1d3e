"""Runs over their steps: lines of bounded size with every extreme, and each reading once, past and live."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from history_gate import HistoryGate
from hypothesis import given
from hypothesis import strategies as st
from loop_meter import HELD_S, measured
from waiting import Eventually

from tidewire.livestore.feed import Feed
from tidewire.livestore.journal import Journal
from tidewire.livestore.messages import RunEntry, RunLineWanted, RunPoints, RunsAnswer, RunsRequest
from tidewire.livestore.run_line import MOST_POINTS, RunLine
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.runs import Runs
from tidewire.livestore.store import Store
from tidewire.model.batch import make_batch
from tidewire.model.cursor import Cursor
from tidewire.model.states import StreamBatch
from tidewire_dashboard.login import EVERYBODY, Login

HOUR_MS = 3_600_000.0
numbers = st.floats(-1e12, 1e12, allow_nan=False)
places = st.one_of(st.integers(0, 5_000).map(float), st.floats(0, 1e9, allow_nan=False))


def parts(items: list[tuple[float, float]], cuts: list[int]) -> Iterator[list[tuple[float, float]]]:
    edges = sorted({0, len(items), *(cut % (len(items) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        yield items[start:end]


COLUMNS = ("x", "mean", "min", "max", "first", "last")


def joined(have: RunPoints | None, part: RunPoints) -> RunPoints:
    """Return what a deck has after a part, as it takes one."""
    columns = {name: getattr(part, name) or part.mean for name in COLUMNS}
    if have is None:
        assert part.start == 0
    else:
        columns = {name: [*getattr(have, name)[: part.start], *new] for name, new in columns.items()}
    return RunPoints(i=part.i, version=part.version, start=0, **columns)


@given(st.lists(st.tuples(places, numbers), min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_a_line_is_the_same_in_whatever_parts_it_comes_and_is_sent(
    items: list[tuple[float, float]], cuts: list[int]
) -> None:
    line, have, version = RunLine(7), None, 0
    for some in parts(items, cuts):
        line.add(np.array([x for x, _ in some]), np.array([value for _, value in some]))
        have, version = joined(have, line.since(version)), line.version
    whole = RunLine()
    whole.add(np.array([x for x, _ in items]), np.array([value for _, value in items]))
    assert have is not None
    assert have.x == whole.since(0).x == sorted({x for x, _ in items})
    by_place: dict[float, list[float]] = {}
    for x, value in items:
        by_place.setdefault(x, []).append(value)
    values = [by_place[x] for x in have.x]
    assert have.min == [min(own) for own in values]
    assert have.max == [max(own) for own in values]
    assert have.first == [own[0] for own in values]
    assert have.last == [own[-1] for own in values]
    assert have.mean == pytest.approx([sum(own) / len(own) for own in values], rel=1e-9, abs=1e-3)


@given(
    st.integers(1, 40_000),
    st.sampled_from([1.0, 0.001, 1e9, 1e-300, 1e300]),
    st.integers(1, 20_000),
    st.booleans(),
)
def test_a_long_line_has_a_bounded_number_of_points_and_every_extreme(
    count: int, pitch: float, each: int, backwards: bool
) -> None:
    x = np.arange(count) * pitch
    value = np.sin(np.arange(count) * 1.0)
    value[count // 3] = 50.0
    order = np.arange(count)[::-1] if backwards else np.arange(count)
    line = RunLine()
    for start in range(0, count, each):
        own = order[start : start + each]
        line.add(x[own], value[own])
    found = joined(None, line.since(0))
    assert MOST_POINTS / 4 < len(line) <= MOST_POINTS or count <= MOST_POINTS
    assert found.x[-1] == x[-1]
    assert all(a < b for a, b in pairwise(found.x))
    assert (min(found.min), max(found.max)) == (value.min(), value.max())
    assert found.first[0] == (value[0] if not backwards or len(found.x) == count else found.first[0])
    assert all(low <= mean <= high for low, mean, high in zip(found.min, found.mean, found.max, strict=True))


def test_what_has_no_place_or_no_number_is_on_no_line() -> None:
    line = RunLine()
    nan = math.nan
    line.add(np.array([nan, 1.0, math.inf]), np.array([1.0, nan, 2.0]))
    assert (line.version, len(line)) == (0, 0)
    series = RunSeries()
    series.add(np.array([1.0, 2.0]), np.array([0.5, nan]), np.array([nan, 4.0]), None)
    assert (len(series.steps), len(series.times), series.step, series.count) == (0, 1, 4.0, 2)
    assert math.isnan(series.last)
    assert (series.least, series.greatest) == (0.5, 0.5)


def test_the_reading_that_ends_a_series_counts_once_if_it_repeats_the_one_before() -> None:
    ends = np.array([False, True])
    for value, count in ((0.5, 1), (0.25, 2)):
        series = RunSeries()
        series.add(np.array([9.0, 9.0]), np.array([0.5, value]), np.array([3.0, 3.0]), ends)
        assert series.count == count
        series.add(np.array([9.0]), np.array([value]), None, np.array([True]))
        assert series.count == count
        assert series.last == value


def test_a_journal_that_nobody_takes_forgets_and_says_so() -> None:
    journal = Journal()
    batch = make_batch("a", [1.0] * 1_000, now_ms=1e12)
    for id_ in range(150):
        journal.append(id_, batch)
    assert not journal.lost
    assert [id_ for id_, _ in journal.take(100)] == list(range(100))
    assert [id_ for id_, _ in journal.take(100)] == list(range(100, 150))
    for id_ in range(201):
        journal.append(id_, batch)
    assert journal.lost
    assert 0 < len(journal.take(1_000)) <= 200
    assert journal.take(1_000) == []


@asynccontextmanager
async def comparing(service: Any, eventually: Eventually, history: str = "") -> AsyncIterator[Runs]:
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live")
        runs = Runs(feed, history or service.url)
        try:
            yield runs
        finally:
            await runs.close()


def asked(
    runs: Runs,
    *metrics: str,
    axis: Literal["step", "time"] = "step",
    lines: tuple[tuple[int, int], ...] = (),
    login: Login = EVERYBODY,
) -> RunsAnswer:
    wanted = [RunLineWanted(i=i, version=version) for i, version in lines]
    return runs.answer(RunsRequest(id=1, metrics=list(metrics), axis=axis, lines=wanted), login)


async def loaded(runs: Runs, eventually: Eventually, *metrics: str, **more: Any) -> RunsAnswer:
    await eventually(lambda: not (found := asked(runs, *metrics, **more)).loading and not found.problem)
    return asked(runs, *metrics, **more)


def named(answer: RunsAnswer) -> dict[str, RunEntry]:
    return {entry.labels["run"]: entry for entry in answer.runs}


async def test_runs_of_different_hours_have_their_steps_settings_and_states(
    service: Any, eventually: Eventually
) -> None:
    now_ms = time.time() * 1e3
    early = [now_ms - 5 * HOUR_MS + 1e3 * n for n in range(40)]
    steps = [float(n) for n in range(40)]
    loss = [2.0 / (n + 1) for n in range(40)]
    told = {"unit": "", "labels": {"run": "old"}}
    await service.publish("t/loss", *loss[:-1], time=early[:-1], step=steps[:-1], **told)
    await service.publish("t/loss", loss[-1], time=early[-1:], step=steps[-1:], text=["finished"], **told)
    await service.publish("t/config/lr", 0.1, time=early[:1], labels={"run": "old"})
    await service.publish("t/config/optimiser", None, text=["AdamW"], time=early[:1], labels={"run": "old"})
    await service.publish("t/loss", 3.0, None, step=[0, 1], labels={"run": "bad"})
    broken = [now_ms - HOUR_MS + 1e3 * n for n in range(10)]
    await service.publish("t/loss", *loss[:10], time=broken, step=steps[:10], labels={"run": "broken"})
    await service.publish("other", 1.0, labels={"run": "old"})
    async with comparing(service, eventually) as runs:
        await service.publish("t/loss", 1.5, step=[7], labels={"run": "new"})
        await eventually(lambda: len(asked(runs, "t/loss").runs) == 4)
        answer = await loaded(runs, eventually, "t/loss")
        found = named(answer)
        states = {name: entry.state for name, entry in found.items()}
        # When a reading came tells, and not its own time: those of `broken` came late, but just now.
        assert states == {"old": "finished", "bad": "failed", "broken": "live", "new": "live"}
        old = found["old"]
        assert (old.step, old.start_ms, old.end_ms) == (39.0, early[0], early[-1])
        assert old.settings == {"lr": 0.1, "optimiser": "AdamW"}
        (metric,) = old.metrics
        assert (metric.last, metric.least, metric.greatest, metric.count) == (loss[-1], loss[-1], 2.0, 40)
        assert found["bad"].metrics[0].last is None
        assert found["new"].settings == {}
        (line,) = asked(runs, "t/loss", lines=((metric.i, 0),)).lines
        assert (line.x, line.mean, line.start) == (steps, loss, 0)
        (line,) = asked(runs, "t/loss", axis="time", lines=((metric.i, 0),)).lines
        assert (line.x, line.mean) == (early, loss)
        nobody = Login(name="x", subscribe=("other",))
        assert asked(runs, "t/loss", lines=((metric.i, 0),), login=nobody).runs == []
        assert asked(runs, "t/loss", lines=((metric.i, 0),), login=nobody).lines == []


async def test_each_reading_is_on_its_line_once_while_it_is_read_and_published(
    service: Any, eventually: Eventually
) -> None:
    await service.publish("t/loss", *(float(n) for n in range(500)), step=list(range(500)), labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        asked(runs, "t/loss")

        async def publish() -> None:
            for n in range(500, 700, 5):
                values = (float(k) for k in range(n, n + 5))
                await service.publish("t/loss", *values, step=list(range(n, n + 5)), labels={"run": "a"})
                asked(runs, "t/loss")

        await publish()
        await eventually(lambda: named(asked(runs, "t/loss"))["a"].metrics[0].count == 700)
        i = named(asked(runs, "t/loss"))["a"].metrics[0].i
        (line,) = asked(runs, "t/loss", lines=((i, 0),)).lines
        assert line.x == [float(n) for n in range(700)]
        await service.publish("t/loss", 9.0, step=[700], labels={"run": "a"})
        await eventually(lambda: asked(runs, "t/loss", lines=((i, line.version),)).lines)
        (more,) = asked(runs, "t/loss", lines=((i, line.version),)).lines
        assert (more.start, more.x, more.mean) == (700, [700.0], [9.0])
        assert asked(runs, "t/loss", lines=((i, more.version),)).lines == [], "what has not changed is not sent"
        # A log that was read anew is told from what the deck has.
        runs._metrics._followed["t/loss"].generation = -1
        await loaded(runs, eventually, "t/loss")
        (anew,) = asked(runs, "t/loss", lines=((i, more.version),)).lines
        assert (anew.start, len(anew.x)) == (0, 701)


async def test_what_cannot_be_read_now_says_so_and_is_read_when_it_can(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics._AGAIN_S", 0.05)
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with HistoryGate(service.url) as gate, comparing(service, eventually, history=gate.url) as runs:
        gate.open.set()
        gate.refusal = 503, "too busy"
        await eventually(lambda: asked(runs, "t/loss").problem)
        assert asked(runs, "t/loss").loading
        gate.refusal = None
        assert (await loaded(runs, eventually, "t/loss")).runs


async def test_a_metric_with_too_many_readings_says_so_in_its_place_and_is_not_read_again(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics._MAX_READINGS", 2)
    monkeypatch.setattr("tidewire.livestore.run_metrics._AGAIN_S", 0.0)
    await service.publish("t/loss", 3.0, 2.0, 1.0, step=[0, 1, 2], labels={"run": "a"})
    await service.publish("t/acc", 1.0, step=[0], labels={"run": "a"})
    async with HistoryGate(service.url) as gate, comparing(service, eventually, history=gate.url) as runs:
        gate.open.set()
        await eventually(lambda: "too many" in asked(runs, "t/loss").refused.get("t/loss", ""))
        before = gate.asked
        answer = await loaded(runs, eventually, "t/loss", "t/acc")
        assert list(answer.refused) == ["t/loss"], "the other metric is drawn"
        assert [len(run.metrics) for run in answer.runs] == [1]
        await service.publish("t/acc", 2.0, step=[1], labels={"run": "a"})
        await eventually(lambda: named(asked(runs, "t/loss", "t/acc"))["a"].metrics[0].count == 2)
        assert gate.asked == before + 1, "5,000,000 readings are not read every three seconds"
        # Of another log it may have fewer.
        monkeypatch.setattr("tidewire.livestore.run_metrics._MAX_READINGS", 100)
        runs._store.generation += 1
        await eventually(lambda: not asked(runs, "t/loss").refused and asked(runs, "t/loss").runs)


async def test_what_the_service_refuses_is_said_in_its_place_and_tried_again(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics._REFUSED_AGAIN_S", 0.05)
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with HistoryGate(service.url) as gate, comparing(service, eventually, history=gate.url) as runs:
        gate.refusal = 403, "not for you"
        await eventually(lambda: asked(runs, "t/loss").refused == {"t/loss": "not for you"})
        assert not asked(runs, "t/loss").loading
        gate.refusal = None
        gate.open.set()
        await eventually(lambda: asked(runs, "t/loss").runs)
        assert not asked(runs, "t/loss").refused


async def test_a_series_that_the_history_has_before_the_stream_brings_it_is_whole(
    service: Any, eventually: Eventually
) -> None:
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        store = runs._store
        with store.lock:  # the stream waits, the history is read
            await service.publish("t/loss", 3.0, 2.0, step=[0, 1], labels={"run": "b"})
            await loaded(runs, eventually, "t/loss")
            assert store.find("t/loss", {"run": "b"}) is None
        await eventually(lambda: "b" in named(asked(runs, "t/loss")))
        await service.publish("t/loss", 1.0, step=[2], labels={"run": "b"})
        await eventually(lambda: named(asked(runs, "t/loss"))["b"].metrics[0].count == 3)
        i = named(asked(runs, "t/loss"))["b"].metrics[0].i
        (line,) = asked(runs, "t/loss", lines=((i, 0),)).lines
        assert (line.x, line.mean) == ([0.0, 1.0, 2.0], [3.0, 2.0, 1.0])


async def test_what_came_just_before_a_metric_was_followed_must_be_in_its_history(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        feed, follow = runs._feed, runs._store.follow
        ahead = Cursor("abcdefg", feed.positions[0] + (60_000 << 32))

        def late(metric: str) -> Journal:
            monkeypatch.undo()
            batch = make_batch("t/loss", 2.0, step=1, labels={"run": "a"}, now_ms=feed.now_ms())
            feed._append_batch(StreamBatch(**msgspec.structs.asdict(batch), cursor=str(ahead)))
            return follow(metric)

        monkeypatch.setattr(runs._store, "follow", late)
        # No journal has it, and this history is behind.
        await eventually(lambda: "behind the stream" in asked(runs, "t/loss").problem)


async def test_a_unit_that_changes_begins_a_line_anew(service: Any, eventually: Eventually) -> None:
    told = {"labels": {"run": "a"}}
    await service.publish("t/took", 1.0, 2.0, step=[0, 1], unit="s", **told)
    await service.publish("t/took", 3_000.0, step=[2], unit="ms", **told)
    async with comparing(service, eventually) as runs:
        (metric,) = named(await loaded(runs, eventually, "t/took"))["a"].metrics
        assert (metric.count, metric.least, metric.greatest) == (1, 3_000.0, 3_000.0)
        (line,) = asked(runs, "t/took", lines=((metric.i, 0),)).lines
        await service.publish("t/took", 4_000.0, step=[3], **told)
        await service.publish("t/took", 5.0, step=[4], unit="min", **told)
        await eventually(lambda: named(asked(runs, "t/took"))["a"].metrics[0].last == 5.0)
        (anew,) = asked(runs, "t/took", lines=((metric.i, line.version),)).lines
        assert (anew.start, anew.x, anew.mean) == (0, [4.0], [5.0])
        # Late in the unit before: it has no place on this line.
        early = [time.time() * 1e3 - HOUR_MS]
        await service.publish("t/took", 2_000.0, time=early, step=[1], unit="ms", **told)
        await service.publish("t/took", 6.0, step=[5], unit="min", **told)
        await eventually(lambda: named(asked(runs, "t/took"))["a"].metrics[0].last == 6.0)
        assert named(asked(runs, "t/took"))["a"].metrics[0].count == 2


async def test_what_nobody_asks_for_is_forgotten(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics._FORGET_S", 0.05)
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        await loaded(runs, eventually, "t/loss")
        await eventually(lambda: not runs._metrics._followed)
        assert runs._store._journals == {}


async def test_the_newest_series_are_kept_and_the_number_of_those_left_out_is_said(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics.MAX_SERIES", 4)
    now_ms = time.time() * 1e3
    for age, run in enumerate(("e", "d", "c", "b", "a")):  # e is the newest
        for metric in ("t/loss", "t/acc"):
            times = [now_ms - 1e3 * (10 + age), now_ms - 1e3 * age]
            await service.publish(metric, 2.0, 1.0, time=times, step=[0, 1], labels={"run": run})
    async with comparing(service, eventually) as runs:
        await eventually(lambda: len(asked(runs, "t/loss").runs) == 4)
        answer = asked(runs, "t/loss")
        assert set(named(answer)) == {"e", "d", "c", "b"}
        assert "1 of t/loss" in answer.problem
        # Two metrics share the room, and both have the same runs.
        await eventually(lambda: "3 of t/loss, 3 of t/acc" in asked(runs, "t/loss", "t/acc").problem)
        found = named(asked(runs, "t/loss", "t/acc"))
        assert {run: len(entry.metrics) for run, entry in found.items()} == {"e": 2, "d": 2}
        # A run that begins has room; one that was left out is not shown by the half that comes from now on.
        await service.publish("t/loss", 3.0, step=[2], labels={"run": "a"})
        await service.publish("t/loss", 3.0, step=[0], labels={"run": "f"})
        await eventually(lambda: "f" in named(asked(runs, "t/loss", "t/acc")))
        found = named(asked(runs, "t/loss", "t/acc"))
        assert {run: len(entry.metrics) for run, entry in found.items()} == {"f": 1, "e": 2, "d": 1}
        assert "4 of t/loss, 3 of t/acc" in asked(runs, "t/loss", "t/acc").problem
        # With more room they are read again, whole.
        runs._metrics._forget(runs._metrics._followed["t/acc"])
        await eventually(lambda: len(named(asked(runs, "t/loss"))) == 4)
        assert named(asked(runs, "t/loss"))["a"].metrics[0].count == 3


async def test_more_metrics_than_there_is_room_for_are_left_out_and_a_pattern_reads_nothing(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics.MAX_METRICS", 2)
    for metric in ("t/loss", "t/more", "t/most"):
        await service.publish(metric, 1.0, step=[0], labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        await loaded(runs, eventually, "t/loss", "t/more")
        assert "1 are left out" in asked(runs, "t/loss", "t/more", "t/most").problem
        assert asked(runs, "**", "t/*", "nothing").runs == []
        assert set(runs._metrics._followed) == {"t/loss", "t/more"}


async def test_taking_what_the_stream_brought_holds_the_loop_for_a_turn_and_nothing_is_lost(
    service: Any, eventually: Eventually
) -> None:
    count, step = 800, 0
    for n in range(count):
        await service.publish("t/loss", 1.0, step=[0], labels={"run": f"{n:03}"})
    async with comparing(service, eventually) as runs:
        await loaded(runs, eventually, "t/loss")
        store, id_ = runs._store, runs._feed.positions[0]

        async def ask() -> int:
            nonlocal step, id_
            step += 1
            for n in range(count):
                batch = make_batch("t/loss", 1.0, step=step, labels={"run": f"{n:03}"}, now_ms=runs._feed.now_ms())
                id_ += 1
                store.append(batch, id_)
                await asyncio.sleep(0)
            asks = 1
            while asked(runs, "t/loss").more:
                asks += 1
                await asyncio.sleep(0)
            return asks

        held_s, asks = await measured(ask)
        assert held_s < HELD_S
        assert asks[0] > 1, "one answer would have held it for longer"
        found = runs._metrics.series(runs._metrics._followed["t/loss"])
        assert [len(lines.steps) for _, lines in found] == [step + 1] * count


async def test_while_the_stream_is_away_no_run_is_called_stopped(service: Any, eventually: Eventually) -> None:
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        await loaded(runs, eventually, "t/loss")
        feed = runs._feed
        feed._clock_ms += HOUR_MS
        assert named(asked(runs, "t/loss"))["a"].state == "stopped"
        feed._clock_ms -= HOUR_MS
        await service.stop()
        await eventually(lambda: feed.status.state == "reconnecting")
        feed._clock_ms += HOUR_MS
        assert named(asked(runs, "t/loss"))["a"].state in ("live", "stale")
