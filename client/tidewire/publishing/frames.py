"""Publishes the columns of a data frame through a publisher."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tidewire.errors import InvalidInput, MissingExtra
from tidewire.publishing.publisher import AnyPublisher, Publisher

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["publish_frame"]

_ROWS_PER_BATCH: Final = 1_000


def publish_frame(
    frame: pd.DataFrame | pd.Series[Any],
    *,
    metric: str | None = None,
    prefix: str = "",
    unit: str = "",
    labels: Mapping[str, str] | None = None,
    label_columns: Sequence[str] = (),
    publisher: AnyPublisher | None = None,
) -> int:
    """Publish the numeric columns of a frame whose index is time; return how many readings were handed over.

    Columns of anything else (texts, say) are left out; booleans are 0 and 1.

    Args:
        frame: indexed by aware times (a naive index is refused); one metric per numeric column. A Series is a frame of
            one column.
        label_columns: columns that are labels and not metrics; each set of their values is a series.
        metric: name for a frame of one numeric column; its column name if None.
        prefix: put before each column's name, such as ``plant/``.
        unit: of all columns.
        labels: of all columns.
        publisher: where to publish; one of its own, flushed before this returns, if None.

    Raises:
        InvalidInput: an index that is no aware time, a column name that is no metric, no column of numbers, or a
            `metric` for more than one.
    """
    try:
        import pandas  # noqa: PLC0415 - heavy, and an extra
    except ImportError as error:
        raise MissingExtra("publish_frame()", "notebook") from error
    if isinstance(frame, pandas.Series):
        frame = frame.to_frame()
    if not isinstance(frame, pandas.DataFrame):
        raise InvalidInput("frame", frame, "expected a pandas DataFrame or Series whose index is time")
    return _publish_frame(frame, metric, prefix, unit, labels or {}, label_columns, publisher)


def _publish_frame(
    frame: pd.DataFrame,
    metric: str | None,
    prefix: str,
    unit: str,
    labels: Mapping[str, str],
    label_columns: Sequence[str],
    publisher: AnyPublisher | None,
) -> int:
    missing = [name for name in label_columns if name not in frame.columns]
    if missing:
        raise InvalidInput("label_columns", missing, f"the frame has the columns {', '.join(map(str, frame.columns))}")
    numeric = frame.drop(columns=list(label_columns)).select_dtypes(["number", "bool", "boolean"])
    columns = ", ".join(map(str, numeric.columns))
    if not columns:
        kinds = ", ".join(f"{name} ({kind})" for name, kind in frame.dtypes.items())
        raise InvalidInput(
            "frame", kinds, "has no column of numbers to publish; convert one, such as with astype(float)"
        )
    if metric is not None and numeric.shape[1] > 1:
        raise InvalidInput("metric", metric, f"names one column, and the frame has {columns}; use prefix=")
    published = 0
    with contextlib.nullcontext(publisher) if publisher is not None else Publisher() as target:
        for rows, more in _label_sets(frame, label_columns):
            part = numeric if rows is None else numeric.iloc[rows]
            times = [stamp.to_pydatetime() if hasattr(stamp, "to_pydatetime") else stamp for stamp in part.index]
            for name in part.columns:
                values = part[name].tolist()
                named = f"{prefix}{name}" if metric is None else metric
                for first in range(0, len(values), _ROWS_PER_BATCH):
                    few = slice(first, first + _ROWS_PER_BATCH)
                    target.publish(named, values[few], time=times[few], unit=unit, labels={**labels, **more})
                    published += len(values[few])
    return published


def _label_sets(frame: pd.DataFrame, label_columns: Sequence[str]) -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield the rows of each set of labels, and the set; what is missing in a row is no label of it."""
    if not label_columns:
        yield None, {}
        return
    groups = frame.groupby(list(label_columns), dropna=False, observed=True, sort=False)
    for rows in groups.indices.values():
        first = frame.iloc[rows[0]]
        yield rows, {name: str(first[name]) for name in label_columns if first[name] == first[name]}
