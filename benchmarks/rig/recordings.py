"""Records what unmodified programs send, and says which readings that is, by parsers that are not the product's own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, TypeAlias

import httpx
from line_protocol_parser import parse_line
from prometheus_client.parser import text_string_to_metric_families

from rig.processes import LOAD, Child, free_port

__all__ = ["Key", "Recording", "Shown", "record_exporter", "record_glances"]

Key: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
"""A series: its metric and its labels."""
Shown: TypeAlias = float | str | None
"""What a reading shows: a number, a text, or neither (NaN)."""


class Recording(NamedTuple):
    """Bodies in the order in which they came.

    Attributes:
        bodies: as they were sent.
        readings: of each body, in its order.
    """

    bodies: list[bytes]
    readings: list[list[tuple[Key, Shown]]]


async def record_glances(seconds: float) -> Recording:
    """Let Glances with all its plugins watch this machine and export by its InfluxDB client, for so long."""
    bodies: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next((line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b"0")
                body = await reader.readexactly(int(length))
                if head.startswith(b"post /api/v2/write"):
                    bodies.append(body)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "glances.conf"
        lines = ("host=127.0.0.1", f"port={port}", "protocol=http", "user=u", "password=p", "org=o", "bucket=b")
        config.write_text("\n".join(("[influxdb2]", *lines, "token=TOKEN")), encoding="utf-8")
        command = [sys.executable, "-m", "glances", "--export", "influxdb2", "-C", str(config), "--quiet"]
        with Child(command, LOAD, name="glances", environment={**os.environ, "HOME": folder}):
            await asyncio.sleep(seconds)
    server.close()
    whole = list(bodies)  # what is on its way may come yet
    return Recording(whole, [_lines(body) for body in whole])


async def record_exporter(seconds: float, place: str, every_s: float = 1.0) -> Recording:
    """Fetch what Debian's node exporter says of this machine, for so long; a scrape names it `place`."""
    program = shutil.which("prometheus-node-exporter")
    if program is None:
        raise RuntimeError("there is no prometheus-node-exporter here")
    port, bodies = free_port(), []
    with Child([program, f"--web.listen-address=127.0.0.1:{port}"], LOAD, name="exporter") as exporter:
        exporter.listening(port)
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(round(seconds / every_s)):
                bodies.append((await http.get(f"http://127.0.0.1:{port}/metrics")).content)
                await asyncio.sleep(every_s)
    return Recording(bodies, [_samples(body, place) for body in bodies])


def _lines(body: bytes) -> list[tuple[Key, Shown]]:
    """Return the readings of a body of line protocol."""
    found: list[tuple[Key, Shown]] = []
    for line in body.decode().split("\n"):
        parsed = parse_line(line)
        labels = frozenset(parsed["tags"].items())
        for field, value in parsed["fields"].items():
            metric = parsed["measurement"] if field == "value" else f"{parsed['measurement']}/{field}"
            found.append(((metric, labels), value if isinstance(value, str) else float(value)))
    return found


def _samples(body: bytes, place: str) -> list[tuple[Key, Shown]]:
    """Return the readings of an exposition, without buckets, which a scrape leaves out."""
    found: list[tuple[Key, Shown]] = []
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if "le" not in sample.labels:
                value = None if math.isnan(sample.value) else float(sample.value)
                labels = {
                    name: text for name, text in sample.labels.items() if text
                }  # to Prometheus an empty one is none
                found.append(((sample.name, frozenset({**labels, "instance": place}.items())), value))
    return found
