"""A CSV file means the same to `replay` and to `POST /v1/readings`, or both refuse it and name the line."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tidewire.commands.cli import main
from tidewire.commands.replay import read_rows
from tidewire.errors import InvalidInput
from tidewire.model.table_writers import TABLE_FORMATS
from tidewire_service.ingest.csv_rows import csv_rows

HEAD = "metric,time,value,unit,text,ort\n"
ROWS = "".join(f"a,{1_764_400_000_000 + n},{n},Cel,,Köln\n" for n in range(500))
READ = {
    "utf-8": (HEAD + ROWS).encode(),
    "utf-8 with its mark": (HEAD + ROWS).encode("utf-8-sig"),
    "utf-16, little end first": codecs.BOM_UTF16_LE + (HEAD + ROWS).encode("utf-16-le"),
    "utf-16, big end first": codecs.BOM_UTF16_BE + (HEAD + ROWS).encode("utf-16-be"),
    "utf-32": (HEAD + ROWS).encode("utf-32"),
    "ends of Windows": (HEAD + ROWS).replace("\n", "\r\n").encode(),
    "ends of an old Macintosh": (HEAD + ROWS).replace("\n", "\r").encode(),
    "no last end": (HEAD + ROWS).rstrip("\n").encode(),
    "blank lines": (HEAD + ROWS).replace("\n", "\n\n").encode(),
    "quoted": (HEAD + ROWS).replace("Köln", '"Köln"').encode(),
}
REFUSED = {
    "a quote without an end": ((HEAD + ROWS[:21] + '\na,1764400000000,1,Cel,"open,x\n' + ROWS).encode(), "line"),
    "a quote without an end, in the last line": ((HEAD + ROWS + 'a,1764400000000,1,Cel,"open').encode(), "line 502"),
    "a quote that ends in another row": (
        (HEAD + 'a,1764400000000,1,Cel,"open,x\n' + ROWS + 'a,1764400000000,1,Cel,closed",x\n').encode(),
        "line 2 on",
    ),
    "text after a quote": ((HEAD + ROWS + 'a,1764400000000,1,Cel,"x"y,z\n').encode(), "line 502"),
    "latin-1": ((HEAD + ROWS).encode("latin-1"), "line 2"),
    "latin-1, far below": ((HEAD + ROWS.replace("ö", "o") + "é,1764400000000,1,,,\n").encode("latin-1"), "line 502"),
    "utf-16 without its mark": ((HEAD + ROWS).encode("utf-16-le"), "byte order mark"),
    "half a character of utf-16": (codecs.BOM_UTF16_LE + (HEAD + ROWS).encode("utf-16-le")[:-1], "line 501"),
    "semicolons": ((HEAD + ROWS).replace(",", ";").encode(), "separated by commas"),
    "nothing": (b"", "body"),
    "a header alone": (HEAD.encode(), "no rows"),
    "seconds": ((HEAD + "a,1764400000,1,Cel,,x\n").encode(), "seconds"),
    "a cell too many": ((HEAD + "a,1764400000000,1,Cel,,x,y\n").encode(), "7 cells"),
    "a word for a value": ((HEAD + "a,1764400000000,warm,Cel,,x\n").encode(), "decimal point"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_both_read_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / "shift.CSV"
    file.write_bytes(READ[name])
    posted: list[Any] = list(csv_rows(READ[name]))
    replayed = read_rows(file)
    assert len(posted) == len(replayed) == 500
    assert [(row["value"], row["labels"]) for row in posted] == [(row.value, row.labels) for row in replayed]
    assert replayed[-1].labels == {"ort": "Köln"}


@pytest.mark.parametrize("name", REFUSED)
async def test_both_refuse_the_same_and_name_the_line(name: str, tmp_path: Path, service: Any) -> None:
    data, says = REFUSED[name]
    file = tmp_path / "shift.csv"
    file.write_bytes(data)
    result = CliRunner().invoke(main, ["replay", str(file), "--to", "redis://127.0.0.1:1"])
    assert isinstance(result.exception, SystemExit), "one sentence"
    assert result.exit_code == 1
    assert says in result.output
    assert "published" not in result.output
    answer = await service.post(data, "text/csv")
    refused = answer.status_code in {400, 422} or answer.json()["rejected"]
    assert refused
    assert says in answer.text
    if "seconds" in name or "value" in name:
        assert "line 2" in result.output


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-16"])
async def test_a_file_of_a_spreadsheet_is_posted_as_it_is(service: Any, kind: str, now_ms: float) -> None:
    rows = f"metric,time,value,unit\nöfen/1,{now_ms:.0f},921.5,Cel\n"
    answer = await service.post(rows.encode("utf-16"), kind)
    assert answer.json()["accepted"] == 1, answer.text
    assert await service.stored() == {"öfen/1": [921.5]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "metric,time,value,site\na,1764400000000,1.5,A\n"),
        ("X.CSV", "metric,time,value,site\na,1764400000000,1.5,A\n"),
        ("X.Txt", "metric,time,value,site\na,1764400000000,1.5,A\n"),
        ("x.TSV", "metric\ttime\tvalue\tsite\na\t1764400000000\t1.5\tA\n"),
        ("x.ndjson", '{"metric":"a","time":1764400000000,"value":1.5,"site":"A"}\n\n'),
        ("X.JSONL", '{"metric":"a","time":1764400000000,"value":1.5,"labels":{"site":"A"}}'),
        ("x.ndjson", '{"metric":"a","time":[1764400000000],"value":[1.5],"labels":{"site":"A"}}\n'),
    ],
)
def test_a_file_is_read_by_its_suffix_in_any_case(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (row,) = read_rows(tmp_path / name)
    assert (row.metric, row.time_ms, row.value, row.labels) == ("a", 1_764_400_000_000, 1.5, {"site": "A"})


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("x.xlsx", b"PK", "expected one of"),
        ("x.parquet", b"no parquet", "no Parquet file"),
        ("x.ndjson", b'{"metric":"a","time":1764400000000,"value":1}\nnonsense\n', "line 2"),
        ("x.ndjson", b'{"metric":"a","time":[1,2],"value":[1]}\n', "differ in length"),
        ("x.ndjson", b"\xff\xff", "line 1"),
        ("x.ndjson", b"[" * 5_000, "line 1"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInput, match=says):
        read_rows(tmp_path / name)


@given(st.binary(max_size=300), st.sampled_from([b"", HEAD.encode(), codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE]))
def test_any_bytes_are_rows_or_refused(data: bytes, before: bytes) -> None:
    try:
        for row in csv_rows(before + data):
            assert isinstance(row, (dict, InvalidInput))
    except InvalidInput:
        pass


NOW = '"time":1764400000000,"value":1'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f'{{"metric":null,{NOW}}}', "metric None"),
        (f'{{"metric":5,{NOW}}}', "metric 5"),
        (f'{{"metric":"a",{NOW},"unit":5}}', "unit 5"),
        (f'{{"metric":"a",{NOW},"text":{{}}}}', "text"),
        (f'{{"metric":"a",{NOW},"labels":"site=A"}}', "labels 'site=A'"),
        (f'{{"metric":"a",{NOW},"labels":5}}', "labels 5"),
        (f'{{"metric":"a",{NOW},"labels":["A"]}}', "labels 'A'"),
        (f'{{"metric":"a",{NOW},"site":{{"x":1}}}}', "labels['site']"),
    ],
)
def test_what_is_no_text_is_refused_and_never_left_out_or_written_as_one(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "x.ndjson").write_text(line)
    with pytest.raises(InvalidInput, match=re.escape(f"line 1: {says}")):
        read_rows(tmp_path / "x.ndjson")


def test_texts_and_labels_of_parquet_are_read_in_each_of_their_types(tmp_path: Path) -> None:
    columns = {
        "metric": pa.array([b"a", b"a"]),
        "time": [1_764_400_000_000.0] * 2,
        "value": [1.0, 2.0],
        "unit": pa.array([b"Cel", None]),
        "label.site": ["A", ""],
    }
    pairs = pa.map_(pa.string(), pa.string())
    for labels in (pa.array([{"k": "x"}, {"k": None}]), pa.array([[("k", "x")], []], pairs)):
        pq.write_table(pa.table({**columns, "labels": labels}), tmp_path / "x.parquet")
        rows = read_rows(tmp_path / "x.parquet")
        assert [(row.metric, row.unit, row.labels) for row in rows] == [
            ("a", "Cel", {"k": "x", "site": "A"}),
            ("a", "", {"site": ""}),
        ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_lines_of_json_are_read_by_their_mark_also_when_files_were_joined(tmp_path: Path, encoding: str) -> None:
    line = f'{{"metric":"öfen/1",{NOW}}}\r\n'
    (tmp_path / "x.ndjson").write_bytes(line.encode(encoding) * 2)
    assert [row.metric for row in read_rows(tmp_path / "x.ndjson")] == ["öfen/1"] * 2


def test_lines_of_json_in_another_encoding_are_refused_by_line(tmp_path: Path) -> None:
    (tmp_path / "x.ndjson").write_bytes(f'{{"metric":"a",{NOW}}}\n{{"metric":"ö",{NOW}}}\n'.encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"line 2.*not UTF-8"):
        read_rows(tmp_path / "x.ndjson")


async def test_rows_that_can_never_be_published_cost_no_other_and_end_with_an_error(
    service: Any, tmp_path: Path
) -> None:
    many = {f"l{n}": "x" for n in range(40)}
    lines: list[dict[str, object]] = [{}, {"labels": many}, {"metric": "b//c"}, {"text": "x" * 300_000}, {"value": 2}]
    rows = [{"metric": "a", "time": 1_764_400_000_000, "value": 1} | line for line in lines]
    file = tmp_path / "x.ndjson"
    file.write_text("\n".join(map(json.dumps, rows)))
    result = await asyncio.to_thread(CliRunner().invoke, main, ["replay", str(file), "--to", service.url])
    assert result.exit_code == 1
    assert "2 readings published" in result.output
    assert "3 of the rows can never be published" in result.output
    assert await service.stored() == {"a": [1, 2]}


@given(
    st.lists(
        st.text(st.sampled_from("a'\"\r\n,;=+@\t\0 \x0b\x1c\x85\u2028\ufeff"), min_size=1, max_size=9),
        min_size=1,
        max_size=9,
    )
)
def test_a_text_in_an_exported_csv_is_read_back_whatever_ends_of_lines_it_holds(texts: list[str]) -> None:
    times = pa.array([1_764_400_000_000_000 + n for n in range(len(texts))], pa.timestamp("us", "UTC"))
    columns = {"metric": ["m"] * len(texts), "time": times, "value": [1.0] * len(texts), "unit": [""] * len(texts)}
    table = pa.table({**columns, "text": texts, "label.l": texts})
    out = io.BytesIO()
    with contextlib.closing(TABLE_FORMATS["csv"].open(out, table.schema)) as writer:
        writer.write(table)
    rows: list[Any] = list(csv_rows(out.getvalue()))
    assert [(row["text"], row["labels"]["l"]) for row in rows] == [(text, text) for text in texts]
