"""POST /v1/readings: what is taken, in every format, and what is refused, row by row."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import Valkey
from waiting import HANG_S, Eventually, generous

GOOD = {"metric": "good", "value": 1}


async def test_a_reading_a_batch_a_list_and_flat_rows_are_taken(service: Any, now_ms: float) -> None:
    for body in (
        {"metric": "one", "value": 921.4, "unit": "Cel", "labels": {"site": "A"}},
        {
            "metric": "batch",
            "time": [now_ms - 2, now_ms - 1.5],
            "value": [1, None],
            "text": [None, "deploy"],
            "step": [1, 2],
        },
        [{"metric": "listed", "value": [1, 2, 3]}, {"metric": "listed", "value": [4]}],
        [{"metric": "flat", "value": v, "time": now_ms + v} for v in range(5)],
    ):
        answer = await service.post(body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rejected"] == []
    assert await service.stored() == {
        "one": [921.4], "batch": [1, None], "listed": [1, 2, 3, 4], "flat": [0, 1, 2, 3, 4],
    }  # fmt: skip
    batch = (await service.history("batch"))["series"][0]
    assert batch["time"] == [now_ms - 2, now_ms - 1.5]
    assert batch["text"] == [None, "deploy"]
    assert batch["step"] == [1, 2]


async def test_flat_rows_are_stored_as_one_batch_for_each_series(service: Any, valkey: Valkey) -> None:
    rows = [{"metric": "m", "value": n, "labels": {"site": "AB"[n % 2]}} for n in range(10)]
    answer = await service.post(rows)
    assert answer.json()["accepted"] == 10
    bodies = [json.loads(fields[b"d"]) for _, fields in valkey.client.xrange("tw:{0}:log:m")]
    assert [(body["labels"]["site"], body["value"]) for body in bodies] == [
        ("A", [0, 2, 4, 6, 8]),
        ("B", [1, 3, 5, 7, 9]),
    ]


async def test_a_long_list_of_rows_is_split_at_the_limits(start: Any, valkey: Valkey) -> None:
    service = await start(max_readings=4, max_batch_bytes=1_000)
    await service.post([{"metric": "m", "value": n} for n in range(10)])
    await service.post([{"metric": "t", "value": n, "text": "x" * 400} for n in range(3)])
    assert [len(json.loads(f[b"d"])["value"]) for _, f in valkey.client.xrange("tw:{0}:log:m")] == [4, 4, 2]
    assert [len(json.loads(f[b"d"])["value"]) for _, f in valkey.client.xrange("tw:{0}:log:t")] == [1, 2]


async def test_ndjson_lines_are_rows(service: Any) -> None:
    body = b'{"metric":"a","value":1}\n\n{"metric":"a","value":\n{"metric":"b","value":[2,3]}\r\n'
    answer = await service.post(body, "application/x-ndjson")
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 3
    assert [(row["row"], row["field"]) for row in answer.json()["rejected"]] == [(1, "body")]
    assert await service.stored() == {"a": [1], "b": [2, 3]}


BOM = "\ufeff".encode()


async def test_a_byte_order_mark_before_json_means_nothing(service: Any) -> None:
    """Windows writes it: PowerShell's Out-File, .NET, Excel."""
    assert (await service.post(BOM + b'{"metric":"a","value":1}')).status_code == 200
    lines = BOM + b'{"metric":"b","value":1}\n' + BOM + b'{"metric":"b","value":2}\r\n'
    assert (await service.post(lines, "application/x-ndjson")).json()["accepted"] == 2
    packed = gzip.compress(BOM + b'[{"metric":"c","value":[1,2]}]')
    assert (await service.post(packed, **{"Content-Encoding": "gzip"})).status_code == 200
    assert await service.stored() == {"a": [1], "b": [1, 2], "c": [1, 2]}
    for media_type in ("application/json", "application/x-ndjson", "text/csv"):
        assert (await service.post(BOM, media_type)).status_code in (400, 422), media_type
    inside = await service.post(b'{"metric":"\xef\xbb\xbfa","value":1}')
    assert (inside.status_code, inside.json()["field"]) == (422, "metric")


async def test_a_byte_order_mark_means_nothing_wherever_json_comes_in(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    http, headers = service.http, {"Content-Type": "application/json"}
    assert (await http.put("/v1/decks/d", content=BOM + b'{"name":"D"}', headers=headers)).status_code == 200
    assert (await http.get("/v1/decks/d")).content == b'{"name":"D"}'
    assert (await http.put("/v1/thresholds", content=BOM + b'{"thresholds":[]}', headers=headers)).status_code == 200
    assert (await http.post("/v1/tickets", content=BOM + b'{"metric":["a"]}', headers=headers)).status_code == 201
    valkey.cli("PUBLISH", "tw:in:a", BOM + b'{"value":1}')
    valkey.cli("PUBLISH", "tw:in:a", BOM + b"2")
    valkey.cli("XADD", "tw:in", "*", "metric", "b", "value", BOM + b"[3,4]", "labels", BOM + b'{"x":"y"}')

    async def arrived() -> bool:
        return bool(await service.stored() == {"a": [1, 2], "b": [3, 4]})

    await eventually(arrived)


async def test_csv_columns_are_fields_and_labels(service: Any, now_ms: float) -> None:
    body = (
        "\ufeffmetric,time,value,unit,site,text\r\n"
        f'furnace/temperature,{now_ms},921.4,Cel,"A, ""north""",\r\n'
        "\r\n"
        "furnace/temperature,2026-01-31T12:00:00.5Z,,Cel,B,deploy\r\n"
        "pump/on,,true,,,\r\n"
    )
    answer = await service.post(body, "text/csv; charset=utf-8")
    assert answer.json()["rejected"] == []
    found = (await service.history(start="2026-01-01T00:00:00Z"))["series"]
    assert [(s["metric"], s["labels"], s["unit"], s["value"], s.get("text")) for s in found] == [
        ("furnace/temperature", {"site": 'A, "north"'}, "Cel", [921.4], None),
        ("furnace/temperature", {"site": "B"}, "Cel", [None], ["deploy"]),
        ("pump/on", {}, "", [1.0], None),
    ]
    assert found[1]["time"] == [1769860800500.0]


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b'{"metric":"a","value":1}', mtime=0),
        gzip.compress(b'{"metric":"a",', mtime=0) + gzip.compress(b'"value":1}', mtime=0),
    ],
)
async def test_gzip_is_unpacked(service: Any, packed: bytes) -> None:
    answer = await service.post(packed, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 200, answer.text
    assert await service.stored() == {"a": [1]}


async def test_the_cursor_of_the_answer_is_after_the_readings(service: Any) -> None:
    cursor = (await service.post(GOOD)).json()["cursor"]
    await service.post({"metric": "next", "value": 2})
    async with service.http.stream("GET", "/v1/stream", params={"metric": "**", "cursor": cursor}) as answer:
        async for line in answer.aiter_lines():
            if line.startswith('data: {"metric"'):
                assert json.loads(line[6:])["metric"] == "next"
                break


BAD_ROWS = [
    ({"value": 1}, "metric", "missing"),
    ({"metric": "", "value": 1}, "metric", "empty"),
    ({"metric": 5, "value": 1}, "metric", "string"),
    ({"metric": "a*", "value": 1}, "metric", "reserved"),
    ({"metric": "/a", "value": 1}, "metric", "separates"),
    ({"metric": "a//b", "value": 1}, "metric", "empty level"),
    ({"metric": "a\nb", "value": 1}, "metric", "control"),
    ({"metric": "a\u2028b", "value": 1}, "metric", "separator"),
    ({"metric": "\ufeffa", "value": 1}, "metric", "format"),
    ({"metric": "e\u0301", "value": 1}, "metric", "normal form"),
    ({"metric": "x" * 256, "value": 1}, "metric", "255"),
    ({"metric": "a", "value": 1, "labels": {"site": 5}}, "labels['site']", "quote"),
    ({"metric": "a", "value": 1, "labels": {"a/b": "x"}}, "labels", "'/'"),
    ({"metric": "a", "value": 1, "labels": {"site": "a\0"}}, "labels['site']", "control"),
    ({"metric": "a", "value": 1, "labels": ["site"]}, "labels", "object"),
    ({"metric": "a", "value": 1, "labels": {str(n): "x" for n in range(33)}}, "labels", "32"),
    ({"metric": "a", "value": 1, "unit": "x" * 64}, "unit", "63"),
    ({"metric": "a", "value": 1, "unit": 5}, "unit", "string"),
    ({"metric": "a", "value": 1, "time": 1763871234}, "time", "did you mean seconds"),
    ({"metric": "a", "value": 1, "time": "2999-01-31T12:00:00Z"}, "time", "65 min"),
    ({"metric": "a", "value": 1, "time": "2026-01-31T12:00:00"}, "time", "offset"),
    ({"metric": "a", "value": 1, "time": "yesterday"}, "time", "RFC 3339"),
    ({"metric": "a", "value": "921.4"}, "value", "number"),
    ({"metric": "a", "value": {"x": 1}}, "value", "number"),
    ({"metric": "a"}, "value", "missing"),
    ({"metric": "a", "value": []}, "value", "at least one"),
    ({"metric": "a", "value": [1, "x"]}, "value[1]", "number"),
    ({"metric": "a", "value": [1, 2], "time": ["2026-01-31T12:00:00Z"]}, "time", "equally long"),
    ({"metric": "a", "value": [1, 2], "text": ["x"]}, "text", "equally long"),
    ({"metric": "a", "value": [1] * 1_001}, "readings", "split"),
    ({"metric": "a", "value": 1, "text": 5}, "text", "string"),
    ({"metric": "a", "value": 1, "text": "x" * 300_000}, "text", "split"),
    ({"metric": "a", "value": 1, "step": "x"}, "step", "number"),
    ({"metric": "a", "value": 1, "tags": {}}, "tags", "not a field"),
    ("a", "row", "object"),
    (None, "row", "object"),
]


@pytest.mark.parametrize(
    ("row", "field", "remedy"), BAD_ROWS, ids=[f"{field}-{n}" for n, (_, field, _) in enumerate(BAD_ROWS)]
)
async def test_a_bad_row_is_named_and_the_good_ones_around_it_are_stored(
    shared_service: Any, row: Any, field: str, remedy: str
) -> None:
    service, own = shared_service, f"good/{uuid.uuid4()}"
    before = await service.stored()
    answer = await service.post([{"metric": own, "value": 1}, row, {"metric": own, "value": 2}])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["accepted"] == 2
    assert [(r["row"], r["field"]) for r in found["rejected"]] == [(1, field)]
    assert remedy in found["rejected"][0]["reason"]
    assert len(found["rejected"][0]["value"]) <= 80
    alone = await service.post([row])
    assert alone.status_code == 422, alone.text
    assert alone.headers["content-type"] == "application/problem+json"
    assert alone.json()["rejected"][0]["field"] == alone.json()["field"] == field
    assert remedy in alone.json()["detail"]
    assert await service.stored() == {**before, own: [1, 2]}


BAD_BODIES = [
    (b"", "application/json", 400, "empty"),
    (b"[]", "application/json", 400, "at least one"),
    (b"5", "application/json", 400, "batch or row"),
    (b'{"metric":"a","value":NaN}', "application/json", 400, "null"),
    (b'{"metric":"a","value":1e999}', "application/json", 400, "range"),
    (b'{"metric":"\\ud800","value":1}', "application/json", 400, "UTF-8"),
    (b'{"metric":"\xed\xa0\x80","value":1}', "application/json", 400, "UTF-8"),
    (b'{"metric":"a","value":1', "application/json", 400, "JSON"),
    (b"[" * 100_000 + b"]" * 100_000, "application/json", 400, "deeply"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "application/json", 400, "deeply"),
    (b'{"metric":"a","value":' + b"9" * 1_000_000 + b"}", "application/json", 400, "range"),
    (b"\n \n", "application/x-ndjson", 400, "each line"),
    (b"metric,value\nm\xff\xfe,1\n", "text/csv", 400, "UTF-8"),
    (b"metric,value\n", "text/csv", 400, "at least one"),
    (b"time,value\n1,2\n", "text/csv", 400, "'metric'"),
    (b"metric,unit\na,b\n", "text/csv", 400, "'value'"),
    (b"metric,value,value\na,1,2\n", "text/csv", 400, "twice"),
    (b"metric,value,\na,1,2\n", "text/csv", 400, "without a name"),
    (b'metric,value\na,1\n"b,2\n', "text/csv", 400, "quote"),
    (b"metric,value\na," + b"9" * 1_000 + b"\n", "text/csv", 422, "number"),
    (b"metric;value\na;1\n", "text/csv", 400, "commas"),
    (b"x", "text/plain", 415, "application/json"),
    (b"metric=a&value=1", "application/x-www-form-urlencoded", 415, "curl"),
    (b"x", "multipart/form-data; boundary=x", 415, "application/json"),
    (b"{}", "", 415, "application/json"),
    (b"{}", "application/json; charset=latin-1", 415, "UTF-8"),
]


@pytest.mark.parametrize(("body", "media_type", "status", "remedy"), BAD_BODIES, ids=range(len(BAD_BODIES)))
async def test_a_body_that_cannot_be_read_is_refused_quickly_and_stores_nothing(
    shared_service: Any, body: bytes, media_type: str, status: int, remedy: str
) -> None:
    await shared_service.post(GOOD)  # so that what is timed is not the first connection
    stored = await shared_service.stored()
    started = time.perf_counter()
    answer = await shared_service.post(body, media_type)
    elapsed_s = time.perf_counter() - started
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert remedy in answer.json()["detail"]
    assert elapsed_s < generous(0.5)  # the server's own share is measured in test_hostile
    assert await shared_service.stored() == stored
    assert (await shared_service.post(GOOD)).status_code == 200


async def test_a_line_of_csv_cannot_smuggle_cells_or_rows(service: Any) -> None:
    body = 'metric,value,site\na,1,x,extra\na,2\n"b\nc",3,x\na,"4\n5",x\na,6,"y"\n'
    answer = await service.post(body, "text/csv")
    assert answer.json()["accepted"] == 1
    assert [(r["row"], r["field"]) for r in answer.json()["rejected"]] == [
        (0, "row"),
        (1, "row"),
        (2, "metric"),
        (3, "value"),
    ]
    assert await service.stored() == {"a": [6]}


async def test_too_large_bodies_say_how_to_split(start: Any) -> None:
    service = await start(max_body_bytes=10_000, max_decompressed_bytes=20_000, max_rows=5)
    long = await service.post(b" " * 10_001)
    assert long.status_code == 413
    assert "split" in long.json()["detail"]
    assert long.json()["limit"] == {"max_body_bytes": 10_000}
    assert "10001 is more than the 10000 allowed" in long.json()["detail"]

    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 1_000

    chunked = await service.http.post("/v1/readings", content=chunks(), headers={"Content-Type": "application/json"})
    assert chunked.status_code == 413
    bomb = await service.post(gzip.compress(b" " * 20_001, mtime=0), **{"Content-Encoding": "gzip"})
    assert (bomb.status_code, bomb.json()["limit"]) == (413, {"max_decompressed_bytes": 20_000})
    rows = await service.post([GOOD] * 6)
    assert (rows.status_code, rows.json()["limit"]) == (413, {"max_rows": 5})
    assert await service.stored() == {}


@pytest.mark.parametrize(
    ("body", "coding", "status", "remedy"),
    [
        (b"no gzip", "gzip", 400, "not gzip"),
        (gzip.compress(b'{"metric":"a","value":1}', mtime=0)[:-9], "gzip", 400, "truncated"),
        (gzip.compress(b'{"metric":"a","value":1}', mtime=0) + b"tail", "gzip", 400, "not gzip"),
        (b"x", "br", 415, "send gzip"),
        (b"x", "gzip, gzip", 415, "send gzip"),
    ],
)
async def test_a_broken_packing_is_refused(
    shared_service: Any, body: bytes, coding: str, status: int, remedy: str
) -> None:
    stored = await shared_service.stored()
    answer = await shared_service.post(body, **{"Content-Encoding": coding})
    assert answer.status_code == status
    assert remedy in answer.json()["detail"]
    assert await shared_service.stored() == stored


async def test_one_series_or_metric_too_many_is_refused_and_the_old_ones_go_on(start: Any) -> None:
    service = await start(max_series=2, max_metrics=2)
    rows = [{"metric": "a", "value": n, "labels": {"n": str(n)}} for n in range(3)]
    answer = await service.post(rows)
    assert answer.json()["accepted"] == 2
    assert answer.json()["rejected"][0]["row"] == 2
    assert "max_series" in answer.json()["rejected"][0]["reason"]
    await service.post({"metric": "b", "value": 1})
    third = await service.post({"metric": "c", "value": 1})
    assert third.status_code == 422
    assert "max_metrics" in third.json()["detail"]
    again = await service.post(rows[:2])
    assert again.json()["accepted"] == 2


async def test_an_idempotency_key_stores_a_body_once(service: Any) -> None:
    first = await service.post(GOOD, **{"Idempotency-Key": "key-1"})
    again = await service.post(GOOD, **{"Idempotency-Key": "key-1"})
    assert (again.status_code, again.json()) == (200, first.json())
    for at in (1, 2):  # packed twice, a second apart: other bytes, the same body
        packed = gzip.compress(json.dumps(GOOD, separators=(",", ":")).encode(), mtime=at)
        answer = await service.post(packed, **{"Idempotency-Key": "key-2", "Content-Encoding": "gzip"})
        assert answer.status_code == 200
    other = await service.post({"metric": "good", "value": 2}, **{"Idempotency-Key": "key-1"})
    assert other.status_code == 422
    assert "new key" in other.json()["detail"]
    assert await service.stored() == {"good": [1, 1]}


async def test_a_publishers_sequence_stores_each_number_once(service: Any) -> None:
    for sequence, value in ((1, 10), (2, 20), (2, 20), (1, 10), (3, 30)):
        answer = await service.post({"metric": "m", "value": value}, **{"Tidewire-Sequence": f"press-7:{sequence}"})
        assert answer.status_code == 200
    assert await service.stored() == {"m": [10, 20, 30]}


async def test_a_key_like_a_sequence_is_a_key(service: Any) -> None:
    """An agent that numbers its runs ``backup:7`` lost each run with a lower number, and was told 200."""
    high = await service.post({"metric": "m", "value": 7}, **{"Idempotency-Key": "backup:7"})
    low = await service.post({"metric": "m", "value": 3}, **{"Idempotency-Key": "backup:3"})
    assert (high.status_code, low.status_code) == (200, 200)
    again = await service.post({"metric": "m", "value": 7}, **{"Idempotency-Key": "backup:7"})
    assert (again.status_code, again.json()) == (200, high.json())
    other = await service.post({"metric": "m", "value": 8}, **{"Idempotency-Key": "backup:7"})
    assert (other.status_code, other.json()["title"]) == (422, "The idempotency key came with another body")
    assert await service.stored() == {"m": [7, 3]}


_KEYS = st.one_of(
    st.builds("{}:{}".format, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True), st.integers(0, 10**12)),
    st.from_regex(r"[!-~]{1,247}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=60),
    st.sampled_from(["x" * 247, "a:1:0", "a:0", '"8e03978e-40d5"', "tw:{0}:clock", "0:0", "-1", "\u00e4:1"]),
)


@given(st.lists(st.tuples(_KEYS, st.integers(1, 3)), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
async def test_any_key_answers_its_body_again_and_refuses_another(service: Any, calls: list[tuple[str, int]]) -> None:
    """Examples share a log: a part of each key that no other example has keeps them apart."""
    example = uuid.uuid4().hex[:8]
    stored: dict[str, tuple[int, Any]] = {}
    values = []
    for key, value in calls:
        used = {"Idempotency-Key": f"{example}{key}".encode()}
        answer = await service.post({"metric": f"m{example}", "value": value}, **used)
        if key not in stored:
            stored[key] = value, answer.json()
            values.append(value)
        first, told = stored[key]
        assert (answer.status_code == 200) == (value == first), (key, answer.text)
        assert answer.json() == told if value == first else answer.status_code == 422, (key, answer.text)
    assert (await service.stored())[f"m{example}"] == values


@pytest.mark.parametrize(
    "given", ["press-7", "press-7:", ":1", "press-7:0", "press-7:01", "a b:1", "press-7:1.5", "ä:1"]
)
async def test_a_sequence_that_is_none_is_refused(shared_service: Any, given: str) -> None:
    answer = await shared_service.post(GOOD, **{"Tidewire-Sequence": given.encode()})
    assert (answer.status_code, answer.json()["field"]) == (422, "Tidewire-Sequence")


async def test_two_ways_to_name_one_body_are_refused(service: Any) -> None:
    both = await service.post(GOOD, **{"Tidewire-Sequence": "press-7:1", "Idempotency-Key": "x"})
    assert (both.status_code, both.json()["field"]) == (422, "Idempotency-Key")
    headers = [("content-type", "application/json"), ("idempotency-key", "x"), ("idempotency-key", "y")]
    twice = await service.http.post("/v1/readings", content=b'{"metric":"m","value":1}', headers=headers)
    assert (twice.status_code, twice.json()["field"]) == (422, "Idempotency-Key")
    assert await service.stored() == {}


@pytest.mark.parametrize("key", ["has space", "x" * 256])
async def test_a_bad_idempotency_key_is_refused(shared_service: Any, key: str) -> None:
    stored = await shared_service.stored()
    answer = await shared_service.post(GOOD, **{"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["field"] == "Idempotency-Key"
    assert await shared_service.stored() == stored


@pytest.mark.parametrize("more", [1, 3, 1_000, 65_536])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_slightly_above_the_limit_is_answered_when_it_has_come(
    start: Any, more: int, chunked: bool
) -> None:
    """It used to be held for two seconds, for bytes that were never announced."""
    service = await start(max_body_bytes=100_000, max_posts=1)
    body = b" " * (100_000 + more)

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:50_000]
        yield body[50_000:]

    headers = {"Content-Type": "application/json"}
    started = time.perf_counter()
    for _ in range(12):
        content = pieces() if chunked else body
        answer = await service.http.post("/v1/readings", content=content, headers=headers)
        assert (answer.status_code, answer.json()["limit"]) == (413, {"max_body_bytes": 100_000})
    assert time.perf_counter() - started < 12 * 2.0, "no wait of two seconds in each"


async def test_more_bodies_at_once_than_allowed_are_told_to_come_back(start: Any, valkey: Valkey) -> None:
    service = await start(max_posts=2)
    valkey.client.execute_command("CLIENT", "PAUSE", 800, "WRITE")
    answers = await asyncio.gather(*(service.post(GOOD) for _ in range(6)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 200, 429, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize("named", [("Idempotency-Key", "any-key"), ("Tidewire-Sequence", "press-7:1")])
async def test_a_repeated_body_is_told_again_what_was_refused(start: Any, named: tuple[str, str]) -> None:
    header, key = named
    service = await start(max_series=2)
    rows = [{"metric": "m", "value": n, "labels": {"n": str(n)}} for n in range(4)] + [{"metric": "bad*", "value": 1}]
    first = await service.post(rows, **{header: key})
    assert first.json()["accepted"] == 2
    assert [row["row"] for row in first.json()["rejected"]] == [2, 3, 4]
    again = await service.post(rows, **{header: key})
    assert (again.status_code, again.json()) == (200, first.json())
    refused = await service.post(rows[2:3], **{header: f"{key}1"})
    assert refused.status_code == 422
    assert (await service.post(rows[2:3], **{header: f"{key}1"})).status_code == 422


LONG = "x" * 1_400


def _fill_up(valkey: Valkey) -> None:
    """Let Redis take one more call of 500 batches with `LONG`: less than they need, but more than the call itself."""
    valkey.cli("CONFIG", "SET", "maxmemory", valkey.client.info("memory")["used_memory"] + 1_300_000)


@pytest.mark.parametrize("named", [{}, {"Idempotency-Key": "big"}, {"Tidewire-Sequence": "press-7:1"}])
@pytest.mark.parametrize("rows", [900, 1_700])
async def test_a_body_that_is_stored_in_part_while_redis_fills_up_says_so_and_can_be_completed(
    start: Any, valkey: Valkey, named: dict[str, str], rows: int
) -> None:
    service = await start(max_body_bytes=4 << 20, redis_timeout_s=HANG_S)
    body: list[Any] = [{"metric": f"m/{n}", "value": n, "text": LONG} for n in range(rows)]
    body[3], body[rows - 1] = {"metric": "bad*", "value": 1}, {"metric": "m/x", "value": "x"}
    _fill_up(valkey)
    answer = await service.post(body, **named)
    told = answer.json()
    assert (answer.status_code, answer.headers["retry-after"], told["title"]) == (
        503,
        "1",
        "Redis is at its memory limit",
    )
    assert told["accepted"] == 500
    assert "500 readings" in told["detail"]
    valkey.cli("CONFIG", "SET", "maxmemory", 0)
    assert len(await service.stored()) == 500
    left = [row["row"] for row in told["rejected"]]
    assert left == [3, *range(501, rows)]
    again = body if named else [body[row] for row in left if row not in (3, rows - 1)]
    done = await service.post(again, **named)
    assert done.status_code == 200, done.text
    assert done.json()["accepted"] == (rows - 2 if named else rows - 502)
    expected = {f"m/{n}": [n] for n in range(rows) if n not in (3, rows - 1)}
    assert await service.stored() == expected, "each once"


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "text/csv"])
async def test_every_format_names_the_rows_that_were_not_stored(start: Any, valkey: Valkey, media_type: str) -> None:
    service = await start(max_body_bytes=4 << 20, redis_timeout_s=HANG_S)
    lines = {
        "application/x-ndjson": [json.dumps({"metric": f"m/{n}", "value": n, "text": LONG}) for n in range(700)],
        "text/csv": ["metric,value,text", *(f"m/{n},{n},{LONG}" for n in range(700))],
    }[media_type]
    _fill_up(valkey)
    answer = await service.post("\n".join(lines), media_type)
    assert (answer.status_code, answer.json()["accepted"]) == (503, 500)
    assert [row["row"] for row in answer.json()["rejected"]] == list(range(500, 700))
    assert {row["reason"] for row in answer.json()["rejected"]} == {"was not stored; send it again"}


async def test_a_body_without_times_is_cut_into_the_same_calls_again(start: Any, valkey: Valkey) -> None:
    """The calls of a body are counted: cut elsewhere, the second attempt would lose or repeat what lies between."""
    service = await start(max_body_bytes=4 << 20, redis_timeout_s=HANG_S)
    rows = [{"metric": f"m/{n}", "value": n, "text": "x" * 9_000} for n in range(300)]  # cut by bytes, not by number
    _fill_up(valkey)
    assert (await service.post(rows, **{"Idempotency-Key": "k"})).status_code == 503
    valkey.cli("CONFIG", "SET", "maxmemory", 0)
    for _ in range(2):
        answer = await service.post(rows, **{"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["accepted"]) == (200, 300)
    assert await service.stored() == {f"m/{n}": [n] for n in range(300)}


async def test_a_body_of_several_calls_that_was_cut_between_them_is_completed(start: Any, valkey: Valkey) -> None:
    service = await start(max_series=900)
    rows = [{"metric": "m", "value": n, "labels": {"n": str(n)}} for n in range(1_000)]
    await service.post(rows[:1], **{"Idempotency-Key": "other"})
    first = await service.post(rows, **{"Tidewire-Sequence": "press-7:5"})
    assert (first.json()["accepted"], len(first.json()["rejected"])) == (900, 100)
    # as if the process had died after its first call of 500 batches
    highest, _, rest = valkey.client.get("tw:{0}:pub:press-7").partition(b" ")
    valkey.client.set("tw:{0}:pub:press-7", b"%d %b" % (int(highest) - 1, rest.split(b" ")[0]))
    again = await service.post(rows, **{"Tidewire-Sequence": "press-7:5"})
    assert again.status_code == 200
    assert [row["row"] for row in again.json()["rejected"]] == list(range(900, 1_000))


SAME: dict[str, tuple[Any, dict[str, str]]] = {
    "a reading": ({"metric": "m", "value": 1}, {}),
    "a bad row": ([{"metric": "m", "value": 1}, {"metric": "bad*", "value": 1}], {}),
    "only bad rows": ([{"metric": "m"}], {}),
    "no JSON": (b"{", {}),
    "nothing": (b"", {}),
    "another type": (b"x", {"Content-Type": "text/plain"}),
    "another coding": (b"x", {"Content-Encoding": "br"}),
    "two names": ({"metric": "m", "value": 1}, {"Idempotency-Key": "k", "Tidewire-Sequence": "p:1"}),
    "a bad sequence": ({"metric": "m", "value": 1}, {"Tidewire-Sequence": "p:0"}),
    "too long": (b" " * 200_000, {}),
    "too many rows": ([{"metric": "m", "value": 1}] * 6, {}),
}


async def test_the_short_way_answers_as_the_route_does(start: Any) -> None:
    """A page's post goes the way of other routes, any other post a short one."""
    service = await start(max_body_bytes=100_000, max_rows=5)
    for name, (content, headers) in SAME.items():
        answers = []
        for origin in ({}, {"Origin": f"http://127.0.0.1:{service.port}"}):
            answer = await service.post(content, **{**origin, **headers})
            told = {key: value for key, value in answer.headers.items() if key not in ("date", "tidewire-request")}
            told["tidewire-time"] = "a time" if "tidewire-time" in told else ""
            body = answer.json()
            cursor = body.pop("cursor", None)
            assert (cursor is None) == (answer.status_code != 200)
            answers.append((answer.status_code, {**told, "content-length": ""}, body))
        assert answers[0] == answers[1], name
    counted = (await service.http.get("/metrics")).text
    for status in (200, 400, 413, 415, 422):
        labels = f'method="POST",route="/v1/readings",status="{status}"'
        (count,) = re.findall(rf"^tidewire_http_requests_total\{{{labels}\}} (\S+)", counted, re.MULTILINE)
        assert float(count) >= 2
