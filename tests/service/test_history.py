"""GET /v1/history: spans, buckets, filters, formats and limits."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lanes import bounded
from servers import Valkey

from tidewire.model.batch import LEAD_MS, encode_batch, make_batch
from tidewire.model.layout import SINGLE
from tidewire.redislog.log import RedisLog
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.history.directory import Reading
from tidewire_service.history.history import Span, read_history


@pytest.fixture
def base_ms() -> float:
    """A whole minute, two to three minutes before the test: within the last 15 minutes, which are the default."""
    return math.floor(time.time() / 60) * 60_000.0 - 120_000


async def _publish(service: Any, metric: str, times: list[float], values: list[Any], **more: Any) -> None:
    answer = await service.post({"metric": metric, "time": times, "value": values, **more})
    assert answer.status_code == 200, answer.text


async def test_readings_come_back_by_their_own_time_oldest_first(service: Any, base_ms: float) -> None:
    await _publish(service, "m", [base_ms + 3, base_ms + 1], [3, 1])
    await _publish(service, "m", [base_ms + 2, base_ms + 4], [None, 4], unit="Cel")
    found = await service.history("m", start=str(base_ms + 1), end=str(base_ms + 4))
    assert found["step_ms"] is None
    assert (found["start_ms"], found["end_ms"]) == (base_ms + 1, base_ms + 4)
    assert found["series"] == [
        {
            "metric": "m",
            "labels": {},
            "unit": "Cel",
            "time": [base_ms + 1, base_ms + 2, base_ms + 3],
            "value": [1, None, 3],
        }
    ]


async def test_what_is_taken_ahead_of_its_time_is_found_by_any_window_around_it(
    shared_service: Any, now_ms: float
) -> None:
    hour = 3_600_000.0
    leads = [-48 * hour, -hour, 0, 60_000, hour / 2, hour, LEAD_MS - 5_000, LEAD_MS + 60_000, 5 * hour, 23 * hour]
    rows = [{"metric": f"lead/{n}", "value": n, "time": now_ms + lead} for n, lead in enumerate(leads)]
    answer = (await shared_service.post(rows)).json()
    assert [row["row"] for row in answer["rejected"]] == [7, 8, 9]
    assert "65 min" in answer["rejected"][0]["reason"]
    for n, lead in enumerate(leads[:7]):
        time = now_ms + lead
        for before, after in ((0, 1), (1, 1), (60_000, 60_000), (hour, 0.5), (30 * hour, 30 * hour), (0, None)):
            span = {"start": repr(time - before)} | ({} if after is None else {"end": repr(time + after)})
            found = await shared_service.history(f"lead/{n}", **span)
            assert [series["value"] for series in found["series"]] == [[n]], (lead, before, after)
            bucketed = await shared_service.history(f"lead/{n}", points=10, **span)
            assert [sum(series["count"]) for series in bucketed["series"]] == [1], (lead, before, after)


@settings(max_examples=bounded(25, 1_000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lead_ms=st.floats(-7_200_000, LEAD_MS - 5_000), before_ms=st.floats(0, 1e7), after_ms=st.floats(0.1, 1e7))
def test_a_window_at_any_offset_finds_what_lies_in_it(
    log_with_leads: tuple[RedisLog, Callable[[Coroutine[Any, Any, Any]], Any]],
    lead_ms: float,
    before_ms: float,
    after_ms: float,
) -> None:
    log, run = log_with_leads

    async def read() -> None:
        now_ms = (await log.clock()).now_ms
        time_ms = make_batch("any", 1.0, time=now_ms + lead_ms, now_ms=now_ms).time[0]
        appended = await log.append([encode_batch(make_batch("any", 1.0, time=time_ms, now_ms=now_ms))])
        span = Span(time_ms - before_ms, time_ms + after_ms, 0)
        tails, clock = await log.tails()
        directory, parts = Reading(SINGLE, {0: clock}, tails), PartitionedLog.of_one(log)
        found = await read_history(parts, directory, {}, span, appended.cursor, max_rows=10**6, max_batches=10**6)
        assert time_ms in found.series[0].time.tolist()
        assert all(span.start_ms <= time < time_ms + after_ms for time in found.series[0].time.tolist())

    run(read())


@pytest.fixture
def log_with_leads(valkey: Valkey) -> Iterator[tuple[RedisLog, Callable[[Coroutine[Any, Any, Any]], Any]]]:
    """A log, and what runs its coroutines in a loop of its own."""
    with asyncio.Runner() as runner:
        log = RedisLog(valkey.url)
        yield log, runner.run
        runner.run(log.close())


async def test_start_and_end_are_spans_texts_or_milliseconds(service: Any, base_ms: float) -> None:
    await _publish(service, "m", [base_ms], [1])
    text = datetime.fromtimestamp(base_ms / 1e3, UTC)
    for start in (str(base_ms), "-30m", text.isoformat(), text.strftime("%Y-%m-%dT%H:%M:%SZ"), "", None):
        assert (await service.history("m", start=start))["series"], start
    for span in ({"start": "-1m"}, {"end": "-30m", "start": "-1h"}, {"start": base_ms + 1}, {"end": base_ms}):
        assert (await service.history("m", **span))["series"] == [], span
    # an offset's plus sign arrives as a space when it is not escaped
    plain = await service.http.get(f"/v1/history?metric=m&start={text.strftime('%Y-%m-%dT%H:%M:%S+00:00')}")
    assert plain.json()["series"]


async def test_buckets_are_anchored_to_the_epoch(service: Any, base_ms: float) -> None:
    times = [base_ms + offset for offset in (0, 400, 999, 1_000, 5_500, 5_400, 5_600)]
    await _publish(service, "m", times[:4], [5, 1, 3, None])
    await _publish(service, "m", times[4:], [7, 9, None])
    found = await service.history("m", points=10, start=str(base_ms), end=str(base_ms + 10_000))
    assert found["step_ms"] == 1_000
    assert found["series"] == [
        {
            "metric": "m",
            "labels": {},
            "unit": "",
            "time": [base_ms, base_ms + 1_000, base_ms + 5_000],
            "value": [3, None, None],
            "first": [5, None, 9],
            "min": [1, None, 7],
            "max": [5, None, 9],
            "mean": [3, None, 8],
            "count": [3, 1, 3],
        }
    ]


async def test_a_bucket_has_the_text_of_its_newest_reading_with_one(service: Any, base_ms: float) -> None:
    times = [base_ms + offset for offset in (900, 100, 500, 1_200, 2_100, 2_300)]
    texts = ["HEAT", "IDLE", None, None, "HOLD", "COOL"]
    rows = {"metric": "mode", "time": times, "value": [None] * 6, "text": texts}
    assert (await service.http.post("/v1/readings", json=rows)).status_code == 200
    await _publish(service, "mode", [base_ms + 200], [None])
    span = {"start": str(base_ms), "end": str(base_ms + 10_000)}
    [series] = (await service.history("mode", points=10, **span))["series"]
    assert (series["text"], series["count"]) == (["HEAT", None, "COOL"], [4, 1, 2])
    params = {"metric": "mode", "points": 10, "format": "csv", **span}
    lines = (await service.http.get("/v1/history", params=params)).text.splitlines()
    assert lines[0] == "metric,time,value,min,max,mean,count,unit,text"
    assert [line.rpartition(",")[2] for line in lines[1:]] == ["HEAT", "", "COOL"]


async def test_buckets_have_the_width_that_is_asked_for(service: Any, base_ms: float) -> None:
    times = [base_ms + 100 * n for n in range(100)]
    await _publish(service, "m", times, [float(n * 7 % 11) for n in range(100)])
    for step_ms in (137, 1_021, 3_000):
        found = await service.history("m", step_ms=step_ms, start=str(base_ms), end=str(base_ms + 10_000))
        assert found["step_ms"] == step_ms
        columns: dict[int, list[float]] = {}
        for n, time_ms in enumerate(times):
            columns.setdefault(int(time_ms // step_ms), []).append(float(n * 7 % 11))
        [series] = found["series"]
        assert series["time"] == [number * step_ms for number in columns]
        for name, of in (("first", lambda v: v[0]), ("value", lambda v: v[-1]), ("min", min), ("max", max)):
            assert series[name] == list(map(of, columns.values())), name
        assert series["count"] == list(map(len, columns.values()))


async def test_patterns_and_labels_select_series(service: Any, base_ms: float) -> None:
    for site in "AB":
        await _publish(service, "furnace/a/temperature", [base_ms], [1], labels={"site": site, "zone": "x:y"})
    await _publish(service, "furnace/b", [base_ms], [2])

    async def names(**query: Any) -> list[tuple[str, str]]:
        found = await service.history(**query)
        return [(series["metric"], series["labels"].get("site", "")) for series in found["series"]]

    assert await names(metric="**") == [
        ("furnace/a/temperature", "A"),
        ("furnace/a/temperature", "B"),
        ("furnace/b", ""),
    ]
    assert await names(metric="furnace/*") == [("furnace/b", "")]
    assert await names(metric="**", label="site:A") == [("furnace/a/temperature", "A")]
    assert await names(metric="**", label=["site:B", "zone:x:y"]) == [("furnace/a/temperature", "B")]
    assert await names(metric="**", label=["site:B", "zone:z"]) == []
    assert await names(metric=["furnace/b", "furnace/*/temperature"], label="site:A") == [
        ("furnace/a/temperature", "A")
    ]
    assert await names(metric="unborn") == []


async def test_what_was_acknowledged_is_found_at_once(service: Any, base_ms: float) -> None:
    for n in range(50):
        await _publish(service, f"born/{n}", [base_ms], [n])
        assert (await service.history(f"born/{n}"))["series"], n


async def test_a_long_history_is_read_in_pages(service: Any, base_ms: float) -> None:
    for first in range(0, 1_200, 100):
        await service.post([{"metric": "m", "time": [base_ms + n], "value": [n]} for n in range(first, first + 100)])
    found = await service.history("m")
    assert found["series"][0]["value"] == list(range(1_200))
    buckets = await service.history("m", points=2, start=str(base_ms), end=str(base_ms + 2_000))
    assert buckets["series"][0]["count"] == [1_000, 200]


async def test_the_cursor_of_a_history_goes_on_without_a_gap(service: Any, base_ms: float) -> None:
    await _publish(service, "m", [base_ms], [1])
    cursor = (await service.history("m"))["cursor"]
    await _publish(service, "m", [base_ms + 1], [2])
    async with service.http.stream("GET", "/v1/stream", params={"metric": "m", "cursor": cursor}) as answer:
        async for line in answer.aiter_lines():
            if line.startswith('data: {"metric"'):
                assert json.loads(line[6:])["value"] == [2]
                break


async def test_every_format_holds_the_same(service: Any, base_ms: float) -> None:
    await _publish(
        service, "a", [base_ms, base_ms + 0.5], [1.5, None], labels={"site": 'x,"y"'}, unit="Cel", text=[None, "flag"]
    )
    await _publish(service, "b", [base_ms + 1], [2], labels={"line": "7", "metric": "odd"})

    async def get(form: str, **query: Any) -> Any:
        answer = await service.http.get("/v1/history", params={"metric": "**", "format": form, **query})
        assert answer.status_code == 200
        assert answer.headers["tidewire-cursor"]
        return answer

    lines = [json.loads(line) for line in (await get("ndjson")).text.splitlines()]
    assert lines == (await service.history())["series"]

    table = list(csv.DictReader(io.StringIO((await get("csv")).text)))
    assert [row["metric"] for row in table] == ["a", "a", "b"]
    assert [row["value"] for row in table] == ["1.5", "", "2.0"]
    assert [row["label.site"] for row in table] == ['x,"y"', 'x,"y"', ""]
    assert table[1]["text"] == "flag"
    assert float(table[1]["time"]) == base_ms + 0.5
    assert table[2]["label.metric"] == "odd"

    for form, read in (("parquet", pq.read_table), ("arrow", lambda data: pa.ipc.open_stream(data).read_all())):
        rows = read(io.BytesIO((await get(form)).content)).to_pylist()
        assert [row["value"] for row in rows] == [1.5, None, 2.0], form
        assert [row["metric"] for row in rows] == ["a", "a", "b"]
        assert [row["label.site"] for row in rows] == ['x,"y"', 'x,"y"', None]
        assert rows[1]["time"].timestamp() * 1e3 == pytest.approx(base_ms + 0.5)
        assert rows[0]["unit"] == "Cel"
        assert rows[1]["text"] == "flag"
        buckets = read(io.BytesIO((await get(form, points=10)).content)).to_pylist()
        assert [(row["value"], row["min"], row["count"]) for row in buckets] == [(None, 1.5, 2), (2.0, 2.0, 1)]
        assert read(io.BytesIO((await get(form, metric="none")).content)).num_rows == 0


async def test_csv_goes_back_in_as_it_came_out(service: Any, base_ms: float) -> None:
    await _publish(service, "a", [base_ms, base_ms + 0.5], [1.5, None], labels={"site": "A"}, unit="Cel")
    text = (await service.http.get("/v1/history", params={"metric": "a", "format": "csv"})).content
    await service.post(text.replace(b"a,1", b"copy,1").replace(b"\na,", b"\ncopy,"), "text/csv")
    original, copy = (await service.history())["series"]
    assert {**original, "metric": "copy"} == copy


async def test_a_formula_in_a_name_is_no_formula_in_the_export(service: Any, base_ms: float) -> None:
    await _publish(service, "=HYPERLINK(1)", [base_ms], [-1], labels={"@x": "+1", "y": "-2"}, text=["=1+1"])
    text = (await service.http.get("/v1/history", params={"metric": "**", "format": "csv"})).text
    header, row = csv.reader(io.StringIO(text))
    assert not [cell for cell in header if cell.startswith(("=", "+", "-", "@"))]
    assert [cell for cell in row if cell.startswith(("=", "+", "-", "@"))] == ["-1.0", "+1", "-2"], "plain numbers"


async def test_what_was_exported_as_csv_is_taken_back_as_it_was(service: Any, valkey: Valkey, base_ms: float) -> None:
    labels = {"@x": "=1+1", "y": "'=2", "z": "\uff1d3", "n": "-2", "q": "don't"}
    texts = ["=A1", "-5 °C", "'quoted'", "\n+1", "-5", ' "=x"']
    await _publish(service, "=cmd|' /C calc'!A0", [base_ms + n for n in range(6)], [0] * 6, labels=labels, text=texts)
    await _publish(service, "plain", [base_ms], [1])
    query = {"metric": "**", "start": str(base_ms - 1)}
    before = (await service.http.get("/v1/history", params=query)).json()["series"]
    exported = (await service.http.get("/v1/history", params={**query, "format": "csv"})).text
    for cell in (cell for row in csv.reader(io.StringIO(exported)) for cell in row):
        assert not re.match(r"\s*[=+@\uff1d]|\s*-\D|[\t\r\n]", cell), cell
    valkey.client.flushall()
    await service.ready()
    answer = await service.post(exported, "text/csv")
    assert (answer.status_code, answer.json()["rejected"]) == (200, [])
    assert (await service.http.get("/v1/history", params=query)).json()["series"] == before


async def test_too_much_says_how_to_ask_for_less(start: Any, base_ms: float) -> None:
    service = await start(history_rows=100, history_scan_batches=50)
    await _publish(service, "m", [base_ms + n for n in range(101)], [1] * 101)
    long = await service.http.get("/v1/history", params={"metric": "m"})
    assert long.status_code == 413
    assert "points=" in long.json()["detail"]
    assert (await service.http.get("/v1/history", params={"metric": "m", "points": 50})).status_code == 200
    await service.post([{"metric": "n", "value": [1]} for _ in range(60)])
    scanned = await service.http.get("/v1/history", params={"metric": "n", "points": 1})
    assert (scanned.status_code, scanned.json()["limit"]) == (413, {"history_scan_batches": 50})


@pytest.mark.parametrize(
    ("query", "field", "remedy"),
    [
        ("", "metric", "metric=**"),
        ("metric=", "metric", "metric=**"),
        ("metric=a**", "pattern", "whole level"),
        ("metric=a//b", "pattern", "empty level"),
        ("metric=%ff", "query", "UTF-8"),
        ("metric=**&start=yesterday", "start", "RFC 3339"),
        ("metric=**&start=-15", "start", "15m"),
        ("metric=**&start=1763871234", "start", "seconds"),
        ("metric=**&start=-1m&end=-2m", "end", "start < end"),
        ("metric=**&points=0", "points", "whole number"),
        ("metric=**&points=many", "points", "whole number"),
        ("metric=**&points=5&points=6", "points", "more than once"),
        ("metric=**&page=first&points=5", "page", "points="),
        ("metric=**&page=first&step_ms=5", "page", "step_ms="),
        ("metric=**&step_ms=0", "step_ms", "whole number"),
        ("metric=**&step_ms=1.5", "step_ms", "whole number"),
        ("metric=**&step_ms=5&points=5", "step_ms", "points="),
        ("metric=**&step_ms=1&start=-1h", "step_ms", "wider"),
        ("metric=**&page=2", "page", "first"),
        ("metric=**&page=W10=", "page", "Link"),
        ("metric=**&format=xlsx", "format", "parquet"),
        ("metric=**&label=site", "label", "name:value"),
        ("metric=**&label=site:A&label=site:B", "label", "two values"),
        ("metrics=**", "metrics", "metric=?"),
        ("metric=**&" + "&".join(f"x{n}=1" for n in range(1_100)), "query", "fields"),
    ],
)
async def test_a_bad_field_is_named_with_its_remedy(shared_service: Any, query: str, field: str, remedy: str) -> None:
    answer = await shared_service.http.get(f"/v1/history?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert remedy in answer.json()["detail"]


async def test_a_foreign_entry_in_the_log_is_skipped(service: Any, valkey: Valkey, base_ms: float) -> None:
    await _publish(service, "m", [base_ms], [1])
    key = "tw:{0}:log:m"
    for fields in (
        {"x": "y"},
        {"p": "0-0", "d": b"\xff{"},
        {"p": "0-0", "d": '{"metric":"m","time":[1],"value":[1,2]}'},
    ):
        valkey.client.xadd(key, fields)
    await _publish(service, "after", [base_ms], [2])
    assert [series["value"] for series in (await service.history())["series"]] == [[2], [1]]


async def test_histories_beyond_those_at_once_wait_their_turn(start: Any, base_ms: float) -> None:
    service = await start(history_at_once=1)
    await _publish(service, "m", [base_ms], [1])
    answers = await asyncio.gather(*(service.history("m") for _ in range(10)))
    assert all(answer["series"] for answer in answers)


async def test_pages_hold_every_reading_once_and_nothing_of_later(start: Any, base_ms: float) -> None:
    service = await start(history_rows=100)
    for name in ("b", "a", "c"):
        for n in range(0, 250, 10):
            times = [base_ms + n + place for place in range(10)]
            await _publish(service, name, times, list(range(n, n + 10)), labels={"odd": str(n // 10 % 2)})
    path, pages, done = "/v1/history?metric=**&start=-1h&page=first&format=ndjson", [], []
    while path:
        answer = await service.http.get(path)
        assert answer.status_code == 200, answer.text
        pages.append([json.loads(line) for line in answer.text.splitlines()])
        done.append(float(answer.headers["tidewire-done"]))
        path = answer.links.get("next", {}).get("url")
        await _publish(service, "a", [base_ms + 500 + len(done)], [-1])  # what comes in meanwhile is of no page
        await _publish(service, f"new/{len(done)}", [base_ms], [-1])
    assert [sum(len(series["value"]) for series in page) for page in pages] == [100] * 7 + [50]
    assert 0 < done[0] < done[-1] == 1.0
    found: dict[str, list[int]] = {}
    for series in (series for page in pages for series in page):
        found.setdefault(series["metric"], []).extend(series["value"])
    assert list(found) == ["a", "b", "c"]
    assert all(sorted(values) == list(range(250)) for values in found.values())


@pytest.mark.parametrize(
    ("gone", "whole"),
    [
        ((), True),
        ((("XTRIM", "a", "MAXLEN", 5),), False),  # the metric that is being read
        ((("XTRIM", "b", "MAXLEN", 5),), False),  # one whose turn comes later
        ((("DEL", "c"),), False),
        ((("XTRIM", "b", "MAXLEN", 0),), False),
        ((("XADD", "b", "9999999999999-0", "by", "hand"),), True),
    ],
    ids=str,
)
@pytest.mark.parametrize("goes_on", [True, False])
async def test_pages_of_a_log_that_is_trimmed_meanwhile_do_not_say_that_they_are_the_whole(
    start: Any, valkey: Valkey, base_ms: float, gone: tuple[tuple[Any, ...], ...], whole: bool, goes_on: bool
) -> None:
    service = await start(history_rows=100)
    for name in ("a", "b", "c"):
        for n in range(0, 250, 10):
            await _publish(service, name, [base_ms + n + place for place in range(10)], list(range(n, n + 10)))
    path, done, read = "/v1/history?metric=a&metric=b&metric=c&start=-1h&page=first", 0.0, 0
    while path:
        answer = await service.http.get(path)
        assert answer.status_code == 200, answer.text
        read += sum(len(series["value"]) for series in answer.json()["series"])
        done, path = float(answer.headers["tidewire-done"]), answer.links.get("next", {}).get("url")
        for command, name, *rest in gone:
            valkey.cli(command, f"tw:{{0}}:log:{name}", *rest)
        gone = ()
        if goes_on:
            await _publish(service, "c", [base_ms + 1_000], [-1])
    assert (read == 750) == whole
    assert (done == 1.0) == whole


async def test_pages_of_a_log_at_its_limit_that_goes_on_say_what_is_missing(start: Any, base_ms: float) -> None:
    service = await start(history_rows=10, retention_batches=50)
    await service.post([{"metric": "m", "time": [base_ms + n], "value": [n]} for n in range(50)])
    path, done, values = "/v1/history?metric=m&start=-1h&page=first", 0.0, []
    while path:
        answer = await service.http.get(path)
        values += [value for series in answer.json()["series"] for value in series["value"]]
        done, path = float(answer.headers["tidewire-done"]), answer.links.get("next", {}).get("url")
        await service.post([{"metric": "m", "time": [base_ms + 1_000], "value": [-1]}] * 15)
    assert len(values) < 50
    assert 0 < done < 1


async def test_a_page_of_a_log_that_was_lost_meanwhile_is_refused(start: Any, valkey: Valkey, base_ms: float) -> None:
    service = await start(history_rows=10)
    await _publish(service, "m", [base_ms + n for n in range(25)], list(range(25)))
    await _publish(service, "n", [base_ms + n for n in range(25)], list(range(25)))
    answer = await service.http.get("/v1/history?metric=**&start=-1h&page=first")
    valkey.cli("FLUSHALL")
    await _publish(service, "m", [base_ms], [1])
    answer = await service.http.get(answer.links["next"]["url"])
    assert answer.status_code == 422
    assert "page=first" in answer.text


async def test_a_page_stops_after_the_batches_that_one_request_may_read(start: Any, base_ms: float) -> None:
    service = await start(history_scan_batches=60)
    await service.post([{"metric": "n", "time": [base_ms - n], "value": [n]} for n in range(100)])
    path, values = "/v1/history?metric=n&start=-1h&page=first", []
    for _ in range(10):
        answer = await service.http.get(path)
        values += [value for series in answer.json()["series"] for value in series["value"]]
        path = answer.links.get("next", {}).get("url")
        if not path:
            break
    assert sorted(values) == list(range(100))


def test_an_arrow_table_needs_no_pandas() -> None:
    code = (
        "import sys; import numpy as np; from tidewire.model.cursor import Cursor;"
        "from tidewire_service.history.history import History, SeriesColumns, Span;"
        "from tidewire_service.history.tables import encode_history;"
        "three = np.array([1, np.nan, 3]);"
        "one = SeriesColumns('m', {'a': 'b'}, '', None, np.arange(3.0), three, ['x', None, 'y'], None);"
        "body = encode_history(History([one], Cursor('0000000', 0), Span(0.0, None, 0)), 'arrow');"
        "assert 'pandas' not in sys.modules; sys.stdout.buffer.write(body)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    table = pa.ipc.open_stream(done.stdout).read_all()
    assert table["value"].to_pylist() == [1, None, 3]
    assert table["text"].to_pylist() == ["x", None, "y"]
    assert table["label.a"].to_pylist() == ["b", "b", "b"]
