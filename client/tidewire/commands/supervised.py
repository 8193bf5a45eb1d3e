"""Ends a child process when its supervisor ends, however that ends: only the supervisor holds the pipe's other end."""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

__all__ = ["SUPERVISOR_PIPE", "end_with_supervisor"]

SUPERVISOR_PIPE: Final = "TIDEWIRE_SUPERVISOR_PIPE"  # no setting: the word between a supervisor and its child
_GRACE_S: Final = 10.0


def end_with_supervisor() -> None:
    """Watch the supervisor's pipe, if this process was given one, and send ourselves SIGTERM when it closes."""
    given = os.environ.pop(SUPERVISOR_PIPE, "")
    if given:
        threading.Thread(target=_watch, args=(int(given),), name="tidewire-supervisor", daemon=True).start()


def _watch(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_GRACE_S)
    os._exit(1)
