"""The command `statsd`: takes lines of StatsD over UDP and TCP, and publishes them."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from tidewire.commands.options import label_option, parse_labels, seconds, target_option
from tidewire.commands.statsd_lines import is_left_out, parse_line
from tidewire.commands.statsd_totals import Totals
from tidewire.commands.terminal import echo
from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import checked_labels, make_batch
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import without_password

__all__ = ["StatsdServer", "command"]

_RECEIVE_BYTES: Final = 4 << 20  # of the kernel for datagrams, as far as it allows: what does not fit is lost
_PORT_TRIES: Final = 16  # of any port: one that is free of UDP may be taken of TCP
_LINE_BYTES: Final = 64 * 1024  # of a TCP connection, without a line feed
_CONNECTIONS: Final = 256


class StatsdServer(asyncio.DatagramProtocol):
    """Adds up what comes, and publishes it at each flush.

    Args:
        publisher: takes readings.
        labels: of all series.
        max_series: lines of more series are refused.

    Attributes:
        lines: that came, refused ones too.
        refused: lines that could not be taken.
        left_out: events and service checks.
        why: of the last line that was refused.
    """

    def __init__(self, publisher: Publisher, labels: Mapping[str, str], max_series: int) -> None:
        self.lines = self.refused = self.left_out = 0
        self.why = ""
        self._publisher = publisher
        self._labels = checked_labels(labels)
        self._totals = Totals(max_series)
        self._connections = 0
        self._told = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take the lines of a datagram."""
        for line in data.split(b"\n"):
            self.take(line)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the lines of a TCP connection until it ends."""
        try:
            if self._connections >= _CONNECTIONS:
                self._refuse(f"more than {_CONNECTIONS} connections")
                return
            self._connections += 1
            try:
                while line := await reader.readline():
                    self.take(line.removesuffix(b"\n"))
            except ValueError:  # of the reader: longer than its limit
                self._refuse(f"a line of more than {_LINE_BYTES} bytes; its connection is closed")
            except ConnectionError:
                pass
            finally:
                self._connections -= 1
        finally:
            writer.close()

    def take(self, line: bytes) -> None:
        """Take a line, or refuse it."""
        line = line.removeprefix(codecs.BOM_UTF8).strip(b" \t\r")
        if not line:
            return
        self.lines += 1
        if is_left_out(line):
            self.left_out += 1
            return
        try:
            self._totals.add(parse_line(line, self._labels), time.monotonic())
        except (InvalidInput, LimitExceeded) as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.why = why

    def flush(self) -> None:
        """Publish what came since the last flush, and say how much was refused."""
        now_ms = time.time() * 1e3
        batches = self._totals.flush(time.monotonic(), now_ms)
        for name, count in (("lines", self.lines), ("refused", self.refused), ("left_out", self.left_out)):
            batches.append(make_batch(f"statsd/{name}", count, labels=self._labels, now_ms=now_ms))
        self._publisher.publish_batches(batches, default_time=True)
        stats = self._publisher.stats
        lost = stats.rejected + stats.dropped
        if self.refused + lost > self._told:
            self._told = self.refused + lost
            said = [f"{self.refused} lines refused so far, the last: {self.why}"] if self.refused else []
            said += [f"{lost} readings not published so far: {stats.last_error}"] if lost else []
            echo("; ".join(said), err=True)


async def _listen(
    server: StatsdServer, host: str, port: int, *, tcp: bool
) -> tuple[asyncio.DatagramTransport, asyncio.Server | None]:
    """Open UDP, and TCP on the same port; where any port will do, try another if one of them has it already."""
    loop = asyncio.get_running_loop()
    tries_left = _PORT_TRIES if port == 0 else 1
    while True:
        transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(host, port))
        own: socket.socket = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if not tcp:
            return transport, None
        try:
            found = own.getsockname()[1]
            return transport, await asyncio.start_server(server.connected, host, found, limit=_LINE_BYTES)
        except OSError:
            transport.close()
            tries_left -= 1
            if not tries_left:
                raise


async def serve(server: StatsdServer, host: str, port: int, every_s: float, *, tcp: bool) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        server: takes what comes.
        host: address to listen on.
        port: of UDP and TCP; 0 for a free one.
        every_s: seconds between flushes.
        tcp: listen on TCP, too.

    Raises:
        OSError: the address is in use, or none of this machine.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    transport, listening = await _listen(server, host, port, tcp=tcp)
    port = transport.get_extra_info("sockname")[1]
    echo(f"Listening on {host}:{port}, UDP{' and TCP' if tcp else ''}; Ctrl-C ends it.")
    due_s = time.monotonic() + every_s
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), max(0.0, due_s - time.monotonic()))
        server.flush()
        due_s += every_s * (1 + max(0.0, time.monotonic() - due_s) // every_s)
    transport.close()
    if listening is not None:
        listening.close()


@click.command("statsd")
@click.option("--host", default="127.0.0.1", help="Address to listen on. StatsD knows no tokens.  [127.0.0.1]")
@click.option("--port", default=8125, type=click.IntRange(0, 65_535), help="Of UDP and TCP.  [8125]")
@click.option("--tcp/--no-tcp", default=True, help="Listen on TCP, too.  [--tcp]")
@click.option("--every", "every_s", default="10s", callback=seconds, help="From one flush to the next.  [10s]")
@click.option("--max-series", default=10_000, type=click.IntRange(min=1), help="Of names with their tags.  [10,000]")
@label_option
@target_option
def command(
    host: str, port: int, tcp: bool, every_s: float, max_series: int, labels: tuple[str, ...], target: str | None
) -> None:
    """Publish what programs send to a StatsD server, also with the tags of DogStatsD.

    The dots of a name separate levels. Counters are totals; timers are count, mean, p50, p95, p99, max of each flush.
    """
    with Publisher(target) as publisher:
        server = StatsdServer(publisher, parse_labels(labels), max_series)
        echo(f"Publishing to {without_password(publish_url(target))}")
        asyncio.run(serve(server, host, port, every_s, tcp=tcp))
