"""TCP proxies that do to a connection what networks do: stop, delay, slow down, cut; one of them understands RESP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections import Counter, deque
from collections.abc import Iterator, Sequence

_READ_BYTES = 64 * 1024
_MARKS = b"+-:$*"


def reply_end(buffer: bytearray, start: int = 0) -> int:
    """Return where the RESP2 value that begins at `start` ends; -1 if it is not complete yet."""
    line_end = buffer.find(b"\r\n", start)
    if line_end < 0:
        return -1
    kind, end = bytes(buffer[start : start + 1]), line_end + 2
    if kind in (b"+", b"-", b":"):
        return end
    count = int(buffer[start + 1 : line_end])
    if kind == b"$":
        end += count + 2 if count >= 0 else 0
        return end if end <= len(buffer) else -1
    for _ in range(count):
        end = reply_end(buffer, end)
        if end < 0:
            return -1
    return end


def _pop_complete(buffer: bytearray) -> Iterator[bytes]:
    """Take the complete values off a buffer."""
    done = 0
    while done < len(buffer) and buffer[done] in _MARKS and (end := reply_end(buffer, done)) > 0:
        yield bytes(buffer[done:end])
        done = end
    del buffer[:done]


class Proxy:
    """A plain TCP proxy.

    Args:
        targets: where to connect, in this order until one answers; the first one rotates if `balance`.
        balance: spread connections over the targets.

    Attributes:
        delay_s: how long bytes from the target are held back.
        rate_bps: bytes per second to the client over each connection; 0 for no limit.
        receive_bytes: size of the kernel's receive buffer towards the target; small, so that a stall shows soon.
        connections: accepted so far.
    """

    def __init__(self, *targets: tuple[str, int], balance: bool = False) -> None:
        self.targets = list(targets)
        self.balance = balance
        self.delay_s = 0.0
        self.rate_bps = 0
        self.receive_bytes = 0
        self.connections = 0
        self.address = ("127.0.0.1", 0)
        self._flows = asyncio.Event()
        self._flows.set()
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: dict[_Link, asyncio.Task[None]] = {}

    @property
    def port(self) -> int:
        return self.address[1]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._flows.set()
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def black_hole(self) -> None:
        """Forward nothing any more, in either direction, and close nothing; new connections are accepted."""
        self._flows.clear()

    def forward(self) -> None:
        self._flows.set()

    def close_all(self) -> None:
        """Cut every connection."""
        for link in tuple(self._open):
            link.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = self._link(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._open[link] = task
        try:
            await self._flows.wait()
            await link.run(await self._connect())
        except (OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            if task.cancelling() == 0:
                raise
        finally:
            self._open.pop(link, None)
            link.abort()

    def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Link:
        return _Link(self, reader, writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        first = next(self._turn) % len(self.targets) if self.balance else 0
        order = self.targets[first:] + self.targets[:first]
        for host, port in order[:-1]:
            with contextlib.suppress(OSError):
                return await self._open_connection(host, port)
        return await self._open_connection(*order[-1])

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        if self.receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return await asyncio.open_connection(sock=sock, limit=self.receive_bytes or _READ_BYTES)

    async def flowing(self) -> None:
        await self._flows.wait()


class _Link:
    """One connection through a proxy."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._writers = [writer]
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Forward nothing any more over this connection, and do not close it."""
        self._stopped.set()

    async def run(self, target: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Forward both ways until either side ends."""
        self._writers.append(target[1])
        ways = [
            asyncio.ensure_future(self._up(self._client[0], target[1])),
            asyncio.ensure_future(self._down(target[0], self._client[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _flowing(self) -> None:
        await self._proxy.flowing()
        if self._stopped.is_set():
            await asyncio.get_running_loop().create_future()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ_BYTES):
            await self._flowing()
            self.asked(data)
            writer.write(data)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        while data := await reader.read(proxy.rate_bps or _READ_BYTES):
            if proxy.delay_s:
                await asyncio.sleep(proxy.delay_s)
            await self._flowing()
            writer.write(self.answered(data))
            await writer.drain()
            if self.cut:
                return
            if proxy.rate_bps:
                await asyncio.sleep(len(data) / proxy.rate_bps)

    cut = False

    def asked(self, data: bytes) -> None:
        """See what the client sends."""

    def answered(self, data: bytes) -> bytes:
        """Return what the client gets of what the target sends."""
        return data


class RespProxy(Proxy):
    """A proxy in front of Redis that reads along.

    Attributes:
        commands: how often each command (for FCALL: the function) was asked for.
        frames_dropped: live messages that were kept back.
    """

    def __init__(self, *targets: tuple[str, int]) -> None:
        super().__init__(*targets)
        self.commands: Counter[str] = Counter()
        self.frames_dropped = 0
        self._lose: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def lose_reply(self, function: str, nth: int = 1) -> None:
        """Cut the connection in place of the nth reply from now on to a command; Redis has done it."""
        self._lose[function] = nth

    def deafen(self) -> None:
        """Drop the live messages of the connections that stand now; everything else goes through."""
        for link in self._open:
            if isinstance(link, _RespLink):
                link.deaf = True

    def links(self, command: str) -> list[_RespLink]:
        """Return the connections that ever asked for a command."""
        return [link for link in self._open if isinstance(link, _RespLink) and command in link.seen]

    def point_at(self, *targets: tuple[str, int]) -> None:
        """Move the endpoint: new connections go elsewhere, the old ones are cut."""
        self.targets = list(targets)
        self.close_all()

    def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Link:
        return _RespLink(self, reader, writer)

    def is_lost(self, command: str) -> bool:
        """Tell whether the reply to this command is the one to lose."""
        if command not in self._lose:
            return False
        self._lose[command] -= 1
        if self._lose[command]:
            return False
        del self._lose[command]
        return True


class _RespLink(_Link):
    """One connection through a proxy that reads along."""

    def __init__(self, proxy: RespProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(proxy, reader, writer)
        self._resp = proxy
        self._commands = bytearray()
        self._replies = bytearray()
        self._asked: deque[str] = deque()
        self._listens = False
        self.seen: set[str] = set()
        self.deaf = False

    def asked(self, data: bytes) -> None:
        self._commands += data
        for command in _pop_complete(self._commands):
            words = _words(command)
            name = words[0].decode(errors="replace").upper() if words else "?"
            if name == "FCALL":
                name = words[1].decode().rpartition("_")[2]
            self._listens = self._listens or name in {"SUBSCRIBE", "PSUBSCRIBE"}
            self._resp.commands[name] += 1
            self.seen.add(name)
            self._asked.append(name)

    def answered(self, data: bytes) -> bytes:
        if self._listens:
            return self._filter_replies(data)
        self._replies += data
        passed = []
        for reply in _pop_complete(self._replies):
            if self._asked and self._resp.is_lost(self._asked.popleft()):
                self.cut = True
                break
            passed.append(reply)
        return b"".join(passed)

    def _filter_replies(self, data: bytes) -> bytes:
        self._replies += data
        passed = []
        for reply in _pop_complete(self._replies):
            if self.deaf and reply.startswith(b"*3\r\n$7\r\nmessage\r\n"):
                self._resp.frames_dropped += 1
                continue
            passed.append(reply)
        return b"".join(passed)


def _words(command: bytes) -> Sequence[bytes]:
    """Return the first two words of a command."""
    parts = command.split(b"\r\n", 5)
    return [parts[2], parts[4]] if len(parts) > 5 else parts[2:3]
