"""`tidewire statsd`: lines of StatsD and DogStatsD become readings; what is wrong is counted and said."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import statsd
from datadog.dogstatsd.base import DogStatsd
from hypothesis import given
from hypothesis import strategies as st
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire.commands.statsd import StatsdServer, _listen
from tidewire.commands.statsd_lines import StatsdLine, parse_line
from tidewire.commands.statsd_totals import Totals, _Series
from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import FINISHED
from tidewire.publishing.publisher import Publisher

# -- lines


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("a.b.c:1|c", StatsdLine("counter", "a/b/c", {}, "", ["1"], 1)),
        ("a:3|c|@0.1", StatsdLine("counter", "a", {}, "", ["3"], 0.1)),
        ("a:+5|g", StatsdLine("gauge", "a", {}, "", ["+5"], 1)),
        ("a:-1.5e3|g", StatsdLine("gauge", "a", {}, "", ["-1.5e3"], 1)),
        ("a:320.5|ms|@0.5", StatsdLine("timer", "a", {}, "ms", ["320.5"], 0.5)),
        ("a:320|h", StatsdLine("timer", "a", {}, "", ["320"], 1)),
        ("a:1:2:3|d|#env:prod,up", StatsdLine("timer", "a", {"env": "prod", "up": "true"}, "", ["1", "2", "3"], 1)),
        ("a:user 7|s", StatsdLine("set", "a", {}, "", ["user 7"], 1)),
        ("peer:10.0.0.1:8080|s", StatsdLine("set", "peer", {}, "", ["10.0.0.1:8080"], 1)),
        ("peer:::1|s", StatsdLine("set", "peer", {}, "", ["::1"], 1)),
        ("a:21::22:|g", StatsdLine("gauge", "a", {}, "", ["21", "22"], 1)),
        ("a::1|c", StatsdLine("counter", "a", {}, "", ["1"], 1)),
        ("a:1|c|#x:1,x:2,url:http://h,e:|c:ab12|T1700000000",
         StatsdLine("counter", "a", {"url": "http://h", "x": "1"}, "", ["1"], 1)),
        ("..a..b.:1|c", StatsdLine("counter", "a/b", {}, "", ["1"], 1)),
        ("a*:1|c|#b/c?:é", StatsdLine("counter", "a_", {"b.c_": "é"}, "", ["1"], 1)),
    ],
)  # fmt: skip
def test_lines_of_both_dialects(line: str, parsed: StatsdLine) -> None:
    assert parse_line(line.encode(), {}) == parsed


def test_labels_of_the_command_win() -> None:
    assert parse_line(b"a:1|c|#site:B,x:1", {"site": "A"}).labels == {"site": "A", "x": "1"}


@pytest.mark.parametrize(
    "line",
    [
        "a", "a:", "a:1", "a:1|", "a:1|x", "a:1|c:2|c", ":1|c", "...:1|c", "a:|c", "a:x|c", "a:nan|g", "a:inf|g",
        "a:1_0|c", "a:|g",
        "a:1e999|c", "a::|c", "a:1::x|c", "a:1|c|@0", "a:1|c|@2", "a:1|c|@x", "a:1|c|@-1", "a:|s", f"{'x' * 300}:1|c",
        f"a:1|c|#{'t' * 300}:1", f"a:1|c|#t:{'v' * 300}", "a:1|c|#" + ",".join(f"t{n}:1" for n in range(33)),
        "a:" + "1:" * 5_000 + "1|c", "a:" + "9" * 400 + "|c", "a:٣|c",
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises((InvalidInput, LimitExceeded)) as refused:
        parse_line(line.encode(), {})
    assert len(str(refused.value)) < 1_000


def test_a_line_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        parse_line(b"\xff:1|c", {})


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    with Publisher("redis://127.0.0.1:1") as publisher:
        server = StatsdServer(publisher, {}, 10)
        server.datagram_received("\ufeffa:1|c\n\ufeffa:2|c\n\ufeff\n".encode(), None)
        server.datagram_received("\ufeff_e{1,1}:a|b".encode(), None)
        assert (server.lines, server.refused, server.left_out) == (3, 0, 1)
        assert readings(server._totals) == {"a": 3}


@given(st.lists(st.sampled_from([*"ab.:|@#,1+-e \t\0é*", "|c", "|g", "|ms", "|s", "_e{", "0.5", "nan"]), max_size=30))
def test_whatever_comes_is_taken_or_refused(parts: list[str]) -> None:
    totals = Totals(10)
    try:
        totals.add(parse_line("".join(parts).encode(), {}), 0)
    except (InvalidInput, LimitExceeded):
        return
    for batch in totals.flush(1, 1_796_000_000_000.0):
        assert all(value is None or math.isfinite(value) for value in batch.value)


# -- totals


def readings(totals: Totals, now_s: float = 0.0) -> dict[str, float | None]:
    return {
        batch.metric + "".join(f",{n}={v}" for n, v in batch.labels.items()): batch.value[0]
        for batch in totals.flush(now_s, 1_796_000_000_000.0)
    }


def totals_of(*lines: str, most: int = 100) -> Totals:
    totals = Totals(most)
    for line in lines:
        totals.add(parse_line(line.encode(), {}), 0.0)
    return totals


def test_counters_are_totals_and_gauges_move() -> None:
    totals = totals_of("c:1|c", "c:2|c|@0.1", "c:1|c|#x:1", "g:10|g", "g:-3|g", "g:+1|g", "h:-2|g")
    assert readings(totals) == {"c": 21, "c,x=1": 1, "g": 8, "h": -2}
    totals.add(parse_line(b"c:1|c", {}), 0)
    assert readings(totals) == {"c": 22, "c,x=1": 1, "g": 8, "h": -2}, "repeated, so that silence is no age"


def test_timers_and_sets_are_of_an_interval() -> None:
    totals = totals_of(*(f"t:{n}|ms" for n in range(1, 101)), "u:4|ms|@0.5", "s:a|s", "s:b|s", "s:a|s")
    assert readings(totals) == {
        "t/count": 100, "t/mean": 50.5, "t/p50": 51, "t/p95": 96, "t/p99": 100, "t/max": 100,
        "u/count": 2, "u/mean": 4, "u/p50": 4, "u/p95": 4, "u/p99": 4, "u/max": 4, "s": 2,
    }  # fmt: skip
    assert readings(totals) == {}
    [batch, *_] = totals_of("t:5|ms").flush(0, 1.0)[1:]
    assert (batch.metric, batch.unit) == ("t/mean", "ms")


def test_memory_is_bounded() -> None:
    totals = totals_of(*(f"m{n}:1|c" for n in range(100)))
    with pytest.raises(LimitExceeded, match="max_series"):
        totals.add(parse_line(b"more:1|c", {}), 0)
    totals = Totals(10)
    choose = random.Random(5)
    for _ in range(300):
        totals.add(parse_line(b"t:" + b":".join(b"%d" % choose.randrange(1_000) for _ in range(100)) + b"|ms", {}), 0)
        for _ in range(100):
            totals.add(parse_line(b"s:%d|s" % choose.randrange(10**9), {}), 0)
    found = readings(totals)
    assert (found["t/count"], found["s"]) == (30_000, 10_000)
    assert 450 < (found["t/p50"] or 0) < 550, "a fair choice"


def test_a_series_has_one_kind_and_ends_after_an_hour() -> None:
    totals = totals_of("a:1|c", "t:1|ms")
    with pytest.raises(InvalidInput, match="is a counter, and came as a gauge"):
        totals.add(parse_line(b"a:1|g", {}), 0)
    totals.flush(0, 1.0)
    [end] = totals.flush(3_601, 2.0)
    assert (end.metric, end.value, end.text) == ("a", [1.0], [FINISHED])
    assert totals.flush(3_602, 3.0) == []
    totals.add(parse_line(b"a:1|g", {}), 3_603)
    assert [batch.metric for batch in totals.flush(3_604, 4.0)] == ["a"]


# -- the command, and real clients


class Running:
    """The command in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.err = ""

    async def ends(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(self.process.communicate(), HANG_S)
            self.err = err.decode()
            assert self.process.returncode == 0, self.err


@pytest.fixture
async def running(valkey: Valkey) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidewire", "statsd", "--port", "0", "--every", "1s", "--to", valkey.url,
        "--label", "site=A",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    while not (found := re.search(r"Listening on 127\.0\.0\.1:(\d+), UDP and TCP", said)):
        line = await asyncio.wait_for(process.stdout.readline(), HANG_S)
        assert line, "it has ended"
        said += line.decode()
    running = Running(process, int(found[1]))
    yield running
    await running.ends()


@pytest.fixture
def stored(service: Any) -> Callable[..., Any]:
    """Return metric and tags → values, without those of the command itself."""

    async def read() -> dict[str, list[float]]:
        answer = await service.http.get("/v1/history", params={"metric": "**"})
        return {
            s["metric"] + "".join(f",{n}={v}" for n, v in s["labels"].items() if n != "site"): s["value"]
            for s in answer.json()["series"]
        }

    return read


async def test_the_client_statsd_over_udp_and_tcp(running: Running, stored: Any, eventually: Eventually) -> None:
    def send() -> None:
        client = statsd.StatsClient("127.0.0.1", running.port, prefix="app")
        client.incr("requests", 3)
        client.decr("requests")
        client.gauge("queue", 12)
        client.gauge("queue", -2, delta=True)
        client.timing("answer", 320.5)
        client.set("users", "a")
        with client.pipeline() as pipe:
            pipe.set("users", "b")
            pipe.gauge("negative", -4)
        tcp = statsd.TCPStatsClient("127.0.0.1", running.port, prefix="tcp")
        for _ in range(1_000):
            tcp.incr("requests")
        tcp.close()

    await asyncio.to_thread(send)

    async def came() -> bool:
        found = await stored()
        return found.get("tcp/requests", [0])[-1] == 1_000 and "app/negative" in found and "app/users" in found

    await eventually(came)
    found = await stored()
    assert found["app/requests"][-1] == 2
    assert (found["app/queue"][-1], found["app/negative"][-1]) == (10, -4)
    assert (found["app/answer/mean"], found["app/answer/count"]) == ([320.5], [1])
    assert sum(found["app/users"]) == 2, "of one interval, or of two"
    assert found["statsd/refused"][-1] == 0


async def test_the_client_datadog_with_tags(running: Running, stored: Any, eventually: Eventually) -> None:
    def send() -> None:
        client = DogStatsd(
            host="127.0.0.1", port=running.port, constant_tags=["env:prod"], disable_telemetry=True,
            disable_buffering=True,
        )  # fmt: skip
        client.increment("page.views", 2, tags=["page:home"])
        client.gauge("room.temperature", 21.5, tags=["room:1"])
        client.histogram("size", 10)
        client.distribution("spread", 4)
        client.timing("took", 8)
        client.set("visitors", "x")
        client.event("a title", "a text")
        client.service_check("a.check", 0)

    await asyncio.to_thread(send)

    async def came() -> bool:
        return bool((await stored()).get("statsd/left_out", [0])[-1] == 2)

    await eventually(came)
    found = await stored()
    assert found["page/views,env=prod,page=home"][-1] == 2
    assert found["room/temperature,env=prod,room=1"][-1] == 21.5
    assert {name.partition(",")[0] for name in found} >= {"size/mean", "spread/p95", "took/max", "visitors"}
    assert found["statsd/refused"][-1] == 0


async def test_what_is_no_line_is_counted_and_said(running: Running, stored: Any, eventually: Eventually) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for datagram in (b"good:1|c\nbad\n\ngood:1|c", b"\xff\xfe", b"x" * 60_000, random.Random(1).randbytes(5_000)):
            udp.sendto(datagram, ("127.0.0.1", running.port))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"good:1|c\n" + b"y" * 200_000)
    with contextlib.suppress(ConnectionError):  # it is closed, with what was not read
        assert await asyncio.wait_for(reader.read(), HANG_S) == b""
    writer.close()

    async def came() -> bool:
        found = await stored()
        return found.get("good", [0])[-1] == 3 and found["statsd/refused"][-1] >= 4

    await eventually(came)
    await running.ends()
    assert "lines refused so far, the last: " in running.err
    assert len(running.err) < 5_000


async def test_any_port_is_one_that_is_free_of_udp_and_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 0 had the port from UDP, and ended if some connection on the machine had it of TCP."""
    start_server, taken = asyncio.start_server, []

    async def first_is_taken(connected: Any, host: str, port: int, **options: Any) -> asyncio.Server:
        if not taken:
            taken.append(await start_server(connected, host, port))
        return await start_server(connected, host, port, **options)

    monkeypatch.setattr(asyncio, "start_server", first_is_taken)
    with Publisher("redis://127.0.0.1:1") as publisher:
        server = StatsdServer(publisher, {}, 10)
        transport, listening = await _listen(server, "127.0.0.1", 0, tcp=True)
        assert listening is not None
        port = transport.get_extra_info("sockname")[1]
        assert listening.sockets[0].getsockname()[1] == port != taken[0].sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="in use"):  # a port that was asked for is that one or none
            await _listen(server, "127.0.0.1", port, tcp=True)
        transport.close()
        listening.close()
        taken[0].close()


def test_one_line_does_not_spoil_a_total() -> None:
    with pytest.raises(InvalidInput, match="expected 1e-06 to 1"):
        parse_line(b"x:1|c|@1e-320", {})
    lines = [parse_line(line, {}) for line in (b"x:1|c", b"x:1e308|c|@0.5", b"x:2|c")]
    series = _Series(lines[0])
    for line in lines:
        series.add(line)
    assert list(series.readings()) == [("x", 3, "")]
