"""The results of formulas as the rows of files and tables."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import pyarrow as pa

from tidewire.livestore.shared_formulas import FormulaResult
from tidewire.model.table_writers import label_column
from tidewire_dashboard.analysis import Part

__all__ = ["parts_of"]


class _NamedResult(msgspec.Struct, frozen=True):
    index: int
    metric: str
    labels: dict[str, str]


def parts_of(results: Iterable[FormulaResult]) -> list[Part]:
    """Return series of a result as parts of a file; the metric of each is the name that it keeps, or the formula."""
    return [_part_of(one) for one in results]


def _part_of(one: FormulaResult) -> Part:
    count = len(one.value)
    columns = {
        "metric": pa.array([one.metric] * count).dictionary_encode(),
        "time": pa.array(one.time_ms.astype(np.int64) * 1_000, pa.timestamp("us", "UTC")),
        "value": pa.array(one.value),
        "unit": pa.array([one.unit] * count).dictionary_encode(),
        **{label_column(name): pa.array([text] * count).dictionary_encode() for name, text in one.entry.labels.items()},
    }
    return Part(_NamedResult(one.entry.i, one.metric, one.entry.labels), pa.table(columns))
