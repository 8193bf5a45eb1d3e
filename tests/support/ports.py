"""Ports for the servers that the tests start: each is given to one test only, also while its server is down."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

__all__ = ["own_port"]

_any = random.SystemRandom()  # Hypothesis seeds the usual one: tests that run side by side would take the same ports
_FIRST = 4_000


def _end() -> int:
    """Return where the ports begin that the kernel gives to clients and to servers that ask for any."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32_768
    return first if first > _FIRST + 4_000 else 32_000


_END = _end()
_lock_file = Path(tempfile.gettempdir()) / f"tests-ports-{os.getuid()}"
_taken = os.open(_lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def own_port() -> int:
    """Return a free TCP port of loopback that no other test of this machine is given until this process ends."""
    while True:
        port = _any.randrange(_FIRST, _END)
        with contextlib.suppress(OSError), socket.socket() as probe:
            fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)  # byte `port` is this process's to its end
            probe.bind(("127.0.0.1", port))
            return port
