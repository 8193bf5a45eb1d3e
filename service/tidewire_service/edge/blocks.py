"""Cuts an upstream stream into events without changing a byte of them; pure.

A decoder would lose the bytes, which every viewer is to get as they came: only id and kind of an event are looked at.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tidewire.errors import LimitExceeded
from tidewire.model.sse import HEARTBEAT

__all__ = ["Block", "BlockCutter"]

_END: Final = b"\n\n"
_MAX_EVENT_BYTES: Final = 4 << 20  # as the decoder of the SDK allows
_DATA: Final = b"data:"


class Block(NamedTuple):
    """One event as it came.

    Attributes:
        event: its name; ``message`` if unnamed.
        id: that it carries, which may be empty; None without one.
        data: all its bytes, with the empty line at the end.
    """

    event: str
    id: str | None
    data: bytes

    @property
    def payload(self) -> bytes:
        """What its ``data`` fields hold."""
        lines = self.data.split(b"\n")
        return b"\n".join(line[len(_DATA) :].removeprefix(b" ") for line in lines if line.startswith(_DATA))


class BlockCutter:
    """Cuts bytes that arrive in any pieces; leaves out heartbeats, which each connection has of its own."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Block]:
        """Return the events that a chunk completes.

        Raises:
            LimitExceeded: an event is larger than 4 MiB.
        """
        *texts, rest = (self._rest + chunk).split(_END)
        self._rest = _without_heartbeats(rest)
        if len(self._rest) > _MAX_EVENT_BYTES:
            raise LimitExceeded("max_event_bytes", _MAX_EVENT_BYTES, len(self._rest), "end the stream")
        return [_block(text) for text in map(_without_heartbeats, texts) if text]


def _without_heartbeats(text: bytes) -> bytes:
    while text.startswith(HEARTBEAT):
        text = text[len(HEARTBEAT) :]
    return text


def _block(text: bytes) -> Block:
    event, id_ = "message", None
    for line in text.split(b"\n"):
        if line.startswith(_DATA):  # the service writes it last
            break
        name, _, value = line.partition(b":")
        if name == b"event":
            event = value.strip().decode(errors="replace")
        elif name == b"id":
            id_ = value.removeprefix(b" ").decode(errors="replace")
    return Block(event, id_, text + _END)
