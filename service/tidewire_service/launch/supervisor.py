"""The supervisor: keeps child processes up, restarts with back-off and says so, and ends all of them."""

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
_SETTLED_S: Final = 30.0  # a child that lived so long is started again after the first pause
_GRACE_S: Final = 8.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """One process that is kept up.

    Args:
        name: as it is said to the person.
        launch: starts the process.
        process: if it runs already.
        last: True ends it only when all others have ended, because they need it for their end.
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
        say: prints one line to the person.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.stopping = threading.Event()
        self._say = say
        self._children: list[Child] = []
        self._alive, self._held = os.pipe()  # every child holds the reading end; only this process the writing one
        os.set_inheritable(self._alive, True)

    def catch_signals(self) -> None:
        """From now on SIGINT, SIGTERM and SIGHUP end the run; a second one is not needed."""
        for number in _SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def add(self, child: Child) -> None:
        """Keep a child up; starts it if it does not run yet."""
        self._children.append(child)
        if child.process is None:
            self._start(child)

    def command(self, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start ``python -m tidewire`` with arguments, and an environment on top of this process's own."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter and commands
            [sys.executable, "-P", "-m", "tidewire", *arguments],  # -P: files of the person's directory are not modules
            pass_fds=(self._alive,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the supervisor speaks for all; trouble comes on standard error
            env={**os.environ, **environment, SUPERVISOR_PIPE: str(self._alive)},
            start_new_session=True,  # Ctrl-C reaches this process, which tells the children
        )

    def _start(self, child: Child) -> None:
        child.started_s = time.monotonic()
        try:
            child.process = child.launch()
        except (OSError, TidewireError) as error:
            self._pause(child, f"could not be started ({error})")

    def _pause(self, child: Child, what: str) -> None:
        now = time.monotonic()
        settled = now - child.started_s > _SETTLED_S
        child.pause_s = _FIRST_PAUSE_S if settled else min(_MAX_PAUSE_S, child.pause_s * 2)
        child.start_at_s = now + child.pause_s
        child.process = None
        self._say(f"the {child.name} {what}; it starts again in {child.pause_s:g} s")

    def tend(self) -> None:
        """Start again what died, after its pause."""
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.start_at_s:
                    self._start(child)
            elif (status := child.process.poll()) is not None:
                how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
                self._pause(child, f"ended {how}")

    def run(self, each: Callable[[], None]) -> None:
        """Tend the children until told to stop.

        Args:
            each: called about ten times a second.
        """
        while not self.stopping.wait(_CHECK_S):
            self.tend()
            each()

    def end(self) -> None:
        """End all children, those marked `last` when the others have ended; kill those that take over 8 s."""
        for last in (False, True):
            running = [(child, child.process) for child in self._children if child.last is last and child.process]
            for _, process in running:
                process.terminate()
            deadline = time.monotonic() + _GRACE_S
            for child, process in running:
                try:
                    process.wait(max(0.05, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self._say(f"the {child.name} did not end in {_GRACE_S:g} s; it is killed")
                    process.kill()
                    process.wait()
        os.close(self._held)
        os.close(self._alive)
