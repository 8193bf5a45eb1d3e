"""Processes of a benchmark: pinned to cores, ended by their own pid whatever happens, measured from /proc."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tidewire_service.launch.embedded import OPTIONS, server_binary

__all__ = ["LOAD", "REDIS", "SERVER", "Child", "Redis", "Stopped", "Usage", "free_port", "machine", "out"]

_CORES = sorted(os.sched_getaffinity(0))
SERVER = _CORES[:1]
REDIS = _CORES[1:2] or SERVER
LOAD = _CORES[2:] or REDIS
_libc = ctypes.CDLL(None)


def out(*names: str) -> Path:
    """Return a path under benchmarks/out, which git ignores; its folder exists."""
    path = Path(__file__).parents[1].joinpath("out", *names)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def machine() -> str:
    """Return the machine in one line."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    shared = {1: " for all", 2: " (Redis and the load share one)"}.get(len(_CORES), "")
    cores = f"{len(_CORES)} cores{shared}"
    return (
        f"{cpu}, {cores}, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} at the end, {time.strftime('%Y-%m-%d')}"
    )


def _end_with_us() -> None:
    """Ask the kernel to end the child when the benchmark ends, whatever ends that."""
    _libc.prctl(1, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Usage:
    """CPU seconds and memory of a process and its children, since it was made."""

    def __init__(self, pid: int) -> None:
        self._processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        self.restart()

    def restart(self) -> None:
        self._cpu, self._at = self._total(), time.monotonic()

    def _total(self) -> float:
        """Sum over all threads, from the scheduler's nanoseconds: the usual figures come in steps of 10 ms."""
        files = [file for p in self._processes for file in Path(f"/proc/{p.pid}/task").glob("*/schedstat")]
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9

    @property
    def cpu_s(self) -> float:
        return self._total() - self._cpu

    @property
    def cores(self) -> float:
        """Share of one core used since the restart."""
        return self.cpu_s / max(1e-9, time.monotonic() - self._at)

    @property
    def memory_bytes(self) -> int:
        """Resident memory that is the processes' own (USS)."""
        return sum(process.memory_full_info().uss for process in self._processes)


class Stopped(ABC):
    """A context manager that is stopped at the end of its block."""

    @abstractmethod
    def stop(self) -> None:
        """End what was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Child(Stopped):
    """One process, pinned to cores; a context manager that ends it."""

    def __init__(
        self,
        command: Sequence[str],
        cores: Sequence[int],
        *,
        name: str,
        environment: Mapping[str, str] | None = None,
        pipes: bool = False,
    ) -> None:
        self.log = out("logs", f"{name}.log")
        pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
        stream = subprocess.PIPE if pipes else subprocess.DEVNULL
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                pinned,
                stdin=stream,
                stdout=subprocess.PIPE if pipes else log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                text=True,
                bufsize=1,
                preexec_fn=_end_with_us,  # noqa: PLW1509 - one system call
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def listening(self, port: int, limit_s: float = 20.0) -> None:
        """Wait until a port answers."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.log.stem} does not listen: {self.log.read_text(errors='replace')[-800:]}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Redis(Stopped):
    """The bundled Valkey as `tidewire up` runs it, on a directory of its own; can be killed and started again."""

    def __init__(self, cores: Sequence[int] = REDIS, **options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._cores = cores
        self._options = {**OPTIONS, "maxmemory": "4gb", **options}
        self._directory = tempfile.TemporaryDirectory(prefix="tidewire-bench-")
        self.child = self.start()

    def start(self) -> Child:
        command = [str(server_binary()), "--port", str(self.port), "--dir", self._directory.name]
        for name, value in self._options.items():
            command += [f"--{name}", *(value.split() if name.startswith("client-output") else [value])]
        self.child = Child(command, self._cores, name="redis")
        self.child.listening(self.port)
        return self.child

    def kill(self) -> None:
        self.child.process.kill()
        self.child.process.wait()

    def stop(self) -> None:
        self.child.stop()
        self._directory.cleanup()
