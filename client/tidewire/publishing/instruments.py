"""Publishing in the shapes that code already has: a duration, a count, a loop, a log record.

Each uses the default publisher unless given another, and never disturbs what it measures: the publisher handles
network errors, an exception of the measured code passes through. A wrong name or label raises at once, where it is
written.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
import time as _clock
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sized
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, TypeVar

from tidewire.errors import InvalidInput, TidewireError
from tidewire.model.batch import FINISHED, checked_labels, checked_name, make_batch
from tidewire.publishing.default_publisher import default_publisher
from tidewire.publishing.experiment_runs import NO_NUMBER, number_of
from tidewire.publishing.publisher import AnyPublisher

__all__ = ["LogHandler", "counted", "timed", "track"]

_TRACK_EVERY_S: Final = 0.5
_RATE_OVER_S: Final = 10.0  # the rate of a loop, and with it its ETA, is that of its last seconds
_NOT_EXTRAS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

Function = TypeVar("Function", bound=Callable[..., Any])
Item = TypeVar("Item")
logger = logging.getLogger("tidewire")


class _Around(ABC):
    """A decorator for plain and async functions, and a context manager, around what is measured."""

    def __init__(
        self, metric: str, *, labels: Mapping[str, str] | None = None, publisher: AnyPublisher | None = None
    ) -> None:
        self._metric = checked_name(metric)
        self._labels = checked_labels(labels)
        self._publisher = publisher

    @abstractmethod
    def _done(self, took_s: float, failed: bool) -> None:
        """Publish what there is to say of one time, which may have ended with an exception."""

    def __enter__(self) -> None:
        _begun.set((*_begun.get(), (self, _clock.perf_counter())))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        begun = _begun.get()
        for at in reversed(range(len(begun))):
            if begun[at][0] is self:
                _begun.set(begun[:at] + begun[at + 1 :])
                self._done(_clock.perf_counter() - begun[at][1], error is not None)
                return
        logger.warning("a block of %s ended in another task than it began in; not published", self._metric)

    def __call__(self, function: Function) -> Function:
        """Return the function, measured at each call; of an async one until it is done."""
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidInput("function", function, "is a generator; measure what consumes it, or use track()")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _publish(self, value: float, unit: str, labels: Mapping[str, str]) -> None:
        (self._publisher or default_publisher()).publish(self._metric, value, unit=unit, labels=labels)


# Blocks begun in this thread or task: one instance may be entered by several, and again inside itself.
_begun: Final[ContextVar[tuple[tuple[_Around, float], ...]]] = ContextVar("begun", default=())


class timed(_Around):  # noqa: N801 - used as a function
    """Publish how long a block or a function took, in seconds: ``with timed("job/seconds"):`` or ``@timed("…")``.

    Args:
        metric: its name.
        labels: of the series.
        publisher: where to publish; the process's own if None.

    Raises:
        InvalidInput: a metric or label that can never work.
    """

    def _done(self, took_s: float, failed: bool) -> None:
        self._publish(took_s, "s", self._labels)


class counted(_Around):  # noqa: N801 - used as a function
    """Publish how often a block or a function was done, from this process's start: ``@counted("job/done")``.

    What ended with an exception counts in a series of its own, with the label ``outcome=error``.

    Args:
        metric: its name.
        labels: of the series.
        publisher: where to publish; the process's own if None.

    Raises:
        InvalidInput: a metric or label that can never work.
    """

    def __init__(
        self, metric: str, *, labels: Mapping[str, str] | None = None, publisher: AnyPublisher | None = None
    ) -> None:
        super().__init__(metric, labels=labels, publisher=publisher)
        self._lock = threading.Lock()
        self._counts = {False: 0, True: 0}

    def _done(self, took_s: float, failed: bool) -> None:
        with self._lock:
            self._counts[failed] += 1
            count = self._counts[failed]
        self._publish(count, "", self._labels | {"outcome": "error"} if failed else self._labels)


def track(
    iterable: Iterable[Item],
    metric: str,
    *,
    total: int | None = None,
    labels: Mapping[str, str] | None = None,
    publisher: AnyPublisher | None = None,
) -> Iterator[Item]:
    """Yield the items of an iterable; twice a second and at its end publish how far it is.

    With the last item its series are FINISHED on a dashboard; after a break or an exception they fall silent.

    Published are ``<metric>/done`` (items) and ``<metric>/rate`` (items per second, over the last ten seconds), and if
    the total is known ``<metric>/progress`` (percent) and ``<metric>/eta`` (seconds).

    Args:
        iterable: what to go through.
        metric: the beginning of the names.
        total: how many items there are; ``len(iterable)`` if it has one.
        labels: of the series.
        publisher: where to publish; the process's own if None.

    Raises:
        InvalidInput: a metric or label that can never work, or nothing to go through; at once, not at the first item.
    """
    metric = checked_name(metric)
    if isinstance(iterable, AsyncIterable):
        raise InvalidInput("iterable", iterable, "is asynchronous; publish in its loop, with counted() or log()")
    if not isinstance(iterable, Iterable) and not hasattr(iterable, "__getitem__"):
        raise InvalidInput("iterable", iterable, "expected something to go through, such as range(100)")
    labels = checked_labels(labels)
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return _tracked(iterable, metric, total, labels, publisher or default_publisher())


def _tracked(
    iterable: Iterable[Item], metric: str, total: int | None, labels: Mapping[str, str], publisher: AnyPublisher
) -> Iterator[Item]:
    marks = [(_clock.monotonic(), 0)]  # when so many were done

    def publish(now_s: float, done: int, text: str | None = None) -> None:
        while len(marks) > 1 and marks[1][0] <= now_s - _RATE_OVER_S:
            marks.pop(0)
        since_s, before = marks[0]
        marks.append((now_s, done))
        rate = (done - before) / (now_s - since_s) if now_s > since_s else 0.0
        publisher.publish(f"{metric}/done", done, labels=labels, text=text)
        publisher.publish(f"{metric}/rate", rate, unit="/s", labels=labels, text=text)
        if total:
            publisher.publish(f"{metric}/progress", 100.0 * done / total, unit="%", labels=labels, text=text)
            eta_s = 0.0 if done >= total else (total - done) / rate if rate else None
            publisher.publish(f"{metric}/eta", eta_s, unit="s", labels=labels, text=None if eta_s is None else text)

    done, told_s, text = 0, _clock.monotonic(), None
    try:
        for item in iterable:
            yield item
            done += 1
            now_s = _clock.monotonic()
            if now_s - told_s >= _TRACK_EVERY_S:
                told_s = now_s
                publish(now_s, done)
        text = FINISHED
    finally:  # also after a break or an exception: where it stopped is what one wants to see
        publish(_clock.monotonic(), done, text)


class LogHandler(logging.Handler):
    """A logging handler that publishes the numeric extras of records.

    ``logger.info("epoch done", extra={"loss": 0.31})`` publishes ``<prefix>/loss``; the text goes where it went before.

    Args:
        prefix: put before each name, such as ``train``; the logger's name, dots as levels, if empty.
        labels: of all series.
        publisher: where to publish; the process's own if None.
        level: records below it are not looked at.

    Raises:
        InvalidInput: a prefix or label that can never work.
    """

    def __init__(
        self,
        prefix: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        publisher: AnyPublisher | None = None,
        level: int = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        self._prefix = checked_name(prefix) if prefix else ""
        self._labels = checked_labels(labels)
        self._publisher = publisher

    def emit(self, record: logging.LogRecord) -> None:
        """Publish the numbers among the extras of a record; never raises."""
        if record.name.split(".")[0] == "tidewire":
            return  # our own warnings must not cause further ones
        try:
            found = {name: number_of(value) for name, value in vars(record).items() if name not in _NOT_EXTRAS}
            prefix = self._prefix or record.name.replace(".", "/")
            readings = {f"{prefix}/{name}": value for name, value in found.items() if value is not NO_NUMBER}
            if readings:
                created_ms = record.created * 1e3  # by this machine's clock
                batches = [
                    make_batch(metric, value, labels=self._labels, now_ms=created_ms)
                    for metric, value in readings.items()
                ]
                (self._publisher or default_publisher()).publish_batches(batches, default_time=True)
        except TidewireError:
            self.handleError(record)  # as logging does: said on stderr, unless logging.raiseExceptions is off
