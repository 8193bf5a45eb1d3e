"""Hands the contents of an outbox to the sender: encoded, numbered, oldest first."""

from __future__ import annotations

import logging
import math
import secrets
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import sleep
from typing import Final, NamedTuple

from tidewire.errors import LimitExceeded
from tidewire.model.batch import EncodedBatch, IngestLimits, encode_batch
from tidewire.model.layout import SINGLE, Layout
from tidewire.publishing.delivery_report import DeliveryReport
from tidewire.publishing.outbox import Call, Columns, Outbox, Part
from tidewire.publishing.transport import Sent

__all__ = ["Backlog", "Encoded", "encode_columns"]

_ENCODES_PER_TURN: Final = 32  # then the interpreter lock is given up: the host's thread goes first

logger = logging.getLogger("tidewire")


class Encoded(NamedTuple):
    """One series as batches, and what of it no batch can hold: how many readings and why."""

    batches: list[EncodedBatch]
    rejected: int
    reason: str


def encode_columns(columns: Columns, limits: IngestLimits) -> Encoded:
    """Return the readings of a series as batches within the limits, in order; halved until they fit."""
    count = len(columns)
    ranges = deque((first, min(first + limits.readings, count)) for first in range(0, count, limits.readings))
    batches: list[EncodedBatch] = []
    rejected, reason = 0, ""
    while ranges:
        first, last = ranges.popleft()
        try:
            batches.append(encode_batch(columns.batch(first, last), limits, default_time=columns.default_time))
        except LimitExceeded as error:
            if last - first == 1:
                rejected, reason = rejected + 1, str(error)
                continue
            middle = (first + last) // 2
            ranges.extendleft([(middle, last), (first, middle)])
    return Encoded(batches, rejected, reason)


class Backlog:
    """What one publisher has still to send, in memory alone; `Overflow` puts a disk behind it.

    Args:
        outbox: shared with the publisher, under `lock`.
        lock: reentrant; nothing here waits for a disk under it.
        limits: of one batch.
        report: gets the counts.

    Attributes:
        settled: of `lock`; notified when something was sent, given up, or encoded.
        write_every_s: how often to call `write` while nothing can be sent, seconds.
    """

    write_every_s = math.inf

    def __init__(self, outbox: Outbox, lock: threading.RLock, limits: IngestLimits, report: DeliveryReport) -> None:
        self._outbox = outbox
        self._lock = lock
        self._limits = limits
        self._report = report
        self._layout = SINGLE
        self.settled = threading.Condition(lock)
        self._numbers: dict[int, tuple[str, int]] = {}  # the publisher id and the last sequence in each partition

    def _renumber(self, partition: int) -> tuple[str, int]:
        """Number the calls to come to a partition under a new publisher id."""
        numbers = self._numbers[partition] = secrets.token_hex(8), 0
        return numbers

    def divide(self, layout: Layout) -> None:
        """Let what waits be sent to the partitions of a layout; nothing is in flight."""
        with self._lock:
            self._layout = layout
            self._numbers.clear()
            self._outbox.divide(layout)

    # -- for the sending threads: one, or one for each partition and one that encodes

    def running(self) -> AbstractContextManager[None]:
        """Return what the first sending thread runs in."""
        return nullcontext()

    def helping(self) -> AbstractContextManager[None]:
        """Return what the sending thread of a partition runs in, while the first one runs."""
        return nullcontext()

    def waiting(self, call: Call | None = None) -> AbstractContextManager[None]:
        """Return what a sending thread waits in: for the answer to a call, or for time to pass."""
        return nullcontext()

    def waits(self, partition: int) -> bool:
        """Tell whether a call to a partition waits."""
        return self._outbox.waits(partition)

    def head(self, partition: int = 0) -> Call | None:
        """Return the call to send first to a partition, None if nothing is encoded."""
        with self._lock:
            call = self._outbox.head(partition)
            if call is None:
                return None
            if not call.sequence:
                publisher, sequence = self._numbers.get(partition) or self._renumber(partition)
                self._numbers[partition] = call.publisher, call.sequence = publisher, sequence + 1
            call.in_flight = True
            return call

    def encode(self, part: Part) -> None:
        """Encode a part of the outbox into calls."""
        batches = []
        for turn, columns in enumerate(part.columns.values(), 1):
            try:
                encoded = encode_columns(columns, self._limits)
            except Exception as error:
                logger.exception("a series could not be encoded, its %d readings are lost", len(columns))
                encoded = Encoded([], len(columns), f"{type(error).__name__}: {error}")
            batches += encoded.batches
            if encoded.rejected:
                self._report.refused(encoded.rejected, encoded.reason)
            if turn % _ENCODES_PER_TURN == 0:
                sleep(0)
        with self._lock:
            self._outbox.put(part, batches)
            self.settled.notify_all()

    def settle(self, call: Call, answer: Sent) -> bool:
        """Remove a call with a final answer and count its readings; False if it is in memory no more.

        In one step: who sees that nothing waits sees all that was refused.
        """
        with self._lock:
            counts = call.spooled is not None or self._outbox.settle(call)
            if counts:
                self._report.settled(call.readings - answer.refused, answer.refused, answer.reason)
            self.settled.notify_all()
        return counts

    def split(self, call: Call, reason: str) -> bool:
        """Make two calls of one that is too large for its receiver; False if that has to be tried again."""
        with self._lock:
            self._outbox.split(call)
        return True

    def keep(self, call: Call) -> None:
        """Keep a call that was not taken: the log is split otherwise."""
        with self._lock:
            call.in_flight = False

    def retry(self, call: Call) -> None:
        """Keep a call that could not be sent."""
        with self._lock:
            call.in_flight = False
            self._report.retried += 1
        self.write(call.partition if self._layout.id else None)

    def write(self, partition: int | None = None) -> None:
        """Write what is in memory now to disk: there is none.

        Args:
            partition: only the calls to this one; None: everything.
        """

    def urges(self, partition: int | None = None) -> bool:
        """Tell whether something waits that a disk should take at once; see `write`."""
        return False

    # -- for the publisher

    def wake(self) -> None:
        """Tell that something came, under `lock`: it waits in memory."""

    def make_room(self, stopped: Callable[[], bool]) -> None:
        """Wait until the disk has taken what does not fit in memory: there is none."""

    def unsent(self) -> Callable[[], bool]:
        """Return what tells, under `lock`, whether something waits of all that waits now."""
        with self._lock:
            target = self._outbox.seal()
        return lambda: self._outbox.oldest <= target

    def save(self, stopped: Callable[[], bool]) -> None:
        """Write what is still in memory to disk, at the end: there is none."""
