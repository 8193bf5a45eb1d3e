"""Analysis: the raw readings of some series in a window, from the service's history, and what pandas says of them."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import pandas as pd
import pyarrow as pa

from tidewire.errors import LimitExceeded, ServiceUnavailable
from tidewire.livestore.gaps import gap_limit_ms
from tidewire.livestore.series import Series
from tidewire.model.csv_escape import inert
from tidewire.subscribing.service_client import AsyncServiceClient

__all__ = ["Readings", "as_file", "statistics", "table"]

_MAX_ROWS: Final = 2_000_000
_TIMEOUT_S: Final = 30.0
_MAX_ANSWER_BYTES: Final = 1 << 30  # the service bounds an answer by its readings, whose texts may be long
_AT_ONCE: Final = 2
_SHORTEST_MS: Final = 1_000.0  # a window that holds too much even so is too much
_METRICS_PER_REQUEST: Final = 32
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_KNOWN: Final = ("series", "metric", "time", "value", "unit", "text", "step")


class Readings:
    """Reads raw readings from `/v1/history`; to be used in one event loop, and closed.

    Args:
        url: the service.
        token: bearer token, empty for none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._client = AsyncServiceClient(url, token, timeout_s=_TIMEOUT_S, max_bytes=_MAX_ANSWER_BYTES)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def read(self, series: Sequence[Series], start_ms: float, end_ms: float) -> pd.DataFrame:
        """Return the readings with start ≤ time < end.

        Returns:
            A row per reading, by series and time: series (its index), metric, time (UTC), value, unit, text, step where
            there are any, and a column for each label.

        Raises:
            LimitExceeded: more than two million readings.
            ServiceUnavailable: the service does not answer.
            ServiceRefused: it refuses.
        """
        frames: list[pd.DataFrame] = []
        metrics = sorted({one.metric for one in series})
        labels = series[0].labels if len(series) == 1 else {}
        async with self._turns:
            for first in range(0, len(metrics), _METRICS_PER_REQUEST):
                spans = [(start_ms, end_ms)]
                while spans:
                    start, end = spans.pop()
                    found = await self._span(metrics[first : first + _METRICS_PER_REQUEST], labels, start, end)
                    if found is None:  # too much for one answer
                        middle = math.floor((start + end) / 2)
                        if end - start < _SHORTEST_MS:
                            raise LimitExceeded("readings in one second", _MAX_ROWS, _MAX_ROWS, "ask for fewer series")
                        spans += [(middle, end), (start, middle)]
                        continue
                    frames.append(await asyncio.to_thread(_of, series, found))
                    rows = sum(map(len, frames))
                    if rows > _MAX_ROWS:
                        raise LimitExceeded("readings", _MAX_ROWS, rows, "ask for less time or fewer series")
        return await asyncio.to_thread(_joined, frames)

    async def _span(
        self, metrics: Sequence[str], labels: Mapping[str, str], start_ms: float, end_ms: float
    ) -> pd.DataFrame | None:
        params: list[tuple[str, str | int | float | bool | None]] = [("metric", metric) for metric in metrics]
        params += [("label", f"{name}:{value}") for name, value in labels.items()]
        params += [("start", repr(start_ms)), ("end", repr(end_ms)), ("format", "arrow")]
        answer = await self._client.fetch("GET", "/v1/history", params=params)
        if answer.status == 413:
            return None
        return await asyncio.to_thread(_frame, answer.checked().body)


def _frame(content: bytes) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pa.ipc.open_stream(content).read_all().to_pandas()
    except pa.ArrowInvalid as error:
        raise ServiceUnavailable(f"the history could not be read: {error}") from error
    return frame


def _of(series: Sequence[Series], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of these series, with their indices."""
    names = [column for column in frame.columns if column not in _KNOWN]
    parts = []
    for one in series:
        if not one.labels.keys() <= set(names):
            continue  # nobody in this span has such a label
        meant = frame["metric"].astype(str) == one.metric
        for name in names:
            given = one.labels.get(name)
            meant &= frame[name].isna() if given is None else frame[name].astype(object) == given
        parts.append(frame[meant].assign(series=one.index))
    return pd.concat(parts) if parts else frame.assign(series=0).iloc[:0]


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame({"series": [], "metric": [], "time": pd.to_datetime([], utc=True), "value": [], "unit": []})
    joined = pd.concat(filled, ignore_index=True)
    return joined.sort_values(["series", "time"], kind="stable", ignore_index=True)


def statistics(frame: pd.DataFrame, start_ms: float, end_ms: float) -> list[dict[str, Any]]:
    """Return what the readings of a window were, per series.

    Args:
        frame: of `Readings.read`.
        start_ms: the window's begin, Unix ms.
        end_ms: its end.

    Returns:
        Per series: ``i``, its index; ``count`` of readings; ``last``, ``mean``, ``p50``, ``p95``, ``p99``, ``min``,
        ``max``, ``std`` (of a sample) of those that are numbers, None where there are too few; ``rate``, readings per
        second of the window; ``gaps``, silences longer than three usual intervals and two seconds, and ``gap_ms``,
        milliseconds in them.
    """
    seconds = max(1e-3, (end_ms - start_ms) / 1e3)
    rows = []
    for index, part in frame.groupby("series", sort=True):
        values = part["value"].dropna().astype(float)
        waits = part["time"].astype("datetime64[ms, UTC]").astype("int64").diff().dropna()
        limit_ms = gap_limit_ms(float(waits.median()) if len(waits) >= 2 else math.nan)
        gaps = waits[waits > limit_ms]
        row: dict[str, Any] = {"i": int(str(index)), "count": len(part), "rate": len(part) / seconds}
        row |= {"gaps": len(gaps), "gap_ms": float(gaps.sum()), "last": _number(values.iloc[-1:].mean())}
        row |= {name: _number(getattr(values, name)()) for name in ("mean", "min", "max", "std")}
        row |= {name: _number(values.quantile(share)) for name, share in _QUANTILES.items()}
        rows.append(row)
    return rows


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]  # pandas's scalars are floats
    return number if math.isfinite(number) else None


def table(frame: pd.DataFrame, most: int) -> list[list[Any]]:
    """Return the newest readings, newest first: [Unix ms, index of the series, value or None, text or None]."""
    newest = frame.sort_values("time", ascending=False, kind="stable").head(most)
    times = newest["time"].astype("datetime64[ms, UTC]").astype("int64")
    texts = newest["text"] if "text" in newest else pd.Series([None] * len(newest), index=newest.index)
    return [
        [int(time), int(series), None if pd.isna(value) else float(value), text if isinstance(text, str) else None]
        for time, series, value, text in zip(times, newest["series"], newest["value"], texts, strict=True)
    ]


def as_file(frame: pd.DataFrame, kind: Literal["csv", "parquet"]) -> bytes:
    """Return the readings as a file: time, metric, labels, value, unit and what else there is, by time.

    In CSV, text that a spreadsheet would run begins with an apostrophe, see `tidewire.model.csv_escape`.
    """
    shown = frame.drop(columns=["series"]).sort_values("time", kind="stable", ignore_index=True)
    columns = ["time", *(column for column in shown.columns if column != "time")]
    shown = shown[columns]
    out = io.BytesIO()
    if kind == "parquet":
        shown.to_parquet(out, index=False)
        return out.getvalue()
    for column in shown.columns:
        if not pd.api.types.is_numeric_dtype(shown[column]) and column != "time":
            shown[column] = shown[column].astype(object).map(_inert)
    shown["time"] = shown["time"].map(lambda time: time.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    shown.columns = pd.Index([inert(str(column)) for column in shown.columns])
    shown.to_csv(out, index=False)
    return out.getvalue()


def _inert(cell: object) -> object:
    return inert(cell) if isinstance(cell, str) else cell
