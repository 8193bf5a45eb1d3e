"""Try an installed wheel: ``smoke.py sdk`` with nothing but the SDK, ``smoke.py all`` with every extra."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import tidewire

SCRIPT = Path(sys.executable).with_name("tidewire")
HANG_S = 60.0  # no limit that a busy machine reaches: the tests run beside this


def said(*arguments: str) -> tuple[int, str]:
    """Return exit status and output of a command of the installed script."""
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=HANG_S, check=False)
    return done.returncode, done.stdout + done.stderr


def sdk() -> None:
    """A producer's machine: small, and a missing extra is one sentence."""
    assert Path(tidewire.__file__).is_relative_to(sys.prefix), tidewire.__file__
    assert said("--version") == (0, f"tidewire, version {tidewire.__version__}\n")
    for heavy in ("litestar", "panel", "pandas", "numpy", "psutil"):
        assert importlib.util.find_spec(heavy) is None, f"{heavy} came with the SDK"
    for command, extra in (("up", "service"), ("serve", "service"), ("host", "service"), ("dashboard", "dashboard")):
        status, text = said(command)
        assert status == 1, text
        assert f"tidewire[{extra}]" in text, text
        assert len(text.strip().splitlines()) == 1, text
    tidewire.Publisher("redis://127.0.0.1:1")  # made, not connected


def everything() -> None:
    """Bundled Valkey, service, dashboard: publish one reading and see it come out of a stream."""
    from tidewire_service.launch.embedded import free_port  # noqa: PLC0415 - not in the SDK

    port, dashboard_port, redis_port = free_port(), free_port(), free_port()
    service, dashboard = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}"
    with tempfile.TemporaryDirectory() as directory:
        ports = ["--port", port, "--dashboard-port", dashboard_port, "--redis-port", redis_port]
        options = [*map(str, ports), "--data-dir", directory]
        up = subprocess.Popen([SCRIPT, "up", *options], stdout=subprocess.PIPE, text=True)
        try:
            assert up.stdout is not None
            assert any("Ready after" in line for line in up.stdout), "tidewire up ended"
            with tidewire.Publisher(f"redis://127.0.0.1:{redis_port}") as publisher:
                publisher.publish("smoke/test", 42.0, unit="Cel")
            batch = next(tidewire.stream("smoke/**", url=service, replay="5m"))
            assert (batch.metric, batch.value, batch.unit) == ("smoke/test", [42.0], "Cel"), batch
            assert set(tidewire.history("host/load", url=service)["metric"]) <= {"host/load"}
            with urllib.request.urlopen(dashboard, timeout=HANG_S) as answer:
                assert b"tidewire" in answer.read().lower()
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(HANG_S) == 0


if __name__ == "__main__":
    {"sdk": sdk, "all": everything}[sys.argv[1]]()
    print(f"the installed wheel works: {sys.argv[1]}")
