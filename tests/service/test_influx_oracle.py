"""Debian's InfluxDB 1.6 as the oracle: what it stores of generated lines is what is stored here."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import own_port
from waiting import eventually

from tidewire.model.batch import IngestLimits
from tidewire_service.ingest.line_protocol import LineSlices

pytestmark = pytest.mark.influxd

SEED, LINES = 16, 300
NOW_MS = 1_796_000_000_000.0
LETTERS = "abcXYZ019_-.éü🍭ß"
MARKS = LETTERS + ", =\"'\\:;#"


@pytest.fixture
async def influxdb_1_6(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An InfluxDB of this test alone, with a database `d`."""
    port, rpc = own_port(), own_port()
    config = tmp_path / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
        f'[meta]\n dir = "{tmp_path}/meta"\n[data]\n dir = "{tmp_path}/data"\n wal-dir = "{tmp_path}/wal"\n'
        f'[http]\n bind-address = "127.0.0.1:{port}"\n log-enabled = false\n[monitor]\n store-enabled = false\n',
        encoding="utf-8",
    )
    with (tmp_path / "influxd.log").open("wb") as log:
        process = subprocess.Popen(
            ["influxd", "-config", str(config)], stdout=log, stderr=log, env={**os.environ, "HOME": str(tmp_path)}
        )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:

        async def there() -> bool:
            try:
                return (await client.get("/ping")).status_code == 204
            except httpx.TransportError:
                return False

        await eventually(there)
        created = await client.post("/query", data={"q": "CREATE DATABASE d"})
        assert created.json() == {"results": [{"statement_id": 0}]}, "as this service answers it"
        yield client
    process.send_signal(signal.SIGTERM)
    process.wait()


def _escaped(text: str, marks: str) -> str:
    return "".join(f"\\{character}" if character in marks else character for character in text)


class Generator:
    """Makes lines of all that the format allows, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def word(self, escaped: str) -> str:
        """Return a name: a letter at both ends, and marks within it."""
        middle = "".join(self._random.choices(MARKS, k=self._random.randrange(8)))
        # a backslash before a mark has no form of its own, and before another one the versions differ
        word = "a" + middle.replace("\\", "\\z" if self._random.random() < 0.5 else "") + "z"
        return _escaped(word, escaped)

    def value(self) -> str:
        choose = self._random
        text = "".join(choose.choices(MARKS + "\n", k=choose.randrange(12)))
        return choose.choice(
            [
                repr(choose.uniform(-1e6, 1e6)), f"{choose.uniform(-1, 1):.3e}", f"{choose.randrange(-1000, 1000)}.",
                f"{choose.randrange(-(2**63), 2**63)}i", f"{choose.randrange(-9, 9)}i", str(choose.randrange(10**6)),
                *("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"),
                *['"' + _escaped(text, '"\\') + '"'] * 6,
            ]
        )  # fmt: skip

    def line(self, number: int) -> str:
        choose = self._random
        tags = {f"{self.word(', =')}{n}": self.word(", =") for n in range(choose.randrange(4))}
        # a name of its own: a query over all measurements takes the fields of a name as one type
        fields = {f"{self.word(', =')}{number}.{n}": self.value() for n in range(choose.randrange(1, 5))}
        name = self.word(", ") + str(number)
        head = ",".join([name, *(f"{key}={value}" for key, value in tags.items())])
        body = ",".join(f"{key}={value}" for key, value in fields.items())
        time = f" {int(NOW_MS) * 10**6 - choose.randrange(10**15)}"
        return f"{head} {body}{time}"


Point = tuple[str, str, float, Any]


def _here(lines: str) -> set[Point]:
    """Return metric, labels, time in ms and value of each reading that is stored here."""
    found: set[Point] = set()
    reader = LineSlices(lines.encode(), IngestLimits(), "ns", 10_000, NOW_MS)
    while (part := reader.read()) is not None:
        assert part.intake.rejected == []
        for batch in part.intake.batches:
            decoded = json.loads(batch.body)
            texts = decoded.get("text") or [None] * len(decoded["value"])
            for time, value, text in zip(decoded["time"], decoded["value"], texts, strict=True):
                found.add(
                    (decoded["metric"], json.dumps(decoded.get("labels", {})), time, text if value is None else value)
                )
    return found


async def _there(oracle: httpx.AsyncClient) -> set[Point]:
    """Return the same of what InfluxDB stored."""
    answer = await oracle.get("/query", params={"db": "d", "epoch": "ns", "q": "SELECT * FROM /.*/ GROUP BY *"})
    found: set[Point] = set()
    for series in answer.json()["results"][0]["series"]:
        labels = json.dumps({key: value for key, value in sorted(series.get("tags", {}).items()) if value})
        for time, *values in series["values"]:
            for field, value in zip(series["columns"][1:], values, strict=True):
                if value is not None:
                    stored = float(value) if isinstance(value, bool | int | float) else value
                    found.add((f"{series['name']}/{field}", labels, time / 10**6, stored))
    return found


async def test_generated_lines_are_stored_as_influxdb_stores_them(influxdb_1_6: httpx.AsyncClient) -> None:
    make = Generator(SEED)
    lines = "\n".join(make.line(number) for number in range(LINES))
    written = await influxdb_1_6.post("/write?db=d", content=lines.encode())
    assert (written.status_code, written.text) == (204, "")
    here, there = _here(lines), await _there(influxdb_1_6)
    assert len(there) > 1.5 * LINES
    assert here - there == set()
    assert there - here == set()


async def test_what_influxdb_refuses_is_refused_here(influxdb_1_6: httpx.AsyncClient) -> None:
    """Of the good lines beside a bad one both store the same."""
    bad = [
        "m", "m,", "m,a f=1", "m,a= f=1", ",a=b f=1", "m f=", "m f", "m =1", "m f=nan", "m f=inf", "m f=1_0", "m f=0x1",
        "m f=9223372036854775808i", "m f=yes", "m f=1 1.5", "m f=1 x", "m,a=1,a=2 f=1", "m f=1i5",
    ]  # fmt: skip
    for number, line in enumerate(bad):
        body = f"good{number} f=1 {int(NOW_MS) * 10**6}\n{line}\n"
        answer = await influxdb_1_6.post("/write?db=d", content=body.encode())
        assert answer.status_code == 400, line
        part = LineSlices(body.encode(), IngestLimits(), "ns", 10, NOW_MS).read()
        assert part is not None
        assert ([row.row for row in part.intake.rejected], part.intake.rows) == ([2], [(1,)]), line
    assert len(await _there(influxdb_1_6)) == len(bad)
