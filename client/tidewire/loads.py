"""Loads of the past of any size: readings in as many requests as the service's bound of rows asks for.

A request that is refused as too large is made again metric by metric, and then for half the span, which grows again
where answers are small. So a small load is one request, and a large one is read in order of metric and time, one answer
in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from tidewire.batch import checked_labels
from tidewire.errors import InvalidInput, MissingExtra, ServiceRefused, ServiceUnavailable
from tidewire.pattern import compile_pattern
from tidewire.service_address import client_options, service_url
from tidewire.settings import ClientSettings, load_settings
from tidewire.spans import parse_time_ms

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Load", "Reader", "moment", "selection"]

_TIMEOUT_S: Final = 120.0
_BUSY_S: Final = 60.0  # how long a service that asks for a pause is waited for
_TOO_LARGE: Final = 413

Moment = str | float | datetime


class _Metric(msgspec.Struct):
    metric: str
    labels: dict[str, str] = {}


class _Catalog(msgspec.Struct):
    series: list[_Metric]


def selection(patterns: Sequence[str], labels: Mapping[str, str] | None) -> list[tuple[str, Any]]:
    """Return the query of a selection.

    Raises:
        InvalidInput: a pattern or label that can never work.
    """
    params: list[tuple[str, Any]] = [("metric", compile_pattern(pattern).text) for pattern in patterns or ("**",)]
    return params + [("label", f"{name}:{value}") for name, value in checked_labels(labels).items()]


def moment(value: Moment) -> str:
    """Return a time as the service takes it."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


class Reader:
    """One connection to the reading side of a service; a context manager.

    Args:
        url: of the service; ``TIDEWIRE_URL`` if None.
        token: bearer token; ``TIDEWIRE_TOKEN`` if None.

    Attributes:
        service_ms: the service's clock at its last answer, Unix ms, to the second; ours before.

    Raises:
        InvalidInput: no URL of a service.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self._base = service_url(url)
        token = load_settings(ClientSettings).token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.service_ms = time.time() * 1e3
        self._http = httpx.Client(timeout=_TIMEOUT_S, headers=headers, **client_options(self._base))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, params: Sequence[tuple[str, Any]]) -> bytes:
        """Return the body of an answer.

        Raises:
            ServiceUnavailable: no answer, or the service asks for a pause.
            ServiceRefused: the service refuses the request.
        """
        try:
            response = self._http.get(f"{self._base}{path}", params=list(params))
        except httpx.TransportError as error:
            why = f"no answer from {self._base} ({error or type(error).__name__})"
            raise ServiceUnavailable(f"{why}; is the service up? Try: tidewire doctor", 0.0) from error
        self.service_ms = _date_ms(response.headers.get("date", ""))
        if response.status_code == 200:
            return response.content
        try:
            detail = str(msgspec.json.decode(response.content, type=dict[str, Any]).get("detail", ""))
        except msgspec.MsgspecError:
            detail = response.text[:200]
        if response.status_code in {429, 503}:
            after = response.headers.get("retry-after", "")
            raise ServiceUnavailable(detail, float(after) if after.isdigit() else 1.0)
        raise ServiceRefused(response.status_code, detail)

    def patient_get(self, path: str, params: Sequence[tuple[str, Any]]) -> bytes:
        """As `get`, but wait for a service that asks for a pause, a minute at most: a long load is worth it."""
        until_s = time.monotonic() + _BUSY_S
        while True:
            try:
                return self.get(path, params)
            except ServiceUnavailable as error:
                if not error.retry_after_s or time.monotonic() + error.retry_after_s > until_s:
                    raise
                time.sleep(error.retry_after_s)


def _date_ms(header: str) -> float:
    """Return the time of a Date header, ours if there is none."""
    try:
        return parsedate_to_datetime(header).timestamp() * 1e3
    except (TypeError, ValueError):
        return time.time() * 1e3


class Load:
    """The readings of a span, page by page.

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
        reader: Reader,
        patterns: Sequence[str],
        labels: Mapping[str, str] | None,
        start: Moment,
        end: Moment | None,
        points: int | None = None,
    ) -> None:
        try:
            import pyarrow  # noqa: PLC0415 - heavy, and an extra
        except ImportError as error:
            raise MissingExtra("loading the past", "notebook") from error
        self._pyarrow = pyarrow
        self._reader = reader
        self._patterns = patterns
        self._labels = labels
        self._points = points
        self._start, self._end = moment(start), None if end is None else moment(end)
        start_ms, end_ms = self._span(time.time() * 1e3)  # what cannot be read is said at once
        if end_ms <= start_ms:
            raise InvalidInput("end", end, "is not after start; expected start < end")

    def _span(self, now_ms: float) -> tuple[float, float]:
        """Return start and end as Unix milliseconds, by somebody's clock."""
        start_ms = parse_time_ms("start", self._start, now_ms)
        return start_ms, now_ms if self._end is None else parse_time_ms("end", self._end, now_ms)

    def pages(self, told: Callable[[float], None] = lambda share: None) -> Iterator[pa.Table]:
        """Yield tables of readings, in order of metric and time; `told` hears which share of the span is done.

        Raises:
            ServiceUnavailable, ServiceRefused: as `Reader.get`.
        """
        try:
            yield self._page(self._patterns, self._start, self._end)
        except ServiceRefused as error:
            if error.status != _TOO_LARGE or self._points is not None:
                raise
        else:
            told(1.0)
            return
        metrics, span = self._metrics(), self._span(self._reader.service_ms)
        for number, metric in enumerate(metrics):
            for table, share in self._of_metric(metric, *span):
                told((number + share) / len(metrics))
                yield table

    def label_names(self) -> list[str]:
        """Return the names of all labels that readings of the span may have: those of the catalogue."""
        return sorted({name for series in self._series() for name in series.labels})

    def _of_metric(self, metric: str, start_ms: float, end_ms: float) -> Iterator[tuple[pa.Table, float]]:
        """Yield the pages of one metric, and the share of its span that is done with each."""
        at_ms, width_ms, largest = start_ms, end_ms - start_ms, 0
        while at_ms < end_ms:
            upto_ms = min(at_ms + width_ms, end_ms)
            upto = None if self._end is None and upto_ms == end_ms else repr(upto_ms)
            try:
                table = self._page([metric], repr(at_ms), upto)
            except ServiceRefused as error:
                if error.status != _TOO_LARGE or width_ms < 2:
                    raise
                width_ms = max(1.0, (upto_ms - at_ms) // 2)
                continue
            largest = max(largest, table.num_rows)
            if table.num_rows < largest / 2:
                width_ms *= 2
            at_ms = upto_ms
            yield table, (at_ms - start_ms) / (end_ms - start_ms)

    def _page(self, patterns: Sequence[str], start: str, end: str | None) -> pa.Table:
        params = [*selection(patterns, self._labels), ("format", "arrow"), ("start", start)]
        if end is not None:  # else all there is, also from clocks that run ahead
            params.append(("end", end))
        if self._points is not None:
            params.append(("points", self._points))
        return self._pyarrow.ipc.open_stream(self._reader.patient_get("/v1/history", params)).read_all()

    def _series(self) -> list[_Metric]:
        body = self._reader.patient_get("/v1/catalog", selection(self._patterns, self._labels))
        return msgspec.json.decode(body, type=_Catalog).series

    def _metrics(self) -> list[str]:
        return sorted({series.metric for series in self._series()})
