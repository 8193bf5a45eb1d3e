"""A history as the JSON answer, or as the table that `tidewire.model.table_writers` writes; pure, done in a thread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from tidewire.model.table_writers import (
    BUCKET_COLUMNS,
    READING_COLUMNS,
    TABLE_FORMATS,
    encode_table,
    label_column,
)
from tidewire_service.history.history import History, SeriesColumns

__all__ = ["JSON", "HistoryJson", "encode_history", "history_table"]

JSON: Final = "json"  # the one format that is no table: series with the span and the cursor
_ZONE: Final = "UTC"


class HistoryJson(msgspec.Struct, frozen=True):
    """The JSON form of a history.

    Attributes:
        start_ms: first time asked for, Unix ms.
        end_ms: the end, exclusive, or null.
        step_ms: width of the buckets, or null: then the series hold the readings themselves.
        cursor: stream from here to go on without a gap.
        series: each with ``metric``, ``labels``, ``unit`` and columns of equal length: ``time``, ``value``, ``text``
            and ``step`` where there are some, and of buckets ``first``, ``min``, ``max``, ``mean``, ``count``: the
            ``time`` of a bucket is its start, ``value`` its last, and ``text`` that of its newest reading with one.
            Where the unit changes, also ``units``, and a bucket for each of them; ``unit`` is that of the newest.
    """

    start_ms: float
    end_ms: float | None
    step_ms: int | None
    cursor: str
    series: list[dict[str, Any]]


def _numbers(column: Any) -> list[float | None]:
    """Return a column as JSON has it: null for what is not a number."""
    return [None if math.isnan(number) else number for number in column.tolist()]


def _series_json(series: SeriesColumns) -> dict[str, Any]:
    found: dict[str, Any] = {"metric": series.metric, "labels": dict(series.labels), "unit": series.unit}
    found["time"] = series.time.tolist()
    found["value"] = _numbers(series.value)
    if series.buckets is not None:
        for name in ("first", "min", "max", "mean"):
            found[name] = _numbers(getattr(series.buckets, name))
        found["count"] = series.buckets.counts.tolist()
    if series.units is not None:
        found["units"] = series.units
    if series.text is not None:
        found["text"] = series.text
    if series.step is not None:
        found["step"] = _numbers(series.step)
    return found


def _json(history: History) -> bytes:
    span = history.span
    return msgspec.json.encode(
        HistoryJson(
            start_ms=span.start_ms,
            end_ms=span.end_ms,
            step_ms=span.step_ms or None,
            cursor=str(history.cursor),
            series=[_series_json(series) for series in history.series],
        )
    )


# pa.array would import pandas (1 s, 60 MB) to see whether it was given some; these take what they take as it is.


def _numbers_array(column: np.ndarray[Any, Any], kind: pa.DataType, valid: np.ndarray[Any, Any] | None) -> pa.Array:
    """Return a NumPy column as Arrow's; null where it is not valid."""
    bitmap = None
    if valid is not None:
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
        column = np.where(valid, column, 0)  # so that the same rows are the same bytes
    return pa.Array.from_buffers(kind, column.size, [bitmap, pa.py_buffer(np.ascontiguousarray(column))])


def _texts_array(texts: Sequence[str | None]) -> pa.Array:
    builder = pa.lib.StringBuilder()
    builder.append_values(texts)
    return builder.finish()


def history_table(history: History) -> pa.Table:
    """Return the long table of a history: time in microseconds UTC, null where there is no number."""
    fixed = (*BUCKET_COLUMNS, "text") if history.span.step_ms else READING_COLUMNS
    labels = sorted({name for series in history.series for name in series.labels})
    lengths = [len(series) for series in history.series]

    def repeated(texts: list[str | None]) -> pa.Array:
        indices = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
        return _texts_array(texts).dictionary_encode().take(_numbers_array(indices, pa.int32(), None))

    def floats(name: str) -> pa.Array:
        parts = [_floats(series, name) for series in history.series]
        joined = np.concatenate(parts) if parts else np.empty(0)
        return _numbers_array(joined, pa.float64(), ~np.isnan(joined))

    columns: dict[str, Any] = {}
    for name in fixed:
        if name == "metric":
            columns[name] = repeated([series.metric for series in history.series])
        elif name == "unit":
            columns[name] = _units(history.series) or repeated([series.unit for series in history.series])
        elif name == "time":
            parts = [np.rint(series.time * 1e3).astype(np.int64) for series in history.series]
            joined = np.concatenate(parts) if parts else np.empty(0, np.int64)
            columns[name] = _numbers_array(joined, pa.timestamp("us", _ZONE), None)
        elif name == "count":
            counts = [series.buckets.counts for series in history.series if series.buckets is not None]
            joined = np.concatenate(counts) if counts else np.empty(0, np.int64)
            columns[name] = _numbers_array(joined, pa.int64(), None)
        elif name == "text":
            if any(series.text is not None for series in history.series):
                texts = [text for series in history.series for text in series.text or [None] * len(series)]
                columns[name] = _texts_array(texts)
        elif name != "step" or any(series.step is not None for series in history.series):
            columns[name] = floats(name)
    for label in labels:
        columns[label_column(label)] = repeated([series.labels.get(label) for series in history.series])
    for name in ("text", "step"):  # of readings beside those of the span
        if name in columns and columns[name].null_count == len(columns[name]):
            del columns[name]
    return pa.table(columns).replace_schema_metadata(
        {"tidewire.cursor": str(history.cursor), "tidewire.step_ms": str(history.span.step_ms)}
    )


def _units(series: Sequence[SeriesColumns]) -> pa.Array | None:
    """Return the unit of each row, None if no series changes its."""
    if all(one.units is None for one in series):
        return None
    return _texts_array([unit for one in series for unit in one.units or [one.unit] * len(one)]).dictionary_encode()


def _floats(series: SeriesColumns, name: str) -> Any:
    if name == "value":
        return series.value
    if name == "step":
        return np.full(len(series), np.nan) if series.step is None else series.step
    return getattr(series.buckets, name)


def encode_history(history: History, form: str) -> bytes:
    """Return a history in the JSON format, or in one of `TABLE_FORMATS`."""
    return _json(history) if form == JSON else encode_table(TABLE_FORMATS[form], history_table(history))
