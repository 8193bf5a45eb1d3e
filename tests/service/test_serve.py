"""`tidewire serve` as a process: its start, its end, its workers, its refusals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from ports import own_port
from servers import Valkey
from waiting import HANG_S, Eventually, generous

from tidewire.settings import settings_table
from tidewire_service.launch.serve import command
from tidewire_service.settings import ServiceSettings

_CODE = "from tidewire_service.launch.serve import command; command()"


class Process:
    """A service of its own process."""

    def __init__(self, log: Path, *options: str) -> None:
        self._log = log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CODE, "--port", "0", *options],
            stderr=self._file,
            env={**os.environ, "TIDEWIRE_LOG_FORMAT": "json"},
            start_new_session=True,
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any] | None:
        return next((event for event in self.events if event["event"] == name), None)

    def end(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._file.close()


@pytest.fixture
def serve(valkey: Valkey, tmp_path: Path) -> Iterator[Any]:
    processes: list[Process] = []

    def begin(*options: str) -> Process:
        processes.append(Process(tmp_path / f"serve-{len(processes)}.log", "--redis", valkey.url, *options))
        return processes[-1]

    yield begin
    for process in processes:
        process.end()


async def _url(process: Process, eventually: Eventually) -> str:
    started = await eventually(lambda: process.event("service_started"))
    url: str = started["url"]

    async def ready() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
            with contextlib.suppress(httpx.TransportError):
                return (await http.get(f"{url}/health/ready")).status_code == 200
        return False

    await eventually(ready)
    return url


async def test_it_ends_within_a_second_of_sigterm_with_a_hundred_streams_open(
    serve: Any, eventually: Eventually
) -> None:
    process = serve()
    url = await _url(process, eventually)
    texts = [b""] * 100

    async def listen(n: int, http: httpx.AsyncClient) -> None:
        async with http.stream("GET", f"{url}/v1/stream", params={"metric": "**"}) as answer:
            async for chunk in answer.aiter_raw():
                texts[n] += chunk

    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(timeout=HANG_S, limits=limits, trust_env=False) as http:
        listening = [asyncio.create_task(listen(n, http)) for n in range(100)]
        await eventually(lambda: all(b"event: live" in text for text in texts))
        told = time.monotonic()
        process.process.terminate()
        status = await asyncio.to_thread(process.process.wait, HANG_S)
        elapsed_s = time.monotonic() - told
        await asyncio.gather(*listening)
    assert status == 0
    assert elapsed_s < generous(1.0), f"{elapsed_s:.2f} s"
    assert all(b"event: bye" in text and b'"reason":"drain"' in text for text in texts)
    assert process.event("service_ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_0_on_a_signal(serve: Any, eventually: Eventually, number: int) -> None:
    process = serve()
    await _url(process, eventually)
    process.process.send_signal(number)
    assert await asyncio.to_thread(process.process.wait, HANG_S) == 0


async def test_workers_share_a_port_and_a_dead_one_is_started_again(serve: Any, eventually: Eventually) -> None:
    process = serve("--workers", "2")
    url = await _url(process, eventually)

    def workers() -> list[int]:
        return [event["pid"] for event in process.events if event["event"] == "worker_started"]

    await eventually(lambda: len(workers()) == 2)

    async def served_by_both() -> bool:
        seen: set[str] = set()
        for _ in range(20):
            async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
                text = (await http.get(f"{url}/metrics")).text
            seen.update(re.findall(r'tidewire_process{pid="(\d+)"', text))
        return len(seen) == 2

    await eventually(served_by_both)
    os.kill(workers()[0], signal.SIGKILL)
    await eventually(lambda: len(workers()) == 3)
    await eventually(served_by_both)
    process.process.terminate()
    assert await asyncio.to_thread(process.process.wait, HANG_S) == 0
    await eventually(lambda: not [pid for pid in workers() if _alive(pid)])


async def test_workers_end_when_their_supervisor_is_killed(serve: Any, eventually: Eventually) -> None:
    process = serve("--workers", "2")
    await _url(process, eventually)
    pids = [event["pid"] for event in process.events if event["event"] == "worker_started"]
    assert len(pids) == 2
    process.process.kill()
    process.process.wait()
    await eventually(lambda: not [pid for pid in pids if _alive(pid)])


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_a_taken_port_is_named_with_the_option_that_changes_it(service: Any) -> None:
    result = CliRunner().invoke(command, ["--port", str(service.port)])
    assert result.exit_code == 1
    assert str(service.port) in result.output
    assert "--port" in result.output


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--host", "0.0.0.0"], "tidewire token create"),
        (["--host", "192.0.2.1"], "127.0.0.1"),
        (["--port", "70000"], "at most 65535"),
        (["--retry-min-ms", "9000"], "--retry-max-ms"),
        (["--workers", "0"], "at least 1"),
        (["--log-level", "loud"], "--log-level"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(options: list[str], remedy: str) -> None:
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 2
    assert remedy in result.output
    assert "Traceback" not in result.output


def test_help_names_every_option_and_its_variable() -> None:
    text = CliRunner().invoke(command, ["--help"], terminal_width=200).output
    for row in settings_table(ServiceSettings):
        assert f"--{row.name.replace('_', '-')}" in text
        assert row.environment in text


def test_a_password_is_never_shown() -> None:
    settings = ServiceSettings(redis="redis://user:hunter2@127.0.0.1:6379/0")
    assert "hunter2" not in repr(settings)
    assert "127.0.0.1:6379" in repr(settings)


async def test_an_unforeseen_error_is_logged_with_its_traceback_and_not_sent(
    service: Any, capsys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await service.post({"metric": "m", "value": 1})
    service.app.state.hub.log.parts[0].keys = None  # so that the next read fails in a way that nobody foresaw
    answer = await service.http.get("/v1/catalog?metric=m")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    assert "NoneType" not in answer.text
    logged = capsys.readouterr().out + caplog.text  # where another test of this process let it go
    assert "request_failed" in logged
    assert "NoneType" in logged


async def test_the_log_has_method_path_and_status_and_no_query(serve: Any, eventually: Eventually) -> None:
    process = serve()
    url = await _url(process, eventually)
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        await http.get(f"{url}/v1/catalog?metric=secret-canary", headers={"Authorization": "Bearer token-canary"})
        await http.get(f"{url}/v1/%0Ainjected%22")
        await http.post(f"{url}/v1/readings", json={"metric": "canary", "value": 1})
    await eventually(lambda: any(event.get("status") == 404 for event in process.events))
    text = "\n".join(json.dumps(event) for event in process.events)
    answered = [event for event in process.events if event["event"] == "request_answered"]
    assert {"method": "GET", "path": "/v1/catalog", "status": 200}.items() <= answered[-2].items()
    assert answered[-1]["path"] == "/v1/%0Ainjected%22"
    assert "canary" not in text


def test_the_usual_limit_of_open_files_is_raised_for_the_streams(valkey: Valkey) -> None:
    port = own_port()
    command = f"ulimit -Sn 512; exec {sys.executable} -m tidewire serve --port {port} --redis {valkey.url}"
    process = subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if b"redis_reached" in line:
                break
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft == (hard if 0 < hard < 25_096 else 25_096)
    finally:
        process.terminate()
        assert process.wait(HANG_S) == 0
        if process.stderr is not None:
            process.stderr.close()
