"""Runs a notebook server for a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
from waiting import HANG_S

__all__ = ["running"]

_START_S = 4 * HANG_S  # JupyterLab imports for half a minute on a crowded machine
_END_S = 5.0  # what a notebook server does when it ends is not tested here


@contextlib.contextmanager
def running(url: str, *command: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a notebook server until the block ends; wait until it answers.

    Args:
        url: what it answers once it is up.
        command: a module of this Python, and its arguments.
        folder: where it runs and writes its log.
        environment: variables beside those of this process.
    """
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
    deadline = time.monotonic() + _START_S
    try:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, trust_env=False, timeout=HANG_S).status_code < 400:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, f"{url} did not answer"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:  # JupyterLab waits for ever for an idle thread of AnyIO, now and then
            process.kill()
            process.wait(HANG_S)
