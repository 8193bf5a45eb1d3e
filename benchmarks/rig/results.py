"""Where results go: a table on the terminal, a section of RESULTS.md with its machine, and raw JSON under out/."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rig.processes import machine, out

__all__ = ["Aim", "Section", "arguments"]

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
SERVICE = (
    "before", "s1", "s2", "s3", "latency", "idle", "storm", "stalled", "append", "publisher", "conflation", "restart",
    "shape", "auth", "ingest", "day", "soak", "edge", "partitions",
)  # fmt: skip
DASHBOARD = (
    "viewers", "opening", "returning", "browser", "store", "formulas", "many_series", "runs", "sessions",
    "loads",
)  # fmt: skip
ORDER = (*SERVICE, *DASHBOARD)
HEAD = """# Results

Each section is written by the script that it names, with the machine. One core serves, one has Redis, the rest the
feeder and the load client (C, `load/load.c`); with two cores they share that of Redis, which is said. Every event is
counted and its sequence checked. Ratios within one run count; absolute numbers are this machine's, on that day.

    python benchmarks/peers/install.py        # once: nchan, Node's client, the Python peers, for the benchmarks only
    for each in fanout latency idle storm stalled append publisher conflation restart shape auth ingest day loads; do
        python benchmarks/$each.py --full     # without --full: a quick look, at most a few minutes
    done
    python benchmarks/edge.py --full
    python benchmarks/partitions.py --full
    for each in viewers opening browser store formulas many_series runs sessions; do  # `sessions --full`: 2 h
        python benchmarks/$each.py --full
    done

Two checkouts in one run, by turns: `before.py --before ../other-checkout`, which has a `.venv` of its own.

One section in minutes, such as S3's aim: `fanout.py --full --only s3 --contenders "tidewire;nchan, in memory"`.

Needed besides Python: a C compiler, `taskset` and `ss`; Chromium for the dashboard; for the peers `node` and `npm`, and
Debian for nchan. A peer that is not there is named as missing.
"""


class Aim(NamedTuple):
    """What was aimed at and what was measured."""

    what: str
    aim: str
    measured: str
    met: bool | None

    @property
    def mark(self) -> str:
        return {True: "met", False: "**missed**", None: "not measured"}[self.met]


def arguments(description: str, **options: Any) -> argparse.Namespace:
    """Return the command line: `--full`, `--no-write`, and what a script adds as name=(default, help)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="longer, in more rounds")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md as it is")
    for name, (default, text) in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, type=type(default), help=text)
    return parser.parse_args()


class Section:
    """One benchmark's part of RESULTS.md."""

    def __init__(self, name: str, title: str, given: argparse.Namespace, *, script: str = "") -> None:
        self.name = name
        self._script = script or f"{name}.py"
        self._title = title
        self._given = given
        self._parts: list[str] = []
        self._raw: dict[str, Any] = {}
        self._started = time.monotonic()

    def text(self, text: str) -> None:
        self._parts.append(text)
        print(f"\n{text}", flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(_shown(cell) for cell in row) + " |" for row in rows]
        self.text("\n".join(lines))

    def aims(self, aims: Sequence[Aim]) -> None:
        self.table(["aim", "", "measured", ""], [(aim.what, aim.aim, aim.measured, aim.mark) for aim in aims])

    def raw(self, name: str, value: Any) -> None:
        """Keep numbers for out/<name>.json."""
        self._raw[name] = value

    def write(self) -> None:
        """Write the section in the place of its last version."""
        took = time.monotonic() - self._started
        command = f"python benchmarks/{self._script}{' --full' if self._given.full else ''}"
        where = machine()
        out(f"{self.name}.json").write_text(json.dumps({"machine": where, "argv": sys.argv, **self._raw}, indent=1))
        body = "\n\n".join([f"## {self._title}", *self._parts, f"`{command}`, {took:.0f} s. {where}."])
        print(f"\n{command}: {took:.0f} s. {where}", flush=True)
        if self._given.no_write:
            return
        text = RESULTS.read_text() if RESULTS.exists() else ""
        sections = dict(_SECTION.findall(text))
        sections[self.name] = body
        parts = [f"<!-- {name} -->\n{sections[name]}\n<!-- end of {name} -->\n" for name in ORDER if name in sections]
        RESULTS.write_text("\n".join([HEAD, *parts]))


_SECTION = re.compile(r"<!-- (\w+) -->\n(.*?)\n<!-- end of \1 -->", re.DOTALL)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell)
