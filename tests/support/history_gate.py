"""A proxy before a service that lets everything pass but the history: that waits, or is refused."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from ports import own_port

__all__ = ["HistoryGate"]


class HistoryGate:
    """Passes requests on to a service; those for the history once `open` is set, or with `refusal` as their answer.

    Attributes:
        url: of the proxy.
        open: until it is set, requests for the history wait.
        refusal: status and detail that they get instead, or None.
        asked: how many there were.
    """

    def __init__(self, service_url: str) -> None:
        self.open = asyncio.Event()
        self.refusal: tuple[int, str] | None = None
        self.asked = 0
        self._target = urlsplit(service_url)
        self._port = own_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._ways:
            task.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ways.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        down: asyncio.StreamWriter | None = None
        try:
            while chunk := await reader.read(1 << 16):
                if chunk.startswith(b"GET /v1/history"):
                    self.asked += 1
                    if self.refusal is not None:
                        writer.write(self._refused(*self.refusal))
                        continue
                    await self.open.wait()
                if down is None:  # not before: the service ends a connection on which nothing comes
                    upstream, down = await asyncio.open_connection(self._target.hostname, self._target.port)
                    self._ways.add(asyncio.create_task(self._pass(upstream, writer)))
                down.write(chunk)
                await down.drain()
        except ConnectionError:
            pass
        finally:
            for end in (down, writer):
                if end is not None:
                    end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    def _refused(self, status: int, detail: str) -> bytes:
        body = f'{{"status":{status},"detail":"{detail}"}}'.encode()
        head = f"HTTP/1.1 {status} No\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body
