"""Keeps a formula evaluated over a sliding window of buckets: a tick computes the columns that changed; no I/O.

A reading changes the buckets from its own on. So most ticks compute the last bucket or two, whatever the window. The
past of the window is computed backwards, a part with each tick, since it may hold a million values.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import MAX_VALUES, over_budget
from tidewire.evaluation.frame import Work
from tidewire.evaluation.plan import Plan, plan_formula
from tidewire.evaluation.reading_table import Floats
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.model.formulas.tree import Node

__all__ = ["LiveFormula"]

_CELLS: Final = 262_144  # most values of one part at once: 2 MiB
_FIRST_COLUMNS: Final = 16  # of the past; then twice as many, and so on, up to …
_PAST_WORK: Final = 1e7  # … about so many nanoseconds in a tick
_REST_TICKS: Final = 25  # after an error, before it is tried again
_NOTHING: Final = 1 << 62  # no bucket
_TICK_WORK: Final = 1e8  # about nanoseconds; more is an error


class LiveFormula:
    """A formula over a window of buckets.

    Args:
        readings: what it reads; it is opened there.
        node: the tree.
        step_ms: width of a bucket.
        count: how many there are.

    Attributes:
        plan: its series: labels and units; another object when series were born.
        value: float64[series, count], in the order of `plan.labels`; NaN where there is no number to draw. A view: the
            next tick may change it.
        first: number of the first bucket; `last` is that of the last one.
        complete: all of the window has been computed once.

    Raises:
        InvalidFormula: it cannot be evaluated over the series that there are, or not in a window of so many buckets.
    """

    def __init__(self, readings: FormulaReadings, node: Node, step_ms: float, count: int) -> None:
        self.readings = readings
        self.node = node
        self.step_ms = step_ms
        self.count = count
        self.first = 0
        self.complete = False
        self._built = 0  # first bucket that is up to date, while the past is computed down to `_until`; else 0
        self._until = 0
        self._again = _NOTHING  # first bucket that is to be computed anew after that
        self._resting = 0
        self._refused = InvalidFormula("cost", 0, 0, "")
        self._reads: tuple[list[int], list[str]] | None = None
        self._buffer: Floats = np.zeros((0, 2 * count))
        self._at = 0  # where the window begins in the buffer
        self.value: Floats = self._buffer[:, :count]
        readings.open(node)
        try:
            self._lay_out()
        except InvalidFormula:
            readings.close(node)
            raise

    @property
    def last(self) -> int:
        """Return the number of the last bucket."""
        return self.first + self.count - 1

    @property
    def late(self) -> bool:
        """Return whether a series that it reads is late: its partition of the log does not answer."""
        store = self.readings.store
        return bool(store.late) and any(
            store.is_late(store.series[index]) for index in self.readings.indices[self.plan.used].tolist()
        )

    def close(self) -> None:
        """Give up what it reads."""
        self.readings.close(self.node)

    def tick(self, now_ms: float) -> int:
        """Advance to the log's clock, after `FormulaReadings.refresh`.

        Args:
            now_ms: the log's clock; the last bucket holds it.

        Returns:
            The first bucket that may differ from what it was; `last` + 1 if none does.

        Raises:
            InvalidFormula: of kind ``match``, ``duplicate``, ``cost``, ``series`` or ``points``.
        """
        if self._resting and self._births == self.readings.births:
            self._resting -= 1
            raise self._refused
        try:
            if self.readings.full:
                over_budget(self.node)
            return self._advance(math.floor(now_ms / self.step_ms))
        except InvalidFormula as error:
            self._refused, self._resting = error, _REST_TICKS
            self._begin()
            raise

    def _advance(self, last: int) -> int:
        if self._births != self.readings.births:
            self._lay_out()
        was_last = self._slide(last)
        used = self.readings.changed_from_ms[self.plan.used]
        changed_ms = float(used.min()) if used.size else np.inf
        changed = was_last + 1
        if changed_ms < np.inf:
            changed = max(self.first, min(changed, math.floor(max(changed_ms, 0.0) / self.step_ms)))
        work = Work(_TICK_WORK, lambda: over_budget(self.node))
        at_once = max(1, _CELLS // self.plan.rows)
        if last - changed >= at_once:  # the newest now, the rest in parts
            self._again = min(self._again, changed)
            changed = last - at_once + 1
        if changed < self._built:
            self._until = min(self._until, changed)
        self._compute(max(changed, self._built), last, work)
        return min(changed, self._past(at_once, work))

    def _slide(self, last: int) -> int:
        """Move the window to its last bucket; return the last one before."""
        was_last, shift = self.last, last - self.last
        if not 0 <= shift < self.count:
            self.value.fill(np.nan)
            self.first = last - self.count + 1
            self._begin()
            return last
        if shift:
            self._at += shift
            if self._at > self.count:  # the buffer holds two windows: it is moved once in so many buckets
                self._buffer[:, : self.count - shift] = self.value[:, shift:]
                self._at = 0
            self.value = self._buffer[:, self._at : self._at + self.count]
            self.value[:, -shift:] = np.nan
            self.first += shift
        return was_last

    def _begin(self) -> None:
        """Compute all of the window, from its last bucket on backwards."""
        self.complete = False
        self._built = self.last + 1
        self._until = 0
        self._again = _NOTHING

    def _past(self, at_once: int, work: Work) -> int:
        """Compute a part of the past; return its first bucket, or one behind the last."""
        if not self._built:
            if self._again > self.last:
                return self.last + 1
            self._built, self._until, self._again = self.last + 1, self._again, _NOTHING
        until, columns = max(self.first, self._until), min(_FIRST_COLUMNS, at_once)
        enough = work.done + _PAST_WORK
        while self._built > until and work.done < enough:
            start = max(until, self._built - columns)
            self._compute(start, self._built - 1, work)
            self._built, columns = start, min(2 * columns, at_once)
        if self._built > until:
            return self._built
        self._built, self._until, self.complete = 0, 0, True
        return until

    def _compute(self, start: int, end: int, work: Work) -> None:
        """Write the buckets from `start` to `end`."""
        if end < start:
            return
        time_ms = np.arange(start + 1, end + 2, dtype=np.float64) * self.step_ms
        work.add(self.plan.rows * time_ms.size * self.plan.parts * 2.0)
        found = self.plan.run(self.readings.frame(time_ms, self.step_ms, work))
        drawn = found.here & np.isfinite(found.value)
        self.value[:, start - self.first : end - self.first + 1] = np.where(drawn, found.value, np.nan)

    def _lay_out(self) -> None:
        """Lay the formula out over the series that there are, and begin anew if it reads others than before."""
        table = self.readings.table
        plan = plan_formula(self.node, table)
        self._births = self.readings.births
        reads = plan.used.tolist(), [table.units[row] for row in plan.used.tolist()]
        if reads == self._reads:
            return
        if len(plan.labels) * self.count > MAX_VALUES:
            raise InvalidFormula(
                "points", self.node.position, self.node.end, f"more than {MAX_VALUES} values", "fewer series: aggregate"
            )
        self.plan: Plan = plan
        self._reads = reads
        self._buffer = np.full((len(plan.labels), 2 * self.count), np.nan)
        self._at = 0
        self.value = self._buffer[:, : self.count]
        self._begin()
