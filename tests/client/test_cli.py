"""The commands as a person types them: real processes against a real service."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidewire.commands_replay import read_rows
from tidewire.errors import InvalidInput

ROWS = """\
metric,time,value,unit,site
plant/a,1700000000000,1,Cel,A
plant/a,2023-11-14T22:13:20.5Z,2,Cel,A
plant/b,1700000000600,,,
"""


class Command:
    """`python -m tidewire …` with a service and a Redis in its environment."""

    def __init__(self, service: Any, valkey: Any) -> None:
        self.environment = {**os.environ, "TIDEWIRE_URL": service.url, "TIDEWIRE_REDIS": valkey.url, "COLUMNS": "160"}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tidewire",
            *arguments,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def tidewire(service: Any, valkey: Any) -> Command:
    return Command(service, valkey)


async def test_publish_then_catalog(tidewire: Command) -> None:
    status, out, err = await tidewire("publish", "plant/a", "921.4", "--unit", "Cel", "--label", "site=A")
    assert (status, out, err) == (0, "plant/a 921.4 Cel published\n", "")
    status, out, _ = await tidewire("catalog", "plant/**")
    assert status == 0
    assert re.search(r"plant/a\s+site=A\s+921\.4\s+Cel\s+\d{4}-", out)
    status, out, _ = await tidewire("catalog", "--json")
    assert msgspec.json.decode(out)["labels"] == {"site": "A"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("publish", "a//b", "1"), "empty level"),
        (("publish", "a", "x"), "not a valid float"),
        (("publish", "a", "1", "--label", "site"), "expected name=value"),
        (("publish", "a", "1", "--to", "redis://127.0.0.1:1"), "not published to"),
        (("tail",), "Missing argument"),
        (("tail", "a**"), "whole level"),
        (("tail", "a", "--replay", "soon"), "replay"),
        (("catalog", "--url", "http://127.0.0.1:1"), "tidewire doctor"),
        (("nonsense",), "No such command"),
    ],
)
async def test_what_is_wrong_is_said_in_words(tidewire: Command, arguments: tuple[str, ...], says: str) -> None:
    status, out, err = await tidewire(*arguments)
    assert status != 0
    assert says in out + err
    assert "Traceback" not in err


async def test_tail_prints_what_arrives_and_ends_quietly_on_ctrl_c(tidewire: Command, service: Any) -> None:
    await service.publish("plant/a", 1, labels={"site": "A"}, unit="Cel")
    process = await tidewire.start("tail", "plant/**")
    assert process.stdout is not None
    assert process.stderr is not None
    first = await asyncio.wait_for(process.stdout.readline(), 20)
    assert re.match(rb"\d\d:\d\d:\d\d\.\d{3}  plant/a site=A  1 Cel\n", first)
    while b"# live" not in await asyncio.wait_for(process.stderr.readline(), 20):
        pass
    await service.publish("plant/b", 2)
    assert b"plant/b  2" in await asyncio.wait_for(process.stdout.readline(), 20)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert (out, err) == (b"", b"")


async def test_tail_as_json_is_one_batch_per_line(tidewire: Command, service: Any) -> None:
    await service.publish("plant/a", 1)
    process = await tidewire.start("tail", "plant/a", "--json")
    assert process.stdout is not None
    batch = msgspec.json.decode(await asyncio.wait_for(process.stdout.readline(), 20))
    assert (batch["metric"], batch["value"]) == ("plant/a", [1.0])
    process.terminate()
    await process.wait()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
async def test_replay_publishes_a_recorded_file_as_if_it_were_live(
    tidewire: Command, service: Any, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"shift.{kind}"
    if kind == "csv":
        file.write_text(ROWS)
    else:
        columns = {
            "metric": ["plant/a", "plant/a", "plant/b"],
            "time": [1_700_000_000_000.0, 1_700_000_000_500.0, 1_700_000_000_600.0],
            "value": [1.0, 2.0, None],
            "unit": ["Cel", "Cel", None],
            "site": ["A", "A", None],
        }
        pq.write_table(pa.table(columns), file)
    began = time.time()
    status, _, err = await tidewire("replay", str(file), "--speed", "2")
    assert status == 0, err
    assert "3 readings published" in err
    answer = (await service.http.get("/v1/history?metric=plant/**&start=-1m")).json()
    a, b = answer["series"]
    assert (a["metric"], a["labels"], a["unit"], a["value"]) == ("plant/a", {"site": "A"}, "Cel", [1.0, 2.0])
    assert (b["labels"], b["value"]) == ({}, [None])
    assert a["time"][0] / 1e3 >= began, "shifted to now"
    assert a["time"][1] - a["time"][0] == pytest.approx(250, abs=1), "at twice the speed"


def test_a_recorded_file_that_cannot_be_read_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("metric,time,value\na,1700000000000,1\na,yesterday,2\n")
    with pytest.raises(InvalidInput, match="RFC 3339"):
        read_rows(file)
    file.write_text("metric,value\na,1\n")
    with pytest.raises(InvalidInput, match=r"line 2.*lacks the column 'time'"):
        read_rows(file)
    with pytest.raises(InvalidInput, match="parquet"):
        read_rows(tmp_path / "x.xls")


async def test_doctor_says_what_is_well_and_what_is_wrong(tidewire: Command, service: Any, valkey: Any) -> None:
    status, out, _ = await tidewire("doctor", "--dashboard", "http://127.0.0.1:1")
    assert status == 0, out
    assert re.search(r"ok\s+redis\s+Valkey 9", out)
    assert re.search(r"ok\s+stream\s+first bytes after", out)
    assert re.search(r"note\s+dashboard\s+no answer", out)
    valkey.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    status, out, _ = await tidewire("doctor")
    assert status == 1
    assert "noeviction" in out
    await service.stop()
    valkey.stop()
    status, out, _ = await tidewire("doctor")
    assert status == 1
    assert out.count("WRONG") == 2
    assert "tidewire up" in out
