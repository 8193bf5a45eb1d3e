"""Evaluates a formula over a window of the past, by the buckets of the service's history."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import MAX_VALUES, Result, evaluate
from tidewire.evaluation.plan import MAX_SERIES
from tidewire.evaluation.reading_table import SeriesReadings
from tidewire.evaluation.vectors import sorting
from tidewire.livestore.buckets import LAST, MAX, MIN, NUMBER, NUMERIC, SUM
from tidewire.livestore.formula_view import FormulaPast
from tidewire.livestore.history_cache import HistoryCache
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.formulas.reads import labels_of, reads
from tidewire.model.formulas.tree import Node

__all__ = ["evaluate_history", "need_ms", "past_of", "selected_series"]

_LOOK_BACK_MS: Final = 300_000.0  # what a series without a known pace is worth after its last reading
_MAX_WORK: Final = 2e9  # about nanoseconds, in a thread


def need_ms(node: Node) -> float:
    """Return how far before a time a formula reads to be right at it."""
    return max((read.window_ms for read in reads(node)), default=0.0)


def selected_series(node: Node, store: Store, may_see: Callable[[str], bool]) -> list[Series]:
    """Return the series that a formula reads, of those that a login may see."""
    selectors = [read.selector for read in reads(node)]
    with store.lock:
        return [
            one
            for one in store.series
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
) -> Result:
    """Return what a formula was in the buckets ``first`` to ``first + count - 1``.

    A counter that fell and rose again within one bucket is not seen to have fallen.

    Raises:
        InvalidFormula: it cannot be evaluated over the series that there are, or would need too many buckets.
        ServiceUnavailable: the service did not answer, or refused; says why.
    """
    series = selected_series(node, store, may_see)
    before = math.ceil((need_ms(node) + _LOOK_BACK_MS) / step_ms)
    if len(series) > MAX_SERIES * 2 or len(series) * (count + before) > MAX_VALUES:
        raise InvalidFormula(
            "cost", node.position, node.end, f"{len(series)} series by {count + before} buckets of the past",
            "fewer series, a shorter range, or less time",
        )  # fmt: skip
    older = await history_cache.older(series, first - before, count + before, step_ms) if series else None
    readings = []
    for one in series:
        table = older.tables.get(one.index) if older is not None else None
        rows = np.zeros((7, 0)) if table is None else table
        figures = rows[[MIN, MAX, SUM, NUMERIC]]
        readings.append(SeriesReadings(one.metric, one.labels, one.unit, rows[NUMBER] * step_ms, rows[LAST], figures))
    times = np.arange(first + 1, first + count + 1, dtype=np.float64) * step_ms
    return await asyncio.to_thread(
        evaluate, node, readings, times, step_ms=float(step_ms), edge="before", max_work=_MAX_WORK
    )


def past_of(result: Result, first: int, end: int) -> FormulaPast:
    """Return a result as what a live window shows of it up to a bucket."""
    value = {
        tuple(sorting(one.labels)): np.where(one.here & np.isfinite(one.value), one.value, np.nan)
        for one in result.series
    }
    return FormulaPast(first, end, value)
