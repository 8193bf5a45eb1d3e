"""DataFrames in and out, through a real service."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from servers import StartService

import tidewire
from tidewire.errors import InvalidInput, ServiceRefused, ServiceUnavailable
from tidewire.subscribing import history_pages
from tidewire.subscribing.history_pages import HistoryPages, HistoryReader


@pytest.fixture
def began() -> pd.Timestamp:
    """A whole second, 100 s before the test."""
    return pd.Timestamp.now(tz="UTC").floor("s") - pd.Timedelta(seconds=100)


async def history(*given: Any, **more: Any) -> pd.DataFrame:
    return await asyncio.to_thread(tidewire.history, *given, **more)


async def publish(service: Any, frame: Any, **more: Any) -> int:
    with tidewire.Publisher(service.url) as publisher:
        published = await asyncio.to_thread(tidewire.publish_frame, frame, publisher=publisher, **more)
        assert await asyncio.to_thread(publisher.flush)
    return published


@pytest.fixture
def plant(began: pd.Timestamp) -> pd.DataFrame:
    index = pd.date_range(began, periods=2_500, freq="10ms", name="time")
    return pd.DataFrame(
        {"temperature": np.arange(2_500) / 10, "power": np.arange(2_500) * 2.0, "note": "x"}, index=index
    )


async def test_a_frame_goes_in_and_comes_back(service: Any, plant: pd.DataFrame) -> None:
    assert await publish(service, plant, prefix="plant/", unit="Cel", labels={"site": "A"}) == 5_000
    frame = await history("plant/*", "-15m", url=service.url)
    assert list(frame.columns[:4]) == ["metric", "time", "value", "unit"]
    assert str(frame["time"].dt.tz) == "UTC"
    assert set(frame["label.site"]) == {"A"}
    back = frame[frame.metric == "plant/temperature"].sort_values("time")
    assert back["value"].tolist() == plant["temperature"].tolist()
    assert back["time"].tolist() == plant.index.tolist()


async def test_label_columns_make_series_and_the_wide_form_has_one_column_each(
    service: Any, began: pd.Timestamp
) -> None:
    index = pd.date_range(began, periods=6, freq="1s")
    frame = pd.DataFrame({"t": [1.0, 2, 3, 4, 5, 6], "site": ["A", "B", None] * 2, "line": [1] * 6}, index=index)
    assert await publish(service, frame, label_columns=["site", "line"], prefix="plant/") == 6
    wide = await history("plant/**", "-15m", wide=True, url=service.url)
    assert list(wide.columns) == ["plant/t{line=1,site=A}", "plant/t{line=1,site=B}", "plant/t{line=1}"]
    assert wide["plant/t{line=1,site=A}"].dropna().tolist() == [1.0, 4.0]
    assert wide["plant/t{line=1}"].dropna().tolist() == [3.0, 6.0]
    assert wide.index.tolist() == index.tolist()


async def test_a_series_over_times_is_published_at_its_times(service: Any, began: pd.Timestamp) -> None:
    series = pd.Series([1.0, np.nan, 3.0], index=pd.date_range(began, periods=3, freq="1s"))
    with tidewire.Publisher(service.url) as publisher:
        publisher.publish("one", series)
        assert await asyncio.to_thread(publisher.flush)
        with pytest.raises(InvalidInput, match="time zone"):
            publisher.publish("one", series.tz_localize(None))
    frame = await history("one", url=service.url)
    assert frame["time"].tolist() == series.index.tolist()
    assert frame["value"].isna().tolist() == [False, True, False]


async def test_booleans_and_a_series_are_columns_too(service: Any) -> None:
    index = pd.date_range(end=pd.Timestamp.now(tz="UTC"), periods=2, freq="s")
    frame = pd.DataFrame({"on": [True, False], "note": ["x", "y"]}, index=index)
    assert await publish(service, frame, prefix="pump/") == 2
    assert await publish(service, pd.Series([1, 2], index=index, name="flow"), prefix="pump/") == 2
    wrongs: list[tuple[Any, dict[str, Any], str]] = [
        (frame[["note"]], {}, "no column of numbers"),
        (frame.assign(flow=1), {"metric": "pump"}, "use prefix="),
        ([1, 2], {}, "DataFrame"),
    ]
    for wrong, more, why in wrongs:
        with pytest.raises(InvalidInput, match=why):
            await publish(service, wrong, **more)
    read = await history("pump/*", url=service.url)
    assert read.groupby("metric", observed=True)["value"].apply(list).to_dict() == {
        "pump/flow": [1.0, 2.0],
        "pump/on": [1.0, 0.0],
    }


async def test_several_patterns_points_and_spans(service: Any, plant: pd.DataFrame, began: pd.Timestamp) -> None:
    await publish(service, plant[["temperature", "power"]])
    frame = await history(["temperature", "power"], began, began + pd.Timedelta(seconds=10), points=10, url=service.url)
    assert {"min", "max", "mean", "count"} <= set(frame.columns)
    assert frame.groupby("metric")["count"].sum().to_dict() == {"temperature": 1_000, "power": 1_000}


async def test_nothing_is_an_empty_frame_with_its_columns(service: Any) -> None:
    frame = await history("nothing/*", "-1m", url=service.url)
    assert frame.empty
    assert list(frame.columns[:3]) == ["metric", "time", "value"]
    assert (await history("nothing/*", "-1m", wide=True, url=service.url)).empty


async def test_the_last_readings_and_the_catalogue(service: Any) -> None:
    with tidewire.Publisher(service.url) as publisher:
        publisher.publish("a", 1, time=time.time() * 1e3 - 5_000)
        publisher.publish("b", 2, unit="Cel")
        assert await asyncio.to_thread(publisher.flush)
    last = await asyncio.to_thread(tidewire.last, url=service.url)
    assert last[["metric", "value"]].to_numpy().tolist() == [["b", 2.0], ["a", 1.0]]
    assert (await asyncio.to_thread(tidewire.catalog, "b", url=service.url))["unit"].tolist() == ["Cel"]


async def test_what_cannot_work_is_said(service: Any, plant: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="label_columns"):
        await publish(service, plant, label_columns=["nowhere"])
    for start, end in (("yesterday", None), ("-1m", "-2m"), ("15m", None)):
        with pytest.raises(InvalidInput, match="start"):
            await history("a", start, end, url=service.url)
    with pytest.raises(ServiceRefused, match="points"):
        await history("a", points=10**9, url=service.url)
    with pytest.raises(ServiceUnavailable, match="tidewire doctor"):
        await history("a", url="http://127.0.0.1:9")


async def test_a_span_is_by_the_clock_of_the_service_and_not_of_the_reader(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, began: pd.Timestamp
) -> None:
    service = await start_service(history_rows=500)
    index = pd.date_range(began, periods=1_200, freq="10ms")
    await publish(service, pd.DataFrame({"a": np.arange(1_200.0)}, index=index))
    for wrong_s in (-7_200, 7_200):  # the reader's clock alone
        clock = SimpleNamespace(time=lambda by=wrong_s: time.time() + by, monotonic=time.monotonic, sleep=time.sleep)
        monkeypatch.setattr(history_pages, "time", clock)
        assert len(await history("a", "-15m", url=service.url)) == 1_200


async def test_a_load_larger_than_an_answer_comes_in_pages(start_service: StartService, began: pd.Timestamp) -> None:
    service = await start_service(history_rows=1_000)
    index = pd.date_range(began, periods=2_500, freq="10ms")
    frame = pd.DataFrame({"a": np.arange(2_500.0), "b": np.arange(2_500.0) * 2, "site": "A"}, index=index)
    await publish(service, frame, label_columns=["site"])
    await publish(service, pd.DataFrame({"c": [1.0]}, index=index[:1]))
    shares: list[float] = []
    with HistoryReader(service.url) as reader:
        pages = await asyncio.to_thread(
            lambda: list(HistoryPages(reader, ["**"], None, "-15m", None).pages(shares.append))
        )
    assert max(page.num_rows for page in pages) < 1_000 + 1_000  # a page ends with a whole batch
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    back = await history("**", "-15m", url=service.url)
    assert back.groupby("metric").size().to_dict() == {"a": 2_500, "b": 2_500, "c": 1}
    assert back[back.metric == "b"]["value"].tolist() == frame["b"].tolist()
    assert back["label.site"].isna().sum() == 1
    wide = await history("**", "-15m", wide=True, url=service.url)
    assert list(wide.columns) == ["a{site=A}", "b{site=A}", "c"]
