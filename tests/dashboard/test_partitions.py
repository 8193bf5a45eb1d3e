"""Readers of a log of several partitions: nothing is lost or there twice, and what is late says so."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest
from partitioned_service import PartitionedService
from waiting import Eventually

from tidewire.livestore.feed import Feed
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.formula_view import FormulaView
from tidewire.livestore.late import LateSeries
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.past import Past
from tidewire.livestore.run_list import RunList
from tidewire.livestore.run_readings import add_batches
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import FLAG_LATE, unpack_frame
from tidewire.model.answers import SeriesInfo
from tidewire.model.batch import Batch
from tidewire.model.cursor import id_text
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.states import Stalled

T0 = 1_790_000_000_000.0
HOMES = {"a": 0, "b": 1, "c": 0, "d": 1}


def at(ms: float) -> int:
    return int(T0 + ms) << 32


def row(metric: str, ms: float, value: float) -> SeriesInfo:
    return SeriesInfo(
        metric=metric, labels={}, unit="", id=id_text(at(ms)), time=T0 + ms, value=value, text=None, count=1, rate=1.0
    )


def batch(metric: str, *pairs: tuple[float, float]) -> Batch:
    times, values = zip(*pairs, strict=True)
    return Batch(metric=metric, labels={}, unit="", time=[T0 + ms for ms in times], value=list(values))


def past(upto: dict[int, int], *pairs: tuple[float, float]) -> Past:
    rows = np.array([(T0 + ms, value) for ms, value in pairs], dtype=np.float64).reshape(-1, 2).T
    return Past(rows, (), T0, upto, T0)


def held(store: Store, metric: str) -> list[tuple[float, float]]:
    series = store.find(metric, {})
    return [] if series is None else [(ms - T0, value) for ms, value in series.raw.rows().T.tolist()]


def flags(store: Store, now_ms: float) -> dict[str, bool]:
    """Return of each metric whether charts are told that it is late."""
    view = LiveView(store, None, 60_000.0, 100)
    view.tick(1, now_ms)
    records = unpack_frame(view.frame(0, None)).records
    return {store.series[one["index"]].metric: bool(one["flags"] & FLAG_LATE) for one in records}


def run_state(store: Store, metric: str, now_ms: float) -> str:
    """Return how a run stands that has one series."""
    series, lines = store.find(metric, {}), RunSeries(0)
    assert series is not None
    add_batches(lines, [batch(metric, (3, 1.0))])
    return RunList(store).state([(series, lines)], now_ms)


# -- the store


@pytest.mark.parametrize("partition", [0, 1])
def test_a_last_reading_is_there_once_whichever_partition_it_is_of(partition: int) -> None:
    """The catalogue says no partition: of the one the stream brings the reading again, of the other it does not."""
    store = Store()
    store.restart([row("m", 5, 5.0)], {0: at(3), 1: at(9)}, T0)
    assert held(store, "m") == [(5, 5.0)]
    if partition == 0:
        store.append(batch("m", (4, 4.0), (5, 5.0)), at(5), partition=0)
    store.append(batch("m", (10, 10.0)), at(10), partition=partition)
    again = [(4, 4.0)] if partition == 0 else []
    assert held(store, "m") == [*again, (5, 5.0), (10, 10.0)]


def test_a_last_reading_beyond_all_partitions_comes_with_the_stream() -> None:
    store = Store()
    store.restart([row("m", 20, 5.0)], {0: at(3), 1: at(9)}, T0)
    assert held(store, "m") == []
    store.append(batch("m", (20, 5.0), (20, 5.0)), at(20), partition=1)
    assert held(store, "m") == [(20, 5.0), (20, 5.0)], "the same twice is two readings"


def test_after_a_second_start_the_partition_of_a_series_is_known() -> None:
    store = Store()
    store.restart([], {0: at(0), 1: at(0)}, T0)
    store.append(batch("m", (1, 1.0)), at(1), partition=0)
    store.restart([row("m", 5, 5.0)], {0: at(3), 1: at(9)}, T0)
    assert held(store, "m") == [(1, 1.0)], "the stream of its partition brings it"
    store.append(batch("m", (5, 5.0), (5, 5.0)), at(5), partition=0)
    assert held(store, "m") == [(1, 1.0), (5, 5.0), (5, 5.0)]


@pytest.mark.parametrize("partition", [0, 1])
def test_a_past_is_joined_by_the_ids_of_its_own_partition(partition: int) -> None:
    store = Store()
    store.restart([row("m", 1, 1.0)], {0: at(1), 1: at(1)}, T0)
    generation = store.begin_past(store.series)
    store.append(batch("m", (5, 5.0)), at(5), partition=partition)
    known = [(1, 1.0), (5, 5.0)] if partition == 0 else [(1, 1.0)]
    assert store.take_past(store.series[0], past({0: at(9), 1: at(4)}, *known), generation)
    assert held(store, "m") == [(1, 1.0), (5, 5.0)]
    store.append(batch("m", (7, 7.0)), at(7), partition=partition)
    later = [] if partition == 0 else [(7, 7.0)]  # else the past would have held it
    assert held(store, "m") == [(1, 1.0), (5, 5.0), *later]


def test_a_past_that_came_before_the_stream_told_its_partition_counts_nothing_twice() -> None:
    store = Store()
    store.restart([row("m", 1, 1.0)], {0: at(1), 1: at(1)}, T0)
    generation = store.begin_past(store.series)
    assert store.take_past(store.series[0], past({0: at(9), 1: at(4)}, (1, 1.0), (3, 3.0)), generation)
    store.append(batch("m", (3, 3.0)), at(3), partition=1)
    store.append(batch("m", (5, 5.0)), at(5), partition=1)
    assert held(store, "m") == [(1, 1.0), (3, 3.0), (5, 5.0)]


def test_a_lost_partition_makes_ids_doubtful_of_its_own_metrics_alone() -> None:
    store = Store()
    for metric, partition in (("a", 0), ("b", 1)):
        store.append(batch(metric, (1, 1.0)), at(5), partition=partition)
    journal = store.follow("b")
    store.new_lineage({"b"})
    for metric, partition in (("a", 0), ("b", 1)):
        store.append(batch(metric, (1, 1.0), (2, 2.0)), at(4), partition=partition)
    assert held(store, "a") == [(1, 1.0)], "what its series has passed is a repeat"
    assert held(store, "b") == [(1, 1.0), (2, 2.0)], "what only memory had stays, and what is known is there once"
    assert journal.lost, "who follows it reads the log anew"


def test_the_past_of_a_lost_partition_says_nothing_of_what_comes_after() -> None:
    store = Store()
    store.restart([row("b", 1, 1.0)], {0: at(1), 1: at(1)}, T0)
    generation = store.begin_past(store.series)
    assert store.take_past(store.series[0], past({1: at(9)}, (1, 1.0)), generation)
    generation = store.begin_past(store.series)
    store.new_lineage({"b"})
    assert not store.take_past(store.series[0], past({1: at(9)}, (1, 1.0), (2, 2.0)), generation)
    store.append(batch("b", (3, 3.0)), at(4), partition=1)  # the clock of the new log is behind
    assert held(store, "b") == [(1, 1.0), (3, 3.0)]


def test_series_of_a_partition_that_does_not_answer_are_late_and_others_are_not() -> None:
    store = Store()
    store.append(batch("a", (0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)), at(5), partition=0)
    store.append(batch("b", (0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)), at(5), partition=1)
    store.append(batch("b2", (0, 1.0)), at(6), partition=1)
    store.append(batch("named", (0, 1.0)), 0, snapshot=True)
    store.append(batch("other", (0, 1.0)), 0, snapshot=True)
    assert not any(flags(store, T0 + 10).values())
    store.late = {1: frozenset({"b", "named"})}
    assert flags(store, T0 + 10) == {"a": False, "b": True, "b2": True, "named": True, "other": False}
    assert [run_state(store, metric, T0 + 10) for metric in "ab"] == ["live", "stale"]
    store.late = {}
    assert not any(flags(store, T0 + 10).values())


def test_a_formula_is_late_if_a_series_that_it_reads_is() -> None:
    store = Store()
    readings = FormulaReadings(store, 60_000.0)
    for metric, partition in (("a", 0), ("b", 1), ("c", 0)):
        store.append(batch(metric, (0, 1.0)), at(5), partition=partition)
    views = {text: FormulaView(readings, parse_formula(text), 10_000.0, 50) for text in ("a + b", "a + c")}

    def late() -> dict[str, bool]:
        readings.refresh(T0 + 100)
        found = {}
        for text, view in views.items():
            view.tick(view._seq + 1, T0 + 100)
            records = unpack_frame(view.frame(3, None)).records
            found[text] = bool((records["flags"] & FLAG_LATE).all()) and len(records) == 1
        return found

    assert late() == {"a + b": False, "a + c": False}
    store.late = {1: frozenset({"b"})}
    assert late() == {"a + b": True, "a + c": False}
    store.late = {}
    assert late() == {"a + b": False, "a + c": False}


def test_what_is_late_is_counted_of_what_a_viewer_may_see() -> None:
    store = Store()
    late = LateSeries(store)
    stalled = (Stalled(partition=1, metrics=("b", "d"), since_ms=T0),)
    assert late.message((), lambda metric: True) is None
    found = late.message(stalled, lambda metric: metric == "b")
    assert found is not None, "it has no series of these, but knows of their metrics"
    assert found.text == "One partition of the log does not answer: 1 metric is late, and will be filled in."
    for metric in "abd":
        store.append(batch(metric, (0, 1.0)), at(5), partition=HOMES[metric])
    store.late = {1: frozenset({"b", "d"})}
    found = late.message(stalled, lambda metric: True)
    assert found is not None
    assert found.since_ms == T0
    assert found.text == "One partition of the log does not answer: 2 series are late, and will be filled in."
    [one] = [late.message(stalled, lambda metric: metric == "b")]
    assert one is not None
    assert "1 series is late" in one.text
    assert late.message(stalled, lambda metric: metric == "a") is None
    both = (*stalled, Stalled(partition=0, since_ms=T0 - 1))
    store.late = {0: frozenset(), 1: frozenset()}
    found = late.message(both, lambda metric: True)
    assert found is not None
    assert found.text.startswith("2 partitions of the log do not answer: 3 series")
    assert found.since_ms == T0 - 1


# -- feed and service


@pytest.fixture
async def service() -> AsyncIterator[PartitionedService]:
    async with PartitionedService(HOMES, skew_ms=(0, 1_500)) as service:
        yield service


def readings(feed: Feed, metric: str) -> list[float]:
    series = feed.store.find(metric, {})
    if series is None:
        return []
    with feed.store.lock:
        return sorted(series.raw.rows()[1].tolist())


def has_past(feed: Feed) -> bool:
    assert feed.past is not None
    indices = [series.index for series in feed.store.series]
    return not feed.past.want(indices, feed.now_ms() - feed.store.raw_ms)


def late(feed: Feed) -> dict[str, bool]:
    return {series.metric: feed.store.is_late(series) for series in feed.store.series}


@pytest.mark.parametrize("replay_s", [None, 900])
async def test_what_was_published_is_in_memory_once_whatever_is_cut(
    service: PartitionedService, eventually: Eventually, replay_s: int | None
) -> None:
    """Catalogue, past and stream are of different moments, and each partition has a clock of its own."""
    chance = random.Random(7)
    published: dict[str, Counter[tuple[float, float]]] = {metric: Counter() for metric in HOMES}

    def publish() -> None:
        for metric in chance.sample(sorted(HOMES), 2):
            pair = (round(time.time() * 1e3, 1), float(chance.randrange(3)))
            published[metric][pair] += 1
            service.publish(metric, pair[1], time_ms=pair[0])

    def stored(feed: Feed, metric: str) -> Counter[tuple[float, float]]:
        series = feed.store.find(metric, {})
        with feed.store.lock:
            return Counter() if series is None else Counter(map(tuple, series.raw.rows().T.tolist()))

    for _ in range(60):
        publish()
    with Feed(Store(), ("**",), url=service.url, replay_s=replay_s) as feed:
        for turn in range(120):
            publish()
            if turn % 40 == 20:
                service.cut()
                feed.retry_now()
            if replay_s is None and feed.store.generation:
                has_past(feed)
            await asyncio.sleep(0.005)
        await eventually(lambda: feed.status.state == "live")
        if replay_s is None:
            await eventually(lambda: has_past(feed))
        for metric, counter in published.items():
            await eventually(lambda: stored(feed, metric) == counter, metric)  # noqa: B023
    assert service.streams > 1


async def test_series_of_a_partition_are_late_until_it_answers_and_others_stay_live(
    service: PartitionedService, eventually: Eventually
) -> None:
    for metric in HOMES:
        service.publish(metric, 1.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == 4)
        service.stall(1)
        await eventually(lambda: feed.status.stalled)
        assert late(feed) == {"a": False, "b": True, "c": False, "d": True}
        message = feed.message()
        assert message.state == "live"
        assert message.late is not None
        assert message.late.since_ms == round(service.away[1])
        assert "2 series are late" in message.late.text
        service.publish("b", 2.0)
        service.publish("a", 2.0)
        await eventually(lambda: feed.store.state["last_value"][0] == 2.0)
        assert late(feed)["b"]
        service.answer(1)
        await eventually(lambda: not feed.status.stalled)
        assert not any(late(feed).values())
        assert feed.message().late is None
        assert readings(feed, "b")[-1] == 2.0, "what it missed is here before it counts as live"


@pytest.mark.parametrize("says_who", [True, False])
async def test_a_partition_that_is_away_when_a_page_loads_is_late_though_the_rest_is_live(
    service: PartitionedService, eventually: Eventually, says_who: bool
) -> None:
    service.says_who = says_who
    service.publish("a", 1.0)
    service.publish("b", 1.0)
    service.stall(1)
    with Feed(Store(), ("**",), url=service.url, replay_s=900) as feed:
        await eventually(lambda: feed.status.state == "live" and readings(feed, "a") == [1.0])
        assert [one.partition for one in feed.status.stalled] == [1]
        service.answer(1)
        await eventually(lambda: not feed.status.stalled)
        assert readings(feed, "b") == [1.0]


async def test_the_past_of_late_series_is_asked_for_when_their_partition_answers(
    service: PartitionedService, eventually: Eventually
) -> None:
    """A request that the history refuses would hold up those for the other series."""
    for metric in HOMES:
        for value in (1.0, 2.0):
            service.publish(metric, value)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == 4)
        service.stall(1)
        await eventually(lambda: feed.status.stalled)
        await eventually(lambda: not has_past(feed) and all(readings(feed, metric) == [1.0, 2.0] for metric in "ac"))
        assert readings(feed, "b") == [2.0]
        assert service.refused == 0
        assert feed.message().past_reason == ""
        service.answer(1)
        await eventually(lambda: has_past(feed))
        assert all(readings(feed, metric) == [1.0, 2.0] for metric in HOMES)


@pytest.mark.parametrize("says_late", [True, False])
async def test_a_dashboard_that_starts_while_a_partition_is_away_shows_the_others_and_then_all(
    service: PartitionedService, eventually: Eventually, says_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.feed._MISSING_S", 0.3)
    service.says_late = says_late
    long_ago_ms = time.time() * 1e3 - 7_200_000.0
    for metric in HOMES:
        service.publish(metric, 1.0, time_ms=long_ago_ms)
    service.stall(1)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live" and feed.status.stalled)
        assert sorted(series.metric for series in feed.store.series) == ["a", "c"]
        await asyncio.sleep(0.5)
        assert (feed.store.generation, service.streams) == (1, 1)
        message = feed.message()
        assert message.late is not None
        assert "2 metrics are late" in message.late.text
        service.publish("a", 2.0)
        service.publish("b", 2.0)
        await eventually(lambda: readings(feed, "a") == [1.0, 2.0])
        service.answer(1)
        await eventually(lambda: len(feed.store.series) == 4 and feed.status.state == "live")
        await eventually(lambda: feed.store.generation == 2 and not feed.status.stalled)
        await eventually(lambda: has_past(feed))
        last = {one.metric: feed.store.state["last_value"][one.index] for one in feed.store.series}
        assert last == {"a": 2.0, "b": 2.0, "c": 1.0, "d": 1.0}
        assert readings(feed, "a") == readings(feed, "b") == [2.0], "memory reaches no further back"


def test_what_comes_again_of_a_partition_that_a_new_start_lacks_is_there_once() -> None:
    store = Store()
    store.restart([row("read", 5, 5.0), row("known", 5, 5.0)], {0: at(9), 1: at(9)}, T0)
    generation = store.begin_past(store.series[:1])
    assert store.take_past(store.series[0], past({1: at(9)}, (3, 3.0), (5, 5.0), (7, 7.0)), generation)
    store.restart([], {0: at(20)}, T0)
    for metric in ("read", "known"):
        store.append(batch(metric, (3, 3.0)), at(3), partition=1)
        store.append(batch(metric, (5, 5.0)), at(5), partition=1)
        store.append(batch(metric, (7, 7.0)), at(7), partition=1)
        store.append(batch(metric, (12, 12.0)), at(12), partition=1)
        assert held(store, metric) == [(3, 3.0), (5, 5.0), (7, 7.0), (12, 12.0)]


async def test_of_two_partitions_that_are_away_one_may_come_back(
    service: PartitionedService, eventually: Eventually
) -> None:
    with Feed(Store(), ("**",), url=service.url, replay_s=900) as feed:
        await eventually(lambda: feed.status.state == "live")
        service.stall(0)
        service.stall(1)
        await eventually(lambda: len(feed.status.stalled) == 2)
        service.answer(0)
        await eventually(lambda: [one.partition for one in feed.status.stalled] == [1])


@pytest.mark.parametrize("says_who", [True, False])
async def test_a_partition_of_which_nothing_was_missed_answers_again(
    service: PartitionedService, eventually: Eventually, says_who: bool
) -> None:
    service.says_who = says_who
    service.publish("b", 1.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=900) as feed:
        await eventually(lambda: feed.status.state == "live")
        service.stall(1)
        await eventually(lambda: feed.status.stalled)
        service.answer(1)
        await eventually(lambda: not feed.status.stalled)


async def test_a_new_connection_says_anew_what_is_late(service: PartitionedService, eventually: Eventually) -> None:
    service.says_who = False
    service.publish("b", 1.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=900) as feed:
        await eventually(lambda: feed.status.state == "live")
        service.stall(1)
        await eventually(lambda: feed.status.stalled)
        del service.away[1]  # another process of the service is asked, and that reaches it
        service.cut()
        feed.retry_now()
        await eventually(lambda: feed.status.state == "live" and not feed.status.stalled)


async def test_a_lost_partition_starts_anew_and_the_others_notice_nothing(
    service: PartitionedService, eventually: Eventually
) -> None:
    for metric in "ab":
        service.publish(metric, 1.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == 2)
        await eventually(lambda: has_past(feed))
        generation, streams = feed.store.generation, service.streams
        position = feed.positions[1]
        service.lose(1, back_ms=60_000)
        await eventually(lambda: feed.positions.get(1, 0) < position)
        service.publish("b", 2.0)
        service.publish("a", 2.0)
        await eventually(lambda: readings(feed, "b") == [1.0, 2.0] and readings(feed, "a") == [1.0, 2.0])
        assert (feed.store.generation, service.streams) == (generation, streams)
        service.cut()
        feed.retry_now()
        service.publish("b", 3.0)
        await eventually(lambda: readings(feed, "b") == [1.0, 2.0, 3.0])
        assert readings(feed, "a") == [1.0, 2.0]


async def test_a_lost_partition_of_more_metrics_than_are_named_asks_the_catalogue_again(
    service: PartitionedService, eventually: Eventually
) -> None:
    service.publish("a", 1.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.state == "live")
        generation = feed.store.generation
        service.lose(1, more=7)
        await eventually(lambda: feed.store.generation > generation and feed.status.state == "live")
        service.publish("b", 2.0)
        await eventually(lambda: readings(feed, "b") == [2.0])
