"""Publishers: `publish` never waits for the network and never raises for delivery problems; bounded, batched, retried.

A call checks its arguments and adds to columns in memory (`outbox`); one background thread encodes and sends them
(`sender`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time as _clock
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.batch import (
    DEFAULT_LIMITS,
    Batch,
    IngestLimits,
    checked_labels,
    checked_name,
    checked_time_ms,
    checked_unit,
    checked_value,
    index_times,
    make_batch,
)
from tidewire.publishing.lifecycle import register_publisher
from tidewire.publishing.outbox import Outbox
from tidewire.publishing.sender import Sender
from tidewire.publishing.spool import Spool, folder_of
from tidewire.publishing.time_check import present_ms
from tidewire.publishing.transport import open_transport
from tidewire.settings import ClientSettings, checked_number, load_settings

__all__ = ["AnyPublisher", "AsyncPublisher", "Publisher", "PublisherStats", "publish_url"]

FLUSH_AFTER_S: Final = 0.05
MAX_BYTES: Final = 64 << 20
SPOOL_BYTES: Final = 1 << 30
_MIN_BYTES: Final = 1 << 16
_LAST_ANSWER_S: Final = 0.2  # for a call that is on its way when the time to flush is over
_LONGEST_S: Final = 3_600.0
_MOST_BYTES: Final = 1 << 50
_ANY_COUNT: Final = 2**53  # columns longer than a batch may be are split by the sender

logger = logging.getLogger("tidewire")


class PublisherStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of readings since the publisher's start.

    Attributes:
        queued: readings that wait in memory.
        spooled: readings that wait on disk.
        sent: readings that were acknowledged.
        retried: calls that were sent again.
        rejected: readings that were refused for good; the reason is in `last_error`.
        dropped: readings given up because memory or spool was full, or at the end.
        last_error: the newest error, ``""`` if there was none.
    """

    queued: int
    spooled: int
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


class AnyPublisher:
    """The common part of `Publisher` and `AsyncPublisher`: everything but waiting."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        flush_after_s: float = FLUSH_AFTER_S,
        max_bytes: int = MAX_BYTES,
        spool: str | os.PathLike[str] | None = None,
        spool_bytes: int = SPOOL_BYTES,
        limits: IngestLimits = DEFAULT_LIMITS,
    ) -> None:
        """Configure the publisher; nothing is connected yet.

        Args:
            url: ``redis://…``, ``redis+sentinel://…``, ``redis+cluster://…`` or ``http://…``; see `publish_url`.
            token: bearer token for http.
            flush_after_s: longest that a reading waits for others, seconds.
            max_bytes: memory for what cannot be sent yet, about; beyond it the oldest is given up and counted, unless
                there is a spool.
            spool: a folder for what cannot be sent, so that it survives the process and any length of outage; the next
                publisher of the folder sends it. ``TIDEWIRE_SPOOL`` if None; "" for none.
            spool_bytes: of disk, about; beyond it the oldest is given up and counted.
            limits: of one batch.

        Raises:
            InvalidInput: a URL or token that can never work, a time below zero, less memory than 64 KiB, less than
                1 MiB of disk, or a folder that cannot be written.
        """
        checked_number("flush_after_s", flush_after_s, 0, _LONGEST_S, "seconds")
        checked_number("max_bytes", max_bytes, _MIN_BYTES, _MOST_BYTES, "bytes")
        checked_number("spool_bytes", spool_bytes, Spool.MIN_BYTES, _MOST_BYTES, "bytes")
        settings = load_settings(ClientSettings)
        token = settings.token if token is None else token
        self._open_transport = partial(open_transport, publish_url(url), token=token, prefix=settings.prefix)
        self._flush_after_s = flush_after_s
        self._max_bytes = max_bytes
        self._limits = limits
        self._column_limits = msgspec.structs.replace(limits, readings=_ANY_COUNT)
        folder = settings.spool if spool is None else spool
        self._make_spool = partial(Spool, folder_of(folder), spool_bytes) if folder else None
        self._spool: Spool | None = None
        self._open_transport().close()  # a wrong URL is told now, and what it needs is imported now
        self._begin()
        register_publisher(self)
        if self._spool is not None and self._spool.left:
            with self._lock:
                self._sender.wake()

    def _begin(self) -> None:
        """Reset, at creation and in the child of a fork: the parent sends what it had."""
        self._lock = threading.RLock()  # a signal handler may publish in the middle of a publish
        self._outbox = Outbox(self._max_bytes)
        if self._spool is not None:
            self._spool.leave()
        self._spool = self._make_spool() if self._make_spool is not None else None
        self._sender = Sender(
            self._outbox, self._lock, self._open_transport, self._flush_after_s, self._limits, self._spool
        )

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

        With a spool and a full memory it waits until the disk has made room; a disk that takes nothing for a second is
        not waited for any more.

        Args:
            metric: a name, or a dict of names to values that share the other arguments.
            value: a number, None, or n of them (list, NumPy array, pandas Series; one whose index is time has its times
                there).
            unit: a UCUM string such as ``Cel``, ``%`` or ``By/s``.
            labels: dimensions of the series.
            time: milliseconds since the Unix epoch, RFC 3339 with an offset, or an aware datetime; now if None.
            text: makes the reading an event; of one without a value, a state: ``publish("oven/mode", text="HEATING")``.
            step: the x of people who count steps.

        Raises:
            InvalidInput: an argument that can never work; nothing of the call is published.
            LimitExceeded: more labels than a series may have.
        """
        own_ms = _clock.time() * 1e3
        now_ms = present_ms(own_ms)
        if text is None and isinstance(value, (int, float)) and type(metric) is str:  # the usual case, without a batch
            checked_name(metric)
            if unit:
                unit = checked_unit(unit)
            labels_ = checked_labels(labels, self._limits) if labels else _NO_LABELS
            time_ms = own_ms if time is None else checked_time_ms(time, now_ms=now_ms)
            row = time_ms, checked_value(value), None, None if step is None else checked_value(step, field="step")
            with self._lock:
                woken = self._outbox.add(metric, labels_, unit, row, time is None)
                changed = woken or self._sender.thread is None
                if changed:
                    self._sender.wake()
            if changed:
                self._sender.make_room()
            return
        if isinstance(metric, Mapping):
            if value is not None:
                raise InvalidInput("value", value, "the first argument is a dict, which holds the values; leave it out")
            pairs = tuple(metric.items())
        else:
            pairs = ((metric, value),)
        checked = []  # all are, before any is published
        for name, each in pairs:
            default_time = time is None and index_times(each) is None
            batch = make_batch(
                name,
                each,
                time=time,
                unit=unit,
                labels=labels,
                text=text,
                step=step,
                limits=self._column_limits,
                now_ms=own_ms if default_time else now_ms,
            )
            checked.append((batch, default_time))
        self._add(checked)

    def publish_batches(self, batches: Iterable[Batch], *, default_time: bool = False) -> None:
        """Publish batches that were checked; returns as `publish` does. One longer than the limits is split.

        Args:
            batches: as `make_batch` returns them.
            default_time: their times were not given, but are of this machine's clock.
        """
        self._add((batch, default_time) for batch in batches)

    def _add(self, batches: Iterable[tuple[Batch, bool]]) -> None:
        with self._lock:
            for batch, default_time in batches:
                if self._outbox.extend(batch, default_time) or self._sender.thread is None:
                    self._sender.wake()
        self._sender.make_room()

    def _close(self, timeout_s: float) -> None:
        """Flush within a time, then end the thread; what was not sent by then goes to the spool, or is given up."""
        began_s = _clock.monotonic()
        self._sender.flush(timeout_s)
        left_s = timeout_s - (_clock.monotonic() - began_s)
        self._sender.stop(timeout_s=max(_LAST_ANSWER_S, left_s))
        self._sender.save()
        with self._lock:
            lost, kept = self._outbox.clear(), 0 if self._spool is None else self._spool.readings
        if kept:
            logger.warning("%d readings wait in %s; the next publisher with this spool sends them", kept, self._spool)
        if lost:
            reason = self._sender.report.last_error or "the time to flush was too short"
            logger.warning("%d readings were not sent before the publisher closed: %s", lost, reason)

    @property
    def stats(self) -> PublisherStats:
        """Counts of readings so far."""
        with self._lock:
            report, outbox = self._sender.report, self._outbox
            return PublisherStats(
                queued=outbox.queued,
                spooled=0 if self._spool is None else self._spool.readings,
                sent=report.sent,
                retried=report.retried,
                rejected=report.rejected,
                dropped=outbox.dropped + (0 if self._spool is None else self._spool.dropped),
                last_error=report.last_error,
            )


_NO_LABELS: Final[dict[str, str]] = {}


class Publisher(AnyPublisher):
    """Publishes readings in the background.

    As a context manager it is flushed and closed at the end of the block; else at the end of the interpreter.
    """

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything published so far was sent or given up; False if the time was too short."""
        return self._sender.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush within a time, then end the thread; what was not sent by then goes to the spool, or is given up."""
        self._close(timeout_s)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class AsyncPublisher(AnyPublisher):
    """As `Publisher`, for asyncio: `publish` never waits for the network anyway; `flush` and `close` are awaited."""

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything published so far was sent or given up; False if the time was too short."""
        return await asyncio.to_thread(self._sender.flush, timeout_s)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Flush within a time, then end the thread; what was not sent by then goes to the spool, or is given up."""
        await asyncio.to_thread(self._close, timeout_s)

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()
