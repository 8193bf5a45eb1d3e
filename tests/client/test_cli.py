"""The commands as a person types them, against a real service; most run in this process, to spare a start of Python."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from click.testing import CliRunner
from dripping import HEAD, dripping
from rich.text import Text
from servers import StartService, Valkey
from waiting import HANG_S, Eventually

from tidewire.commands import cli, tail
from tidewire.commands.doctor_refusals import refusal
from tidewire.commands.replay import read_rows
from tidewire.errors import InvalidInput
from tidewire.model.cursor import Cursor
from tidewire.model.states import Reset, Stalled, StreamBatch
from tidewire.subscribing.service_answer import Answer
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore

ROWS = """\
metric,time,value,unit,site
plant/a,1700000000000,1,Cel,A
plant/a,2023-11-14T22:13:20.5Z,2,Cel,A
plant/b,1700000000600,,,
"""


class Command:
    """`tidewire …` with a service and a Redis in its environment."""

    def __init__(self, url: str, redis_url: str) -> None:
        self.environment = {"TIDEWIRE_URL": url, "TIDEWIRE_REDIS": redis_url, "COLUMNS": "160"}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the command in a process of its own."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tidewire",
            *arguments,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def in_process(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command in a process of its own; return its status and what it wrote."""
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), HANG_S)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command in a thread of this process; return its status and what it wrote."""
        with structlog.testing.capture_logs():  # else what the service logs meanwhile is among what is printed
            result = await asyncio.to_thread(CliRunner().invoke, cli.main, arguments, env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # a process would print its traceback
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def tidewire(service: Any, valkey: Valkey) -> Command:
    return Command(service.url, valkey.url)


def test_a_command_is_one_file_and_one_line_of_the_table() -> None:
    """Every module of `commands/` that has a `command` is in the table, under the name that it gives itself."""
    folder = Path(cli.__file__).parent
    own = {path.stem for path in folder.glob("*.py") if "\ndef command(" in path.read_text(encoding="utf-8")}
    assert own == {name for name, entry in cli._COMMANDS.items() if entry.module.startswith("tidewire.commands.")}
    for name in cli._COMMANDS:
        found = cli.main.get_command(None, name)  # type: ignore[arg-type]  # the group does not use its context
        assert found is not None
        assert found.name == name


async def test_publish_then_catalog(tidewire: Command) -> None:
    status, out, err = await tidewire.in_process("publish", "plant/a", "921.4", "--unit", "Cel", "--label", "site=A")
    assert (status, out, err) == (0, "plant/a 921.4 Cel published\n", "")
    status, out, _ = await tidewire.in_process("catalog", "plant/**")
    assert status == 0
    assert re.search(r"plant/a\s+site=A\s+921\.4\s+Cel\s+\d{4}-", out)
    status, out, _ = await tidewire("catalog", "--json")
    assert msgspec.json.decode(out)["labels"] == {"site": "A"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("publish", "a//b", "1"), "empty level"),
        (("publish", "a", "x"), "expected a number"),
        (("publish", "a", "--redis", "redis://127.0.0.1:1"), "No such option '--redis'"),
        (("publish", "a"), "or --text for a state"),
        (("publish", "a", "1", "--label", "site"), "expected name=value"),
        (("publish", "a", "1", "--label", "site=A", "--label", "site=B"), "'site' is given as 'A' and as 'B'"),
        (("publish", "a", "1", "--to", "redis://127.0.0.1:1"), "not published to"),
        (("tail",), "Missing argument"),
        (("catalog", "--url", "http://127.0.0.1:1"), "tidewire doctor"),
        (("nonsense",), "No such command"),
    ],
)
async def test_what_is_wrong_is_said_in_words(arguments: tuple[str, ...], says: str) -> None:
    nobody = Command("http://127.0.0.1:1", "redis://127.0.0.1:1")
    in_process = arguments[0] in ("catalog", "nonsense")  # one that runs, and one that does not
    status, out, err = await (nobody.in_process if in_process else nobody)(*arguments)
    assert status != 0
    assert says in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "says"), [(("tail", "a**"), "whole level"), (("tail", "a", "--replay", "soon"), "replay")]
)
async def test_what_the_service_refuses_is_said_in_words(
    tidewire: Command, arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = await tidewire.in_process(*arguments)
    assert status != 0
    assert says in out + err
    assert "Traceback" not in err


async def test_tail_prints_what_arrives_and_ends_quietly_on_ctrl_c(tidewire: Command, service: Any) -> None:
    await service.publish("plant/a", 1, labels={"site": "A"}, unit="Cel")
    process = await tidewire.start("tail", "plant/**")
    assert process.stdout is not None
    assert process.stderr is not None
    first = await asyncio.wait_for(process.stdout.readline(), HANG_S)
    assert re.match(rb"\d\d:\d\d:\d\d\.\d{3}  plant/a site=A  1 Cel\n", first)
    while b"# live" not in await asyncio.wait_for(process.stderr.readline(), HANG_S):
        pass
    await service.publish("plant/b", 2)
    assert b"plant/b  2" in await asyncio.wait_for(process.stdout.readline(), HANG_S)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), HANG_S)
    assert process.returncode == 0
    assert (out, err) == (b"", b"")


def test_the_table_of_tail_shows_the_newest_reading_by_its_own_time_of_each_series() -> None:
    row = None
    for times, values in (([5.0, 9.0, 1.0], [1, 2, 3]), ([8.0], [4]), ([9.0, 3.0], [5, 6]), ([2.0], [None])):
        row = tail._row_after(row, StreamBatch(metric="m", time=times, value=values))
    assert row is not None
    assert list(tail._table({("m", ""): row}, "live").columns[2].cells) == [Text("5", style="bold")]


@pytest.mark.parametrize(
    ("time_ms", "came_ms", "now_ms", "more", "shown", "line"),
    [
        (0, 20, 300, {}, "0.3 s", ""),
        (0, 45_100, 46_000, {}, "46 s, 45 s late", "  (45 s late)"),
        (3_300, 0, 100, {}, "3 s ahead", "  (3 s ahead)"),
        (0, None, 1_200_000, {}, "20 min", ""),
        (0, 20_000, 21_000, {"every_ms": 10_000}, "21 s", ""),
        (0, 60_000, 185_000, {"text": ["finished"]}, "finished 3 min ago", ""),
    ],
)
def test_tail_shows_the_age_of_a_readings_own_time_and_how_late_it_came(
    time_ms: float, came_ms: float | None, now_ms: float, more: dict[str, Any], shown: str, line: str
) -> None:
    t0 = 1_790_000_000_000
    cursor = "" if came_ms is None else str(Cursor("abcdefg", int(t0 + came_ms) << 32))
    batch = StreamBatch(metric="m", time=[t0 + time_ms], value=[5.0], cursor=cursor, **more)
    assert tail._row_after(None, batch).age(t0 + now_ms).plain == shown
    assert tail._line(batch).partition("  5")[2].replace("  finished", "") == line


def test_tail_says_which_partition_does_not_answer_or_starts_anew() -> None:
    since_ms = datetime(2026, 11, 28, 12, 3, 5).astimezone().timestamp() * 1e3
    stalled = Stalled(partition=1, metrics=("a", "b", "c", "d"), more=10, since_ms=since_ms)
    said = "partition 1 of the log does not answer since 12:03:05; late: a, b, c and 11 more"
    assert tail._describe_state(stalled) == said
    one = Stalled(partition=1, metrics=("a",), since_ms=since_ms)
    assert tail._describe_state(one) == "partition 1 of the log does not answer since 12:03:05; late: a"
    reset = Reset(partition=1, metrics=("a", "b"), reason="the log is gone")
    assert tail._describe_state(reset) == "reset of partition 1 (the log is gone): a, b"
    assert tail._describe_state(Reset(reason="the log is gone")) == "reset: the log is gone"


async def test_tail_as_json_is_one_batch_per_line(tidewire: Command, service: Any) -> None:
    await service.publish("plant/a", 1)
    process = await tidewire.start("tail", "plant/a", "--json")
    assert process.stdout is not None
    batch = msgspec.json.decode(await asyncio.wait_for(process.stdout.readline(), HANG_S))
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
    with pytest.raises(InvalidInput, match=r"line 3: time 'yesterday': expected RFC 3339"):
        read_rows(file)
    file.write_text("metric,value\na,1\n")
    with pytest.raises(InvalidInput, match=r"line 2.*lacks 'time'"):
        read_rows(file)
    file.write_text("metric,time,value\na,1700000000000\n")
    with pytest.raises(InvalidInput, match=r"line 2: row .* 2 cells"):
        read_rows(file)
    with pytest.raises(InvalidInput, match="parquet"):
        read_rows(tmp_path / "x.xls")


async def test_doctor_says_what_is_well_and_what_is_wrong(tidewire: Command, service: Any, valkey: Valkey) -> None:
    async with asyncio.timeout(HANG_S):
        while True:  # a service on a crowded machine may take longer than doctor waits
            status, out, _ = await tidewire("doctor", "--dashboard", "http://127.0.0.1:1")
            if status == 0:
                break
    assert re.search(r"ok\s+redis\s+Valkey 9", out)
    assert re.search(r"ok\s+stream\s+first bytes after", out)
    assert re.search(r"note\s+dashboard\s+no answer", out)
    assert re.search(r"ok\s+line protocol\s+/write, /api/v2/write, /api/v3/write_lp take readings; none came", out)
    assert re.search(rf"ok\s+Pushgateway\s+/metrics/job/\S+ take readings; none came.*\s+try echo .*{service.url}", out)
    assert re.search(r"ok\s+OpenTelemetry\s+/v1/metrics take readings; none came to this process yet", out)
    assert (await service.http.get("/v1/catalog")).json()["series"] == [], "doctor writes nothing"
    await service.http.post("/write", content=b"a,n=1 f=1\na,n=2 f=2,g=3")
    _, out, _ = await tidewire("doctor")
    assert re.search(r"ok\s+line protocol\s+\S+, \S+, \S+ take readings; 3 came to this process\s*\n", out)
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


async def test_doctor_says_that_a_token_may_not_publish(
    tidewire: Command, start_service: StartService, valkey: Valkey
) -> None:
    service = await start_service(auth=True)
    store = TokenStore(service.app.state.hub.log.home)
    for scopes, said in (
        (Scopes(subscribe=("**",)), "this token may not publish"),
        (Scopes(publish=("**",), subscribe=("**",)), "take readings"),
    ):
        tidewire.environment |= {
            "TIDEWIRE_TOKEN": (await store.create("t", scopes, 60))[1],
            "TIDEWIRE_URL": service.url,
        }
        _, out, _ = await tidewire("doctor")
        assert re.search(rf"ok\s+line protocol\s+/write, /api/v2/write, /api/v3/write_lp .*{said}", out), out


async def test_doctor_tells_a_service_on_another_redis_and_what_could_not_be_read(
    tidewire: Command, service: Any, valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    """What is published goes to one Redis and nothing shows, since the service reads another."""
    valkey.cli("PUBLISH", "tw:in:plant/a", "warm")
    await eventually(lambda: valkey.cli("XLEN", "tw:in:dead") == 1)
    status, out, _ = await tidewire("doctor")
    assert status == 0
    assert re.search(r"note\s+inbox\s+1 entries could not be read, the last: .*warm", out)
    other = type(valkey)(tmp_path / "other")
    other.start()
    try:
        status, out, _ = await tidewire("doctor", "--redis", other.url)
        assert status == 1
        assert re.search(r"WRONG\s+log\s+the service reads another Redis", out)
        other.cli("CONFIG", "SET", "requirepass", "hunter2")
        status, out, _ = await tidewire("doctor", "--redis", other.url)
        assert re.search(r"WRONG\s+redis\s+.*Authentication required", out)
        assert "redis://user:password@host:6379" in out
    finally:
        other.close()
    status, out, _ = await tidewire("doctor", "--prefix", "plant")
    assert re.search(r"WRONG\s+log\s+the service reads another Redis, or under another prefix", out)


async def test_doctor_tells_a_replica_and_a_full_redis(tidewire: Command, valkey: Valkey) -> None:
    valkey.cli("SETRANGE", "ballast", 64 << 20, "x")  # beside it, what connections use and give back is nothing
    valkey.cli("CONFIG", "SET", "maxmemory", str(int(valkey.client.info("memory")["used_memory"] * 1.02)))
    status, out, _ = await tidewire("doctor")
    assert status == 1
    assert re.search(r"WRONG\s+memory\s+.* MiB are used", out)
    valkey.cli("CONFIG", "SET", "maxmemory", "0")
    valkey.cli("REPLICAOF", "127.0.0.1", "1")
    status, out, _ = await tidewire("doctor")
    assert status == 1
    assert re.search(r"WRONG\s+role\s+a replica of 127.0.0.1:1", out)


async def test_doctor_tells_a_missing_token_another_server_and_a_proxy_that_buffers(
    tidewire: Command, start_service: StartService
) -> None:
    guarded = await start_service(auth=True)
    status, out, _ = await tidewire("doctor", "--url", guarded.url)
    assert status == 1
    assert re.search(r"WRONG\s+stream\s+HTTP 401 of the service: ", out)
    assert "TIDEWIRE_TOKEN" in out

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on but streams, of which nothing comes before their end."""
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/v1/stream" in request:
            await reader.read()
        else:
            body = b'{"live":true}' if buffering else b"<html>hello</html>"
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        buffering = False
        status, out, _ = await tidewire("doctor", "--url", url)
        assert re.search(r"WRONG\s+service\s+.* answers 200 and is no Tidewire service", out)
        buffering = True
        status, out, _ = await tidewire("doctor", "--url", url)
        assert re.search(r"WRONG\s+stream\s+no first byte", out)
        assert "proxy" in out


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (
            {"soft_memory_bytes": 1},
            r"note\s+line protocol\s+/write, .*: HTTP 503 of the service: .*\n.*a pause of \d+ s",
        ),
        (
            {"max_requests_per_s_per_address": 0.01},
            r"(note|WRONG)\s+\S.*HTTP 429 of the service: .*\n.*docs/limits.md .* pause of \d+ s",
        ),
    ],
    ids=["503", "429"],
)
async def test_doctor_tells_a_pause_of_the_service_from_a_proxys(
    tidewire: Command, start_service: StartService, limit: dict[str, Any], said: str
) -> None:
    limited = await start_service(**limit)
    _, out, _ = await tidewire("doctor", "--url", limited.url)
    assert re.search(said, out), out
    assert "proxy" not in out


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "log-in of its own"), (403, "does not let"), (404, "only some paths"), (413, "smaller bodies"),
        (429, "only so many"), (502, "does not reach"), (503, "does not reach"), (504, "does not reach"),
    ],
)  # fmt: skip
async def test_doctor_tells_what_a_proxy_says_in_place_of_the_service(
    tidewire: Command, status: int, remedy: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer that the service lives, and refuse all else as a proxy does."""
        live = b"/health/live" in await reader.readuntil(b"\r\n\r\n")
        body = b'{"live":true}' if live else b"<html><h1>Nothing here</h1></html>"
        head = (
            b"HTTP/1.1 %d X\r\nserver: nginx/1.27\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        )
        writer.write(head % (200 if live else status, len(body)) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        result, out, _ = await tidewire("doctor", "--url", url)
    assert result == 1
    who = rf"HTTP {status} of another program, nginx/1.27, in place of the service\s+a proxy between .*{remedy}"
    for what in ("WRONG +readiness", "note +line protocol +/write, .*:", "note +Pushgateway .*:", "WRONG +stream"):
        assert re.search(rf"{what}\s+{who}", out), (what, out)
    assert "may not publish" not in out


def test_every_refusal_of_the_service_is_told_as_its_own() -> None:
    problem = {
        "type": "urn:tidewire:problem:limit-exceeded",
        "title": "A stated limit was passed",
        "detail": "too many",
    }
    for status in (400, 401, 403, 404, 408, 413, 421, 429, 500, 503):
        for headers, body in (({"tidewire-request": "1f-7"}, b"too many"), ({}, msgspec.json.encode(problem))):
            said = refusal(Answer(status, headers, body))
            assert said.found == f"HTTP {status} of the service: too many"
            assert said.remedy
            assert "proxy" not in said.remedy
    other = refusal(Answer(503, {"server": "gate"}, b'{"type":"about:blank","detail":"no upstream"}'))
    assert other.found == "HTTP 503 of another program, gate, in place of the service: no upstream"
    for status in (302, 400, 401, 418, 500):
        assert refusal(Answer(status, {}, b"{}")).found == f"HTTP {status} of another program in place of the service"


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\nX: ", HEAD], ids=["headers", "body"])
async def test_doctor_tells_what_drips_in_time(tidewire: Command, begins: bytes) -> None:
    with dripping(begins) as port:
        url = f"http://127.0.0.1:{port}"
        status, out, _ = await asyncio.wait_for(tidewire("doctor", "--url", url, "--dashboard", url), HANG_S)
    assert status == 1
    assert re.search(r"WRONG\s+service\s+no answer from .*ReadTimeout", out), out
    assert re.search(r"note\s+dashboard\s+no answer from .*ReadTimeout", out), out


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson"])
async def test_export_writes_what_was_published(tidewire: Command, service: Any, tmp_path: Path, form: str) -> None:
    now_ms = float(int(time.time()) * 1000 - 10_000)
    await service.publish("plant/a", 1.5, None, unit="Cel", labels={"site": "A"}, time=[now_ms, now_ms + 1])
    await service.publish("plant/b", 2.0, step=[7], time=[now_ms + 2])
    await service.publish("plant/c", None, text=["=1+1"], time=[now_ms + 3])
    file = tmp_path / f"plant.{form}"
    status, out, err = await tidewire("export", "plant/**", "--out", str(file))
    assert (status, out) == (0, ""), err
    assert "4 readings in" in err
    if form == "csv":
        assert file.read_text().splitlines() == [
            "metric,time,value,unit,text,step,label.site",
            f"plant/a,{now_ms:.1f},1.5,Cel,,,A",
            f"plant/a,{now_ms + 1:.1f},,Cel,,,A",
            f"plant/b,{now_ms + 2:.1f},2.0,,,7.0,",
            f"plant/c,{now_ms + 3:.1f},,,'=1+1,,",
        ]
    elif form == "ndjson":
        lines = [msgspec.json.decode(line) for line in file.read_text().splitlines()]
        a = {"metric": "plant/a", "labels": {"site": "A"}, "unit": "Cel", "time": [now_ms, now_ms + 1]}
        assert lines[0] == {**a, "value": [1.5, None]}
        assert [(line.get("step"), line.get("text")) for line in lines[1:]] == [([7.0], None), (None, ["=1+1"])]
    else:
        table = pq.read_table(file)
        assert table.column_names == ["metric", "time", "value", "unit", "text", "step", "label.site"]
        assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
        assert table["value"].to_pylist() == [1.5, None, 2.0, None]
    assert [path.name for path in tmp_path.iterdir() if "plant" in path.name] == [file.name], (
        "nothing half done is left"
    )


async def test_an_export_of_any_size_is_replayed_as_it_was(
    start_service: StartService, tidewire: Command, tmp_path: Path
) -> None:
    service = await start_service(history_rows=500)
    now_ms = float(int(time.time()) * 1000 - 60_000)
    for part in range(3):
        times = [now_ms + part * 1_000 + n for n in range(600)]
        await service.publish("big/a", *map(float, range(part * 600, part * 600 + 600)), time=times, labels={"x": "1"})
    file = tmp_path / "big.csv"
    status, _, err = await tidewire("export", "big/**", "-o", str(file), "--url", service.url)
    assert (status, "1,800 readings" in err) == (0, True), err
    values = [float(line.split(",")[2]) for line in file.read_text().splitlines()[1:]]
    assert values == [float(n) for n in range(1_800)]
    status, _, err = await tidewire("replay", str(file), "--speed", "1000", "--to", service.url)
    assert status == 0, err
    assert "1,800 readings published" in err or "1800 readings published" in err


async def test_an_export_goes_through_links_and_into_pipes_and_keeps_a_files_mode(
    tidewire: Command, service: Any, tmp_path: Path
) -> None:
    await service.publish("plant/a", 1.5)
    file, link, pipe = tmp_path / "plant.csv", tmp_path / "newest.csv", tmp_path / "pipe.csv"
    file.touch(mode=0o600)
    link.symlink_to(file)
    os.mkfifo(pipe)
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_text))
    for out in (link, pipe):
        status, _, err = await tidewire("export", "plant/**", "-o", str(out))
        assert status == 0, err
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert file.stat().st_mode & 0o777 == 0o600
    assert await reading == file.read_text()
    assert "plant/a" in file.read_text()
    device = Path("/dev/full")
    status, _, err = await tidewire("export", "plant/**", "-o", str(device))
    assert (status, err.count("\n")) == (1, 1), err
    assert "No space left" in err
    assert device.is_char_device()


async def test_an_export_that_cannot_be_says_why_and_leaves_no_file(
    tidewire: Command, service: Any, tmp_path: Path
) -> None:
    for options, why in ((["--start", "yesterday"], "RFC 3339"), (["--url", "http://127.0.0.1:9"], "tidewire doctor")):
        status, _, err = await tidewire("export", "plant/**", "-o", str(tmp_path / "x.csv"), *options)
        assert status == 1
        assert why in err
    assert not list(tmp_path.glob("*x.csv*"))
    status, out, _ = await tidewire("export", "nothing/**", "--points", "10")
    assert (status, out) == (0, "metric,time,value,min,max,mean,count,unit\n")
