"""The publisher: never blocks, never raises for delivery trouble, bounded, batched, retried.

A call checks its arguments and adds to columns in memory; one background thread encodes and sends them. Each call to
the log carries the publisher's sequence, so that a retry appends nothing twice.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import random
import secrets
import threading
import time as _clock
import weakref
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import msgspec

from tidewire.batch import (
    DEFAULT_LIMITS,
    EncodedBatch,
    Limits,
    checked_labels,
    checked_name,
    checked_time_ms,
    checked_unit,
    checked_value,
    make_batch,
    series_key,
)
from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable, ServiceRefused, ServiceUnavailable
from tidewire.outbox import READING_BYTES, Call, Columns, calls, encoded_batches
from tidewire.settings import ClientSettings, load_settings
from tidewire.transport import Transport, open_transport

__all__ = ["AsyncPublisher", "Publisher", "PublisherStats", "annotate", "publish", "publish_url"]

FLUSH_AFTER_S: Final = 0.05
FLUSH_READINGS: Final = 5_000
_BACKOFF_S: Final = (0.1, 5.0)
_EXIT_S: Final = 2.0  # longest that leaving the interpreter waits for what is buffered
_ENCODES_PER_TURN: Final = 32  # then the interpreter lock is given up: the host's thread goes first

logger = logging.getLogger("tidewire")


class PublisherStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the readings, counted from the publisher's start.

    Attributes:
        queued: readings that wait in memory.
        sent: readings that were acknowledged.
        retried: calls that were sent again.
        rejected: readings that were refused for good; the reason is in `last_error`.
        dropped: readings given up because memory was full, or at the end.
        last_error: the newest trouble, ``""`` if there was none.
    """

    queued: int
    sent: int
    retried: int
    rejected: int
    dropped: int
    last_error: str


def publish_url(url: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Return where to publish: the argument, ``TIDEWIRE_REDIS``, ``TIDEWIRE_URL`` if only that is set, the default."""
    environ = os.environ if environ is None else environ
    if url:
        return url
    settings = load_settings(ClientSettings, environ=environ)
    return settings.url if environ.get("TIDEWIRE_URL") and not environ.get("TIDEWIRE_REDIS") else settings.redis


class Publisher:
    """Publishes readings in the background.

    Args:
        url: ``redis://…`` or ``http://…``; see `publish_url`.
        token: bearer token for http.
        flush_after_s: longest that a reading waits for others, seconds.
        max_bytes: memory for what cannot be sent yet; beyond it the oldest is dropped and counted.
        limits: of one batch.

    Raises:
        InvalidInput: a URL of another scheme.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        flush_after_s: float = FLUSH_AFTER_S,
        max_bytes: int = 64 << 20,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        settings = load_settings(ClientSettings)
        self._target = publish_url(url), settings.token if token is None else token, settings.prefix
        self._flush_after_s = flush_after_s
        self._max_bytes = max_bytes
        self._limits = limits
        open_transport(self._target[0]).close()  # a wrong URL is told now, and what it needs is imported now
        self._begin()
        _publishers.add(self)

    def _begin(self) -> None:
        """Start with nothing: at birth, and in the child of a fork, whose parent sends what it had."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._columns: dict[tuple[str, str, str], Columns] = {}
        self._buffered = 0
        self._first_s = 0.0
        self._calls: deque[Call] = deque()
        self._calls_bytes = 0
        self._thread: threading.Thread | None = None
        self._closing = self._urgent = False
        self._id = secrets.token_hex(8)
        self._sequence = 0
        self._accepted = self._settled = 0
        self._sent = self._retried = self._rejected = self._dropped = 0
        self._last_error = ""
        self._warned = False
        self._transport: Transport | None = None

    # -- publishing

    def publish(
        self,
        metric: str | Mapping[str, Any],
        value: Any = None,
        *,
        unit: str = "",
        labels: Mapping[str, str] | None = None,
        time: Any = None,
        text: Any = None,
        step: Any = None,
    ) -> None:
        """Publish one reading, columns of readings, or a dict of metric → value; returns at once.

        Args:
            metric: a name, or a dict of names to values that share the other arguments.
            value: a number, None, or n of them.
            unit: a UCUM string such as ``Cel``, ``%`` or ``By/s``.
            labels: dimensions of the series.
            time: milliseconds since the Unix epoch, RFC 3339 with an offset, or an aware datetime; now if None.
            text: makes the reading an event.
            step: the x of people who count steps.

        Raises:
            InvalidInput: an argument that can never work.
            LimitExceeded: more readings or labels than a batch may have.
        """
        if isinstance(metric, Mapping):
            for name, each in metric.items():
                self.publish(name, each, unit=unit, labels=labels, time=time, text=text, step=step)
            return
        now_ms = _clock.time() * 1e3
        kind = type(value)
        if (kind is float or kind is int) and text is None:  # the usual case, without a batch of its own
            checked_name(metric)
            if unit:
                checked_unit(unit)
            labels_ = checked_labels(labels, self._limits) if labels else {}
            time_ms = now_ms if time is None else checked_time_ms(time, now_ms=now_ms)
            number = checked_value(value)
            step_ = None if step is None else checked_value(step, field="step")
            with self._lock:
                self._series(metric, labels_, unit).add(time_ms, number, None, step_)
                self._note(1, now_ms)
            return
        batch = make_batch(
            metric, value, time=time, unit=unit, labels=labels, text=text, step=step, limits=self._limits, now_ms=now_ms
        )
        encoded = sum(len(t) for t in batch.text or () if t)
        with self._lock:
            self._series(batch.metric, batch.labels, batch.unit).extend(batch)
            self._note(len(batch), now_ms, encoded)

    def _series(self, metric: str, labels: dict[str, str], unit: str) -> Columns:
        key = (metric, series_key(labels), unit)
        columns = self._columns.get(key)
        if columns is None:
            columns = self._columns[key] = Columns(metric, labels, unit)
        return columns

    def _note(self, readings: int, now_ms: float, more_bytes: int = 0) -> None:
        """Count what was buffered, and wake or start the thread if it has to know."""
        if not self._buffered:
            self._first_s = now_ms / 1e3
            self._changed.notify_all()
        self._buffered += readings + more_bytes // READING_BYTES
        self._accepted += readings
        if self._buffered >= FLUSH_READINGS and not self._urgent:
            self._urgent = True
            self._changed.notify_all()
        if self._buffered * READING_BYTES + self._calls_bytes > self._max_bytes:
            self._drop_oldest()
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="tidewire-publisher", daemon=True)
            self._thread.start()

    def _drop_oldest(self) -> None:
        """Make room: whole calls first, the oldest first; then what is not encoded yet."""
        room = self._max_bytes - self._buffered * READING_BYTES
        while self._calls_bytes > max(0, room) and len(self._calls) > 1:
            call = self._calls[1]  # the first may be on its way
            del self._calls[1]
            self._calls_bytes -= call.bytes
            self._dropped += call.readings
            self._last_error = f"memory is full ({self._max_bytes} bytes): oldest readings dropped"
        if self._buffered * READING_BYTES > self._max_bytes:
            for columns in self._columns.values():
                self._dropped += len(columns.time)
            self._columns.clear()
            self._buffered = 0
            self._last_error = f"memory is full ({self._max_bytes} bytes): oldest readings dropped"

    # -- waiting

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything published so far was sent or given up; False if the time was too short."""
        deadline = _clock.monotonic() + timeout_s
        with self._changed:
            target = self._accepted
            if self._buffered:
                self._urgent = True
            self._changed.notify_all()
            while self._settled < target and self._thread is not None:
                left = deadline - _clock.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return self._settled >= target
            return self._settled >= target

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush within a time, then end the thread; what was not sent by then is dropped and counted."""
        self.flush(timeout_s)
        with self._changed:
            thread = self._thread
            self._closing = True
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)
        with self._changed:
            lost = sum(call.readings for call in self._calls) + sum(len(c.time) for c in self._columns.values())
            if lost:
                self._dropped += lost
                logger.warning("%d readings were not sent before the publisher closed: %s", lost, self._last_error)
            self._calls.clear()
            self._columns.clear()
            self._buffered = self._calls_bytes = 0
            self._settled = self._accepted
            self._changed.notify_all()

    @property
    def stats(self) -> PublisherStats:
        """What became of the readings so far."""
        with self._lock:
            waiting = sum(len(columns.time) for columns in self._columns.values())
            return PublisherStats(
                queued=waiting + sum(call.readings for call in self._calls),
                sent=self._sent,
                retried=self._retried,
                rejected=self._rejected,
                dropped=self._dropped,
                last_error=self._last_error,
            )

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- the thread

    def _run(self) -> None:
        retry_s = 0.0  # when the first call may be sent (again), monotonic seconds
        try:
            while (due := self._wait(retry_s)) is not None:
                if due:
                    self._encode()
                if self._calls and _clock.monotonic() >= retry_s:
                    retry_s = _clock.monotonic() + self._attempt(self._first_call())
        finally:
            if self._transport is not None:
                self._transport.close()
                self._transport = None
            with self._changed:
                self._thread = None
                self._changed.notify_all()

    def _wait(self, retry_s: float) -> bool | None:
        """Wait for something to do; True: encode what is buffered, False: send, None: the end."""
        with self._changed:
            while True:
                if self._closing and (not self._buffered or self._calls):
                    return None
                if self._buffered and (self._urgent or self._closing):
                    return True
                waits = []
                if self._buffered:
                    waits.append(self._first_s + self._flush_after_s - _clock.time())
                    if waits[0] <= 0:
                        return True
                if self._calls:
                    waits.append(retry_s - _clock.monotonic())
                    if waits[-1] <= 0:
                        return False
                self._changed.wait(min(waits) if waits else None)

    def _encode(self) -> None:
        """Make calls of what is buffered."""
        with self._lock:
            columns, self._columns = self._columns, {}
            last, self._buffered, self._urgent = self._accepted, 0, False
        batches: list[EncodedBatch] = []
        rejected = 0
        for turn, each in enumerate(columns.values(), 1):
            try:
                batches += encoded_batches(each, self._limits)
            except LimitExceeded as error:
                rejected += len(each.time)
                self._trouble(str(error))
            if turn % _ENCODES_PER_TURN == 0:
                _clock.sleep(0)
        made = list(calls(batches, last))
        with self._changed:
            self._rejected += rejected
            self._calls.extend(made)
            self._calls_bytes += sum(call.bytes for call in made)
            if not made:
                self._settled = last
                self._changed.notify_all()

    def _first_call(self) -> Call:
        with self._lock:
            call = self._calls[0]
            if not call.sequence:
                self._sequence += 1
                call.sequence = self._sequence
            return call

    def _attempt(self, call: Call) -> float:
        """Send one call; return how long to wait before the next attempt, 0 if the call is settled, seconds."""
        call.attempts += 1
        try:
            if self._transport is None:
                url, token, prefix = self._target
                self._transport = open_transport(url, token=token, prefix=prefix)
            answer = self._transport.send(call.batches, self._id, call.sequence)
        except (LogUnavailable, ServiceUnavailable) as error:
            self._trouble(str(error))
            with self._lock:
                self._retried += 1
            first, longest = _BACKOFF_S
            pause_s: float = random.uniform(0.5, 1) * min(longest, first * 2.0 ** min(call.attempts, 10))  # noqa: S311
            return max(pause_s, error.retry_after_s if isinstance(error, ServiceUnavailable) else 0.0)
        except LimitExceeded:
            middle = len(call.batches) // 2
            with self._lock:
                self._calls[0] = Call(call.batches[:middle], 0)
                self._calls.insert(1, Call(call.batches[middle:], call.last))
            return 0.0
        except (ServiceRefused, InvalidInput) as error:
            self._trouble(str(error))
            self._settle(call, rejected=call.readings)
            return 0.0
        if answer.refused:
            self._trouble(answer.reason)
        elif self._warned:
            self._warned = False
            logger.warning("publishing works again")
        self._settle(call, rejected=min(answer.refused, call.readings))
        return 0.0

    def _settle(self, call: Call, rejected: int) -> None:
        with self._changed:
            if self._calls and self._calls[0] is call:
                self._calls.popleft()
                self._calls_bytes -= call.bytes
            self._sent += call.readings - rejected
            self._rejected += rejected
            if call.last and not any(other.last == call.last for other in self._calls):
                self._settled = max(self._settled, call.last)
            self._changed.notify_all()

    def _trouble(self, reason: str) -> None:
        self._last_error = reason
        if not self._warned:
            self._warned = True
            logger.warning("publishing is in trouble, readings are kept and sent later: %s", reason)


class AsyncPublisher:
    """As `Publisher`, for asyncio: `publish` never blocks anyway; `flush` and `close` are awaited."""

    def __init__(self, url: str | None = None, **options: Any) -> None:
        """Take the arguments of `Publisher`."""
        self._publisher = Publisher(url, **options)
        self.publish = self._publisher.publish

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything published so far was sent or given up; False if the time was too short."""
        return await asyncio.to_thread(self._publisher.flush, timeout_s)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Flush within a time, then end the thread."""
        await asyncio.to_thread(self._publisher.close, timeout_s)

    @property
    def stats(self) -> PublisherStats:
        """What became of the readings so far."""
        return self._publisher.stats

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
_default: dict[str, Publisher] = {}
_default_lock = threading.Lock()


def _default_publisher() -> Publisher:
    with _default_lock:
        publisher = _default.get("")
        if publisher is None:
            publisher = _default[""] = Publisher()
        return publisher


def publish(
    metric: str | Mapping[str, Any],
    value: Any = None,
    *,
    unit: str = "",
    labels: Mapping[str, str] | None = None,
    time: Any = None,
    text: Any = None,
    step: Any = None,
) -> None:
    """Publish with the process's own publisher, flushed at exit; as `Publisher.publish`."""
    _default_publisher().publish(metric, value, unit=unit, labels=labels, time=time, text=text, step=step)


def annotate(
    text: str, *, metric: str = "annotations", labels: Mapping[str, str] | None = None, time: Any = None
) -> None:
    """Publish an event, such as ``annotate("deploy v2")``: a flag on all charts, or on those of `metric`."""
    _default_publisher().publish(metric, None, text=text, labels=labels, time=time)


def _flush_at_exit() -> None:
    deadline = _clock.monotonic() + _EXIT_S
    for publisher in tuple(_publishers):
        publisher.close(max(0.0, deadline - _clock.monotonic()))


def _after_fork() -> None:
    global _default_lock  # noqa: PLW0603 - the parent's lock may be held for ever in the child
    _default_lock = threading.Lock()
    for publisher in tuple(_publishers):
        publisher._begin()


atexit.register(_flush_at_exit)
os.register_at_fork(after_in_child=_after_fork)
