"""The live frame: one Pub/Sub message of an append call, parsed; pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from tidewire.model.cursor import MS_STEP
from tidewire_service.errors import FrameMalformed
from tidewire_service.hub.log_page import PageEntry

__all__ = ["LiveFrame", "parse_frame"]


class LiveFrame(NamedTuple):
    """One Pub/Sub message: the batches of one append call.

    Attributes:
        epoch: of the ids.
        before: `pp`, the last id of the partition before the call.
        entries: in id order, at least one.
    """

    epoch: str
    before: int
    entries: Sequence[PageEntry]


def parse_frame(message: bytes) -> LiveFrame:
    """Parse a message: ``1 <epoch> <pp> <k>`` and k times ``<id> <bytes> <bytes>`` metric body.

    Raises:
        FrameMalformed: the message is malformed.
    """
    try:
        end = message.index(b"\n")
        version, epoch, before, count = message[:end].split(b" ")
        if version != b"1":
            raise FrameMalformed(f"version {version!r}")
        entries: list[PageEntry] = []
        # no function of ours is called in here: this runs for every batch there is
        newest_ms, _, n = before.partition(b"-")
        first_of_ms = int(newest_ms) * MS_STEP  # the ids of a call share their millisecond
        first = last = first_of_ms + int(n or 0)
        for _ in range(int(count)):
            start = end + 1
            end = message.index(b"\n", start)
            id_, metric_bytes, body_bytes = message[start:end].split(b" ")
            ms, n = id_.split(b"-")
            if ms != newest_ms:
                newest_ms, first_of_ms = ms, int(ms) * MS_STEP
            start, middle = end + 1, end + 1 + int(metric_bytes)
            end = middle + int(body_bytes)
            if (newest := first_of_ms + int(n)) <= last:
                raise FrameMalformed("ids that do not rise")
            last = newest
            # not the constructor of the named tuple, which is a Python function
            entries.append(tuple.__new__(PageEntry, (last, _name(message[start:middle]), message[middle:end])))
            end -= 1
        if end != len(message) - 1 or not entries:
            raise FrameMalformed("truncated")
        return tuple.__new__(LiveFrame, (epoch.decode("ascii"), first, entries))
    except (ValueError, UnicodeDecodeError) as error:
        raise FrameMalformed(str(error)) from error


@lru_cache(maxsize=10_000)
def _name(metric: bytes) -> str:
    return metric.decode()
