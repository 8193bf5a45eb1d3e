"""Labels in tables: whatever their names, each has a column of its own, and is read back as it was."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import tidewire
from tidewire.commands import cli
from tidewire.commands.replay import read_rows
from tidewire.model.csv_escape import original

NAMES = (
    "step", "text", "time", "value", "metric", "unit", "labels", "min", "max", "mean", "count", "id", "label",
    "label.step", "label.label.step", "label.", "site", "series", "index", "Ünit", "a b", "=1+1", "'quoted", "a,b",
    'a"b', "__proto__",
)  # fmt: skip
KINDS = ("csv", "ndjson", "parquet", "arrow")


async def _publish(service: Any, now_ms: float, labels: list[dict[str, str]], **more: Any) -> None:
    rows = [{"metric": "m", "time": now_ms, "value": n, "labels": each, **more} for n, each in enumerate(labels)]
    answer = await service.post(rows)
    assert answer.json()["accepted"] == len(labels), answer.text


async def _labels_and_values(service: Any, metric: str) -> list[tuple[dict[str, str], list[Any]]]:
    series = (await service.history(metric, start="-1h"))["series"]
    return sorted(((one["labels"], one["value"]) for one in series), key=repr)


async def test_labels_named_like_a_column_stay_apart_in_the_wide_form_and_in_files(service: Any, now_ms: float) -> None:
    await _publish(service, now_ms, [{"step": "heat"}, {"step": "cool"}], step=7)
    for points in (None, 10):
        wide = await asyncio.to_thread(tidewire.history, "m", points=points, wide=True, url=service.url)
        assert sorted(wide.columns) == ["m{step=cool}", "m{step=heat}"]
    found = await service.http.get("/v1/history", params={"metric": "m", "format": "csv"})
    read = pd.read_csv(io.StringIO(found.text))
    assert sorted(zip(read["step"], read["label.step"], strict=True)) == [(7, "cool"), (7, "heat")]


@pytest.mark.parametrize("points", [None, 10])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_label_of_any_name_is_in_every_kind_of_file(
    service: Any, tmp_path: Path, now_ms: float, kind: str, points: int | None
) -> None:
    given = [{name: "heat"} for name in NAMES] + [dict.fromkeys(NAMES, "cool"), {}]
    await _publish(service, now_ms, given, text="flag")
    file = tmp_path / f"found.{kind}"
    command = ["export", "m", "-o", str(file), *(["--points", str(points)] if points else [])]
    done = await asyncio.to_thread(CliRunner().invoke, cli.main, command, env={"TIDEWIRE_URL": service.url})
    assert done.exit_code == 0, done.output
    exported = _labels_of(file, kind)
    assert _sorted(exported) == _sorted(given)
    frame = await asyncio.to_thread(tidewire.history, "m", points=points, url=service.url)
    names = [f"label.{name}" for name in sorted(NAMES)]
    assert [name for name in frame.columns if name.startswith("label.")] == names
    back = [
        {name.removeprefix("label."): row[name] for name in names if isinstance(row[name], str)}
        for row in frame.to_dict("records")
    ]
    assert _sorted(back) == _sorted(given)
    wide = await asyncio.to_thread(tidewire.history, "m", points=points, wide=True, url=service.url)
    assert len(set(wide.columns)) == len(given)


def _labels_of(file: Path, kind: str) -> list[dict[str, str]]:
    if kind == "ndjson":
        return [json.loads(line)["labels"] for line in file.read_text().splitlines()]
    if kind == "csv":
        lines = [[original(cell) for cell in line] for line in csv.reader(file.read_text().splitlines())]
        cells = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    else:
        table = pq.read_table(file) if kind == "parquet" else pa.ipc.open_stream(file.read_bytes()).read_all()
        cells = table.to_pylist()
    return [{name[6:]: cell for name, cell in row.items() if name.startswith("label.") and cell} for row in cells]


def _sorted(labels: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(labels, key=lambda one: sorted(one.items()))


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
async def test_what_was_exported_is_read_back_as_it_was(start: Any, tmp_path: Path, now_ms: float, kind: str) -> None:
    service = await start()
    given = [{name: f"of {name}"} for name in NAMES] + [dict.fromkeys(NAMES, "all"), {}]
    await _publish(service, now_ms, given, text="flag", step=3, unit="Cel")
    before = await _labels_and_values(service, "m")
    found = await service.http.get("/v1/history", params={"metric": "m", "format": kind})
    if kind == "parquet":
        file = tmp_path / "found.parquet"
        file.write_bytes(found.content)
        rows = read_rows(file)
        assert sorted(((row.labels, [row.value]) for row in rows), key=repr) == before
        assert {(row.unit, row.text, row.step) for row in rows} == {("Cel", "flag", 3.0)}
        return
    text = found.text
    moved = text.replace('"metric":"m"', '"metric":"n"') if kind == "ndjson" else text.replace("\nm,", "\nn,")
    media_type = "text/csv" if kind == "csv" else "application/x-ndjson"
    answer = await service.post(moved.encode(), media_type)
    assert answer.json()["accepted"] == len(given), answer.text
    assert await _labels_and_values(service, "n") == before


async def test_a_plain_column_and_a_marked_one_are_the_same_label(service: Any) -> None:
    for header, row, labels in (
        ("metric,value,site", "m,1,A", {"site": "A"}),
        ("metric,value,label.site", "m,1,A", {"site": "A"}),
        ("metric,value,step,label.step", "m,1,7,heat", {"step": "heat"}),
        ("metric,value,label.label.x", "m,1,A", {"label.x": "A"}),
    ):
        assert (await service.post(f"{header}\n{row}\n", "text/csv")).status_code == 200
        found = (await service.http.get("/v1/catalog")).json()["series"]
        assert labels in [series["labels"] for series in found]
    for header in ("metric,value,site,label.site", "metric,value,label.", "metric,value,label.a,label.a"):
        answer = await service.post(f"{header}\nm,1{',A' * (header.count(',') - 1)}\n", "text/csv")
        assert answer.status_code in (400, 422), header


async def test_buckets_are_not_read_back_as_readings(service: Any, now_ms: float) -> None:
    await _publish(service, now_ms, [{"site": "A"}])
    found = await service.http.get("/v1/history", params={"metric": "m", "format": "csv", "points": 10})
    answer = await service.post(found.content, "text/csv")
    assert answer.status_code in (400, 422)
    assert "buckets" in answer.text


async def test_values_that_look_like_several_labels_have_a_column_each(service: Any, now_ms: float) -> None:
    await _publish(service, now_ms, [{"a": "x,b=y"}, {"a": "x", "b": "y"}, {"a": 'x"'}, {"a": "{}"}])
    wide = await asyncio.to_thread(tidewire.history, "m", wide=True, url=service.url)
    assert sorted(wide.columns) == ['m{a="x,b=y"}', 'm{a="x\\""}', 'm{a="{}"}', "m{a=x,b=y}"]
