"""Moves the calls of an outbox to a spool while they cannot be sent.

They are sent from there, oldest first in each partition, before anything newer in it. A second thread writes to disk
while those that send wait for the network. Whoever encodes, writes or settles has the turn; a sending thread gives it
away only while it waits. A partition that takes nothing sends its own calls to disk, and no other's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Final

from tidewire.model.batch import IngestLimits
from tidewire.model.layout import Layout
from tidewire.publishing.backlog import Backlog
from tidewire.publishing.delivery_report import DeliveryReport
from tidewire.publishing.outbox import Call, Outbox
from tidewire.publishing.spool import Spool, SpoolFailed
from tidewire.publishing.transport import Sent

__all__ = ["Overflow"]

_DISK_WAIT_S: Final = 1.0  # longest that publishing or closing waits for a disk that takes nothing
_ROOM_POLL_S: Final = 0.001


class Overflow(Backlog):
    """A backlog that goes to disk when it cannot be sent, or when memory is half full.

    `_turn` protects `_on_disk`, `_in_flight` and what the spool's head is; `lock` protects the outbox, its
    `overflows_to_disk` included.

    Args:
        outbox, lock, limits, report: as for `Backlog`.
        spool: where to put what cannot be sent.
    """

    write_every_s = 0.5  # what a kill would lose

    def __init__(
        self, outbox: Outbox, lock: threading.RLock, limits: IngestLimits, report: DeliveryReport, spool: Spool
    ) -> None:
        super().__init__(outbox, lock, limits, report)
        self._spool = spool
        self._turn = threading.Lock()  # never waited for under `lock`
        # for the writing thread, which ends with False; a SimpleQueue as `wake` may come from a signal handler
        self._crowded: SimpleQueue[bool] = SimpleQueue()
        self._running = False  # the first sending thread: after its end nothing is written but by `save`
        self._on_disk: dict[int, Call] = {}  # the oldest of the spool in each partition, while it is tried
        self._in_flight: set[Call] = set()
        outbox.overflows_to_disk = True

    def divide(self, layout: Layout) -> None:
        """Let what waits be sent to the partitions of a layout, with the turn; nothing is in flight."""
        super().divide(layout)
        self._on_disk.clear()
        try:
            self._spool.divide(layout)
        except SpoolFailed as error:
            self._disk_trouble(error)

    # -- for the sending threads

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have the turn, and write from a second thread whenever it is given away."""
        crowded = self._crowded = SimpleQueue()
        crowded.put(True)  # for what came before it
        self._running = True
        try:
            self._start_writing(crowded)
            with self._turn:
                self._open()
                yield
        finally:
            self._running = False
            crowded.put(False)

    @contextmanager
    def helping(self) -> Iterator[None]:
        """Have the turn."""
        with self._turn:
            yield

    @contextmanager
    def waiting(self, call: Call | None = None) -> Iterator[None]:
        """Give the turn away: another thread may write to disk meanwhile, what is being sent too."""
        if call is not None:
            self._in_flight.add(call)
            if call.spooled is not None:
                self._spool.sending.add(call.spooled.id)
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()
            if call is not None:
                self._in_flight.discard(call)
                self._spool.sending = {other.spooled.id for other in self._in_flight if other.spooled is not None}

    def waits(self, partition: int) -> bool:
        """Tell whether a call to a partition waits, in memory or on disk."""
        return super().waits(partition) or self._spool.waits_in(partition)

    def head(self, partition: int = 0) -> Call | None:
        """Return the oldest call on disk, what is ready in memory goes behind it; else the oldest in memory."""
        if not self._spool.waits_in(partition):
            return super().head(partition)
        own = partition if self._layout.id else None
        if self._outbox.ready if own is None else self._outbox.waits(own):
            self.write(own)
        try:
            spooled = self._spool.head(partition)
        except SpoolFailed as error:
            self._disk_trouble(error)
            spooled = None
        if spooled is None:
            return super().head(partition)
        tried = self._on_disk.get(partition)
        if tried is None or tried.spooled is None or tried.spooled.id != spooled.id:
            tried = self._on_disk[partition] = Call(spooled.batches, 0, spooled, partition=partition)
        return tried

    def settle(self, call: Call, answer: Sent) -> bool:
        """Remove a call with a final answer and count what was sent; False if it was written to disk meanwhile."""
        counts = super().settle(call, answer)
        if call.spooled is not None:  # after it was counted: another partition's answer may let a flush look now
            try:
                self._spool.settle(call.spooled, call.partition)
            except SpoolFailed as error:
                self._disk_trouble(error)
            with self._lock:
                self.settled.notify_all()
        return counts

    def split(self, call: Call, reason: str) -> bool:
        """Make two calls of one that is too large for its receiver; False if the disk failed."""
        if call.spooled is None:
            return super().split(call, reason)
        try:
            self._spool.split(call.spooled)
        except SpoolFailed as error:
            self._report.failed(reason)
            self._disk_trouble(error)
            return False
        return True

    def write(self, partition: int | None = None) -> None:
        """Write what is in memory now, part by part: what is published meanwhile would keep it from ever ending."""
        try:
            self._spool.restore()
        except SpoolFailed as error:
            self._disk_trouble(error)
            return
        if partition is not None:
            self._spill(partition)
            return
        with self._lock:
            newest = self._outbox.seal()
        while self._spill():
            with self._lock:
                part = self._outbox.pop_part(newest)
            if part is None:
                return
            self.encode(part)

    def urges(self, partition: int | None = None) -> bool:
        """Tell whether something is ready that the disk should take at once; a disk that has failed does not ask.

        The calls to one partition are small, since all wait for them to be encoded: they go to disk some at a time.
        """
        return partition is None and self._outbox.ready and self._outbox.overflows_to_disk

    # -- for the publisher

    def wake(self) -> None:
        """Wake the writing thread, under `lock`, if memory is half full."""
        if self._outbox.overflows_to_disk and self._outbox.crowded:
            self._crowded.put(True)

    def make_room(self, stopped: Callable[[], bool]) -> None:
        """Wait until the disk has taken what does not fit in memory; give up the oldest if it takes nothing for long.

        Then there is no waiting until it has taken something again: a disk that hangs costs the host one wait. It
        sleeps without the lock and not on a condition: that would free the lock in the middle of another `publish`,
        if a signal handler publishes in it.
        """
        until_s = monotonic() + _DISK_WAIT_S
        while True:
            with self._lock:
                if not (self._outbox.overflows_to_disk and self._outbox.full):
                    return
                if stopped() or monotonic() >= until_s:
                    self._keep_in_memory()
                    return
            sleep(_ROOM_POLL_S)

    def unsent(self) -> Callable[[], bool]:
        """Return what tells, under `lock`, whether something waits of all that waits now, what was left on disk too."""
        self._open()
        in_memory = super().unsent()
        spooled: int | None = None  # the newest call on disk, once nothing older is in memory

        def waits() -> bool:
            nonlocal spooled
            if in_memory():
                return True
            spooled = self._spool.newest if spooled is None else spooled
            return self._spool.waits(spooled)

        return waits

    def save(self, stopped: Callable[[], bool]) -> None:
        """Write what is still in memory to disk, at the end; if the disk fails, write nothing."""
        if not self._turn.acquire(timeout=_DISK_WAIT_S):
            return  # a thread that is busy with the rest: it is given up, and counted
        try:
            self.write()
            if stopped():
                self._spool.close()
        finally:
            self._turn.release()

    # -- inside

    def _start_writing(self, crowded: SimpleQueue[bool]) -> None:
        thread = threading.Thread(target=self._write_crowded, args=(crowded,), name="tidewire-spool", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # at the interpreter's end or at a limit of the system: only the sender writes
            self._report.failed(f"no thread to write to disk from: {error}")

    def _write_crowded(self, crowded: SimpleQueue[bool]) -> None:
        """Write to disk what is in memory whenever that is half full, whatever the sending thread waits for."""
        while crowded.get():
            with self._turn:
                with self._lock:
                    due = self._running and self._outbox.overflows_to_disk and self._outbox.crowded
                if due:
                    self.write()

    def _open(self) -> None:
        """Open the spool and count what an earlier process left."""
        if self._spool.left:
            try:
                self._spool.open()
            except SpoolFailed as error:
                self._disk_trouble(error)

    def _spill(self, partition: int | None = None) -> bool:
        """Write the calls in memory, or those to a partition; if the disk fails they stay. Return whether it took them.

        A call that is being sent is written too, to keep the order: it is sent again from there, under its sequence.
        """
        with self._lock:
            calls = self._outbox.hold(partition)
            for call in calls:
                if call.sequence:  # should the disk fail, what is sent meanwhile must not outrun it
                    self._renumber(call.partition)
        if not calls:
            return True
        try:
            self._spool.append((call.publisher, call.sequence, call.batches) for call in calls)
        except SpoolFailed as error:
            with self._lock:
                for call in calls:
                    call.in_flight = call in self._in_flight
            self._disk_trouble(error)
            return False
        with self._lock:
            self._outbox.overflows_to_disk = True
            for call in calls:
                self._outbox.settle(call)
            self.settled.notify_all()
        return True

    def _keep_in_memory(self) -> None:
        """Give up what does not fit in memory until the disk has taken something."""
        with self._lock:
            self._outbox.overflows_to_disk = False
            self._outbox.give_up()
            self.settled.notify_all()

    def _disk_trouble(self, error: SpoolFailed) -> None:
        self._keep_in_memory()
        self._report.disk_failed(error)
