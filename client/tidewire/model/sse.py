"""Server-Sent Events: the encoder and the incremental decoder; no I/O, used by both sides.

Source: WHATWG HTML, section 9.2 "Server-sent events" (event stream interpretation).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tidewire.errors import LimitExceeded

__all__ = ["HEARTBEAT", "Decoder", "ServerEvent", "encode_event", "encode_retry"]

HEARTBEAT: Final = b":\n"  # a bare line, not a block: some clients make an empty message of a comment block
_MAX_EVENT_BYTES: Final = 4 << 20  # a page of the replay is many events; one event is at most a batch of 256 KiB


class ServerEvent(NamedTuple):
    """One dispatched event.

    Attributes:
        event: its name; ``message`` if unnamed.
        data: the data lines joined by a line feed.
        id: the last event id in force, ``""`` if none was ever sent.
        own_id: the id this very event carried, or None.
    """

    event: str
    data: str
    id: str
    own_id: str | None


def encode_event(data: bytes, *, id_: str | None = None, event: str | None = None) -> bytes:
    """Return one event as bytes.

    Args:
        data: one line; every line break in it starts a data line of its own, so it can never start another field.
        id_: the cursor; left out if None.
        event: the name; unnamed events reach ``onmessage``.
    """
    head = b""
    if event is not None:
        head += b"event: %b\n" % event.encode()
    if id_ is not None:
        head += b"id: %b\n" % id_.encode()
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    return b"%bdata: %b\n\n" % (head, data)


def encode_retry(retry_ms: int) -> bytes:
    """Return the field that tells a client how long to wait before it reconnects, in milliseconds.

    It begins the block of the event that follows: some clients make an empty message of a block without data.
    """
    return b"retry: %d\n" % retry_ms


class Decoder:
    """An incremental decoder: feed bytes cut anywhere, take events.

    Attributes:
        last_event_id: the id in force, to be sent as ``Last-Event-ID``.
        retry_ms: the reconnection time the server asked for, or None.
    """

    def __init__(self, last_event_id: str = "", max_event_bytes: int = _MAX_EVENT_BYTES) -> None:
        self.last_event_id = self._id = last_event_id  # committed at dispatch: a cut event must not move the cursor
        self.retry_ms: int | None = None
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._first = True
        self._skip_lf = False
        self._data: list[str] = []
        self._data_bytes = 0
        self._event = ""
        self._own_id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Yield the events that this chunk completes.

        Raises:
            LimitExceeded: one event is larger than `max_event_bytes`; end the connection.
        """
        buffer = self._rest + chunk if self._rest else chunk
        if self._first:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._rest = buffer
                return
            self._first = False
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        if self._skip_lf and buffer:
            self._skip_lf = False
            buffer = buffer.removeprefix(b"\n")
        self._rest = b""
        if b"\r" in buffer:
            if buffer.endswith(b"\r"):
                self._skip_lf = True
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = buffer.split(b"\n")
        for line in lines:
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                yield event
        self._rest = rest
        if len(rest) + self._data_bytes > self._max_event_bytes:
            raise LimitExceeded(
                "max_event_bytes", self._max_event_bytes, len(rest) + self._data_bytes, "end the stream"
            )

    def _field(self, line: bytes) -> None:
        name, _, raw = line.partition(b":")
        if not name:
            return
        value = raw.removeprefix(b" ").decode(errors="replace")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(raw)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if "\0" not in value:
                self._id = self._own_id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value[:9])

    def _dispatch(self) -> ServerEvent | None:
        data, event, own_id = self._data, self._event or "message", self._own_id
        self._data, self._data_bytes, self._event, self._own_id = [], 0, "", None
        self.last_event_id = self._id
        if not data:
            return None
        return ServerEvent(event, "\n".join(data), self.last_event_id, own_id)
