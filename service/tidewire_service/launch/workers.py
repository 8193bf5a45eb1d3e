"""Runs several service processes on one port, each with its own socket, and restarts those that end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

import msgspec
import structlog

from tidewire.settings import ENVIRONMENT_PREFIX
from tidewire_service.settings import ServiceSettings

__all__ = ["WORKER_SOCKET", "Workers", "inherited_socket", "worker_number"]

WORKER_SOCKET: Final = "TIDEWIRE_WORKER_SOCKET"
_CHECK_S: Final = 0.1
_FIRST_PAUSE_S: Final = 0.2
_MAX_PAUSE_S: Final = 10.0
_SETTLED_S: Final = 30.0  # a worker that ran this long restarts after the first pause
_GRACE_S: Final = 10.0
_CODE: Final = "from tidewire_service.launch.serve import command; command()"

_log = structlog.get_logger("tidewire_service")


def _environment(settings: ServiceSettings) -> dict[str, str]:
    """Return the settings as environment variables, since other users can read command lines."""
    found = {}
    for name, value in msgspec.structs.asdict(settings).items():
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        found[ENVIRONMENT_PREFIX + name.upper()] = text
    return found


def inherited_socket() -> socket.socket | None:
    """Return the socket that a supervisor gave this process, or None; a process with one ends with its supervisor."""
    given = os.environ.get(WORKER_SOCKET, "")  # not a setting: internal to supervisor and worker
    if not given:
        return None
    number, pipe, _ = given.split(":")
    threading.Thread(target=_end_with_supervisor, args=(int(pipe),), name="tidewire-supervisor", daemon=True).start()
    return socket.socket(fileno=int(number))


def worker_number() -> int | None:
    """Return the number of this worker, from 1 on and the same after a restart; None if there is one process only."""
    given = os.environ.get(WORKER_SOCKET, "")
    return int(given.rpartition(":")[2]) if given else None


def _end_with_supervisor(pipe: int) -> None:
    """Wait until the supervisor's pipe closes, which it does however the supervisor ends; then end this process."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


class _Worker:
    """One socket, and the process that serves it."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket = sock
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.start_at = 0.0
        self.pause_s = _FIRST_PAUSE_S


class Workers:
    """Starts and restarts the workers; ends all of them on SIGTERM or SIGINT."""

    def __init__(self, sockets: Sequence[socket.socket], settings: ServiceSettings) -> None:
        self._workers = [_Worker(sock, number) for number, sock in enumerate(sockets, 1)]
        self._grace_s = settings.drain_s + _GRACE_S
        self._environment = _environment(settings)
        self._stopping = threading.Event()
        self._alive, self._held = os.pipe()

    def run(self) -> None:
        """Run the workers until SIGTERM or SIGINT."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not self._stopping.is_set():
                for worker in self._workers:
                    self._restart_if_ended(worker)
                self._stopping.wait(_CHECK_S)
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _restart_if_ended(self, worker: _Worker) -> None:
        """Start a worker that is not running, after its pause."""
        now = time.monotonic()
        if worker.process is not None:
            status = worker.process.poll()
            if status is None:
                return
            lived_s = now - worker.started
            worker.pause_s = _FIRST_PAUSE_S if lived_s > _SETTLED_S else min(_MAX_PAUSE_S, worker.pause_s * 2)
            worker.start_at = now + worker.pause_s
            _log.warning("worker_died", pid=worker.process.pid, status=status, again_in_s=worker.pause_s)
            worker.process = None
        if now >= worker.start_at:
            number = worker.socket.fileno()
            worker.process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, "-c", _CODE],
                pass_fds=(number, self._alive),
                env={**os.environ, **self._environment, WORKER_SOCKET: f"{number}:{self._alive}:{worker.number}"},
                start_new_session=True,  # Ctrl-C reaches only the supervisor, which ends the workers
            )
            worker.started = now
            _log.info("worker_started", pid=worker.process.pid)

    def _end(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + self._grace_s
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("worker_killed", pid=process.pid)
                process.kill()
                process.wait()
        for worker in self._workers:
            worker.socket.close()
        os.close(self._held)
        os.close(self._alive)
