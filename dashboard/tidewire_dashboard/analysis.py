"""Reads the raw readings of a window from the service's history, and computes statistics and tables from them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewire.errors import LimitExceeded, ServiceUnavailable
from tidewire.livestore.gaps import expected_interval_ms, gap_limit_ms
from tidewire.livestore.messages import StatisticsRow, TableRow
from tidewire.livestore.series import Series
from tidewire.model.batch import series_order
from tidewire.model.table_writers import common_schema, compacted, conformed, label_column, label_of_column
from tidewire.model.units import unit_key
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.service_request import selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NamedSeries", "Part", "Readings", "changing_units", "frame_of", "statistics", "table", "table_of"]

_MAX_ROWS: Final = 2_000_000
_TIMEOUT_S: Final = 30.0
_MAX_ANSWER_BYTES: Final = 1 << 30  # the service bounds an answer by its readings, whose texts may be long
_MAX_REQUESTS: Final = 2  # windows that are read at a time; others wait
_SHORTEST_SPAN_MS: Final = 1_000.0  # a span that is too large for one answer is halved, but not below this
_METRICS_PER_REQUEST: Final = 32
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_EMPTY_SCHEMA: Final = pa.schema(
    [("metric", _TEXT), ("time", pa.timestamp("us", "UTC")), ("value", pa.float64()), ("unit", _TEXT)]
)


class NamedSeries(Protocol):
    """A series, published or of a formula's result, as files name it."""

    @property
    def index(self) -> int:
        """By which viewers know it."""

    @property
    def metric(self) -> str:
        """Its metric."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""


class Part(NamedTuple):
    """Readings of one series, ordered by time: columns metric, time, value, unit and ``label.<name>``."""

    series: NamedSeries
    rows: pa.Table


class Readings:
    """Reads raw readings from `/v1/history`; used in one event loop, and closed.

    Args:
        url: the service.
        token: bearer token, empty for none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._client = AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S, max_bytes=_MAX_ANSWER_BYTES)
        self._request_slots = asyncio.Semaphore(_MAX_REQUESTS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def parts(self, series: Sequence[Series], start_ms: float, end_ms: float) -> list[Part]:
        """Return the readings of each series with start ≤ time < end, read span by span.

        Raises:
            LimitExceeded: more than two million readings.
            ServiceUnavailable: the service does not answer.
            ServiceRefused: the service refuses.
        """
        parts: list[Part] = []
        metrics = sorted({one.metric for one in series})
        labels = series[0].labels if len(series) == 1 else {}
        async with self._request_slots:
            for first in range(0, len(metrics), _METRICS_PER_REQUEST):
                spans = [(start_ms, end_ms)]
                while spans:
                    start, end = spans.pop()
                    found = await self._read_span(metrics[first : first + _METRICS_PER_REQUEST], labels, start, end)
                    if found is None:
                        middle = math.floor((start + end) / 2)
                        if end - start < _SHORTEST_SPAN_MS:
                            raise LimitExceeded("readings in one second", _MAX_ROWS, _MAX_ROWS, "ask for fewer series")
                        spans += [(middle, end), (start, middle)]
                        continue
                    parts += await asyncio.to_thread(_split, series, found)
                    rows = sum(len(part.rows) for part in parts)
                    if rows > _MAX_ROWS:
                        raise LimitExceeded("readings", _MAX_ROWS, rows, "ask for less time or fewer series")
        return parts

    async def _read_span(
        self, metrics: Sequence[str], labels: Mapping[str, str], start_ms: float, end_ms: float
    ) -> pa.Table | None:
        """Return the readings of a span, None if they are too many for one answer."""
        span = (("start", repr(start_ms)), ("end", repr(end_ms)), ("format", "arrow"))
        params = (*selection(metrics, labels), *span)
        answer = await self._client.fetch("GET", "/v1/history", params=params)
        if answer.status == 413:
            return None
        return await asyncio.to_thread(_decoded, answer.checked().body)


def _decoded(content: bytes) -> pa.Table:
    try:
        return pa.ipc.open_stream(content).read_all()
    except pa.ArrowInvalid as error:
        raise ServiceUnavailable(f"the history could not be read: {error}") from error


def _split(series: Sequence[Series], table: pa.Table) -> list[Part]:
    """Return the rows of each of these series; a series without rows gets an empty part, which keeps the columns."""
    columns = [name for name in table.column_names if label_of_column(name) is not None]
    parts = []
    for one in series:
        labels = {label_column(name): value for name, value in one.labels.items()}
        if not labels.keys() <= set(columns):
            parts.append(Part(one, table.slice(0, 0)))  # no reading of this span has such a label
            continue
        chosen = pc.equal(table["metric"], one.metric)
        for name in columns:
            given = labels.get(name)
            chosen = pc.and_(chosen, pc.is_null(table[name]) if given is None else pc.equal(table[name], given))
        parts.append(Part(one, table.filter(chosen)))
    return parts


def frame_of(parts: Sequence[Part]) -> pd.DataFrame:
    """Return readings as a DataFrame.

    Returns:
        A row per reading, ordered by series and time. Columns: series (its index), metric, time (UTC), value, unit;
        text and step if there are any; ``label.<name>`` for each label.
    """
    import pandas as pd  # noqa: PLC0415 - 0.4 s of CPU, in a thread here and not before the first page

    filled = [part for part in parts if len(part.rows)]
    if not filled:
        return pd.DataFrame({"series": [], "metric": [], "time": pd.to_datetime([], utc=True), "value": [], "unit": []})
    frames: list[pd.DataFrame] = [part.rows.to_pandas().assign(series=part.series.index) for part in filled]
    joined = pd.concat(frames, ignore_index=True)
    return joined.sort_values(["series", "time"], kind="stable", ignore_index=True)


def table_of(parts: Sequence[Part]) -> pa.Table:
    """Return readings in the order and columns of the service's own exports."""
    if not parts:
        return conformed(pa.table({}), _EMPTY_SCHEMA)
    schema = common_schema([part.rows.schema for part in parts])
    ordered = sorted(parts, key=lambda part: series_order(part.series.metric, part.series.labels))
    return compacted(pa.concat_tables([conformed(part.rows, schema) for part in ordered]))


def statistics(frame: pd.DataFrame, start_ms: float, end_ms: float) -> list[StatisticsRow]:
    """Return the statistics of each series over a window, of its readings in the unit of the newest.

    Args:
        frame: the readings, as `frame_of` returns them.
        start_ms: start of the window, Unix ms.
        end_ms: end of the window, Unix ms.

    Returns:
        Per series: ``i``, its index; ``count`` of readings; ``last``, ``mean``, ``p50``, ``p95``, ``p99``, ``min``,
        ``max``, ``std`` (of a sample) of those that are numbers, None where there are too few; ``rate``, readings per
        second of the window; ``gaps``, how often no number came for longer than three times the interval at which
        readings are expected, and two seconds, as the chart hatches it; ``gap_ms``, their total length in milliseconds.
    """
    seconds = max(1e-3, (end_ms - start_ms) / 1e3)
    rows = []
    for index, given in frame.groupby("series", sort=True):
        part = _of_newest_unit(given)
        values = part["value"].dropna().astype(float)
        times = part["time"].astype("datetime64[ms, UTC]").astype("int64")
        limit_ms = gap_limit_ms(expected_interval_ms(np.diff(times.to_numpy(dtype=np.float64))))
        silences = times[part["value"].notna()].diff()
        gaps = silences[silences > limit_ms]
        rows.append(
            StatisticsRow(
                i=int(str(index)),
                count=len(part),
                rate=len(part) / seconds,
                gaps=len(gaps),
                gap_ms=float(gaps.sum()),
                last=_number(values.iloc[-1:].mean()),
                mean=_number(values.mean()),
                min=_number(values.min()),
                max=_number(values.max()),
                std=_number(values.std()),
                p50=_number(values.quantile(0.50)),
                p95=_number(values.quantile(0.95)),
                p99=_number(values.quantile(0.99)),
            )
        )
    return rows


def _of_newest_unit(part: pd.DataFrame) -> pd.DataFrame:
    """Return the readings of one series in the unit of its newest one: no statistic is of two units."""
    if "unit" not in part:
        return part
    units = part["unit"].astype(object).map(unit_key)
    units = units.where(units != "").ffill().bfill()
    return part if units.nunique() < 2 else part[units == units.iloc[-1]]


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]  # pandas's scalars are floats
    return number if math.isfinite(number) else None


def changing_units(frame: pd.DataFrame, max_rows: int) -> list[str]:
    """Return the unit of each row of `table`; empty if no series changes its unit."""
    keys = frame["unit"].astype(object).map(unit_key)
    if (keys.where(keys != "").groupby(frame["series"]).nunique() < 2).all():
        return []
    units: list[str] = _newest(frame, max_rows)["unit"].astype(str).tolist()
    return units


def _newest(frame: pd.DataFrame, max_rows: int) -> pd.DataFrame:
    return frame.sort_values("time", ascending=False, kind="stable").head(max_rows)


def table(frame: pd.DataFrame, max_rows: int) -> list[TableRow]:
    """Return at most `max_rows` readings, newest first."""
    import pandas as pd  # noqa: PLC0415 - as above

    newest = _newest(frame, max_rows)
    times = newest["time"].astype("datetime64[ms, UTC]").astype("int64")
    texts = newest["text"] if "text" in newest else pd.Series([None] * len(newest), index=newest.index)
    return [
        TableRow(
            int(time), int(series), None if pd.isna(value) else float(value), text if isinstance(text, str) else None
        )
        for time, series, value, text in zip(times, newest["series"], newest["value"], texts, strict=True)
    ]
