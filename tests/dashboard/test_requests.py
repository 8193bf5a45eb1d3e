"""Statistics, tables, files, saved decks and thresholds, asked by a viewer's messages; the service is real."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from servers import StartService, Valkey
from waiting import HANG_S, Eventually

from tidewire.errors import ServiceRefused
from tidewire.model.threshold import Threshold
from tidewire_dashboard.analysis import frame_of, statistics
from tidewire_dashboard.app import Dashboard
from tidewire_dashboard.saved_decks import SavedDecks
from tidewire_dashboard.viewer import Viewer


@pytest.fixture
def start_ms() -> float:
    """Ten minutes before the test."""
    return float(int(time.time()) * 1_000 - 600_000)


class Port:
    """Records the texts that are sent."""

    unsent = 0

    def __init__(self) -> None:
        self.texts: list[dict[str, Any]] = []

    def send(self, data: bytes | str) -> None:
        if isinstance(data, str):
            self.texts.append(json.loads(data))

    def fail(self) -> None:
        raise AssertionError("the viewer was given up")


class Asker:
    """A viewer, and its answers by kind."""

    def __init__(self, dashboard: Dashboard, eventually: Eventually) -> None:
        self.port = Port()
        self.viewer = Viewer(dashboard.hub.shared, self.port)
        self._eventually = eventually

    async def ask(self, *answers: str, **question: Any) -> dict[str, Any]:
        before = len(self.port.texts)
        self.viewer.receive(json.dumps(question))
        found: dict[str, Any] = await self._eventually(
            lambda: next((text for text in self.port.texts[before:] if text["t"] in {*answers, "refused"}), None)
        )
        return found


@pytest.fixture
def asker(dashboard: Dashboard, eventually: Eventually) -> Asker:
    return Asker(dashboard, eventually)


@pytest.fixture
async def readings(service: Any, dashboard: Dashboard, eventually: Eventually, start_ms: float) -> np.ndarray[Any, Any]:
    """5,000 readings of one series at 10/s with a silence of 20 s, three of another with labels."""
    times = start_ms + np.arange(5_000) * 100.0
    times[2_500:] += 20_000
    values = np.random.default_rng(7).normal(900, 20, 5_000).round(3)
    for first in range(0, 5_000, 1_000):
        part = slice(first, first + 1_000)
        row = {"metric": "furnace/t", "time": times[part].tolist(), "value": values[part].tolist()}
        assert (await service.http.post("/v1/readings", json=row)).status_code == 200
    row = {
        "metric": "furnace/t", "labels": {"line": "=1+1"}, "time": [start_ms, start_ms + 1, start_ms + 2],
        "value": [1, None, 3], "text": [None, "flag", None],
    }  # fmt: skip
    assert (await service.http.post("/v1/readings", json=row)).status_code == 200
    await eventually(lambda: len(dashboard.source.store.series) == 2)
    return values


def window(dashboard: Dashboard, start_ms: float, **more: Any) -> dict[str, Any]:
    series = [one.index for one in dashboard.source.store.series]
    return {"id": 7, "series": series, "start_ms": start_ms, "end_ms": start_ms + 600_000, **more}


async def test_statistics_are_those_of_the_readings(
    dashboard: Any, asker: Asker, readings: Any, start_ms: float
) -> None:
    answer = await asker.ask("statistics", t="statistics", **window(dashboard, start_ms))
    assert (answer["t"], answer["id"]) == ("statistics", 7), answer
    store = dashboard.source.store
    by_series = {json.dumps(store.series[row["i"]].labels): row for row in answer["rows"]}
    plain = by_series["{}"]
    assert plain["count"] == 5_000
    assert plain["rate"] == pytest.approx(5_000 / 600)
    assert (plain["gaps"], plain["gap_ms"]) == (1, 20_100)
    expected = {
        "last": readings[-1], "mean": readings.mean(), "min": readings.min(), "max": readings.max(),
        "std": readings.std(ddof=1), "p50": np.quantile(readings, 0.5), "p95": np.quantile(readings, 0.95),
        "p99": np.quantile(readings, 0.99),
    }  # fmt: skip
    assert {name: plain[name] for name in expected} == pytest.approx(expected)
    few = by_series['{"line": "=1+1"}']
    assert (few["count"], few["last"], few["mean"], few["min"], few["max"]) == (3, 3, 2, 1, 3)


async def test_more_than_one_answer_of_the_service_holds_is_read_in_parts(
    start_service: StartService, service: Any, asker: Asker, dashboard: Any, readings: Any, start_ms: float
) -> None:
    small = await start_service(history_rows=700)
    reader = dashboard.hub.shared.readings
    reader._client.base = small.url
    frame = frame_of(await reader.parts(dashboard.source.store.series, start_ms, start_ms + 600_000))
    assert len(frame) == 5_003
    (plain,) = (row for row in statistics(frame, start_ms, start_ms + 600_000) if row.count == 5_000)
    assert plain.mean == pytest.approx(readings.mean())


async def test_the_table_has_the_newest_readings_first(
    dashboard: Any, asker: Asker, readings: Any, start_ms: float
) -> None:
    answer = await asker.ask("table", t="table", **window(dashboard, start_ms))
    assert answer["of"] == 5_003
    assert len(answer["rows"]) == 500
    times = [row[0] for row in answer["rows"]]
    assert times == sorted(times, reverse=True)
    assert answer["rows"][0][2] == readings[-1]
    short = window(dashboard, start_ms, end_ms=start_ms + 3)
    last = await asker.ask("table", t="table", **short)
    assert [row[2:] for row in last["rows"][:2]] == [[3, None], [None, "flag"]]
    assert sorted(row[2] for row in last["rows"][2:]) == sorted([1, readings[0]])


async def test_tables_and_statistics_keep_two_units_apart(
    service: Any, dashboard: Dashboard, asker: Asker, eventually: Eventually, start_ms: float
) -> None:
    for n, (value, unit) in enumerate(((20.0, "Cel"), (21.0, "°C"), (68.0, "[degF]"), (70.0, "[degF]"))):
        await service.publish("m", value, time=[start_ms + n * 1_000], unit=unit)
    store = dashboard.source.store
    await eventually(lambda: store.series and store.state["last_value"][0] == 70)
    answer = await asker.ask("table", t="table", **window(dashboard, start_ms))
    assert [row[2] for row in answer["rows"]] == [70, 68, 21, 20]
    assert answer["units"] == ["[degF]", "[degF]", "°C", "Cel"]
    (row,) = (await asker.ask("statistics", t="statistics", **window(dashboard, start_ms)))["rows"]
    assert (row["count"], row["min"], row["mean"], row["max"], row["last"]) == (2, 68, 69, 70, 70)
    before = await asker.ask("table", t="table", **window(dashboard, start_ms, end_ms=start_ms + 1_500))
    assert "units" not in before, "written in two ways, and the same"


async def test_a_file_is_fetched_once_and_a_formula_in_it_is_text(
    dashboard: Any, asker: Asker, readings: Any, start_ms: float
) -> None:
    async with httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http:
        answer = await asker.ask("export", t="export", kind="csv", **window(dashboard, start_ms))
        got = await http.get("/" + answer["url"])
        assert got.status_code == 200, got.text
        assert "attachment" in got.headers["content-disposition"]
        frame = pd.read_csv(io.BytesIO(got.content))
        assert len(frame) == 5_003
        assert set(frame["label.line"].dropna()) == {"'=1+1"}
        assert frame["value"].dropna().sum() == pytest.approx(readings.sum() + 4)
        assert (await http.get("/" + answer["url"])).status_code == 410
        answer = await asker.ask("export", t="export", kind="parquet", **window(dashboard, start_ms))
        parquet = pd.read_parquet(io.BytesIO((await http.get("/" + answer["url"])).content))
        assert len(parquet) == 5_003
        assert str(parquet["time"].dtype).endswith("UTC]")
        assert set(parquet["label.line"].dropna()) == {"=1+1"}


async def test_a_deck_is_saved_and_a_newer_one_is_not_overwritten_unasked(asker: Asker) -> None:
    deck = {"tidewire": "deck", "version": 1, "name": "Hall", "address": "?w=5m"}
    assert (await asker.ask("deck", t="read_deck", slug="hall"))["deck"] is None
    saved = await asker.ask("saved", t="save_deck", slug="hall", deck=deck, over="")
    assert not saved["conflict"]
    again = await asker.ask("saved", t="save_deck", slug="hall", deck={**deck, "name": "B"}, over="")
    assert again == {"t": "saved", "slug": "hall", "etag": saved["etag"], "conflict": True}
    over = await asker.ask("saved", t="save_deck", slug="hall", deck={**deck, "name": "B"}, over=saved["etag"])
    assert not over["conflict"]
    read = await asker.ask("deck", t="read_deck", slug="hall")
    assert (read["deck"]["name"], read["etag"]) == ("B", over["etag"])
    (listed,) = (await asker.ask("decks", t="decks"))["decks"]
    assert (listed["slug"], listed["name"]) == ("hall", "B")
    forced = await asker.ask("saved", t="save_deck", slug="hall", deck=deck, over=None)
    assert not forced["conflict"]
    assert (await asker.ask("decks", t="delete_deck", slug="hall"))["decks"] == []
    refused = await asker.ask("saved", t="save_deck", slug="Not a slug", deck=deck, over="")
    assert refused["t"] == "refused"
    assert "slug" in refused["reason"]


async def test_thresholds_are_in_force_for_every_viewer_and_alarm(
    dashboard: Any, asker: Asker, readings: Any, eventually: Eventually
) -> None:
    other = Asker(dashboard, eventually)
    dashboard.hub.add(other.viewer)
    other.viewer.receive('{"t":"hello","page":"overview"}')
    try:
        hot = {"metric": "furnace/*", "warn_above": 800.0, "critical_above": 10_000.0}
        assert not (await asker.ask("thresholds_saved", t="save_thresholds", thresholds=[hot]))["conflict"]
        told = await eventually(
            lambda: [t for t in other.port.texts if t["t"] == "thresholds" and t["thresholds"] == [hot]]
        )
        assert told
        alarms = await eventually(lambda: [t for t in other.port.texts if t["t"] == "alarms" and t["alarms"]])
        store = dashboard.source.store
        (alarm,) = alarms[-1]["alarms"]
        assert (store.series[alarm["i"]].labels, alarm["level"]) == ({}, "warn")
    finally:
        dashboard.hub.remove(other.viewer)


async def test_thresholds_that_a_foreign_hand_overwrote_are_replaced_by_the_next_save(
    service: Any, valkey: Valkey
) -> None:
    known: list[Sequence[Threshold]] = []
    saved = SavedDecks(service.url, "", known.append)
    hot = Threshold(metric="furnace/*", warn_above=935.0)
    await saved.save_thresholds([hot])
    valkey.cli("HSET", "tw:{0}:thresholds", "list", b"x")
    with pytest.raises(ServiceRefused, match="overwritten"):  # the dashboard has not looked yet
        await saved.save_thresholds([hot])
    assert known == [[hot]], "the last ones stay in force"
    await saved.save_thresholds([hot])
    assert (await service.http.get("/v1/thresholds")).json()["thresholds"][0]["metric"] == "furnace/*"
    await saved.close()
