"""A CSV file means the same to `replay` and to `POST /v1/readings`, or both refuse it and name the line."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tidewire.commands.cli import main
from tidewire.commands.replay import read_rows
from tidewire.errors import InvalidInput
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
        ("x.ndjson", b"\xff\xfe", "line 1"),
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
