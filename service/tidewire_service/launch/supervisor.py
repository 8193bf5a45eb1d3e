"""The supervisor: starts child processes, restarts them with back-off and reports it, and ends all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Final

from tidewire.commands.supervised import SUPERVISOR_PIPE
from tidewire.errors import TidewireError

__all__ = ["Child", "Supervisor"]

_CHECK_S: Final = 0.1
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 15.0
_SETTLED_S: Final = 30.0  # a child that ran this long restarts after the first pause
_GRACE_S: Final = 8.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """One process that the supervisor keeps running.

    Args:
        name: as it is printed.
        launch: starts the process.
        process: given if it is running already.
        last: end it only when all others have ended, because they need it to end.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[], subprocess.Popen[bytes]],
        *,
        process: subprocess.Popen[bytes] | None = None,
        last: bool = False,
    ) -> None:
        self.name = name
        self.launch = launch
        self.process = process
        self.last = last
        self.pause_s = _FIRST_PAUSE_S / 2
        self.started_s = time.monotonic()
        self.start_at_s = 0.0


class Supervisor:
    """Runs children until SIGINT, SIGTERM or SIGHUP; they end with it even if it is killed.

    Args:
        report: prints one line for the person at the terminal.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self.stopping = threading.Event()
        self._report = report
        self._children: list[Child] = []
        self._alive, self._held = os.pipe()  # children hold the reading end, only this process the writing one
        os.set_inheritable(self._alive, True)

    def catch_signals(self) -> None:
        """Make SIGINT, SIGTERM and SIGHUP end `run`."""
        for number in _SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def add(self, child: Child) -> None:
        """Keep a child running; start it if it is not running yet."""
        self._children.append(child)
        if child.process is None:
            self._start(child)

    def command(self, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start ``python -m tidewire`` with arguments, and variables added to this process's environment."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter and commands
            [sys.executable, "-P", "-m", "tidewire", *arguments],  # -P: do not import files of the current directory
            pass_fds=(self._alive,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # only the supervisor prints; errors go to standard error
            env={**os.environ, **environment, SUPERVISOR_PIPE: str(self._alive)},
            start_new_session=True,  # Ctrl-C reaches this process, which tells the children
        )

    def _start(self, child: Child) -> None:
        child.started_s = time.monotonic()
        try:
            child.process = child.launch()
        except (OSError, TidewireError) as error:
            self._schedule_restart(child, f"could not be started ({error})")

    def _schedule_restart(self, child: Child, what: str) -> None:
        now = time.monotonic()
        settled = now - child.started_s > _SETTLED_S
        child.pause_s = _FIRST_PAUSE_S if settled else min(_MAX_PAUSE_S, child.pause_s * 2)
        child.start_at_s = now + child.pause_s
        child.process = None
        self._report(f"the {child.name} {what}; it starts again in {child.pause_s:g} s")

    def restart_ended(self) -> None:
        """Restart each child that has ended, after its pause."""
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.start_at_s:
                    self._start(child)
            elif (status := child.process.poll()) is not None:
                how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
                self._schedule_restart(child, f"ended {how}")

    def run(self, each: Callable[[], None]) -> None:
        """Restart children that end, until a signal or `stopping`.

        Args:
            each: called about ten times a second.
        """
        while not self.stopping.wait(_CHECK_S):
            self.restart_ended()
            each()

    def end(self) -> None:
        """End all children, those marked `last` after the others; kill those that take longer than 8 s."""
        for last in (False, True):
            running = [(child, child.process) for child in self._children if child.last is last and child.process]
            for _, process in running:
                process.terminate()
            deadline = time.monotonic() + _GRACE_S
            for child, process in running:
                try:
                    process.wait(max(0.05, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self._report(f"the {child.name} did not end in {_GRACE_S:g} s; it is killed")
                    process.kill()
                    process.wait()
        os.close(self._held)
        os.close(self._alive)
