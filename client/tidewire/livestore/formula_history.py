"""Evaluates a formula over a window of the past: by readings where memory has all, else by the history's buckets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import MAX_VALUES, Result, evaluate
from tidewire.evaluation.plan import MAX_SERIES
from tidewire.evaluation.reading_table import Floats, SeriesReadings
from tidewire.evaluation.vectors import sorting
from tidewire.livestore.buckets import BUCKET_ROWS, LAST, MAX, MIN, NUMBER, NUMERIC, SUM
from tidewire.livestore.formula_view import FormulaPast
from tidewire.livestore.history_cache import HistoryCache
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.livestore.window import NO_OLDER
from tidewire.model.formulas.reads import labels_of, reads
from tidewire.model.formulas.tree import Node

__all__ = ["evaluate_history", "need_ms", "past_of", "selected_series"]

_LOOK_BACK_MS: Final = 300_000.0  # what a series without a known pace is worth after its last reading
_MAX_WORK: Final = 2e9  # about nanoseconds, in a thread


def need_ms(node: Node) -> float:
    """Return how far before a time a formula reads to be right at it."""
    return max((read.window_ms for read in reads(node)), default=0.0)


def selected_series(node: Node, store: Store, may_see: Callable[[str], bool]) -> list[Series]:
    """Return the series that a formula reads, of those that a login may see; of 100,000 it takes half a second."""
    selectors = [read.selector for read in reads(node)]
    with store.lock:
        known = list(store.series)
    return [
        one
        for one in known
        if may_see(one.metric)
        and any(labels_of(selector, one.metric, one.labels) is not None for selector in selectors)
    ]


async def evaluate_history(
    node: Node,
    store: Store,
    history_cache: HistoryCache,
    may_see: Callable[[str], bool],
    *,
    first: int,
    count: int,
    step_ms: int,
) -> tuple[Result, int]:
    """Return what a formula was in the buckets ``first`` to ``first + count - 1``.

    A series of which memory has all readings is read from there. Of the others the history has buckets: there, a
    counter that fell and rose again within one is not seen to have fallen.

    Returns:
        The result, and how many series it was read from.

    Raises:
        InvalidFormula: it cannot be evaluated over the series that there are, or would need too many buckets.
        ServiceUnavailable: the service did not answer, or refused; says why.
    """
    series = await asyncio.to_thread(selected_series, node, store, may_see)
    before = math.ceil((need_ms(node) + _LOOK_BACK_MS) / step_ms)
    if len(series) > MAX_SERIES * 2 or len(series) * (count + before) > MAX_VALUES:
        raise InvalidFormula(
            "cost", node.position, node.end, f"{len(series)} series by {count + before} buckets of the past",
            "fewer series, a shorter range, or less time",
        )  # fmt: skip
    readings = _remembered(series, store, float((first - before) * step_ms), float((first + count) * step_ms))
    missing = [one for one in series if one.index not in readings]
    older = await history_cache.older(missing, first - before, count + before, step_ms) if missing else NO_OLDER
    for one in missing:
        rows = older.tables.get(one.index, np.zeros((BUCKET_ROWS, 0)))
        figures = rows[[MIN, MAX, SUM, NUMERIC]]
        readings[one.index] = _named(one, rows[NUMBER] * step_ms, rows[LAST], figures)
    times = np.arange(first + 1, first + count + 1, dtype=np.float64) * step_ms
    result = await asyncio.to_thread(
        evaluate, node, list(readings.values()), times, step_ms=float(step_ms), edge="before", max_work=_MAX_WORK
    )
    return result, len(series)


def _remembered(series: list[Series], store: Store, start_ms: float, end_ms: float) -> dict[int, SeriesReadings]:
    """Return the readings of those series of which memory has all since a time, by their index."""
    with store.lock:
        return {
            one.index: _named(one, *one.readings_between(start_ms, end_ms).copy())
            for one in series
            if max(store.covered(one, 1), one.unit_since_ms) <= start_ms
        }


def _named(one: Series, time_ms: Floats, value: Floats, figures: Floats | None = None) -> SeriesReadings:
    return SeriesReadings(one.metric, one.labels, one.unit, time_ms, value, figures)


def past_of(result: Result, first: int, end: int) -> FormulaPast:
    """Return a result as what a live window shows of it up to a bucket."""
    value = {
        tuple(sorting(one.labels)): np.where(one.here & np.isfinite(one.value), one.value, np.nan)
        for one in result.series
    }
    return FormulaPast(first, end, value)
