"""The supervisor: keeps child processes up, restarts with back-off and says so, and ends all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Final

from tidewire.supervised import SUPERVISOR_PIPE

__all__ = ["Child", "Supervisor"]

_CHECK_S: Final = 0.1
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 15.0
_SETTLED_S: Final = 30.0  # a child that lived so long is started again after the first pause
_GRACE_S: Final = 8.0


class Child:
    """One kept-up process.

    Args:
        name: as it is said to the person.
        arguments: of ``python -m tidewire``.
        environment: added to this process's own.
    """

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.pause_s = _FIRST_PAUSE_S
        self.started_s = self.start_at_s = 0.0


class Supervisor:
    """Runs children until SIGINT or SIGTERM; they end with it even if it is killed.

    Args:
        say: prints one line to the person.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.stopping = threading.Event()
        self._say = say
        self._children: list[Child] = []
        self._alive, self._held = os.pipe()  # every child holds the reading end; only this process the writing one
        os.set_inheritable(self._alive, True)
        self._before: dict[int, object] = {}

    def catch_signals(self) -> None:
        """From now on SIGINT and SIGTERM end the run; a second one is not needed."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def add(self, child: Child) -> None:
        """Start a child, and keep it up."""
        self._children.append(child)
        self._start(child)

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and commands
            [sys.executable, "-m", "tidewire", *child.arguments],
            pass_fds=(self._alive,),
            stdin=subprocess.DEVNULL,
            env={**os.environ, **child.environment, SUPERVISOR_PIPE: str(self._alive)},
            start_new_session=True,  # Ctrl-C reaches this process, which tells the children
        )
        child.started_s = time.monotonic()

    def tend(self) -> None:
        """Start again what died, after its pause."""
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.start_at_s:
                    self._start(child)
                continue
            status = child.process.poll()
            if status is None:
                continue
            settled = now - child.started_s > _SETTLED_S
            child.pause_s = _FIRST_PAUSE_S if settled else min(_MAX_PAUSE_S, child.pause_s * 2)
            child.start_at_s = now + child.pause_s
            child.process = None
            how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            self._say(f"the {child.name} ended {how}; it starts again in {child.pause_s:g} s")

    def run(self, each: Callable[[], None]) -> None:
        """Tend the children until told to stop.

        Args:
            each: called about ten times a second.
        """
        while not self.stopping.wait(_CHECK_S):
            self.tend()
            each()

    def end(self) -> None:
        """End all children, the last started first; kill those that take over 8 s."""
        running = [child for child in reversed(self._children) if child.process is not None]
        for child in running:
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for child in running:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"the {child.name} did not end in {_GRACE_S:g} s; it is killed")
                child.process.kill()
                child.process.wait()
        os.close(self._held)
        os.close(self._alive)
