"""One history written by the service, by `tidewire export` and by the dashboard: the same bytes in every format."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from servers import StartService
from waiting import HANG_S, Eventually

import tidewire
from tidewire.commands.cli import main
from tidewire.model.table_writers import TABLE_FORMATS, common_schema, compacted, conformed, encode_table
from tidewire_dashboard.analysis import Part
from tidewire_dashboard.app import Dashboard
from tidewire_dashboard.exports import Export

ROOT = Path(__file__).parents[2]


async def _publish(service: Any, start_ms: float) -> None:
    """Two pages of readings: events, steps, formulas, labels named like columns, readings that are no numbers."""
    rows = [
        {"metric": "b", "time": [start_ms + n for n in range(40)], "value": list(range(40)), "labels": {"site": "Z"}},
        {"metric": "b", "time": [start_ms + 0.125], "value": [0.1], "labels": {"site": "A", "metric": "odd"}},
        {"metric": "b", "time": [start_ms + 5], "value": [7], "step": [3]},
        {"metric": "a", "time": [start_ms + 2, start_ms + 1], "value": [None, 1e-9], "unit": "Cel"},
        {"metric": "a", "time": [start_ms + 3], "value": [None], "text": ["=1+1"], "labels": {"text": "@x"}},
        {"metric": "a", "time": [start_ms - 900_000], "value": [1], "text": ["before"], "labels": {"old": "1"}},
    ]
    answer = await service.http.post("/v1/readings", json=rows)
    assert (answer.status_code, answer.json()["rejected"]) == (200, [])


async def _exported(service: Any, span: dict[str, str], form: str, *more: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidewire", "export", "**", "--format", form, *more,
        "--start", span["start"], "--end", span["end"],
        env={**os.environ, "TIDEWIRE_URL": service.url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out


@pytest.mark.long
async def test_the_same_readings_are_the_same_bytes_wherever_they_are_exported(
    service: Any, dashboard: Dashboard, eventually: Eventually
) -> None:
    start_ms = float(int(time.time()) * 1_000 - 600_000)
    await _publish(service, start_ms)
    store = dashboard.source.store
    await eventually(lambda: len(store.series) == 6)
    span = {"start": repr(start_ms), "end": repr(start_ms + 300_000)}
    readings = dashboard.hub.shared.readings

    async def read() -> list[Part]:
        return await readings.parts(list(store.series), start_ms, start_ms + 300_000)

    async with httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http:
        for form in TABLE_FORMATS:
            answer = await service.http.get("/v1/history", params={"metric": "**", "format": form, **span})
            assert answer.status_code == 200, answer.text
            export = Export(read, start_ms + 300_000, form)
            from_dashboard = await http.get(f"/exports/{dashboard.hub.shared.requests.exports.issue(export)}")
            assert from_dashboard.headers["content-type"] == answer.headers["content-type"]
            assert from_dashboard.content == answer.content, form
            assert await _exported(service, span, form) == answer.content, form
            if form == "csv":
                lines = answer.text.splitlines()
                assert lines[0] == "metric,time,value,unit,text,step,label.metric,label.site,label.text"
                assert f"a,{start_ms + 1:.1f},1e-09,Cel,,,,," in lines
                assert f"b,{start_ms + 0.125!r},0.1,,,,odd,A," in lines
        nothing = Export(lambda: readings.parts([], start_ms, start_ms + 1), start_ms + 1, "csv")
        head = await http.get(f"/exports/{dashboard.hub.shared.requests.exports.issue(nothing)}")
        assert head.text == "metric,time,value,unit\n"


async def test_a_history_of_many_pages_has_the_columns_of_all_of_them(start_service: StartService) -> None:
    service = await start_service(history_rows=20)
    start_ms = float(int(time.time()) * 1_000 - 600_000)
    await _publish(service, start_ms)
    span = {"start": repr(start_ms), "end": repr(start_ms + 300_000)}
    tables = {
        "parquet": pq.read_table(io.BytesIO(await _exported(service, span, "parquet"))),
        "arrow": pa.ipc.open_stream(await _exported(service, span, "arrow")).read_all(),
    }
    for table in tables.values():
        assert table.column_names == [
            "metric", "time", "value", "unit", "text", "step", "label.metric", "label.site", "label.text",
        ]  # fmt: skip
        assert len(table) == 45
        assert table["metric"].to_pylist() == ["a"] * 3 + ["b"] * 42
        assert set(table["label.site"].to_pylist()) == {None, "A", "Z"}
    lines = (await _exported(service, span, "ndjson")).splitlines()
    assert len(lines) >= 5, "a series that goes on on another page goes on in another line"
    buckets = (await _exported(service, span, "csv", "--points", "10")).decode().splitlines()
    assert buckets[0] == "metric,time,value,min,max,mean,count,unit,text,label.metric,label.site,label.text"


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_pages_whose_dictionaries_differ_are_one_table(form: str) -> None:
    def page(site: str, values: list[float | None]) -> pa.Table:
        texts = pa.array([site] * len(values)).dictionary_encode()
        times = pa.array([1_700_000_000_000_000 + n for n in range(len(values))], pa.timestamp("us", "UTC"))
        columns = {"metric": texts, "time": times, "value": pa.array(values, pa.float64()), "unit": texts}
        return pa.table({**columns, "label.site": texts})

    pages = [page("x", [1.0, None]), page("y", [2.0])]
    schema = common_schema([one.schema for one in pages])
    out = io.BytesIO()
    writer = TABLE_FORMATS[form].open(out, schema)
    for one in pages:
        writer.write(conformed(one, schema))
    writer.close()
    assert not out.closed
    assert len(out.getvalue()) > len(encode_table(TABLE_FORMATS[form], pages[1]))
    joined = compacted(pa.concat_tables(pages))
    assert joined["label.site"].to_pylist() == ["x", "x", "y"]
    assert joined["label.site"].num_chunks == 1


async def test_every_list_of_formats_is_the_table(service: Any) -> None:
    names = ["json", *TABLE_FORMATS]
    document = (await service.http.get("/schema/openapi.json")).json()
    (parameter,) = (p for p in document["paths"]["/v1/history"]["get"]["parameters"] if p["name"] == "format")
    assert re.findall(r"[a-z]+", parameter["description"].partition(";")[0].removeprefix("one of")) == names
    helped = re.sub(r"\s", "", CliRunner().invoke(main, ["export", "--help"]).output)
    assert f"--format[{'|'.join(TABLE_FORMATS)}]" in helped
    drawer = (Path(tidewire.__file__).parent / "static" / "deck-drawer.js").read_text(encoding="utf-8")
    buttons = set(re.findall(r"export-([a-z]+)", drawer)) - {"png"}
    assert buttons
    assert buttons <= TABLE_FORMATS.keys()
    refused = (await service.http.get("/v1/history", params={"metric": "a", "format": "xlsx"})).json()
    assert f"expected one of {', '.join(names)}" in refused["detail"]
