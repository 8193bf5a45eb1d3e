"""The control events of a stream as SSE bytes: hello, live, gap, reset, skipped and stalled; pure.

`bye`, which ends a stream, is written by `streams/stream.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tidewire.model.cursor import Cursor
from tidewire.model.sse import encode_event
from tidewire.model.vector_cursor import AnyCursor

__all__ = [
    "hello_event",
    "left_out_event",
    "live_event",
    "lost_gap_event",
    "reset_event",
    "skipped_event",
    "stalled_event",
    "trimmed_gap_event",
]

_PROTOCOL_VERSION: Final = 1


def hello_event(fields: Mapping[str, Any], id_: str | None) -> bytes:
    """Encode the first event; the id is the cursor that resumes, None before a snapshot (docs/protocol.md rule 14)."""
    return encode_event(msgspec.json.encode({"version": _PROTOCOL_VERSION, **fields}), id_=id_, event="hello")


def live_event(cursor: AnyCursor, away: Iterable[int] | None = None) -> bytes:
    """Encode the end of a catch-up: everything up to the cursor was sent or announced.

    Args:
        cursor: of all partitions.
        away: those that do not answer, of a log of several.
    """
    stalled = {} if away is None else {"stalled": sorted(away)}
    return encode_event(msgspec.json.encode({"cursor": str(cursor), **stalled}), id_=str(cursor), event="live")


def trimmed_gap_event(metric: str | None, after: AnyCursor, upto: AnyCursor) -> bytes:
    """Encode a gap of batches that are no longer in the log, of one metric or of any; without an id."""
    gap = {"kind": "trimmed", "metric": metric, "from": str(after), "to": str(upto)}
    return encode_event(msgspec.json.encode(gap), event="gap")


def lost_gap_event(after: AnyCursor, upto: AnyCursor, resume: Cursor) -> bytes:
    """Encode a gap of writes that the log has lost; its id is the cursor at which the stream continues."""
    gap = {"kind": "lost", "from": str(after), "to": str(upto)}
    return encode_event(msgspec.json.encode(gap), id_=str(resume), event="gap")


def reset_event(epoch: str, id_: str, concerns: Mapping[str, Any] | None = None) -> bytes:
    """Encode the loss of the whole log, or of one partition; an empty id makes a client that is cut here start anew.

    Args:
        epoch: of what is there now.
        id_: the cursor at which the stream continues.
        concerns: which partition, and which metrics of the subscriber; None for a log of one.
    """
    reason = "the log of this cursor no longer exists; the stream starts anew"
    reset = {"epoch": epoch, "reason": reason, **(concerns or {})}
    return encode_event(msgspec.json.encode(reset), id_=id_, event="reset")


def stalled_event(concerns: Mapping[str, Any], since_ms: float) -> bytes:
    """Encode that a partition does not answer: its metrics are late until the next `live`."""
    return encode_event(msgspec.json.encode({**concerns, "since_ms": round(since_ms)}), event="stalled")


def skipped_event(metric: str, batches: int, first: AnyCursor, last: AnyCursor) -> bytes:
    """Encode what was left out for a slow subscriber that asked for conflation."""
    skipped = {"metric": metric, "count": batches, "from": str(first), "to": str(last)}
    return encode_event(msgspec.json.encode(skipped), event="skipped")


def left_out_event(batches: int) -> bytes:
    """Encode how many batches of a conflated interval were left out, over all metrics."""
    skipped = {"metric": None, "count": batches, "from": None, "to": None}
    return encode_event(msgspec.json.encode(skipped), event="skipped")
