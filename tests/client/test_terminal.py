"""Commands in hostile surroundings: one sentence each, and nothing of what others published moves the cursor."""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import os
import re
import sys
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from ports import own_port
from rich.console import Console
from servers import Valkey
from waiting import HANG_S

import tidewire
from tidewire.commands import cli
from tidewire.commands.tail import _Row, _table
from tidewire.commands.terminal import plain
from tidewire.errors import InvalidInput
from tidewire.publishing.spool import Spool
from tidewire.settings import ClientSettings, Option, Settings, load_settings
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.launch.token import TokenSettings
from tidewire_service.launch.up import UpSettings
from tidewire_service.operations.telemetry import configure_logging
from tidewire_service.settings import ServiceSettings

NOWHERE = {"TIDEWIRE_URL": "http://127.0.0.1:1", "TIDEWIRE_REDIS": "redis://127.0.0.1:1", "TIDEWIRE_DASHBOARD": ""}
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202eend"
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
SETTINGS: list[type[Settings]] = [ClientSettings, DashboardSettings, ServiceSettings, TokenSettings, UpSettings]


async def run(*arguments: str, limit_s: float = HANG_S, **environment: str) -> tuple[int, str, str]:
    """Run `tidewire …` in a process of its own; return its status and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidewire", *arguments,
        env={**os.environ, **NOWHERE, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), limit_s)
    assert process.returncode is not None
    return process.returncode, out.decode("latin-1"), err.decode("latin-1")


def one_sentence(status: int, err: str) -> str:
    """Check that a command ended with one sentence, and return it."""
    assert status in {1, 2}, err
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert len(said) == 1, err
    return said[0]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("name", cli._COMMANDS)
async def test_the_help_of_each_command_is_readable_in_any_encoding(name: str, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    result = CliRunner(charset="utf-8").invoke(cli.main, [name, "--help"])
    assert result.exit_code == 0
    stream.reconfigure(errors="backslashreplace")
    stream.write(result.output)
    if name in {"up", "token"}:  # and in a process of its own
        status, out, err = await run(name, "--help", PYTHONIOENCODING=encoding)
        assert (status, err) == (0, "")
        assert "Usage" in out


async def test_what_is_published_is_shown_in_any_encoding(service: Any, valkey: Valkey, tmp_path: Path) -> None:
    where = {"TIDEWIRE_URL": service.url, "TIDEWIRE_REDIS": valkey.url, "PYTHONIOENCODING": "ascii"}
    await service.publish("öfen/1", 921.5, unit="µm", labels={"ort": "Köln €"})
    for arguments in (
        ["publish", "öfen/2", "1", "--unit", "µm"], ["catalog"], ["catalog", "--json"], ["doctor"],
        ["export", "**", "-o", "-"], ["token", "create", "--name", "für Anna", "--subscribe", "**"], ["token", "list"],
    ):  # fmt: skip
        status, out, err = await run(*arguments, **where)
        assert "Traceback" not in err, arguments
        assert status == 0 or arguments == ["doctor"], err
        assert out or err
    (tmp_path / "ü.csv").write_text("metric,time,value\nöfen/3,1764400000000,1\n", encoding="utf-8")
    status, _, err = await run("replay", str(tmp_path / "ü.csv"), "--speed", "1000", **where)
    assert status == 0, err


async def test_what_others_published_sends_nothing_to_the_terminal(service: Any, valkey: Valkey) -> None:
    where = {"TIDEWIRE_URL": service.url, "TIDEWIRE_REDIS": valkey.url}
    await service.publish("plant/a", 1.0, text=[HOSTILE])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidewire", "tail", "plant/**", "--replay", "1h", "--lines",
        env={**os.environ, **where}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), HANG_S)).decode()
    process.terminate()
    await process.wait()
    assert "owned" in line
    assert not CONTROL.search(line.rstrip("\n"))
    for arguments in (
        ["catalog"],
        ["catalog", "--json"],
        ["tail", HOSTILE],
        ["export", HOSTILE],
        ["publish", HOSTILE, "1"],
    ):
        _, out, err = await run(*arguments, **where)
        assert not CONTROL.search(out + err), arguments
        assert "Traceback" not in err
    _, out, _ = await run("catalog", "--json", **where)
    assert msgspec.json.decode(out)["text"] == HOSTILE, "it is still JSON of the same text"


@pytest.mark.parametrize("value", [1.0, None])
def test_the_table_of_tail_sends_nothing_to_the_terminal(value: float | None) -> None:
    fields = {"metric": HOSTILE, "labels": {HOSTILE: HOSTILE}, "unit": HOSTILE, "time": [1.0], "value": [value]}
    batch: Any = msgspec.convert({**fields, "text": [HOSTILE]}, _Fields)
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(_table({("", ""): _Row(batch, 0)}, HOSTILE))
    assert "owned" in out.getvalue()
    assert not CONTROL.search(out.getvalue())


@pytest.mark.parametrize(("value", "shown"), [(1_000_000.01, "1000000.01"), (0.1 + 0.2, "0.3"), (921.0, "921")])
def test_a_value_is_shown_with_all_its_digits(value: float, shown: str) -> None:
    fields = {"metric": "m", "labels": {}, "unit": "", "time": [1.0], "value": [value], "text": [""]}
    batch: Any = msgspec.convert(fields, _Fields)
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(_table({("m", ""): _Row(batch, 0)}, "live"))
    assert f" {shown} " in out.getvalue()


class _Fields(msgspec.Struct):
    """The fields of a batch that the table shows."""

    metric: str
    labels: dict[str, str]
    unit: str
    time: list[float]
    value: list[float | None]
    text: list[str]
    cursor: str = ""


def test_logs_send_nothing_to_the_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    before = logging.getLogger().handlers[:], logging.getLogger().level, structlog.get_config()
    try:
        configure_logging("info", "console", out)
        structlog.get_logger("tidewire").info("rows_refused", reason=HOSTILE)
        logging.getLogger("tidewire").warning("cannot publish: %s", HOSTILE)
    finally:
        logging.getLogger().handlers[:], level, config = before
        logging.getLogger().setLevel(level)
        structlog.configure(**config)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())  # the colours of the log itself
    assert shown.count("owned") == 2
    assert not CONTROL.search(shown)


async def test_warnings_of_a_command_send_nothing_to_the_terminal() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = msgspec.json.encode({"detail": HOSTILE, "status": 503})
        head = b"HTTP/1.1 503 X\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n" % len(body)
        writer.write(head + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for arguments in (["publish", "a", "1", "--to", url], ["catalog", "--url", url], ["doctor", "--url", url]):
        _, out, err = await run(*arguments)
        assert "owned" in out + err, arguments
        assert not CONTROL.search(out + err), arguments
    server.close()


@given(st.text())
def test_a_plain_text_has_no_control_characters_and_loses_nothing(text: str) -> None:
    assert not CONTROL.search(plain(text))
    assert "\n" not in plain(text)
    assert re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), plain(text)) == text or "\\u" in text


@pytest.mark.parametrize("form", ["redis://{host}?password=ge@heim", "redis://:ge%40heim@{host}"])
async def test_no_command_prints_a_password(valkey: Valkey, tmp_path: Path, form: str) -> None:
    valkey.client.config_set("requirepass", "ge@heim")
    (tmp_path / "x.csv").write_text("metric,time,value\na,1764400000000,1\n")
    right, wrong = form.format(host=f"127.0.0.1:{valkey.port}"), form.format(host="127.0.0.1:1")
    for arguments, url, says in (
        (["publish", "a", "1"], right, "published"),
        (["publish", "a", "1"], wrong, "127.0.0.1:1"),
        (["replay", str(tmp_path / "x.csv")], right, f"127.0.0.1:{valkey.port}"),
        (["doctor"], right, f"127.0.0.1:{valkey.port}"),
        (["doctor"], wrong, "127.0.0.1:1"),
        (["token", "list"], wrong, "127.0.0.1:1"),
    ):
        _, out, err = await run(*arguments, TIDEWIRE_REDIS=url, COLUMNS="200")
        assert says in out + err, arguments
        assert "heim" not in out + err, arguments
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidewire", "serve", "--port", "0",
        env={**os.environ, "TIDEWIRE_REDIS": right}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readline(), HANG_S)
    process.terminate()
    said += await asyncio.wait_for(process.stdout.read(), HANG_S)
    await process.wait()
    assert f"127.0.0.1:{valkey.port}".encode() in said
    assert b"heim" not in said


def own_ports() -> list[str]:
    """Options for an `up` that would run all of its own, beside whatever runs on this machine."""
    ports = ("--port", "--dashboard-port", "--redis-port")
    return ["--no-host", *(word for name in ports for word in (name, str(own_port())))]


async def test_a_folder_that_is_none_is_one_sentence(service: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    nowhere = str(tmp_path / "nowhere" / "x.csv")
    for arguments, says in (
        (["export", "**", "-o", nowhere], "no folder"),
        (["export", "**", "-o", str(file / "x.csv")], "no folder"),
        (["export", "**", "-o", str(tmp_path)], "is a folder"),
        (["export", "**", "-o", str(tmp_path / "x.xlsx")], ".xlsx is none of .csv, .ndjson, .jsonl, .parquet, .arrow"),
        (["export", "**", "-o", str(tmp_path / "x.csv.gz")], ".gz is none of"),
        (["up", "--data-dir", str(file), *own_ports()], "--data-dir"),
        (["serve", "--tls-cert", nowhere], "--tls-cert"),
        (["replay", nowhere], "does not exist"),
    ):
        status, _, err = await run(*arguments, TIDEWIRE_URL=service.url, HOME=str(file))
        assert says in one_sentence(status, err), arguments


async def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("no folder")
    environment = {"HOME": str(home), "XDG_DATA_HOME": "", "TIDEWIRE_REDIS": ""}
    status, _, err = await run("up", *own_ports(), **environment)
    assert "choose another folder with --data-dir" in one_sentence(status, err)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("REDIS", "redis://h?ssl_cert_reqs=none", "rediss://"),
        ("REDIS", "redis://h/production", "database"),
        ("PREFIX", "t{w}", "braces"),
        ("TICK_MS", "soon", "TIDEWIRE_TICK_MS"),
        ("TLS_CERT", "/nowhere.pem", "--tls-key"),
        ("SPOOL", "/dev/null/spool", "not a writable folder"),
        ("TOKEN", "tw_x\n", "line ends"),
        ("PREFIX", "tw*", "of patterns"),
    ],
)
def test_what_up_gives_to_its_children_is_checked_before_they_are_started(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"TIDEWIRE_{variable}", value)
    result = CliRunner().invoke(cli.main, ["up", *own_ports()])
    assert says in one_sentence(result.exit_code, result.output)


@pytest.mark.parametrize("value", ["-5", "-.5", "-1e-3", "-0", "+5"])
async def test_a_negative_value_is_published(service: Any, valkey: Valkey, value: str) -> None:
    where = {"TIDEWIRE_REDIS": valkey.url, "TIDEWIRE_URL": service.url}
    result = await asyncio.to_thread(
        CliRunner().invoke, cli.main, ["publish", "plant/a", value, "--unit", "Cel"], env=where
    )
    assert result.exit_code == 0, result.output
    (series,) = (await service.http.get("/v1/catalog")).json()["series"]
    assert (series["value"], series["unit"]) == (float(value), "Cel")


@pytest.mark.parametrize("arguments", [["a", "1", "--untit", "Cel"], ["--untit", "5"], ["-x", "5"]])
def test_an_option_that_is_none_is_still_said(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.main, ["publish", *arguments])
    assert result.exit_code == 2


async def test_a_metric_may_begin_with_a_dash_after_two_of_them(service: Any, valkey: Valkey) -> None:
    where = {"TIDEWIRE_REDIS": valkey.url, "TIDEWIRE_URL": service.url}
    arguments = ["publish", "--unit", "Cel", "--", "-a", "-5"]
    result = await asyncio.to_thread(CliRunner().invoke, cli.main, arguments, env=where)
    assert result.exit_code == 0
    assert "-a -5 Cel published\n" in result.output


@pytest.mark.parametrize("value", ["1e400", "1_000", "0x10", "\u0661", "1,5", "warm"])
def test_a_value_that_no_other_door_takes_is_refused(value: str) -> None:
    result = CliRunner().invoke(cli.main, ["publish", "a", value, "--to", "redis://127.0.0.1:1"])
    assert result.exit_code == 2
    assert value[:4] in result.output


@pytest.mark.parametrize("value", ["nan", "-inf", "null"])
async def test_what_is_no_number_is_published_and_shown_as_none(service: Any, valkey: Valkey, value: str) -> None:
    arguments = ["publish", "a", value, "--to", valkey.url]
    result = await asyncio.to_thread(CliRunner().invoke, cli.main, arguments)
    assert result.exit_code == 0
    assert "a \N{EN DASH} published\n" in result.output
    (series,) = (await service.http.get("/v1/catalog")).json()["series"]
    assert (series["metric"], series["value"]) == ("a", None)


@pytest.mark.parametrize("columns", [None, "0", "20", "80"])
async def test_a_table_that_a_program_reads_is_whole(service: Any, columns: str | None) -> None:
    metric, site = "long/" + "n" * 150, "s" * 120
    await service.publish(metric, 5, labels={"site": site})
    where = {"TIDEWIRE_URL": service.url, "COLUMNS": columns}
    result = await asyncio.to_thread(CliRunner().invoke, cli.main, ["catalog"], env=where)
    assert result.exit_code == 0
    [line] = [line for line in result.stdout.splitlines() if line.startswith("long/")]  # the service logs there, too
    assert line.split()[:2] == [metric, f"site={site}"]


def fields(settings: type[Settings]) -> dict[str, tuple[Any, Option]]:
    found = {}
    for name, hint in typing.get_type_hints(settings, include_extras=True).items():
        option = next((meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Option)), None)
        if option is not None:
            found[name] = hint.__origin__, option
    return found


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("link", ["tcp://10.96.0.1:8000", "tcp://[fd00::1]:8000", "udp://10.96.0.1:53"])
def test_the_address_of_a_kubernetes_service_is_no_port(settings: type[Settings], link: str) -> None:
    whole = [name for name, (kind, _) in fields(settings).items() if kind is int]
    environ = {f"TIDEWIRE_{name.upper()}": link for name in whole}
    assert load_settings(settings, environ=environ) == load_settings(settings, environ={})
    for name in whole:
        with pytest.raises(InvalidInput):
            load_settings(settings, environ={f"TIDEWIRE_{name.upper()}": "tcp://"})


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_tilde_in_a_path_is_the_home(
    settings: type[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ("file", "folder", "director")
    paths = [
        name
        for name, (kind, option) in fields(settings).items()
        if kind is str and any(w in option.help for w in words)
    ]
    others = {"TIDEWIRE_JWT_ISSUER": "https://id.example", "TIDEWIRE_JWT_AUDIENCE": "a", "TIDEWIRE_AUTH": "true"}
    environ = others | {f"TIDEWIRE_{name.upper()}": "~/x" for name in paths}
    found = load_settings(settings, environ=environ)
    for name in paths:
        assert getattr(found, name) == str(tmp_path / "x"), name
        with pytest.raises(InvalidInput, match="write the path out"):
            load_settings(settings, environ=environ | {f"TIDEWIRE_{name.upper()}": "~nobody-of-this-name/x"})
    assert paths or settings is TokenSettings


def test_a_tilde_in_the_path_of_a_spool_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Spool("~/spool", Spool.MIN_BYTES).folder == tmp_path / "spool"


@pytest.mark.parametrize("bad", ["lr[0]", "a//b", "", "a\x1b", "x" * 300, "e\u0301"])
async def test_log_leaves_out_a_bad_name_and_keeps_the_others(
    valkey: Valkey, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    importlib.import_module("tidewire.publishing.experiment_runs")._left_out.clear()
    with tidewire.Publisher(valkey.url) as publisher:
        for _ in range(2):
            tidewire.log({bad: 1.0, "loss": 2.0, "val": {bad: 3.0, "loss": 4.0}}, prefix="train", publisher=publisher)
        assert await asyncio.to_thread(publisher.flush, HANG_S)
        assert publisher.stats.sent == 4
    assert len(caplog.records) == 2, "once for each name"
    assert "is not published" in caplog.text


async def test_log_leaves_out_what_no_value_or_depth_can_be_and_keeps_the_others(
    service: Any, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    importlib.import_module("tidewire.publishing.experiment_runs")._left_out.clear()
    around: dict[str, Any] = {}
    around["around"] = around
    deep: Any = 1
    for _ in range(5_000):
        deep = {"k": deep}
    values = {"big": 10**400, "around": around, "deep": deep, "loss": 2.0, "val/loss": 3.0, "val": {"loss": 4.0}}
    with tidewire.Publisher(valkey.url) as publisher:
        tidewire.log(values, publisher=publisher)
        assert await asyncio.to_thread(publisher.flush, HANG_S)
    series = (await service.http.get("/v1/catalog")).json()["series"]
    assert {one["metric"]: one["value"] for one in series} == {"loss": 2.0, "val/loss": 3.0}
    for name in ("big", "around/around", "deep/k", "val/loss"):
        assert f"\n{name}" in "".join(f"\n{record.getMessage()}" for record in caplog.records), name


def test_log_refuses_a_prefix_that_can_never_work() -> None:
    with pytest.raises(InvalidInput):
        tidewire.log({"loss": 1.0}, prefix="a//b")
