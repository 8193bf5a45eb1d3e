"""A dashboard that was away: it starts from the catalogue, and the past comes when somebody looks at it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
import waiting
from history_gate import HistoryGate
from servers import StartService, Valkey
from waiting import Eventually

import tidewire
from tidewire.livestore.buckets import MIN, NUMERIC
from tidewire.livestore.feed import Feed
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.past import Past
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import FLAG_PARTIAL, unpack_frame
from tidewire.model.answers import SeriesInfo
from tidewire.model.batch import FINISHED, Batch
from tidewire.model.cursor import id_text

T0 = 1_790_000_000_000.0


def at(ms: float, n: int = 0) -> int:
    return int(T0 + ms) << 32 | n


def row(value: float, ms: float, id_: int, rate: float | None = 1.0, metric: str = "m") -> SeriesInfo:
    return SeriesInfo(
        metric=metric, labels={}, unit="", id=id_text(id_), time=T0 + ms, value=value, text=None, count=9, rate=rate
    )


def batch(times: list[float], values: list[float], metric: str = "m") -> Batch:
    return Batch(metric=metric, labels={}, unit="", time=[T0 + ms for ms in times], value=values)


def past(from_ms: float, upto: int, *pairs: tuple[float, float]) -> Past:
    rows = np.array([(T0 + ms, value) for ms, value in pairs], dtype=np.float64).reshape(-1, 2).T
    return Past(rows, (), T0 + from_ms, {0: upto}, T0)


def held(store: Store) -> list[tuple[float, float]]:
    return [(time_ms - T0, value) for time_ms, value in store.series[0].raw.rows().T.tolist()]


# -- the store


def test_a_catalogue_gives_values_ages_and_paces_and_claims_no_past() -> None:
    store = Store()
    store.restart([row(7.0, -2_000, at(-1_500), rate=2.0), row(1.0, -9e6, at(-9e6), 0.0, "old")], {0: at(0)}, T0)
    series, old = store.series
    assert store.state["last_value"][:2].tolist() == [7.0, 1.0]
    assert store.state["last_id_ms"][0] == T0 - 1_500
    assert store.readings_per_s(T0 + 500) == pytest.approx(2.0)
    assert series.expected_ms() == 2_000.0, "a rate does not tell how regularly they come"
    assert np.isnan(old.expected_ms()), "nobody knows how often it came"
    assert store.covered(series, 1) == T0 - 2_000, "since its last reading there was none"
    assert store.covered(old, 1) == T0 - 9e6
    view = LiveView(store, None, 60_000.0, 100)
    view.tick(1, T0)
    assert view.partial == [0], "of the old one everything in the window is known: nothing"
    records = unpack_frame(view.frame(0, None)).records
    assert records["flags"][0] & FLAG_PARTIAL


def test_a_past_takes_its_place_between_what_came_before_and_after_it() -> None:
    store = Store()
    store.restart([row(3.0, 3, at(3))], {0: at(3)}, T0)
    store.append(batch([4], [4.0]), at(4))  # in the history too
    store.append(batch([2.5], [2.5]), at(5))  # late, and not known before its past is
    assert store.begin_past(store.series) == 1
    store.append(batch([6, 4], [6.0, 4.0]), at(6))  # in the history too
    store.append(batch([7, 1.5], [7.0, 1.5]), at(8))  # after it
    found = past(0, at(7), (1, 1.0), (2, 2.0), (2.5, 2.5), (3, 3.0), (4, 4.0), (4, 4.0), (6, 6.0), (6.5, 6.5))
    assert store.take_past(store.series[0], found, 1)
    store.append(batch([6.5], [6.5]), at(7))  # the stream is behind the history
    store.append(batch([9], [9.0]), at(9))
    assert held(store) == [
        (1, 1.0), (1.5, 1.5), (2, 2.0), (2.5, 2.5), (3, 3.0), (4, 4.0), (4, 4.0), (6, 6.0), (6.5, 6.5),
        (7, 7.0), (9, 9.0),
    ]  # fmt: skip
    assert store.covered(store.series[0], 1) == T0
    assert store.state["last_value"][0] == 9.0
    assert store.series[0].seconds.rows()[NUMERIC].sum() == 11


def test_the_stream_brings_what_the_past_held_and_only_its_age_is_news() -> None:
    store = Store()
    store.restart([row(3.0, 3, at(3))], {0: at(3)}, T0)
    generation = store.begin_past(store.series)
    assert store.take_past(store.series[0], past(0, at(60_000), (3, 3.0), (59_000, 4.0)), generation)
    assert store.state["last_value"][0] == 4.0
    assert store.state["last_id_ms"][0] == T0 + 3
    store.append(batch([59_000], [4.0]), at(59_500))
    assert store.state["last_id_ms"][0] == T0 + 59_500, "else a series of one reading a minute would be stale"
    assert held(store) == [(3, 3.0), (59_000, 4.0)]


def test_an_age_in_the_catalogue_is_of_its_last_reading_and_not_of_what_came_late() -> None:
    store = Store()
    late = msgspec.structs.replace(row(3.0, -60_000, at(-1_000)), reading_id=id_text(at(-59_990)))
    store.restart([late], {0: at(0)}, T0)
    assert store.state["last_id_ms"][0] == T0 - 59_990
    assert store.series[0].reading_id == at(-59_990)


def test_an_end_is_known_from_the_catalogue_and_from_the_past() -> None:
    store = Store()
    ended = msgspec.structs.replace(row(3.0, 3, at(5)), text=FINISHED)
    store.restart([ended], {0: at(5)}, T0)
    [series] = store.series
    assert series.ended
    assert store.take_past(series, past(0, at(6), (1, 1.0), (3, 3.0), (3, 3.0)), store.begin_past(store.series))
    assert series.ended, "the past tells nothing newer"
    assert store.take_past(series, past(0, at(9), (1, 1.0), (8, 4.0)), store.begin_past(store.series))
    assert not series.ended, "it has gone on"
    found = past(0, at(9), (1, 1.0), (9, 4.0))._replace(texts=[(T0 + 9.0, FINISHED)])
    assert store.take_past(series, found, store.begin_past(store.series))
    assert series.ended


def test_a_restart_while_a_past_is_read_takes_nothing_of_it() -> None:
    store = Store()
    store.restart([row(3.0, 3, at(3))], {0: at(3)}, T0)
    generation = store.begin_past(store.series)
    store.restart([row(8.0, 8, at(8))], {0: at(8)}, T0)
    assert not store.take_past(store.series[0], past(0, at(7), (1, 1.0)), generation)
    assert store.covered(store.series[0], 1) == T0 + 8
    drawn = store.series[0].buckets(50, T0 // 50 - 1, T0 // 50 + 1)
    assert drawn[MIN].tolist() == [8.0], "what may have holes is not drawn"


def test_readings_of_a_lost_log_stay_beside_the_past_of_the_new_one() -> None:
    store = Store()
    store.restart([], {0: at(0)}, T0)
    store.append(batch([1, 2], [1.0, 2.0]), at(2))
    store.new_lineage()
    store.restart([row(5.0, 5, at(5))], {0: at(5)}, T0)
    generation = store.begin_past(store.series)
    assert store.take_past(store.series[0], past(0, at(6), (2, 2.0), (4, 4.0), (5, 5.0)), generation)
    assert held(store) == [(1, 1.0), (2, 2.0), (4, 4.0), (5, 5.0)]


def test_a_past_larger_than_its_share_keeps_its_newest_part_and_says_so() -> None:
    store = Store(store_bytes=1 << 20)
    store.restart([row(3.0, 3, at(3))], {0: at(3)}, T0)
    generation = store.begin_past(store.series)
    many = [(float(ms), 1.0) for ms in range(-100_000, 0, 2)]
    assert store.take_past(store.series[0], past(-100_000, at(3), *many), generation)
    assert store.bytes_used <= 1 << 20
    kept = held(store)
    assert 0 < len(kept) < len(many)
    assert store.covered(store.series[0], 1) == T0 + kept[0][0]


def test_while_the_stream_is_behind_nothing_counts_as_silent() -> None:
    store = Store()
    store.restart([], {0: at(0)}, T0)
    store.append(batch([0, 1_000, 2_000, 3_000], [1.0] * 4), at(3_000))
    view = LiveView(store, None, 60_000.0, 100)
    store.catching_up = True
    view.tick(1, T0 + 40_000)
    assert np.isnan(unpack_frame(view.frame(0, None)).records["expected_ms"][0])
    store.catching_up = False
    view.tick(2, T0 + 40_000)
    assert unpack_frame(view.frame(0, None)).records["expected_ms"][0] == 1_000


# -- feed and service


def readings(store: Store, metric: str) -> Counter[tuple[float, float]]:
    series = store.find(metric, {})
    if series is None:
        return Counter()
    with store.lock:
        return Counter(map(tuple, series.raw.rows().T.tolist()))


def indices(feed: Feed) -> list[int]:
    return [series.index for series in feed.store.series]


def known(feed: Feed) -> bool:
    assert feed.past is not None
    return not feed.past.want(indices(feed), feed.now_ms() - feed.store.raw_ms)


async def test_what_was_published_is_in_memory_once_whatever_comes_meanwhile(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    chance = random.Random(5)
    published: dict[str, Counter[tuple[float, float]]] = {f"m{n}": Counter() for n in range(6)}
    stop = asyncio.Event()

    async def publish(publisher: tidewire.AsyncPublisher) -> None:
        while not stop.is_set():
            now_ms = time.time() * 1e3
            for metric, counter in published.items():
                late_ms = chance.choice([0.0, 0.0, 0.0, 3_000.0, 200_000.0])
                pair = (round(now_ms - late_ms, 1), float(chance.randrange(3)))
                for _ in range(chance.choice([1, 1, 2])):  # the same twice is two readings
                    publisher.publish(metric, pair[1], time=pair[0])
                    counter[pair] += 1
            await publisher.flush()
            await asyncio.sleep(0.004)

    async with tidewire.AsyncPublisher(valkey.url) as publisher:
        task = asyncio.create_task(publish(publisher))
        await eventually(lambda: all(counter.total() > 60 for counter in published.values()))
        for _ in range(3):
            with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
                await eventually(lambda: feed.status.state == "live" and len(feed.store.series) == 6)
                await eventually(lambda: known(feed))
                await asyncio.sleep(chance.uniform(0, 0.3))
                if _ == 2:
                    stop.set()
                    await task
                    for metric, counter in published.items():
                        await eventually(lambda: readings(feed.store, metric) == counter)  # noqa: B023


async def test_after_the_log_was_lost_it_begins_anew_and_keeps_what_only_memory_has(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    await service.publish("m", 1.0, 2.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: known(feed) and feed.status.state == "live")
        await eventually(lambda: readings(feed.store, "m").total() == 2)
        generation = feed.store.generation
        valkey.client.flushall()
        await service.publish("m", 3.0)
        await eventually(lambda: feed.store.generation > generation and feed.status.state == "live")
        await service.publish("m", 4.0)
        await eventually(lambda: feed.store.state["last_value"][0] == 4.0)
        await eventually(lambda: known(feed))
        assert sorted(value for _, value in readings(feed.store, "m")) == [1.0, 2.0, 3.0, 4.0]


async def test_after_a_long_absence_it_begins_anew_and_misses_nothing(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.feed._AWAY_MS", 0.0)
    await service.publish("m", 1.0, 2.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: known(feed) and feed.status.state == "live")
        await eventually(lambda: sorted(value for _, value in readings(feed.store, "m")) == [1.0, 2.0])
        await service.stop()
        await eventually(lambda: feed.status.state == "reconnecting")
        await service.start()
        await service.publish("m", 3.0, 4.0)
        generation = feed.store.generation
        feed.retry_now()
        await eventually(lambda: feed.store.generation > generation and feed.status.state == "live")
        assert feed.store.state["last_value"][0] == 4.0
        await eventually(lambda: known(feed))
        assert sorted(value for _, value in readings(feed.store, "m")) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("status", [403, 503])
async def test_a_history_that_is_refused_is_named_while_values_stay_live(
    service: Any, eventually: Eventually, status: int
) -> None:
    await service.publish("m", 1.0, 2.0)
    async with HistoryGate(service.url) as gate:
        gate.refusal = (status, "the history is not for you")
        with Feed(Store(), ("**",), url=gate.url, replay_s=None) as feed:
            await eventually(lambda: feed.store.series and not known(feed) and feed.message().past_reason)
            assert feed.message().past_reason == "the history is not for you"
            await eventually(lambda: feed.status.state == "live")  # the stream begins beside the history
            await service.publish("m", 3.0)
            await eventually(lambda: feed.store.state["last_value"][0] == 3.0)
            gate.refusal = None
            gate.open.set()
            await eventually(lambda: known(feed))
            assert feed.message().past_reason == ""
            assert sorted(value for _, value in readings(feed.store, "m")) == [1.0, 2.0, 3.0]


async def test_many_that_look_ask_once_and_what_is_in_memory_is_not_asked_for(
    service: Any, eventually: Eventually
) -> None:
    for n in range(40):
        await service.publish(f"m{n}", float(n))
    async with HistoryGate(service.url) as gate:
        with Feed(Store(), ("**",), url=gate.url, replay_s=None) as feed:
            await eventually(lambda: len(feed.store.series) == 40 and feed.status.state == "live")
            await eventually(lambda: not known(feed) and gate.asked >= 2)
            for _ in range(50):
                assert not known(feed)
            assert gate.asked <= 3, "three requests at a time, each for 32 metrics"
            gate.open.set()
            await eventually(lambda: known(feed))
            asked = gate.asked
            assert asked <= 8
            await service.publish("m0", 1.0)
            await eventually(lambda: feed.store.state["last_value"][0] == 1.0)
            assert known(feed)
            assert gate.asked == asked


async def test_a_service_without_its_catalogue_is_asked_again(service: Any, eventually: Eventually) -> None:
    await service.publish("m", 1.0)
    await service.stop()
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.status.attempts > 1)
        message = feed.message()
        assert message.state == "connecting"
        assert message.reason
        assert message.retry_at_ms is not None
        await service.start()
        await eventually(lambda: feed.status.state == "live")
        assert feed.store.state["last_value"][0] == 1.0


async def test_the_pace_of_what_has_been_silent_for_long_is_asked_for_when_somebody_looks(
    service: Any, eventually: Eventually
) -> None:
    old_ms = time.time() * 1e3 - 3_600_000
    await service.publish("silent", *[1.0] * 31, time=[old_ms - 1_000.0 * n for n in range(30, -1, -1)])
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        found = await eventually(lambda: feed.store.find("silent", {}))
        assert feed.past is not None
        feed.past.want_paces([found.index])
        await eventually(lambda: found.expected_ms() == 1_000)
        assert found.raw.size == 1, "its readings are not in the window of anybody"


async def test_a_past_in_another_unit_is_not_drawn_and_its_events_come_along(
    service: Any, eventually: Eventually
) -> None:
    now_ms = time.time() * 1e3
    await service.publish("m", 1.0, 2.0, time=[now_ms - 60_000, now_ms - 50_000], unit="[degF]")
    await service.publish("m", 3.0, 4.0, time=[now_ms - 40_000, now_ms - 30_000], unit="Cel")
    body = [{"metric": "annotations", "time": now_ms - 45_000, "value": 0, "text": "deploy"}]
    (await service.http.post("/v1/readings", json=body)).raise_for_status()
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await eventually(lambda: feed.store.series and known(feed))
        series = feed.store.find("m", {})
        assert series is not None
        assert series.unit == "Cel"
        assert [value for _, value in sorted(readings(feed.store, "m"))] == [3.0, 4.0]
        assert series.unit_since_ms == pytest.approx(now_ms - 40_000, abs=1)
        assert [event.text for event in feed.store.events] == ["deploy"]


async def test_a_catalogue_that_is_too_large_is_replaced_by_a_replay(start_service: StartService) -> None:
    service = await start_service(catalog_rows=1)
    await service.publish("a", 1.0)
    await service.publish("b", 2.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        await waiting.eventually(lambda: feed.status.state == "live")
        assert sorted(series.metric for series in feed.store.series) == ["a", "b"]
        assert feed.store.covered_from_ms == pytest.approx(time.time() * 1e3 - feed.store.raw_ms, abs=30_000)


async def test_a_past_that_cannot_be_taken_leaves_the_stream_alone(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.publish("m", 1.0)
    with Feed(Store(), ("**",), url=service.url, replay_s=None) as feed:
        monkeypatch.setattr(feed.store, "take_past", lambda *_: 1 / 0)
        await eventually(lambda: feed.store.series and not known(feed) and feed.message().past_reason)
        await service.publish("m", 2.0)
        await eventually(lambda: feed.store.state["last_value"][0] == 2.0)
        await eventually(lambda: feed.status.state == "live")
        monkeypatch.undo()
        await eventually(lambda: known(feed))
