"""`tidewire up` as a stranger runs it: which Redis it takes, what it prints, what it restarts, how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from click.testing import CliRunner
from ports import own_port
from servers import Valkey
from waiting import HANG_MS, HANG_S, Eventually

from tidewire_service.launch.up import UpSettings, choose_redis, command, unsuitable

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


class Up:
    """A running `tidewire up`."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port, self.dashboard_port, self.redis_port = own_port(), own_port(), own_port()
        ports = {"--port": self.port, "--dashboard-port": self.dashboard_port, "--data-dir": directory / "data"}
        if "--redis" not in options:
            ports["--redis-port"] = self.redis_port
        named = [str(part) for pair in ports.items() for part in pair]
        self.url = f"http://127.0.0.1:{self.port}"
        self.dashboard_url = f"http://127.0.0.1:{self.dashboard_port}"
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}"
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidewire", "up", *named, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=directory,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def processes(self) -> dict[str, psutil.Process]:
        """Return its children by what they are."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = child.cmdline()
                if words and "valkey-server" in words[0]:
                    found["valkey"] = child
                elif "tidewire" in words and "up" not in words:  # one that is just being started still says "up"
                    found[words[words.index("tidewire") + 1]] = child
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def begin(*options: str) -> Up:
        started.append(Up(tmp_path, *options))
        return started[-1]

    yield begin
    for each in started:
        each.end()


def _running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", ENDS)
async def test_it_shows_this_machine_within_seconds_and_leaves_nothing_behind(
    up: Callable[..., Up], eventually: Eventually, number: int
) -> None:
    running = up()
    ready = await eventually(lambda: re.search(r"Ready after ([\d.]+) s", running.text))
    assert float(ready[1]) < HANG_S, running.text
    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=HANG_S) as http:

        async def cpu() -> Any:
            series = (await http.get("/v1/catalog", params={"metric": "host/cpu"})).json()["series"]
            return series if series and series[0]["count"] >= 2 else None

        series = await eventually(cpu)
        assert len(series) == psutil.cpu_count()
        assert {each["unit"] for each in series} == {"%"}
        assert (await http.get(running.dashboard_url)).status_code == 200
    children = running.processes()
    assert children.keys() == {"valkey", "serve", "dashboard", "host"}
    running.process.send_signal(number)
    running.process.wait(HANG_S)
    await eventually(lambda: not [name for name, child in children.items() if _running(child)])
    if number != signal.SIGKILL:
        assert running.process.returncode == 0
        await eventually(lambda: "everything ended" in running.text)
    assert "Traceback" not in running.text


async def test_a_child_that_dies_is_started_again_and_it_is_said(up: Callable[..., Up], eventually: Eventually) -> None:
    running = up()
    await eventually(lambda: "Ready after" in running.text)
    before = running.processes()
    for name, said in (("serve", "service"), ("host", "host publisher"), ("valkey", "bundled Valkey")):
        before[name].kill()
        await eventually(lambda said=said: f"the {said} ended by signal SIGKILL; it starts again in" in running.text)

    def all_new() -> bool:
        now = running.processes()
        new = {name for name, child in now.items() if child.pid != before[name].pid}
        return new == {"serve", "host", "valkey"}

    await eventually(all_new)
    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=HANG_S) as http:

        async def count() -> int:
            with contextlib.suppress(httpx.TransportError):
                answer = await http.get("/v1/catalog", params={"metric": "host/load"})
                if answer.status_code == 200 and answer.json()["series"]:
                    return int(answer.json()["series"][0]["count"])
            return 0

        first = await eventually(count)

        async def grew() -> bool:
            return await count() > first

        await eventually(grew)


async def test_the_printed_snippet_works_when_pasted(
    up: Callable[..., Up], eventually: Eventually, tmp_path: Path
) -> None:
    running = up("--no-host")
    await eventually(lambda: "Ready after" in running.text)
    assert running.processes().keys() == {"valkey", "serve", "dashboard"}
    snippet = re.search(r"^import math.*\n.*\n.*\n", running.text, re.MULTILINE)
    assert snippet is not None
    assert running.redis_url in snippet[0]
    with subprocess.Popen([sys.executable, "-c", snippet[0]], cwd=tmp_path) as producer:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=HANG_S) as http:

            async def shown() -> bool:
                series = (await http.get("/v1/catalog", params={"metric": "demo/*"})).json()["series"]
                return bool(series) and series[0]["count"] >= 5

            await eventually(shown)
        producer.kill()


async def test_a_given_redis_is_used_and_its_password_is_not_shown(
    up: Callable[..., Up], eventually: Eventually, valkey: Valkey
) -> None:
    valkey.client.config_set("requirepass", "hunter2")
    running = up("--redis", f"redis://:hunter2@127.0.0.1:{valkey.port}")
    await eventually(lambda: "Ready after" in running.text)
    children = running.processes()
    assert children.keys() == {"serve", "dashboard", "host"}
    assert "hunter2" not in running.text
    assert not [child for child in children.values() if "hunter2" in " ".join(child.cmdline())]
    assert f'Publisher("{running.url}")' in running.text
    log = redis.Redis(port=valkey.port, password="hunter2")
    await eventually(lambda: log.hexists("tw:{0}:tail", "host/load"))
    log.close()


# -- which Redis is adopted


def test_a_redis_that_keeps_everything_and_wants_no_password_is_suitable(valkey: Valkey) -> None:
    assert unsuitable(valkey.url) is None


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("maxmemory-policy", "allkeys-lru", "evicts keys \\(allkeys-lru\\)"),
        ("requirepass", "secret", "password"),
        ("replicaof", "127.0.0.1 1", "replica"),
    ],
)
def test_a_redis_that_would_break_the_promise_is_left_alone(
    valkey: Valkey, setting: str, value: str, reason: str
) -> None:
    if setting == "replicaof":
        valkey.cli("REPLICAOF", *value.split())
    else:
        valkey.client.config_set(setting, value)
    assert re.search(reason, unsuitable(valkey.url) or "")


def test_a_suitable_redis_on_the_usual_port_is_adopted(valkey: Valkey, tmp_path: Path) -> None:
    chosen = choose_redis(UpSettings(data_dir=str(tmp_path / "data")), valkey.port)
    assert chosen.url == valkey.url
    assert "found running" in chosen.what
    assert chosen.child is None


def test_beside_an_unsuitable_redis_the_bundled_one_takes_the_next_free_port(valkey: Valkey, tmp_path: Path) -> None:
    valkey.client.config_set("maxmemory-policy", "allkeys-lru")
    chosen = choose_redis(UpSettings(data_dir=str(tmp_path / "data")), valkey.port)
    assert chosen.child is not None
    assert chosen.child.process is not None
    try:
        port = int(chosen.url.rpartition(":")[2])
        assert valkey.port < port <= valkey.port + 20
        assert f"the one on {valkey.port} is left alone: evicts keys (allkeys-lru)" in chosen.what
        assert (tmp_path / "data" / "valkey" / "appendonlydir").is_dir()
        assert unsuitable(chosen.url) is None
    finally:
        chosen.child.process.terminate()
        chosen.child.process.wait(HANG_S)


def test_a_port_of_its_own_runs_the_bundled_one_whatever_else_is_there(valkey: Valkey, tmp_path: Path) -> None:
    wanted = own_port()
    chosen = choose_redis(UpSettings(redis_port=wanted, data_dir=str(tmp_path / "data")), valkey.port)
    assert chosen.child is not None
    assert chosen.child.process is not None
    chosen.child.process.terminate()
    chosen.child.process.wait(HANG_S)
    assert chosen.url == f"redis://127.0.0.1:{wanted}"


def test_something_else_on_the_port_is_not_taken_for_a_redis() -> None:
    assert "does not answer as a Redis" in str(unsuitable(f"redis://127.0.0.1:{own_port()}"))


# -- what it refuses


@pytest.mark.parametrize("option", ["--port", "--dashboard-port", "--redis-port"])
def test_a_taken_port_is_named_with_the_option_that_changes_it(valkey: Valkey, option: str, tmp_path: Path) -> None:
    ports = {"--port": own_port(), "--dashboard-port": own_port(), "--redis-port": own_port(), option: valkey.port}
    named = [str(part) for pair in ports.items() for part in pair]
    result = CliRunner().invoke(command, [*named, "--data-dir", str(tmp_path / "data")])
    assert result.exit_code == 2
    assert option in result.output
    assert str(valkey.port) in result.output
    assert "used by another program" in result.output


def test_a_data_directory_in_use_is_named_with_the_option_that_changes_it(valkey: Valkey) -> None:
    ports = ["--port", own_port(), "--dashboard-port", own_port(), "--redis-port", own_port()]
    result = CliRunner().invoke(command, [*map(str, ports), "--data-dir", str(valkey.directory.parent)])
    assert result.exit_code == 1
    assert "--data-dir" in result.output
    assert os.fspath(valkey.directory) in result.output


@pytest.mark.browser
async def test_the_first_page_shows_a_moving_chart(up: Callable[..., Up], eventually: Eventually, browser: Any) -> None:
    running = up()
    await eventually(lambda: "Ready after" in running.text)
    page = await browser.new_page()
    await page.goto(f"{running.dashboard_url}/d/host?c=host/load&c=host/memory")
    end = "() => window.__tidewire?.state().charts[1]?.series[0]?.end ?? null"
    first = await (await page.wait_for_function(end, timeout=HANG_MS, polling=50)).json_value()
    await page.wait_for_function(
        f"(before) => (({end})() ?? before) !== before", arg=first, timeout=HANG_MS, polling=50
    )
    await page.close()
