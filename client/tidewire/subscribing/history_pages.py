"""Reads a history of any size page by page: one request a page, one page in memory at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from tidewire.errors import InvalidInput, MissingExtra, ServiceUnavailable, ServiceUnreachable
from tidewire.model.durations import parse_time_ms
from tidewire.subscribing.service_answer import Answer
from tidewire.subscribing.service_client import ServiceClient
from tidewire.subscribing.service_request import Params, selection

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["HistoryPages", "HistoryReader", "Moment", "moment"]

_log = logging.getLogger("tidewire")
_TIMEOUT_S: Final = 120.0
_MAX_PAGE_BYTES: Final = 1 << 30  # the service bounds a page by its readings, whose texts may be long
_BUSY_S: Final = 60.0  # how long a service that asks for a pause is waited for

Moment: TypeAlias = str | float | datetime


def moment(value: Moment) -> str:
    """Format a time as a query parameter."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


class HistoryReader(ServiceClient):
    """A service client for people at a prompt: its errors name the address and what to try.

    Args:
        url: of the service; ``TIDEWIRE_URL`` if None.
        token: bearer token; ``TIDEWIRE_TOKEN`` if None.

    Raises:
        InvalidInput: no URL of a service, or a token that no header can hold.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        super().__init__(url, token, timeout_s=_TIMEOUT_S, max_bytes=_MAX_PAGE_BYTES)

    def get(self, path: str, params: Params = ()) -> Answer:
        """Return an answer, which is a success.

        Raises:
            ServiceUnavailable: no answer, or the service asks for a pause.
            ServiceRefused: the service refuses the request.
        """
        try:
            return super().get(path, params)
        except ServiceUnreachable as error:
            why = f"no answer from {self.shown_base} ({error.why})"
            raise ServiceUnavailable(f"{why}; is the service up? Try: tidewire doctor", 0.0) from error

    def patient_get(self, path: str, params: Params = ()) -> Answer:
        """As `get`, but wait for a service that asks for a pause, a minute at most: a long load is worth it."""
        until_s = time.monotonic() + _BUSY_S
        while True:
            try:
                return self.get(path, params)
            except ServiceUnavailable as error:
                if not error.retry_after_s or time.monotonic() + error.retry_after_s > until_s:
                    raise
                time.sleep(error.retry_after_s)


class HistoryPages:
    """The readings of a time range, page by page.

    Args:
        reader: where to read.
        patterns: metrics or patterns.
        labels: all must hold.
        start: from when on: ``-15m``, RFC 3339, an aware datetime, or milliseconds since the Unix epoch.
        end: until when; None for all there is, also from clocks that run ahead.
        points: buckets to ask for; such an answer is one page.

    Raises:
        InvalidInput: a pattern, label or time that can never work.
        MissingExtra: pyarrow is not installed.
    """

    def __init__(
        self,
        reader: HistoryReader,
        patterns: Sequence[str],
        labels: Mapping[str, str] | None,
        start: Moment,
        end: Moment | None,
        points: int | None = None,
    ) -> None:
        try:
            import pyarrow  # noqa: PLC0415 - heavy, and an extra
        except ImportError as error:
            raise MissingExtra("history() and export", "notebook") from error
        self._pyarrow = pyarrow
        self._reader = reader
        self._patterns = patterns
        self._labels = labels
        self._points = points
        self._start, self._end = moment(start), None if end is None else moment(end)
        now_ms = time.time() * 1e3
        start_ms = parse_time_ms("start", self._start, now_ms)  # what cannot be read is said at once
        if self._end is not None and parse_time_ms("end", self._end, now_ms) <= start_ms:
            raise InvalidInput("end", end, "is not after start; expected start < end")

    def pages(self, told: Callable[[float], None] = lambda share: None) -> Iterator[pa.Table]:
        """Yield tables of readings; `told` is called with the share that is read, at the end with 1.

        What the log no longer holds of the span is warned of in Python's log.

        The tables are in order of metric, and those of one metric in the order in which its readings were logged. Each
        holds series after series, and each series by time.

        Raises:
            ServiceUnavailable, ServiceRefused: as `HistoryReader.get`.
        """
        params = [*selection(self._patterns, self._labels), ("format", "arrow"), ("start", self._start)]
        if self._end is not None:  # else all there is, also from clocks that run ahead
            params.append(("end", self._end))
        params.append(("page", "first") if self._points is None else ("points", self._points))
        path, done = "/v1/history", 0.0
        while path:
            answer = self._reader.patient_get(path, params)
            share = float(answer.headers.get("tidewire-done", 1.0))
            path, params = answer.next_page, []
            done = max(done, share) if path else 1.0  # metrics born meanwhile lessen it
            told(done)
            if not path and share < 1.0:
                _log.warning("the log no longer holds %.4g %% of the span: it was trimmed", 100 * (1.0 - share))
            yield self._pyarrow.ipc.open_stream(answer.body).read_all()
