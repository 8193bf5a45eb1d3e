"""What is sent of a window over very many series in their place: a few rows of a band, a heat map or a top ten; no I/O.

A row is drawn as a series of a result is. Which rows there are may change while the window moves: the three series of a
band that stand out at most every five seconds, the ranks of a top ten every second, the ranges of a heat map when the
values leave them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from tidewire.evaluation.reading_table import Floats
from tidewire.evaluation.summaries import (
    QUANTILES,
    Bins,
    bins_for,
    counts_by_bin,
    extremes,
    live_counts,
    quantiles,
    ranked,
)
from tidewire.evaluation.vectors import Labels, only_unit

__all__ = ["Row", "RowKey", "Summary", "SummaryKind", "summarize"]

SummaryKind: TypeAlias = Literal["band", "heat", "top"]
RowKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
_CHOOSE_MS: Final = {"band": 5_000.0, "heat": 5_000.0, "top": 1_000.0}
_MOST_RANKED: Final = 10


class Row(NamedTuple):
    """What one row is of.

    Attributes:
        role: ``p5`` to ``p95``; ``count``, of the series that have a value; ``highest``, ``lowest``, ``changed``,
            ``top``: one of the series; ``cell``: how many series are from one value up to another.
        labels: of that series; of a cell its two values, ``from`` and ``to``; else none.
        unit: of its values.
    """

    role: str
    labels: Labels
    unit: str

    @property
    def key(self) -> RowKey:
        """Return what tells it from the others, now and later."""
        return self.role, tuple(sorted(self.labels.items()))


class Summary:
    """The rows of one window, live or fixed.

    Args:
        kind: what they are.

    Attributes:
        rows: in their order; set by `choose`.
        valued: which series had a value when they were chosen.
    """

    def __init__(self, kind: SummaryKind) -> None:
        self.kind = kind
        self.rows: list[Row] = []
        self.valued: list[int] = []
        self._places: list[int] = []  # rows of the values that are rows here
        self._bins: Bins | None = None
        self._labels: Sequence[Labels] | None = None
        self._chosen_ms = -math.inf

    def choose(
        self, labels: Sequence[Labels], units: Sequence[str], value: Floats, now_ms: float, since: int = 0
    ) -> bool:
        """Choose the rows, if it is time to.

        Args:
            labels: of the series; another list when they are others.
            units: of the series.
            value: float64[series, times] of the whole window.
            now_ms: the log's clock.
            since: before this column nothing has changed.

        Returns:
            Whether the rows are others than before: all of them are to be computed anew then.
        """
        same = labels is self._labels
        waits = 0 <= now_ms - self._chosen_ms < _CHOOSE_MS[self.kind]
        if same and waits and since > 0 and not self._beyond(value[:, since:]):
            return False
        self._labels, self._chosen_ms = labels, now_ms
        self.valued = np.flatnonzero(~np.isnan(value).all(axis=1)).tolist()
        rows, places = self._rows(labels, value, only_unit(units) if units else "")
        others = not same or rows != self.rows
        self.rows, self._places = rows, places
        return others

    def _rows(self, labels: Sequence[Labels], value: Floats, unit: str) -> tuple[list[Row], list[int]]:
        count = Row("count", {}, "")
        if self.kind == "heat":
            self._bins = self._bins_of(value)
            edges = [] if self._bins is None else [self._bins.edges(at) for at in range(self._bins.many)]
            cells = [Row("cell", {"from": repr(low), "to": repr(high)}, unit) for low, high in edges]
            return [count, *cells], []
        if self.kind == "top":
            places = ranked(value, _MOST_RANKED).tolist()
            return [count, *(Row("top", labels[at], unit) for at in places)], places
        lines = [Row(f"p{quantile * 100:g}", {}, unit) for quantile in QUANTILES]
        found = extremes(value)
        return [count, *lines, *(Row(role, labels[at], unit) for role, at in found.items())], list(found.values())

    def _bins_of(self, value: Floats) -> Bins | None:
        numbers = value[np.isfinite(value)]
        return bins_for(float(numbers.min()), float(numbers.max()), self._bins) if numbers.size else None

    def _beyond(self, value: Floats) -> bool:
        """Tell whether a heat map has values that none of its rows holds."""
        if self.kind != "heat":
            return False
        numbers = value[np.isfinite(value)]
        return numbers.size > 0 and (
            self._bins is None or not self._bins.hold(float(numbers.min()), float(numbers.max()))
        )

    def compute(self, value: Floats, *, begun: bool = False) -> Floats:
        """Return the rows at some times of the window, float64[rows, times]; NaN where there is nothing.

        Args:
            value: float64[series, times].
            begun: a series had a value before these times.
        """
        count = live_counts(value, begun=begun)[None, :]
        if self.kind == "heat":
            return count if self._bins is None else np.concatenate((count, counts_by_bin(value, self._bins)))
        if self.kind == "top":
            return np.concatenate((count, value[self._places]))
        return np.concatenate((count, quantiles(value), value[self._places]))


def summarize(
    kind: SummaryKind, labels: Sequence[Labels], units: Sequence[str], value: Floats
) -> tuple[list[Row], Floats]:
    """Return the rows of a fixed window, and what they are, float64[rows, times]."""
    summary = Summary(kind)
    summary.choose(labels, units, value, 0.0)
    return summary.rows, summary.compute(value)
