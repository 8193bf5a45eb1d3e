"""Adds to the lines of a run what the history answered, and what the stream brought; no I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.run_series import RunSeries
from tidewire.model.answers import HistoryColumns
from tidewire.model.batch import FINISHED, Batch
from tidewire.model.units import unit_key

__all__ = ["add_batches", "add_columns"]


def add_columns(lines: RunSeries, columns: HistoryColumns) -> None:
    """Add the readings of one series of a page of the history; of several units those in the newest."""
    count = len(columns.time)
    step = _numbers(columns.step) if len(columns.step) == count else None
    ends = np.array([text == FINISHED for text in columns.text]) if len(columns.text) == count else None
    time_ms, value = _numbers(columns.time), _numbers(columns.value)
    if len(columns.units) == count:
        newest = unit_key(columns.unit)
        own = np.array([not unit or unit_key(unit) == newest for unit in columns.units])
        time_ms, value = time_ms[own], value[own]
        step, ends = None if step is None else step[own], None if ends is None else ends[own]
    lines.add(time_ms, value, step, ends, columns.unit)


def add_batches(lines: RunSeries, batches: Sequence[Batch]) -> None:
    """Add batches of one series in the order of the log; one without a unit has that of the one before."""
    unit, parts = lines.unit, list[list[Batch]]()
    for batch in batches:
        if not parts or (batch.unit and unit_key(batch.unit) != unit_key(unit)):
            parts.append([])
        unit = batch.unit or unit
        parts[-1].append(batch)
    for part in parts:
        time_ms = _numbers([one for batch in part for one in batch.time])
        value = _numbers([one for batch in part for one in batch.value])
        step = ends = None
        if any(batch.step is not None for batch in part):
            step = _numbers([one for batch in part for one in batch.step or [None] * len(batch.time)])
        if any(batch.text is not None for batch in part):
            ends = np.array([one == FINISHED for batch in part for one in batch.text or [None] * len(batch.time)])
        lines.add(time_ms, value, step, ends, next((batch.unit for batch in part if batch.unit), ""))


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)
