"""Publishes the columns of a data frame through a publisher."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tidewire.errors import InvalidInput, MissingExtra
from tidewire.model.batch import (
    Batch,
    IngestLimits,
    checked_labels,
    checked_name,
    checked_time_ms,
    checked_unit,
    checked_value,
    index_times,
)
from tidewire.publishing.publisher import AnyPublisher, Publisher
from tidewire.publishing.time_check import present_ms

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["publish_frame"]

T = TypeVar("T")
_ROWS_PER_BATCH: Final = 1_000
_log = logging.getLogger("tidewire")


def publish_frame(
    frame: pd.DataFrame | pd.Series[Any],
    *,
    metric: str | None = None,
    prefix: str = "",
    unit: str = "",
    labels: Mapping[str, str] | None = None,
    label_columns: Hashable | Sequence[Hashable] = (),
    publisher: AnyPublisher | None = None,
) -> int:
    """Publish the numeric columns of a frame whose index is time; return how many readings were handed over.

    A column is numeric if its cells are numbers or missing, of whatever type: booleans are 0 and 1. A warning names the
    columns that are left out. Everything is checked before anything is published.

    Args:
        frame: indexed by aware times, or milliseconds since the Unix epoch; a plain RangeIndex means now. One metric
            per numeric column; the levels of a MultiIndex are levels of its name. A Series is a frame of one column.
        label_columns: columns that are labels and not metrics; each set of their values is a series, and a missing
            value is no label.
        metric: name for a frame of one numeric column; its column name if None.
        prefix: put before each column's name, such as ``plant/``.
        unit: of all columns.
        labels: of all columns.
        publisher: where to publish; one of its own, flushed before this returns, if None.

    Raises:
        InvalidInput: an index that is no aware time, a column name that is no metric or stands for two columns, a cell
            that is no label, no column of numbers, or a `metric` for more than one.
        LimitExceeded: more labels than a series may have.
    """
    try:
        import pandas  # noqa: PLC0415 - heavy, and an extra
    except ImportError as error:
        raise MissingExtra("publish_frame()", "notebook") from error
    if isinstance(frame, pandas.Series):
        if frame.name is None and metric is None:
            raise InvalidInput("metric", None, "is missing, and the Series has no name; give one of them")
        frame = frame.to_frame("" if frame.name is None else frame.name)
    if not isinstance(frame, pandas.DataFrame):
        raise InvalidInput("frame", frame, "expected a pandas DataFrame or Series whose index is time")
    if not isinstance(prefix, str):
        raise InvalidInput("prefix", prefix, f"expected a text, got {type(prefix).__name__}")
    label_columns = _listed(label_columns, frame.columns)
    with contextlib.nullcontext(publisher) if publisher is not None else Publisher() as target:
        batches = list(_batches(frame, metric, prefix, unit, labels or {}, label_columns, target._limits))
        for batch in batches:
            target.publish_batches([batch], default_time=index_times(frame) is None)
    return sum(map(len, batches))


def _batches(
    frame: pd.DataFrame,
    metric: str | None,
    prefix: str,
    unit: str,
    labels: Mapping[str, str],
    label_columns: Sequence[Hashable],
    limits: IngestLimits,
) -> Iterator[Batch]:
    """Yield the readings of a frame, for each set of labels column by column."""
    wanted = set(map(_name, label_columns))
    missing = wanted.difference(map(_name, frame.columns))
    if missing:
        there = ", ".join(map(_name, frame.columns))
        raise InvalidInput("label_columns", ", ".join(sorted(missing)), f"the frame has the columns {there}")
    label_cells: list[tuple[str, list[str | None]]] = []
    numeric: list[tuple[str, list[float | None]]] = []
    left_out: list[str] = []
    for place, name in enumerate(map(_name, frame.columns)):
        column = frame.iloc[:, place]  # by place: two columns may have one name
        if name in wanted:
            label_cells.append((name, _labels(name, column)))
        elif (numbers := _numbers(name, column)) is not None:
            numeric.append((name, numbers))
        else:
            left_out.append(f"{name} ({column.dtype})")
    if not len(frame):
        return
    columns = _by_name(numeric)
    if not columns:
        why = "has no column of numbers to publish; convert one, such as with astype(float)"
        raise InvalidInput("frame", ", ".join(left_out), why)
    if metric is not None and len(columns) > 1:
        raise InvalidInput("metric", metric, f"names one column, and the frame has {', '.join(columns)}; use prefix=")
    metrics = {name: checked_name(f"{prefix}{name}" if metric is None else metric) for name in columns}
    unit = checked_unit(unit)
    times = _times(frame)
    if left_out:
        _log.warning("not published, since these columns hold no numbers: %s", ", ".join(left_out))
    for rows, more in _label_sets(_by_name(label_cells), len(frame)):
        labels_ = checked_labels({**labels, **more}, limits)
        for name, values in columns.items():
            for first in range(0, len(rows), _ROWS_PER_BATCH):
                few = rows[first : first + _ROWS_PER_BATCH]
                yield Batch(
                    metric=metrics[name],
                    labels=labels_,
                    unit=unit,
                    time=[times[row] for row in few],
                    value=[values[row] for row in few],
                )


def _listed(given: Hashable | Sequence[Hashable], columns: pd.Index[Any]) -> Sequence[Hashable]:
    """Return the columns that are labels as a list, also if one was given by its name alone."""
    if given is None or (isinstance(given, tuple) and not given):  # an empty one would name each of a MultiIndex
        return []
    if isinstance(given, Hashable) and given in columns:
        return [given]
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise InvalidInput("label_columns", given, f"the frame has the columns {', '.join(map(str, columns))}")
    return list(given)


def _name(column: object) -> str:
    """Return the name of a column; the levels of a MultiIndex, but empty ones, are levels of it.

    Raises:
        InvalidInput: it has none.
    """
    levels = column if isinstance(column, tuple) else (column,)
    if any(level is None or level != level for level in levels):  # noqa: PLR0124 - NaN
        raise InvalidInput("frame", column, "is the name of a column, or a level of it; rename it")
    return "/".join(str(level) for level in levels if level != "")


def _by_name(columns: list[tuple[str, T]]) -> dict[str, T]:
    found = dict(columns)
    if len(found) < len(columns):
        names = [name for name, _ in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidInput("frame", ", ".join(twice), "names more than one column; rename them")
    return found


def _times(frame: pd.DataFrame) -> list[float]:
    """Return the times of the rows, Unix ms."""
    index, own_ms = index_times(frame), time.time() * 1e3
    if index is None:
        return [own_ms] * len(frame)
    if index.nlevels > 1:
        why = "is a MultiIndex; with reset_index() make its times the index, and its other levels label_columns"
        raise InvalidInput("index", ", ".join(map(str, index.names)), why)
    now_ms = present_ms(own_ms)
    return [checked_time_ms(each, field=f"index[{row}]", now_ms=now_ms) for row, each in enumerate(index.tolist())]


def _numbers(name: str, column: pd.Series[Any]) -> list[float | None] | None:
    """Return the numbers of a column, None if it holds anything else, or nothing of a type that is no number's."""
    import numpy as np  # noqa: PLC0415 - as pandas
    import pandas  # noqa: PLC0415 - heavy, and an extra

    cells = [None if missing else cell for cell, missing in zip(column.tolist(), column.isna().tolist(), strict=True)]
    known = [cell for cell in cells if cell is not None]
    if not all(isinstance(cell, (Number, np.bool_)) and not isinstance(cell, complex) for cell in known):
        return None
    if not known and not pandas.api.types.is_numeric_dtype(column.dtype):
        return None
    return [checked_value(cell, field=f"{name}[{row}]") for row, cell in enumerate(cells)]


def _labels(name: str, column: pd.Series[Any]) -> list[str | None]:
    """Return the cells of a column as texts, None where one is missing; as parts of a row they would be converted.

    Raises:
        InvalidInput: a cell is no one thing.
    """
    texts: list[str | None] = []
    for row, (cell, missing) in enumerate(zip(column.tolist(), column.isna().tolist(), strict=True)):
        if isinstance(cell, (bytes, bytearray)) or (isinstance(cell, Collection) and not isinstance(cell, str)):
            raise InvalidInput(f"{name}[{row}]", cell, f"is no label, but of type {type(cell).__name__}; make it text")
        texts.append(None if missing else str(cell))
    return texts


def _label_sets(cells: Mapping[str, list[str | None]], count: int) -> Iterator[tuple[Sequence[int], dict[str, str]]]:
    """Yield the rows of each set of labels, in order of first sight, and the set."""
    if not cells:
        yield range(count), {}
        return
    rows: dict[tuple[str | None, ...], list[int]] = {}
    for row, values in enumerate(zip(*cells.values(), strict=True)):
        rows.setdefault(values, []).append(row)
    for values, found in rows.items():
        yield found, {name: value for name, value in zip(cells, values, strict=True) if value is not None}
