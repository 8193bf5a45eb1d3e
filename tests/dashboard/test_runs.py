"""Runs over their steps: lines of bounded size with every extreme, and each reading once, past and live."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import Eventually

from tidewire.livestore.feed import Feed
from tidewire.livestore.journal import Journal
from tidewire.livestore.messages import RunEntry, RunLineWanted, RunsAnswer, RunsRequest
from tidewire.livestore.run_line import MOST_POINTS, LinePart, RunLine
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.store import Store
from tidewire.model.batch import make_batch
from tidewire_dashboard.login import EVERYBODY, Login
from tidewire_dashboard.runs import Runs, _prefixes

HOUR_MS = 3_600_000.0
numbers = st.floats(-1e12, 1e12, allow_nan=False)
places = st.one_of(st.integers(0, 5_000).map(float), st.floats(0, 1e9, allow_nan=False))


def parts(items: list[tuple[float, float]], cuts: list[int]) -> Iterator[list[tuple[float, float]]]:
    edges = sorted({0, len(items), *(cut % (len(items) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        yield items[start:end]


def joined(have: LinePart | None, part: LinePart) -> LinePart:
    """Return what a deck has after a part, as it takes one."""
    columns = [getattr(part, name) or part.mean for name in LinePart._fields[1:]]
    if have is None:
        assert part.start == 0
        return LinePart(0, *columns)
    return LinePart(0, *([*old[: part.start], *new] for old, new in zip(have[1:], columns, strict=True)))


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
    assert len(journal.take()) == 150
    for id_ in range(201):
        journal.append(id_, batch)
    assert journal.lost
    assert len(journal.take()) <= 200
    assert journal.take() == []


def test_settings_stand_below_any_level_of_a_metric() -> None:
    assert _prefixes("loss") == [""]
    assert _prefixes("cats/val/loss") == ["", "/cats", "/cats/val"]


@asynccontextmanager
async def comparing(service: Any, eventually: Eventually) -> AsyncIterator[Runs]:
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live")
        runs = Runs(feed, service.url)
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
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
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
        monkeypatch.setattr("tidewire_dashboard.runs.gap_limit_ms", lambda _: 0.0)
        await eventually(lambda: named(asked(runs, "t/loss"))["broken"].state == "stale")
        monkeypatch.setattr("tidewire_dashboard.runs._LEAST_STOPPED_MS", 0.0)
        monkeypatch.setattr("tidewire_dashboard.runs._STOPPED_TIMES", 0.0)
        await eventually(lambda: named(asked(runs, "t/loss"))["broken"].state == "stopped")
        assert named(asked(runs, "t/loss"))["old"].state == "finished"
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
        runs._followed["t/loss"].generation = -1
        await loaded(runs, eventually, "t/loss")
        (anew,) = asked(runs, "t/loss", lines=((i, more.version),)).lines
        assert (anew.start, len(anew.x)) == (0, 701)


async def test_what_cannot_be_read_says_so_and_is_read_when_it_can(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    monkeypatch.setattr("tidewire_dashboard.runs._MAX_READINGS", 0)
    monkeypatch.setattr("tidewire_dashboard.runs._AGAIN_S", 0.05)
    async with comparing(service, eventually) as runs:
        await eventually(lambda: "too many" in asked(runs, "t/loss").problem)
        monkeypatch.setattr("tidewire_dashboard.runs._MAX_READINGS", 100)
        assert (await loaded(runs, eventually, "t/loss")).runs


async def test_what_nobody_asks_for_is_forgotten(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire_dashboard.runs._FORGET_S", 0.05)
    await service.publish("t/loss", 1.0, step=[0], labels={"run": "a"})
    async with comparing(service, eventually) as runs:
        await loaded(runs, eventually, "t/loss")
        await eventually(lambda: not runs._followed)
        assert runs._store._journals == {}


async def test_no_more_is_kept_than_there_is_room_for_and_a_pattern_reads_nothing(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire_dashboard.runs._MAX_SERIES", 3)
    monkeypatch.setattr("tidewire_dashboard.runs._MAX_METRICS", 2)
    for run in ("a", "b"):
        for metric in ("t/loss", "t/more", "t/most"):
            await service.publish(metric, 1.0, step=[0], labels={"run": run})
    async with comparing(service, eventually) as runs:
        await loaded(runs, eventually, "t/loss")
        await eventually(lambda: "some runs of t/more are left out" in asked(runs, "t/loss", "t/more").problem)
        assert sum(len(one.series) for one in runs._followed.values()) == 3
        assert "some are left out" in asked(runs, "t/loss", "t/more", "t/most").problem
        assert asked(runs, "**", "t/*", "nothing").runs == []
        assert set(runs._followed) == {"t/loss", "t/more"}
