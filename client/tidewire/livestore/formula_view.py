"""Packs the sliding window of a formula once per tick, for every viewer that shares it; no I/O.

It serves as a `LiveView` does, but its series are those of the result, or a summary's rows in their place, and have
indices that the owner gives. Each bucket is one value: its smallest, largest, first and last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewire.errors import InvalidFormula
from tidewire.evaluation.plan import Plan
from tidewire.evaluation.reading_table import Floats
from tidewire.evaluation.vectors import Labels, sorting
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.live_formula import LiveFormula
from tidewire.livestore.summary import Row, Summary
from tidewire.livestore.view_frame import (
    BUCKET,
    DELTA,
    EMPTY,
    EXPONENT_SHIFT,
    FLAG_LATE,
    FLAG_PARTIAL,
    RANGE,
    RECORD,
    SNAPSHOT,
    ViewFrame,
    base_for,
    exponent_for,
    pack_frame,
)
from tidewire.livestore.window import BEYOND
from tidewire.model.bucket_steps import column_step_for
from tidewire.model.formulas.tree import Node

__all__ = ["NO_PAST", "FormulaPast", "FormulaView", "pack_values"]

_TICKS_KEPT: Final = 128  # a viewer that is further behind gets a snapshot
_REVIEW_TICKS: Final = 25  # in so many ticks the range of all buckets is looked at once; else that of new ones


class FormulaPast(NamedTuple):
    """What a formula was over buckets whose readings memory does not hold.

    Attributes:
        first: number of its first bucket.
        end: the number behind its last one.
        value: float64[end - first] by the sorted labels of a series of the result; NaN where there is no number.
    """

    first: int
    end: int
    value: Mapping[tuple[tuple[str, str], ...], Floats]


NO_PAST: Final = FormulaPast(0, 0, {})


class FormulaView:
    """A window of a formula's results for all viewers that asked for the same.

    Args:
        readings: what the formula reads; refreshed once per tick by its owner, before `tick`.
        node: the tree.
        window_ms: length of the window; it ends at the log's clock.
        buckets: how many columns of pixels hold the window; `BEYOND` more let its lines enter.
        index_of: gives a series of the result the index by which viewers know it.
        summary: what is sent in the place of the series, if not they.
        row_indices_of: gives the rows of the summary their indices.

    Attributes:
        live: the formula's values.
        step_ms: width of its buckets.
        count: how many there are.
        partial: its past is still to come from the history; set by the owner.
        version: rises when what is sent is of other series or rows: viewers need their labels and units anew.
        error: why the last tick computed nothing, None if it did; what was computed before is still packed.

    Raises:
        InvalidFormula: it cannot be evaluated over the series that there are.
    """

    def __init__(
        self,
        readings: FormulaReadings,
        node: Node,
        window_ms: float,
        buckets: int,
        index_of: Callable[[Labels], int] | None = None,
        *,
        summary: Summary | None = None,
        row_indices_of: Callable[[Sequence[Row]], Sequence[int]] | None = None,
    ) -> None:
        self.step_ms = column_step_for(window_ms, buckets)
        self.count = buckets + BEYOND
        self.version = 0
        self.error: InvalidFormula | None = None
        self.live = LiveFormula(readings, node, self.step_ms, self.count)
        self.partial = False
        self.summary = summary
        self._index_of = index_of
        self._row_indices_of = row_indices_of
        self._rows: Floats = np.zeros((0, self.count))  # of the summary …
        self._rows_first = 0  # … and the number of their first bucket
        self._past = NO_PAST
        self._plan = self.live.plan
        self._seq = -1
        self._now_ms = np.nan
        self._ticks: deque[tuple[int, int]] = deque(maxlen=_TICKS_KEPT)  # (seq, first bucket that changed with it)
        self._packed: dict[tuple[int, int], bytes] = {}
        self._empty_records()

    @property
    def plan(self) -> Plan:
        """Return the formula as it is laid out: labels and units of its series, and warnings."""
        return self._plan

    @property
    def loading(self) -> bool:
        """Return whether more of the window is still to come: until then its past is not known to be empty."""
        return self.partial or not self.live.complete

    def valued_rows(self) -> list[int]:
        """Return which series of the plan have a value in the window."""
        if self.summary is not None:
            return self.summary.valued
        return np.flatnonzero(self._records["total"]).tolist()

    @property
    def first(self) -> int:
        """Return the number of the first bucket."""
        return self.live.first

    @property
    def past_end(self) -> int:
        """Return the bucket up to which the history was laid over the window; 0 if it was not."""
        return self._past.end

    def set_past(self, past: FormulaPast) -> None:
        """Show what the history gave in the place of buckets whose readings memory does not hold."""
        self._past = past
        if self.live.first:  # the next frame is a snapshot
            self._ticks.clear()
            self._packed.clear()
            self._lay_past(self.live.first)
            self._summarize(self.live.first)
            self._describe(self.live.first)

    def close(self) -> None:
        """Give up what the formula reads."""
        self.live.close()

    def tick(self, seq: int, now_ms: float) -> None:
        """Advance the window to the log's clock; call once per tick, before `frame`.

        Args:
            seq: number of the tick, rising.
            now_ms: the log's clock.
        """
        if seq == self._seq:
            return
        self._seq, self._now_ms = seq, now_ms
        self._packed.clear()
        live = self.live
        try:
            changed = live.tick(now_ms)
        except InvalidFormula as error:
            self.error, changed = error, live.first
        else:
            self.error = None
        if live.plan is not self._plan:
            self._plan = live.plan
            self._other_rows()
        if changed < self._past.end:
            self._lay_past(changed)
        changed = self._summarize(changed)
        if self._describe(changed):
            changed = live.first
        self._ticks.append((seq, changed))

    def frame(self, view: int, since: int | None) -> bytes:
        """Return the frame for a viewer whose last frame of this view was `since`; None for a snapshot."""
        live, first = self.live, self.live.first
        if since is not None and self._ticks and since >= self._ticks[0][0]:
            changes = (changed for seq, changed in self._ticks if seq > since)
            first = max(first, min((*changes, live.last)))
        packed = self._packed.get((view, first))
        if packed is None:
            kind = SNAPSHOT if first == live.first else DELTA
            body = self._body(self._value[:, first - live.first :])
            frame = ViewFrame(kind, self._seq, self._now_ms, first, view, self.step_ms, self._records, body)
            packed = self._packed[view, first] = pack_frame(frame)
        return packed

    @property
    def _value(self) -> Floats:
        """Return what is sent, float64[rows, count]."""
        return self.live.value if self.summary is None else self._rows

    def _other_rows(self) -> None:
        self.version += 1
        self._empty_records()
        self._ticks.clear()

    def _summarize(self, changed: int) -> int:
        """Compute the rows of the summary from a bucket on; return the first one that may differ."""
        live, summary = self.live, self.summary
        if summary is None:
            return changed
        plan = self._plan
        if summary.choose(plan.labels, plan.units, live.value, self._now_ms, max(0, changed - live.first)):
            self._other_rows()
        shift = live.first - self._rows_first
        if len(summary.rows) != self._rows.shape[0] or not self._ticks or not 0 <= shift < live.count:
            self._rows, changed = np.full((len(summary.rows), live.count), np.nan), live.first
        elif shift:
            self._rows[:, :-shift] = self._rows[:, shift:]
        self._rows_first = live.first
        since = min(changed - live.first, live.count - shift) if 0 <= shift < live.count else 0
        begun = bool((self._rows[0, :since] >= 0).any())  # of the counts, which come first
        self._rows[:, since:] = summary.compute(live.value[:, since:], begun=begun)
        return changed

    def _lay_past(self, since: int) -> None:
        """Write what the history gave over the buckets from one on."""
        past, live = self._past, self.live
        start, end = max(since, live.first), min(past.end, live.last + 1)
        if start >= end:
            return
        value = np.full((len(self._plan.labels), end - start), np.nan)
        low = max(start, past.first)
        if low < end:
            for at, labels in enumerate(self._plan.labels):
                row = past.value.get(tuple(sorting(labels)))
                if row is not None:
                    known = row[low - past.first : end - past.first]
                    value[at, low - start : low - start + known.size] = known
        live.value[:, start - live.first : end - live.first] = value

    def _empty_records(self) -> None:
        self._records = np.zeros(len(indices := self._indices()), dtype=RECORD)
        count = len(indices)
        self._records["index"] = indices
        self._records["change"] = self._records["last_value"] = self._records["rate"] = np.nan
        self._records["expected_ms"] = self.step_ms
        self._low: Floats = np.full(count, np.nan)
        self._high: Floats = np.full(count, np.nan)
        self._exponents = np.zeros(count, dtype=np.int32)

    def _indices(self) -> Sequence[int]:
        """Return by what viewers know what is sent."""
        if self.summary is not None:
            rows, row_indices_of = self.summary.rows, self._row_indices_of
            return range(len(rows)) if row_indices_of is None else row_indices_of(rows)
        labels, index_of = self._plan.labels, self._index_of
        return range(len(labels)) if index_of is None else [index_of(one) for one in labels]

    def _describe(self, changed: int) -> bool:
        """Update the records; tell whether what is drawn before `changed` is written otherwise now."""
        live, records, value = self.live, self._records, self._value
        review = self._seq % _REVIEW_TICKS == 0 or changed == live.first
        new = value if review else value[:, max(0, changed - live.first) :]
        if new.size:
            low, high = np.fmin.reduce(new, axis=1), np.fmax.reduce(new, axis=1)
            if not review:
                low, high = np.fmin(low, self._low), np.fmax(high, self._high)
            rows = np.flatnonzero((low != self._low) | (high != self._high))  # NaN differs from itself: also these
            before = records["base"][rows], self._exponents[rows]
            self._low, self._high = low, high
            for row in rows.tolist():
                base = base_for(low[row], high[row], float(records["base"][row]))
                records["base"][row] = base
                self._exponents[row] = exponent_for(float(low[row]), float(high[row]), base)
            rewritten = bool((records["base"][rows] != before[0]).any() or (self._exponents[rows] != before[1]).any())
        else:
            rewritten = False
        records["flags"] = (self._exponents & 0xFFFF) << EXPONENT_SHIFT
        if self.loading:
            records["flags"] |= FLAG_PARTIAL
        if live.late:
            records["flags"] |= FLAG_LATE
        there = ~np.isnan(value)
        records["total"] = there.sum(axis=1)
        newest = value.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
        known = np.flatnonzero(there.any(axis=1))
        records["last_value"][known] = value[known, newest[known]]
        time_ms = np.minimum((live.first + newest[known] + 1) * self.step_ms, self._now_ms)
        records["last_time_ms"][known] = records["last_id_ms"][known] = time_ms
        return rewritten

    def _body(self, value: Floats) -> npt.NDArray[np.void]:
        return _body(value, self._records, self._exponents)


def _body(value: Floats, records: npt.NDArray[np.void], exponents: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
    """Return buckets of one value each."""
    body = np.full(value.shape, EMPTY, dtype=BUCKET)
    there = ~np.isnan(value)
    body["min"] = body["max"] = np.ldexp(value - records["base"][:, None], -exponents[:, None])
    body["count"] = there
    return body


def pack_values(
    indices: Sequence[int],
    rows: Sequence[Floats],
    first: int,
    count: int,
    step_ms: int,
    *,
    request_id: int,
    seq: int,
    now_ms: float,
) -> bytes:
    """Return the frame of one fixed window of a formula's values.

    Args:
        indices: by which viewers know the series.
        rows: float64[count] of each, NaN where there is no number.
        first: number of the first bucket.
        count: how many there are.
        step_ms: width of a bucket.
        request_id: what the answer is known by.
        seq: number of the tick.
        now_ms: the log's clock.
    """
    value = np.array(rows).reshape(len(indices), count)
    records = np.zeros(len(indices), dtype=RECORD)
    exponents = np.zeros(len(indices), dtype=np.int32)
    records["index"] = indices
    records["change"] = records["last_value"] = records["rate"] = np.nan
    records["expected_ms"] = step_ms
    there = ~np.isnan(value)
    records["total"] = there.sum(axis=1)
    for row in np.flatnonzero(there.any(axis=1)).tolist():
        numbers = value[row][there[row]]
        low, high = float(numbers.min()), float(numbers.max())
        base = base_for(low, high)
        exponents[row] = exponent_for(low, high, base)
        newest = int(np.flatnonzero(there[row])[-1])
        records[row]["base"], records[row]["last_value"] = base, value[row, newest]
        records[row]["last_time_ms"] = records[row]["last_id_ms"] = min((first + newest + 1) * step_ms, now_ms)
    records["flags"] = (exponents & 0xFFFF) << EXPONENT_SHIFT
    body = _body(value, records, exponents)
    return pack_frame(ViewFrame(RANGE, seq, now_ms, first, request_id, step_ms, records, body))
