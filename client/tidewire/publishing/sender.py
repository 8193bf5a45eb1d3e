"""Sends what a publisher has still to send, from one background thread.

One call is in flight at a time, under a sequence that all its attempts share: a retry appends nothing twice.
"""

from __future__ import annotations

import _thread
import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Final

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable, ServiceRefused, ServiceUnavailable
from tidewire.model.batch import IngestLimits
from tidewire.publishing.backlog import Backlog
from tidewire.publishing.delivery_report import DeliveryReport
from tidewire.publishing.outbox import Call, Outbox
from tidewire.publishing.overflow import Overflow
from tidewire.publishing.spool import Spool
from tidewire.publishing.transport import Sent, Transport

__all__ = ["Sender"]

_BACKOFF_S: Final = (0.1, 5.0)  # first and longest, of which a random half is waited

logger = logging.getLogger("tidewire")


class Sender:
    """Sends what an outbox holds, from a daemon thread that starts with the first reading.

    Args:
        outbox: shared with the publisher, under `lock`.
        lock: reentrant.
        open_transport: makes the transport when it is first needed.
        flush_after_s: longest that a reading waits for others, seconds.
        limits: of one batch.
        spool: where to put what cannot be sent; None for memory alone.

    Attributes:
        report: the counts.
        thread: None unless it runs or is being started.
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
        # a SimpleQueue's put is safe in a signal handler, an Event's set is not; at most a token a part and flush
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self.thread: threading.Thread | None = None
        self._running = self._urgent = self._closing = False
        self._asked = False  # the pause before the next attempt is one that the service asked for
        self._transport: Transport | None = None

    # -- for the publisher, under the lock

    def wake(self) -> None:
        """Wake the thread; start it if there is none."""
        self._tokens.put(None)
        self._closing = False
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
            while unsent():
                self._urgent = True
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
        """End the thread; what it is sending gets this time to be answered."""
        deadline_s = monotonic() + timeout_s
        with self._lock:
            thread = self.thread
            self._closing = True
            self._tokens.put(None)
        if thread is None or thread is threading.current_thread():
            return
        while not thread.is_alive() and self.thread is thread and monotonic() < deadline_s:
            sleep(0.001)  # it is being started
        if thread.is_alive():
            thread.join(max(0.0, deadline_s - monotonic()))

    # -- the thread

    def _run(self) -> None:
        with self._lock:
            if self._running:
                return  # a Ctrl-C during its start made the publisher start another
            self._running, self.thread = True, threading.current_thread()
        try:
            with self._backlog.running():
                while (call := self._next_call()) is not None:
                    if pause_s := self._attempt(call):
                        self._pause(pause_s)
        finally:
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
            with self._lock:
                self._running = False
                self.thread = None
                if not self._closing and not self._outbox.empty:
                    self.wake()  # published in the moment of its end
                self._backlog.settled.notify_all()

    def _next_call(self) -> Call | None:
        """Wait for a call to send; None at the end."""
        due_s: float | None = None  # when what waits for others has waited long enough
        while True:
            if self._closing:
                return None
            if (call := self._backlog.head()) is not None:
                return call
            with self._lock:
                if self._outbox.empty:
                    due_s, self._urgent = None, False
                elif due_s is None:
                    due_s = monotonic() + self._flush_after_s  # never the wall clock: it steps
                wait_s = None if due_s is None else due_s - monotonic()
                due = self._urgent or self._outbox.ready or (wait_s is not None and wait_s <= 0)
                part = self._outbox.pop_part() if due else None
            if part is not None:
                due_s = None
                self._backlog.encode(part)
            else:
                self._wait(wait_s)

    def _wait(self, wait_s: float | None) -> None:
        """Wait for a token, which may be old: the caller checks again."""
        with self._backlog.waiting(), suppress(Empty):
            self._tokens.get(timeout=wait_s)

    def _attempt(self, call: Call) -> float:
        """Send one call; return how long to wait before the next attempt, 0 if the call is done with, seconds."""
        call.attempts += 1
        try:
            if self._transport is None:
                self._transport = self._open_transport()
            with self._backlog.waiting(call):
                answer = self._transport.send(call.batches, call.publisher, call.sequence)
        except (LogUnavailable, ServiceUnavailable) as error:
            return self._later(call, error)
        except LimitExceeded as error:
            return 0.0 if self._backlog.split(call, str(error)) else _BACKOFF_S[1]
        except (ServiceRefused, InvalidInput) as error:
            self._settle(call, Sent(call.readings, str(error)))
        except Exception as error:
            logger.exception("a call could not be sent, its %d readings are lost", call.readings)
            self._settle(call, Sent(call.readings, f"{type(error).__name__}: {error}"))
        else:
            self._settle(call, answer)
        return 0.0

    def _later(self, call: Call, error: LogUnavailable | ServiceUnavailable) -> float:
        self.report.failed(str(error))
        self._backlog.retry(call)
        first, longest = _BACKOFF_S
        pause_s: float = random.uniform(0.5, 1) * min(longest, first * 2.0 ** min(call.attempts, 10))  # noqa: S311
        asked_s = error.retry_after_s if isinstance(error, ServiceUnavailable) else 0.0
        self._asked = asked_s > 0
        return max(pause_s, asked_s)

    def _pause(self, pause_s: float) -> None:
        """Wait before the next attempt; a flush ends a pause of our own choice, the publisher's end any."""
        until_s = monotonic() + pause_s
        while not self._closing and (left_s := until_s - monotonic()) > 0:
            if self._urgent and not self._asked:
                self._urgent = False
                return
            self._rest(min(left_s, self._backlog.write_every_s))
            if not self._closing:
                self._backlog.write()

    def _rest(self, rest_s: float) -> None:
        """Wait all of a time, but for a flush that may end it, the end, and what a disk should take at once."""
        until_s = monotonic() + rest_s
        while (left_s := until_s - monotonic()) > 0 and not (self._closing or (self._urgent and not self._asked)):
            if self._outbox.ready and self._outbox.overflows_to_disk:  # a disk that has failed is not tried at once
                return
            self._wait(left_s)

    def _settle(self, call: Call, answer: Sent) -> None:
        if not self._backlog.settle(call, answer):
            return  # given up by close() or written to disk meanwhile
        if answer.refused:
            self.report.failed(answer.reason)
        else:
            self.report.worked()
