"""Sends what a publisher has still to send, from background threads.

One thread encodes and sends. In a log of several partitions it encodes and a lane for each partition sends, as soon as
there is something for it: so one that is in trouble holds up no other. Which it is says the log: it is taken for one of
a single partition until it refuses that, so that such a log costs no question.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections.abc import Callable
from time import monotonic, sleep

from tidewire.errors import InvalidInput, LogUnavailable
from tidewire.model.batch import IngestLimits
from tidewire.model.layout import SINGLE
from tidewire.publishing.backlog import Backlog
from tidewire.publishing.delivery_report import DeliveryReport
from tidewire.publishing.lane import Lane, backoff_s
from tidewire.publishing.outbox import Outbox
from tidewire.publishing.overflow import Overflow
from tidewire.publishing.spool import Spool
from tidewire.publishing.transport import PartitionedTransport, Transport

__all__ = ["Sender"]

logger = logging.getLogger("tidewire")


class Sender:
    """Sends what an outbox holds, from daemon threads; the first starts with the first reading.

    Args:
        outbox: shared with the publisher, under `lock`.
        lock: reentrant.
        open_transport: makes the transport when it is first needed.
        flush_after_s: longest that a reading waits for others, seconds.
        limits: of one batch.
        spool: where to put what cannot be sent; None for memory alone.

    Attributes:
        report: the counts.
        thread: the first one; None unless it runs or is being started.
    """

    def __init__(
        self,
        outbox: Outbox,
        lock: threading.RLock,
        open_transport: Callable[[], Transport],
        flush_after_s: float,
        limits: IngestLimits,
        spool: Spool | None = None,
    ) -> None:
        self._outbox = outbox
        self._lock = lock
        self._open_transport = open_transport
        self._flush_after_s = flush_after_s
        self.report = DeliveryReport(lock)
        self._backlog = (
            Backlog(outbox, lock, limits, self.report)
            if spool is None
            else Overflow(outbox, lock, limits, self.report, spool)
        )
        self._alone = Lane(self._backlog, self.report)  # of a log of one partition
        self._lanes: dict[int, Lane] = {}  # of one of several
        self.thread: threading.Thread | None = None
        self._running = False
        self._layout = SINGLE
        self._mistakes = 0  # how often the log refused the layout that it states, since it took something
        self._sent_then = 0  # readings, at the newest of them
        self._due_s: float | None = None  # when what waits for others has waited long enough
        self._busy = False  # something is due, and every lane has enough to do
        self._transport: Transport | None = None

    # -- for the publisher, under the lock

    def wake(self) -> None:
        """Wake the thread; start it if there is none."""
        self._alone.tokens.put(None)  # at most one a part and flush
        self._alone.closing = False
        self._backlog.wake()
        if self.thread is None:
            thread = self.thread = threading.Thread(target=self._run, name="tidewire-publisher", daemon=True)
            try:
                _thread.start_new_thread(self._start, (thread,))
            except BaseException as error:  # no thread at the interpreter's end or at a limit of the system; Ctrl-C
                self.thread = None
                if not isinstance(error, RuntimeError):
                    raise
                self.report.failed(f"no thread to send from: {error}")

    def _start(self, thread: threading.Thread) -> None:
        """Start the thread, from one of its own: a Ctrl-C while the host waited for it to run would break its locks."""
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self.thread = None
                self.report.failed(f"no thread to send from: {error}")
                self._backlog.settled.notify_all()

    def make_room(self) -> None:
        """Wait until what does not fit in memory has gone to disk, if there is one; without the lock."""
        self._backlog.make_room(lambda: self.thread is None)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is in the outbox now was sent or given up; False if the time was too short."""
        deadline = monotonic() + timeout_s
        unsent = self._backlog.unsent()
        with self._lock:
            for lane in self._lanes.values():
                lane.hurry()
            while unsent():
                self._alone.urgent = True
                self.wake()
                left = deadline - monotonic()
                if left <= 0 or self.thread is None:
                    return False
                self._backlog.settled.wait(left)
        return True

    def save(self) -> None:
        """Write what is still in memory to disk, if there is one, at the end."""
        self._backlog.save(lambda: self.thread is None)

    def stop(self, timeout_s: float) -> None:
        """End the threads; what they are sending gets this time to be answered."""
        deadline_s = monotonic() + timeout_s
        with self._lock:
            thread = self.thread
            for lane in (self._alone, *self._lanes.values()):
                lane.close()
        if thread is None or thread is threading.current_thread():
            return
        while not thread.is_alive() and self.thread is thread and monotonic() < deadline_s:
            sleep(0.001)  # it is being started
        if thread.is_alive():
            thread.join(max(0.0, deadline_s - monotonic()))

    # -- the first thread

    def _run(self) -> None:
        with self._lock:
            if self._running:
                return  # a Ctrl-C during its start made the publisher start another
            self._running, self.thread = True, threading.current_thread()
        try:
            with self._backlog.running():
                while not self._alone.closing:
                    if self._layout.id or self._alone.misled:
                        self._go_by_layout()
                    elif (call := self._backlog.head()) is None:
                        self._encode_or_wait()
                    elif pause_s := self._alone.attempt(call, self._opened):
                        self._alone.pause(pause_s)
        finally:
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
            with self._lock:
                self._running = False
                self.thread = None
                if not self._alone.closing and not self._outbox.empty:
                    self.wake()  # published in the moment of its end
                self._backlog.settled.notify_all()

    def _opened(self) -> Transport:
        if self._transport is None:
            self._transport = self._open_transport()
        return self._transport

    def _encode_or_wait(self) -> None:
        """Encode what is due; else wait until something is, or for a token, which may be old."""
        with self._lock:
            if not self._outbox.unencoded:
                self._due_s, self._alone.urgent = None, False
            elif self._due_s is None:
                self._due_s = monotonic() + self._flush_after_s  # never the wall clock: it steps
            wait_s = None if self._due_s is None else self._due_s - monotonic()
            due = self._alone.urgent or self._outbox.sealed or (wait_s is not None and wait_s <= 0)
            self._busy = due and not (self._outbox.starved or self._outbox.overflows_to_disk)
            part = self._outbox.pop_part() if due and not self._busy else None
        if part is not None:
            self._due_s = None
            self._backlog.encode(part)
        else:
            self._alone.wait(None if self._busy else wait_s)

    # -- the partitions

    def _go_by_layout(self) -> None:
        """Learn how the log is split if it refused what it was taken for; else serve its partitions."""
        if self._alone.misled is not None:
            self._learn_layout(self._alone.misled)
        else:
            self._serve_lanes()

    def _learn_layout(self, error: LogUnavailable) -> None:
        """Ask how the log is split, and divide what waits; try again after a pause if that is what it was taken for."""
        transport = self._opened()
        assert isinstance(transport, PartitionedTransport), "only such a log refuses a layout"  # noqa: S101
        sent = self.report.sent
        self._mistakes = 1 if sent > self._sent_then else self._mistakes + 1
        self._sent_then = sent
        try:
            with self._backlog.waiting():
                layout = transport.read_layout()
            if layout == self._layout:
                raise error
        except (LogUnavailable, InvalidInput) as failure:  # a layout that this version does not know
            self.report.failed(str(failure))
            self._alone.pause(backoff_s(self._mistakes))
        else:
            self._layout = layout
            transport.divide(layout)
            self._backlog.divide(layout)
            self.report.divided()
        self._alone.misled = None

    def _serve_lanes(self) -> None:
        """Encode for the lanes, until the end or until one of them is told that the log is split otherwise."""
        transport = self._opened()
        assert isinstance(transport, PartitionedTransport), "only such a log has a layout"  # noqa: S101
        transport.divide(self._layout)  # it may be a new one
        threads: list[threading.Thread] = []
        try:
            while not (self._alone.closing or self._alone.misled):
                threads = [thread for thread in threads if thread.is_alive()]
                self._wake_lanes(transport, threads)
                self._encode_or_wait()
        finally:
            with self._lock:
                lanes = tuple(self._lanes.values())
            for lane in lanes:
                lane.close()
            with self._backlog.waiting():
                for thread in threads:
                    thread.join()

    def _wake_lanes(self, transport: PartitionedTransport, threads: list[threading.Thread]) -> None:
        """Wake the lanes for which something waits; start those that there are not."""
        for partition in range(self._layout.partitions):
            if not self._backlog.waits(partition):
                continue
            if (lane := self._lanes.get(partition)) is not None:
                if lane.tokens.empty():
                    lane.tokens.put(None)
                continue
            lane = Lane(self._backlog, self.report, partition)
            name = f"tidewire-publisher-{partition}"
            thread = threading.Thread(
                target=self._run_lane, args=(lane, transport.of(partition)), name=name, daemon=True
            )
            with self._lock:
                self._lanes[partition] = lane
            try:
                thread.start()
            except RuntimeError as error:  # at the interpreter's end or at a limit of the system: the next wake tries
                self.report.failed(f"no thread to send from: {error}")
                with self._lock:
                    del self._lanes[partition]
                    self._backlog.settled.notify_all()
            else:
                threads.append(thread)

    def _run_lane(self, lane: Lane, transport: Transport) -> None:
        try:
            lane.run(transport, self._note_idle)
        finally:
            with self._lock:
                del self._lanes[lane.partition or 0]
            if lane.misled is not None:
                self._alone.misled = lane.misled
            self._alone.tokens.put(None)  # whatever it ended by: what waits for it gets another one

    def _note_idle(self) -> None:
        """Let the first thread encode, if it waits for a lane that has nothing to do."""
        if self._busy:
            self._alone.tokens.put(None)
