"""The load client as seen from Python: builds load.c, starts it on the load's cores, speaks to it in lines."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rig.contenders import Running
from rig.processes import LOAD, Child, Stopped, out

__all__ = ["BASE", "Load", "built", "targets"]

BASE = 1_000_000_000  # sequences start above it, so that every event of a metric has the same length


def built(name: str) -> str:
    """Return the path of a client of load/, compiled if it or its headers are newer."""
    folder, binary = Path(__file__).parents[1] / "load", out("bin", name)
    if not binary.exists() or binary.stat().st_mtime < max(file.stat().st_mtime for file in folder.iterdir()):
        subprocess.run(["cc", "-O2", "-pthread", "-o", str(binary), str(folder / f"{name}.c")], check=True)
    return str(binary)


def targets(running: Running, sets: Sequence[Sequence[int]], suffix: str = "") -> list[tuple[str, Sequence[int]]]:
    """Return what each connection asks for: path and metrics expected."""
    return [(running.contender.path(numbers) + suffix, sorted(numbers)) for numbers in sets]


class Load(Stopped):
    """One load client with its connections; a context manager that ends it.

    Attributes:
        opened: connections, how many are ready, and in how many seconds (-1: not all of them).
    """

    def __init__(
        self,
        running: Running,
        sets: Sequence[Sequence[int]],
        *options: str,
        base: int = 0,
        suffix: str = "",
        paths: Sequence[str] | None = None,
        cores: Sequence[int] = LOAD,
    ) -> None:
        lines = targets(running, sets, suffix)
        if paths is not None:
            lines = [(path, numbers) for path, (_, numbers) in zip(paths, lines, strict=True)]
        with tempfile.NamedTemporaryFile("w", suffix=".targets") as file:
            file.writelines(f"{path}\t{','.join(map(str, numbers))}\n" for path, numbers in lines)
            file.flush()
            command = [
                built("load"),
                "--port",
                str(running.port),
                "--targets",
                file.name,
                "--base",
                str(BASE + base),
                *options,
            ]
            if running.contender.ready and "--ready" not in options:
                command += ["--ready", running.contender.ready]
            if "--threads" not in options:
                command += ["--threads", str(max(1, len(cores)))]
            self.child = Child(command, cores, name="load", pipes=True)
            self.opened = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.child.process.stdout is not None
        line = self.child.process.stdout.readline()
        if not line:
            raise RuntimeError(f"load ended: {self.child.log.read_text()[-500:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ask(self, command: str) -> dict[str, Any]:
        assert self.child.process.stdin is not None
        self.child.process.stdin.write(command + "\n")
        self.child.process.stdin.flush()
        return self._answer()

    def mark(self) -> None:
        self._ask("mark")

    def report(self, sequence: int) -> dict[str, Any]:
        """Return the counts since the mark, if every metric was fed up to a sequence."""
        return self._ask(f"report {BASE + sequence}")

    def wait(self, sequence: int, seconds: float) -> dict[str, Any]:
        return self._ask(f"wait {BASE + sequence} {seconds}")

    def drop(self) -> None:
        self._ask("drop")

    def back(self, sequence: int, seconds: float) -> dict[str, Any]:
        return self._ask(f"back {BASE + sequence} {seconds}")

    def stop(self) -> None:
        self.child.stop()
