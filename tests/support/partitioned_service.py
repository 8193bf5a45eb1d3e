"""A service of a log of several partitions as its readers see it: catalogue, history and streams, over real HTTP.

It keeps what is published in lists. What a test asks for happens at once: a partition stops to answer, answers again,
loses its log; all streams are cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from ports import own_port

from tidewire.model.cursor import Cursor, id_from_ms, id_text
from tidewire.model.positions import ids_of
from tidewire.model.vector_cursor import VectorCursor

__all__ = ["PartitionedService"]

_LAYOUT = 1
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class _Logged(NamedTuple):
    id: int
    metric: str
    time: list[float]
    value: list[float]


class _Stream:
    """One subscriber: what it was handed of each partition."""

    def __init__(self, writer: asyncio.StreamWriter, handed: dict[int, int]) -> None:
        self.writer = writer
        self.handed = handed


class PartitionedService:
    """Serves a log whose metrics lie where a test says.

    Args:
        homes: the partition of each metric.
        skew_ms: how far the clock of each partition is ahead.

    Attributes:
        url: of it.
        away: the partitions that do not answer.
        says_who: `live` names the partitions that still do not answer.
        says_late: a new stream is told of them after it is live.
        streams: how many were opened.
        refused: requests for what lies in a partition that is away.
    """

    def __init__(self, homes: Mapping[str, int], skew_ms: Sequence[int] = (0, 0)) -> None:
        self.homes = homes
        self.skew_ms = list(skew_ms)
        self.away: dict[int, float] = {}
        self.says_who, self.says_late = True, False
        self.streams = self.refused = 0
        self._epochs = [f"e{number}aaa" for number in range(len(skew_ms))]
        self._logs: list[list[_Logged]] = [[] for _ in skew_ms]
        self._ends = [id_from_ms(self.now_ms(number) - 60_000) for number in range(len(skew_ms))]
        self._open: list[_Stream] = []
        self._port = own_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    # -- what happens

    def now_ms(self, partition: int) -> int:
        return int(time.time() * 1e3) + self.skew_ms[partition]

    def publish(self, metric: str, *value: float, time_ms: float | None = None) -> int:
        """Log a batch, and hand it to all streams unless its partition is away; return its id."""
        partition = self.homes[metric]
        id_ = self._ends[partition] = max(id_from_ms(self.now_ms(partition)), self._ends[partition] + 1)
        at_ms = time.time() * 1e3 if time_ms is None else time_ms
        self._logs[partition].append(_Logged(id_, metric, [at_ms] * len(value), list(value)))
        for stream in self._open:
            self._catch_up(stream, partition)
        return id_

    def stall(self, partition: int) -> None:
        self.away[partition] = time.time() * 1e3
        for stream in self._open:
            self._say_away(stream, partition)

    def answer(self, partition: int) -> None:
        del self.away[partition]
        for stream in self._open:
            self._catch_up(stream, partition)
            self._say_live(stream, partition)

    def lose(self, partition: int, more: int = 0, back_ms: int = 0) -> None:
        """Lose the log of a partition, to a server whose clock is behind; streams start it anew."""
        self.skew_ms[partition] -= back_ms
        self._ends[partition] = id_from_ms(self.now_ms(partition))
        self._epochs[partition] = f"f{partition}{len(self._logs[partition]):03d}"
        self._logs[partition] = []
        for stream in self._open:
            stream.handed[partition] = self._ends[partition]
            named = {"partition": partition, "metrics": self._metrics(partition)} | ({"more": more} if more else {})
            reset = {"epoch": self._epochs[partition], "reason": "lost", **named}
            self._send(stream, "reset", reset, self._vector(stream.handed, partition))
            self._say_live(stream, partition)

    def cut(self) -> None:
        for stream in self._open:
            stream.writer.close()
        self._open.clear()

    # -- what it says

    def _metrics(self, partition: int) -> list[str]:
        return sorted(metric for metric, home in self.homes.items() if home == partition)

    def _vector(self, ids: Mapping[int, int], own: int | None = None) -> str:
        parts = [(number, Cursor(self._epochs[number], id_)) for number, id_ in sorted(ids.items())]
        parts.sort(key=lambda part: part[0] != own)
        return str(VectorCursor.of(_LAYOUT, parts))

    def _send(self, stream: _Stream, event: str, data: Any, id_: str | None = None) -> None:
        head = f"event: {event}\n" if event else ""
        head += "" if id_ is None else f"id: {id_}\n"
        stream.writer.write(b"%bdata: %b\n\n" % (head.encode(), msgspec.json.encode(data)))

    def _catch_up(self, stream: _Stream, partition: int) -> None:
        if partition in self.away:
            return
        for id_, metric, times, value in self._logs[partition]:
            if id_ > stream.handed[partition]:
                stream.handed[partition] = id_
                batch = {"metric": metric, "time": times, "value": value}
                self._send(stream, "", batch, self._vector(stream.handed, partition))

    def _say_live(self, stream: _Stream, own: int) -> None:
        cursor = self._vector(stream.handed, own)
        still = {"stalled": sorted(self.away)} if self.says_who else {}
        self._send(stream, "live", {"cursor": cursor, **still}, cursor)

    def _say_away(self, stream: _Stream, partition: int) -> None:
        since_ms = round(self.away[partition])
        stalled = {"partition": partition, "metrics": self._metrics(partition), "since_ms": since_ms}
        self._send(stream, "stalled", stalled)

    # -- requests

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.split("\r\n")
                headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
                address = urlsplit(line.split(" ")[1])
                if address.path == "/v1/stream":
                    self._begin(writer, headers.get("last-event-id", ""))
                    await reader.read()
                    return
                self._answer(writer, address.path, parse_qs(address.query))
                await writer.drain()

    def _answer(self, writer: asyncio.StreamWriter, path: str, query: Mapping[str, Sequence[str]]) -> None:
        if path not in ("/v1/catalog", "/v1/history"):
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        history = path == "/v1/history"
        touched = {self.homes[metric] for metric in query["metric"]} if history else set(self.homes.values())
        partial = query.get("partial") == ["true"] and touched - self.away.keys()
        if touched & self.away.keys() and not partial:
            self.refused += 1
            status, found = b"503 Unavailable", {"status": 503, "detail": "a partition does not answer"}
        else:
            status, found = b"200 OK", self._history(query, touched) if history else self._catalogue()
        body = msgspec.json.encode(found)
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))

    def _begin(self, writer: asyncio.StreamWriter, last_id: str) -> None:
        self.streams += 1
        known = ids_of(last_id) if last_id else {}
        stream = _Stream(writer, {number: known.get(number, 0) for number in range(len(self._logs))})
        writer.write(_STREAM)
        cursor = self._vector(stream.handed)
        hello = {"version": 1, "cursor": cursor, "resumed": bool(last_id), "time_ms": time.time() * 1e3}
        self._send(stream, "hello", hello, cursor)
        for partition in reversed(range(len(self._logs))):
            self._catch_up(stream, partition)
        live = next(number for number in range(len(self._logs)) if number not in self.away)
        if self.says_late:
            self._say_live(stream, live)
        for partition in self.away:
            self._say_away(stream, partition)
        if not self.says_late:
            self._say_live(stream, live)
        self._open.append(stream)

    def _catalogue(self) -> dict[str, Any]:
        rows: dict[str, dict[str, Any]] = {}
        here = [number for number in range(len(self._logs)) if number not in self.away]
        for number in here:
            for id_, metric, times, value in self._logs[number]:
                count = rows[metric]["count"] if metric in rows else 0
                rows[metric] = {
                    "metric": metric, "labels": {}, "unit": "", "id": id_text(id_), "time": times[-1],
                    "value": value[-1], "text": None, "count": count + len(value), "rate": 1.0,
                }  # fmt: skip
        cursor = self._vector({number: self._ends[number] for number in here})
        return {"cursor": cursor, "series": list(rows.values()), "missing": sorted(self.away)}

    def _history(self, query: Mapping[str, Sequence[str]], touched: Collection[int]) -> dict[str, Any]:
        metrics, start_ms = query["metric"], float(query["start"][0])
        series = []
        for metric in metrics:
            batches = [one for one in self._logs[self.homes[metric]] if one.metric == metric]
            rows = [row for one in batches for row in zip(one.time, one.value, strict=True) if row[0] >= start_ms]
            series.append({"metric": metric, "time": [row[0] for row in rows], "value": [row[1] for row in rows]})
        return {"step_ms": None, "series": series, "cursor": self._vector({one: self._ends[one] for one in touched})}
