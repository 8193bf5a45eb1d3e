"""A history as a file: JSON, NDJSON, CSV, Parquet or Arrow; pure, done in a thread.

The tables are long: one row for each reading or bucket, with a column for each label. CSV has what `POST /v1/readings`
takes back.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidewire.model.csv_escape import inert
from tidewire_service.history.history import History, SeriesColumns

__all__ = ["FORMATS", "FileFormat", "HistoryJson"]

_ZONE: Final = "UTC"


class HistoryJson(msgspec.Struct, frozen=True):
    """The JSON form of a history.

    Attributes:
        start_ms: first time asked for, Unix ms.
        end_ms: the end, exclusive, or null.
        step_ms: width of the buckets, or null: then the series hold the readings themselves.
        cursor: stream from here to go on without a gap.
        series: each with ``metric``, ``labels``, ``unit`` and columns of equal length: ``time``, ``value``, and either
            ``text``, ``step`` where there are some, or ``min``, ``max``, ``mean``, ``count`` of buckets, whose ``time``
            is their start and whose ``value`` is their last.
    """

    start_ms: float
    end_ms: float | None
    step_ms: int | None
    cursor: str
    series: list[dict[str, Any]]


class FileFormat(NamedTuple):
    """How a history is sent: media type, ending of the file's name, and the function that makes it."""

    media_type: str
    ending: str
    encode: Callable[[History], bytes]


def _numbers(column: Any) -> list[float | None]:
    """Return a column as JSON has it: null for what is not a number."""
    return [None if math.isnan(number) else number for number in column.tolist()]


def _series_json(series: SeriesColumns) -> dict[str, Any]:
    found: dict[str, Any] = {"metric": series.metric, "labels": dict(series.labels), "unit": series.unit}
    found["time"] = series.time.tolist()
    found["value"] = _numbers(series.value)
    if series.buckets is not None:
        for name in ("min", "max", "mean"):
            found[name] = _numbers(getattr(series.buckets, name))
        found["count"] = series.buckets.counts.tolist()
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


def _ndjson(history: History) -> bytes:
    return b"".join(msgspec.json.encode(_series_json(series)) + b"\n" for series in history.series)


def _label_columns(history: History, taken: tuple[str, ...]) -> dict[str, str]:
    """Return for each label name the name of its column, which is another where a fixed column has it already."""
    names = sorted({name for series in history.series for name in series.labels})
    return {name: f"label.{name}" if name in taken else name for name in names}


def _columns(history: History) -> tuple[str, ...]:
    if history.span.step_ms:
        return ("metric", "time", "value", "min", "max", "mean", "count", "unit")
    text = any(series.text is not None for series in history.series)
    step = any(series.step is not None for series in history.series)
    return ("metric", "time", "value", "unit", *(("text",) if text else ()), *(("step",) if step else ()))


def _csv(history: History) -> bytes:
    fixed = _columns(history)
    labels = _label_columns(history, fixed)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*fixed, *(inert(name) for name in labels.values())])
    for series in history.series:
        constant = {"metric": inert(series.metric), "unit": inert(series.unit)}
        ending = [inert(series.labels.get(name, "")) for name in labels]
        for row in _rows(series):
            writer.writerow([*(constant[name] if name in constant else row[name] for name in fixed), *ending])
    return out.getvalue().encode()


def _rows(series: SeriesColumns) -> Iterator[dict[str, Any]]:
    """Yield the readings or buckets of a series as the cells of a line; an empty cell where there is no number."""
    columns: dict[str, list[Any]] = {"time": series.time.tolist(), "value": _numbers(series.value)}
    if series.buckets is not None:
        columns |= {name: _numbers(getattr(series.buckets, name)) for name in ("min", "max", "mean")}
        columns["count"] = series.buckets.counts.tolist()
    else:
        nothing = [None] * len(series)
        columns["text"] = [text if text is None else inert(text) for text in series.text or nothing]
        columns["step"] = nothing if series.step is None else _numbers(series.step)
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(columns, cells, strict=True))


# pa.array would import pandas (1 s, 60 MB) to see whether it was given some; these take what they take as it is.


def _numbers_array(column: np.ndarray[Any, Any], kind: pa.DataType, valid: np.ndarray[Any, Any] | None) -> pa.Array:
    """Return a NumPy column as Arrow's; null where it is not valid."""
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, column.size, [bitmap, pa.py_buffer(np.ascontiguousarray(column))])


def _texts_array(texts: list[str | None]) -> pa.Array:
    builder = pa.lib.StringBuilder()
    builder.append_values(texts)
    return builder.finish()


def _table(history: History) -> pa.Table:
    """Return the long table: time in microseconds UTC, null where there is no number."""
    fixed = _columns(history)
    labels = _label_columns(history, fixed)
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
            columns[name] = repeated([series.unit for series in history.series])
        elif name == "time":
            parts = [np.rint(series.time * 1e3).astype(np.int64) for series in history.series]
            joined = np.concatenate(parts) if parts else np.empty(0, np.int64)
            columns[name] = _numbers_array(joined, pa.timestamp("us", _ZONE), None)
        elif name == "count":
            counts = [series.buckets.counts for series in history.series if series.buckets is not None]
            joined = np.concatenate(counts) if counts else np.empty(0, np.int64)
            columns[name] = _numbers_array(joined, pa.int64(), None)
        elif name == "text":
            texts = [text for series in history.series for text in series.text or [None] * len(series)]
            columns[name] = _texts_array(texts)
        else:
            columns[name] = floats(name)
    for label, name in labels.items():
        columns[name] = repeated([series.labels.get(label) for series in history.series])
    return pa.table(columns).replace_schema_metadata(
        {"tidewire.model.cursor": str(history.cursor), "tidewire.step_ms": str(history.span.step_ms)}
    )


def _floats(series: SeriesColumns, name: str) -> Any:
    if name == "value":
        return series.value
    if name == "step":
        return np.full(len(series), np.nan) if series.step is None else series.step
    return getattr(series.buckets, name)


def _parquet(history: History) -> bytes:
    out = io.BytesIO()
    pq.write_table(_table(history), out, compression="zstd")
    return out.getvalue()


def _arrow(history: History) -> bytes:
    table = _table(history)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


FORMATS: Final = {
    "json": FileFormat("application/json", "json", _json),
    "ndjson": FileFormat("application/x-ndjson", "ndjson", _ndjson),
    "csv": FileFormat("text/csv; charset=utf-8", "csv", _csv),
    "parquet": FileFormat("application/vnd.apache.parquet", "parquet", _parquet),
    "arrow": FileFormat("application/vnd.apache.arrow.stream", "arrow", _arrow),
}
