"""Encodes and sends the contents of an outbox, in one background thread a publisher.

One call is in flight at a time, under a sequence that all its attempts share: a retry appends nothing twice. With
a spool, what cannot be sent goes to disk, and is sent from there, oldest first, before anything newer.

A second thread, with a spool, writes to disk while the first one waits for the network. Whoever encodes, writes or
settles has the turn; the sending thread gives it away only while it waits.
"""

from __future__ import annotations

import _thread
import logging
import random
import secrets
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Final

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable, ServiceRefused, ServiceUnavailable
from tidewire.model.batch import IngestLimits
from tidewire.publishing.outbox import Call, Encoded, Outbox, Part, encode_columns
from tidewire.publishing.spool import Spool, SpoolFailed
from tidewire.publishing.transport import Sent, Transport

__all__ = ["Sender"]

_BACKOFF_S: Final = (0.1, 5.0)  # first and longest, of which a random half is waited
_ENCODES_PER_TURN: Final = 32  # then the interpreter lock is given up: the host's thread goes first
_SPOOL_EVERY_S: Final = 0.5  # while nothing can be sent; what a kill would lose
_DISK_WAIT_S: Final = 1.0  # longest that publishing or closing waits for a disk that takes nothing
_ROOM_POLL_S: Final = 0.001
_WARN_EVERY_S: Final = 60.0  # a connection that comes and goes is not said more often

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
        sent: readings that were acknowledged.
        retried: calls that were sent again.
        rejected: readings that were refused for good.
        last_error: the newest error, ``""`` if there was none.
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
        self._settled = threading.Condition(lock)
        self._turn = threading.Lock()  # never waited for under `lock`
        self._open_transport = open_transport
        self._flush_after_s = flush_after_s
        self._limits = limits
        self._spool = spool
        # a SimpleQueue's put is safe in a signal handler, an Event's set is not; at most a token a part and flush
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._overflow: SimpleQueue[bool] = SimpleQueue()  # for the writing thread, which ends with False
        self.thread: threading.Thread | None = None
        self._running = self._urgent = self._closing = False
        self._asked = False  # the pause before the next attempt is one that the service asked for
        self._on_disk: Call | None = None  # the oldest of the spool, while it is tried
        self._in_flight: Call | None = None
        outbox.overflows_to_disk = spool is not None
        self._transport: Transport | None = None
        self._publisher_id = secrets.token_hex(8)
        self._sequence = 0
        self.sent = self.retried = self.rejected = 0
        self.last_error = ""
        self._warned = False  # that sending fails
        self._warned_s = self._disk_warned_s = -_WARN_EVERY_S

    # -- for the publisher, under the lock

    def wake(self) -> None:
        """Wake the thread; start it if there is none."""
        self._tokens.put(None)
        self._closing = False
        if self._outbox.overflows_to_disk and self._outbox.crowded:
            self._overflow.put(True)
        if self.thread is None:
            thread = self.thread = threading.Thread(target=self._run, name="tidewire-publisher", daemon=True)
            try:
                _thread.start_new_thread(self._start, (thread,))
            except BaseException as error:  # no thread at the interpreter's end or at a limit of the system; Ctrl-C
                self.thread = None
                if not isinstance(error, RuntimeError):
                    raise
                self._note_failure(f"no thread to send from: {error}")

    def _start(self, thread: threading.Thread) -> None:
        """Start the thread, from one of its own: a Ctrl-C while the host waited for it to run would break its locks."""
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self.thread = None
                self._note_failure(f"no thread to send from: {error}")
                self._settled.notify_all()

    def make_room(self) -> None:
        """Wait until the disk has taken what does not fit in memory; give up the oldest if it takes nothing for long.

        Then there is no waiting until it has taken something again: a disk that hangs costs the host one wait. It
        sleeps without the lock and not on a condition: that would free the lock in the middle of another `publish`,
        if a signal handler publishes in it.
        """
        if self._spool is None:
            return
        until_s = monotonic() + _DISK_WAIT_S
        while True:
            with self._lock:
                if not (self._outbox.overflows_to_disk and self._outbox.full):
                    return
                if self.thread is None or monotonic() >= until_s:
                    self._keep_in_memory()
                    return
            sleep(_ROOM_POLL_S)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is in the outbox now was sent or given up; False if the time was too short."""
        deadline = monotonic() + timeout_s
        self._open_spool()
        with self._lock:
            target = self._outbox.seal()
            spooled = None  # the newest call on disk, once nothing older is in memory
            while self._outbox.oldest <= target or (self._spool is not None and self._spool.waits(spooled)):
                if spooled is None and self._spool is not None and self._outbox.oldest > target:
                    spooled = self._spool.newest
                    continue
                self._urgent = True
                self.wake()
                left = deadline - monotonic()
                if left <= 0 or self.thread is None:
                    return False
                self._settled.wait(left)
        return True

    def save(self) -> None:
        """Write what is still in memory to disk, at the end; without a spool, or if the disk fails, write nothing."""
        if self._spool is None or not self._turn.acquire(timeout=_DISK_WAIT_S):
            return  # a thread that is busy with the rest: it is given up, and counted
        try:
            self._to_disk()
            if self.thread is None:
                self._spool.close()
        finally:
            self._turn.release()

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
        overflow: SimpleQueue[bool] = SimpleQueue()
        self._overflow = overflow
        overflow.put(True)  # for what came before it
        try:
            if self._spool is not None:
                self._start_writing(overflow)
            with self._turn:
                self._open_spool()
                while (call := self._next_call()) is not None:
                    if pause_s := self._attempt(call):
                        self._pause(pause_s)
        finally:
            overflow.put(False)
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
            with self._lock:
                self._running = False
                self.thread = None
                if not self._closing and not self._outbox.empty:
                    self.wake()  # published in the moment of its end
                self._settled.notify_all()

    def _next_call(self) -> Call | None:
        """Wait for a call to send, what is on disk first; None at the end."""
        due_s: float | None = None  # when what waits for others has waited long enough
        while True:
            with self._lock:
                if self._closing:
                    return None
            if (on_disk := self._from_disk()) is not None:
                return on_disk
            with self._lock:
                call = self._outbox.head()
                if call is not None:
                    return self._numbered(call)
                if self._outbox.empty:
                    due_s, self._urgent = None, False
                elif due_s is None:
                    due_s = monotonic() + self._flush_after_s  # never the wall clock: it steps
                wait_s = None if due_s is None else due_s - monotonic()
                due = self._urgent or self._outbox.ready or (wait_s is not None and wait_s <= 0)
                part = self._outbox.pop_part() if due else None
            if part is not None:
                due_s = None
                self._encode(part)
            else:
                self._wait(wait_s)

    # -- the disk

    def _start_writing(self, overflow: SimpleQueue[bool]) -> None:
        thread = threading.Thread(target=self._write_overflow, args=(overflow,), name="tidewire-spool", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # at the interpreter's end or at a limit of the system: only this thread writes
            self._note_failure(f"no thread to write to disk from: {error}")

    def _write_overflow(self, overflow: SimpleQueue[bool]) -> None:
        """Write to disk what is in memory whenever that is half full, whatever the sending thread waits for."""
        while overflow.get():
            with self._turn:
                with self._lock:
                    crowded = self._running and self._outbox.overflows_to_disk and self._outbox.crowded
                if crowded:
                    self._to_disk()

    def _open_spool(self) -> None:
        """Open the spool and count what an earlier process left."""
        if self._spool is not None and self._spool.left:
            try:
                self._spool.open()
            except SpoolFailed as error:
                self._disk_trouble(error)

    def _from_disk(self) -> Call | None:
        """Return the oldest call on disk; what is ready in memory goes behind it."""
        if self._spool is None or not self._spool.waits():
            return None
        if self._outbox.ready:
            self._to_disk()
        try:
            spooled = self._spool.head()
        except SpoolFailed as error:
            self._disk_trouble(error)
            return None
        if spooled is None:
            return None
        if self._on_disk is None or self._on_disk.spooled is None or self._on_disk.spooled.id != spooled.id:
            self._on_disk = Call(spooled.batches, 0, spooled)
        return self._on_disk

    def _to_disk(self) -> None:
        """Write what is in memory now, part by part: what is published meanwhile would keep it from ever ending."""
        with self._lock:
            newest = self._outbox.seal()
        while self._spill():
            with self._lock:
                part = self._outbox.pop_part(newest)
            if part is None:
                return
            self._encode(part)

    def _spill(self) -> bool:
        """Write the calls in memory; if the disk fails they stay there. Return whether it took them.

        A call that is being sent is written too, to keep the order: it is sent again from there, under its sequence.
        """
        if self._spool is None:
            return False
        with self._lock:
            calls = self._outbox.hold()
            if any(call.sequence for call in calls):  # should the disk fail, what is sent meanwhile must not outrun it
                self._publisher_id, self._sequence = secrets.token_hex(8), 0
        if not calls:
            return True
        try:
            self._spool.append((call.publisher, call.sequence, call.batches) for call in calls)
        except SpoolFailed as error:
            with self._lock:
                for call in calls:
                    call.in_flight = call is self._in_flight
            self._disk_trouble(error)
            return False
        with self._lock:
            self._outbox.overflows_to_disk = True
            for call in calls:
                self._outbox.settle(call)
            self._settled.notify_all()
        return True

    def _wait(self, wait_s: float | None) -> None:
        """Wait for a token, which may be old: the caller checks again."""
        self._turn.release()
        try:
            self._tokens.get(timeout=wait_s)
        except Empty:
            return
        finally:
            self._turn.acquire()

    def _numbered(self, call: Call) -> Call:
        if not call.sequence:
            self._sequence += 1
            call.publisher, call.sequence = self._publisher_id, self._sequence
        call.in_flight = True
        return call

    def _encode(self, part: Part) -> None:
        """Encode a part into calls."""
        batches = []
        for turn, columns in enumerate(part.columns.values(), 1):
            try:
                encoded = encode_columns(columns, self._limits)
            except Exception as error:
                logger.exception("a series could not be encoded, its %d readings are lost", len(columns))
                encoded = Encoded([], len(columns), f"{type(error).__name__}: {error}")
            batches += encoded.batches
            if encoded.rejected:
                self._refuse(encoded.rejected, encoded.reason)
            if turn % _ENCODES_PER_TURN == 0:
                sleep(0)
        with self._lock:
            self._outbox.put(part, batches)
            self._settled.notify_all()

    def _attempt(self, call: Call) -> float:
        """Send one call; return how long to wait before the next attempt, 0 if the call is done with, seconds."""
        call.attempts += 1
        try:
            if self._transport is None:
                self._transport = self._open_transport()
            answer = self._send(self._transport, call)
        except (LogUnavailable, ServiceUnavailable) as error:
            return self._later(call, error)
        except LimitExceeded as error:
            return self._split(call, error)
        except (ServiceRefused, InvalidInput) as error:
            self._settle(call, Sent(call.readings, str(error)))
        except Exception as error:
            logger.exception("a call could not be sent, its %d readings are lost", call.readings)
            self._settle(call, Sent(call.readings, f"{type(error).__name__}: {error}"))
        else:
            self._settle(call, answer)
        return 0.0

    def _send(self, transport: Transport, call: Call) -> Sent:
        """Send one call; the other thread may write to disk meanwhile."""
        self._in_flight = call
        if self._spool is not None and call.spooled is not None:
            self._spool.sending = call.spooled.id
        self._turn.release()
        try:
            return transport.send(call.batches, call.publisher, call.sequence)
        finally:
            self._turn.acquire()
            self._in_flight = None
            if self._spool is not None:
                self._spool.sending = 0

    def _split(self, call: Call, error: LimitExceeded) -> float:
        """Make two calls of one; return how long to wait, seconds."""
        if self._spool is None or call.spooled is None:
            with self._lock:
                self._outbox.split(call)
            return 0.0
        try:
            self._spool.split(call.spooled)
        except SpoolFailed as failed:
            self._note_failure(str(error))
            self._disk_trouble(failed)
            return _BACKOFF_S[1]
        return 0.0

    def _later(self, call: Call, error: LogUnavailable | ServiceUnavailable) -> float:
        self._note_failure(str(error))
        with self._lock:
            call.in_flight = False
            self.retried += 1
        if self._spool is not None:
            self._to_disk()
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
            if self._spool is None:
                self._wait(left_s)
            else:
                self._wait_and_write(min(left_s, _SPOOL_EVERY_S))

    def _wait_and_write(self, wait_s: float) -> None:
        """Wait all of a time, but for a flush and the end, then put on disk what came meanwhile."""
        until_s = monotonic() + wait_s
        while (left_s := until_s - monotonic()) > 0 and not (self._closing or (self._urgent and not self._asked)):
            if self._outbox.ready and self._outbox.overflows_to_disk:  # a disk that has failed is not tried at once
                break
            self._wait(left_s)
        if not self._closing:
            self._to_disk()

    def _settle(self, call: Call, answer: Sent) -> None:
        if self._spool is not None and call.spooled is not None:
            try:
                self._spool.settle(call.spooled)
            except SpoolFailed as error:
                self._disk_trouble(error)
        with self._lock:
            counts = call.spooled is not None or self._outbox.settle(call)
            if counts:
                self.sent += call.readings - answer.refused
            self._settled.notify_all()
        if not counts:
            return  # given up by close() or written to disk meanwhile
        if answer.refused:
            self._refuse(answer.refused, answer.reason)
        elif self._warned:
            self._warned = False
            logger.warning("publishing works again")

    def _refuse(self, readings: int, reason: str) -> None:
        with self._lock:
            self.rejected += readings
        self._note_failure(reason)

    def _keep_in_memory(self) -> None:
        """Give up what does not fit in memory until the disk has taken something."""
        with self._lock:
            self._outbox.overflows_to_disk = False
            self._outbox.give_up()
            self._settled.notify_all()

    def _disk_trouble(self, error: SpoolFailed) -> None:
        self.last_error = str(error)
        self._keep_in_memory()
        if monotonic() - self._disk_warned_s >= _WARN_EVERY_S:
            self._disk_warned_s = monotonic()
            logger.warning("%s; what cannot be sent stays in memory meanwhile", error)

    def _note_failure(self, reason: str) -> None:
        self.last_error = reason
        if not self._warned and monotonic() - self._warned_s >= _WARN_EVERY_S:
            self._warned, self._warned_s = True, monotonic()
            logger.warning(
                "cannot publish: %s; the publisher's stats count what follows, and 'tidewire doctor' finds the cause",
                reason,
            )
