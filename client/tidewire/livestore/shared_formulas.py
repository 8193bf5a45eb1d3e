"""The formulas that viewers share: their readings, the series of their results, and their past from the history.

All formulas of viewers that see the same metrics share one copy of the readings. A formula is open while somebody
watches a window of it; until then the indices of its series stay what they are. The dashboard has them for all its
viewers, a notebook chart for itself.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from msgspec import UNSET

from tidewire.errors import InvalidFormula, ServiceUnavailable
from tidewire.evaluation.evaluate import Result
from tidewire.evaluation.reading_table import Floats
from tidewire.evaluation.vectors import Labels, sorting
from tidewire.livestore.formula_faults import fault_of, hint_of
from tidewire.livestore.formula_history import evaluate_history, need_ms, past_of
from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.formula_view import FormulaView, pack_values
from tidewire.livestore.history_cache import HistoryCache
from tidewire.livestore.messages import FormulaFault, FormulaSeries, FormulaState, RangeRequest
from tidewire.livestore.open_formula import FormulaAsker, FormulaKey, OpenFormula
from tidewire.livestore.store import Store
from tidewire.livestore.summary import Summary, summarize
from tidewire.livestore.window import BEYOND
from tidewire.model.bucket_steps import column_step_for
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.types import check_purpose

__all__ = ["FormulaResult", "FormulaWindow", "SharedFormulas"]

_log = logging.getLogger("tidewire")
_FIRST_INDEX: Final = 1 << 24  # beyond those of the store's series
_SLACK_MS: Final = 60_000.0
_AGAIN_MS: Final = 15_000.0  # before the past of a window is read again that could not be read, or is too short
_ANEW_MS: Final = 300_000.0  # before it is read again since readings may have come late …
_ANEW_TIMES: Final = 50.0  # … and at least so many times what reading it took
_MAX_OPEN: Final = 200  # formulas of all viewers
_AT_ONCE: Final = 2  # evaluations over the history, in threads
_COLUMNS: Final = 1_000  # of a file
_TICK_BUDGET_MS: Final = 40.0  # of the 100 between two ticks


class FormulaResult(NamedTuple):
    """A series of a result over a fixed window.

    Attributes:
        entry: as viewers know it.
        metric: the name that it keeps, or the formula.
        unit: of its values.
        time_ms: float64[n], the ends of the buckets that have a value.
        value: float64[n].
    """

    entry: FormulaSeries
    metric: str
    unit: str
    time_ms: Floats
    value: Floats


class FormulaWindow:
    """A live window of an open formula, as `SharedViews` shares it.

    Attributes:
        formula: what it is of.
        view: its values.
        version: rises with each change of what `state` returns.
        problem: why its past is missing, else empty.
    """

    def __init__(self, formula: OpenFormula, readings: FormulaReadings, window_ms: float, buckets: int) -> None:
        self.formula = formula
        self.window_ms = window_ms
        self.version = 0
        self.reading: asyncio.Task[None] | None = None
        self.requested_ms = -math.inf
        self.read_ms = math.inf  # when its past was read last …
        self.took_ms = 0.0  # … and how long that took
        self.problem = ""
        self.seq = -1  # of the last tick
        self.due = 0  # the tick from which on it may be computed again
        self.cost_ms = 0.0  # of the last tick
        self._readings = readings
        self._store = readings.store
        self._hinted: tuple[str, int] = ("", -1)
        self._hint_now: FormulaFault | None = None
        self._seen: object = None
        self._valued: tuple[list[Labels], list[int]] = ([], [])
        kind = formula.key.summary
        self.view = FormulaView(
            readings, formula.node, window_ms, buckets, lambda labels: formula.entry(labels).i,
            summary=None if kind is None else Summary(kind),
            row_indices_of=lambda rows: [row.i for row in formula.rows_of(rows, self)],
        )  # fmt: skip

    def tick(self, seq: int, now_ms: float) -> None:
        """Advance the window to the log's clock; call once per tick, before `frame`."""
        self.seq = seq
        self.view.tick(seq, now_ms)
        labels = self.view.plan.labels
        valued = self.view.valued_rows()
        if (labels, valued) != self._valued:
            for row in valued:
                self.formula.has_value(labels[row])
            self._valued = labels, valued
        unknown = self._store.metrics if self._hint_now is not None else 0
        seen = self.view.version, self.view.error, self.view.loading, len(self.formula.valued), unknown
        if seen != self._seen:
            self._seen = seen
            self.version += 1

    def frame(self, view: int, since: int | None) -> bytes:
        """Return the frame for a viewer whose last frame of this view was `since`; None for a snapshot."""
        return self.view.frame(view, since)

    def state(self, text: str) -> FormulaState:
        """Return what there is of it, for a viewer who wrote it so."""
        plan, error = self.view.plan, self.view.error
        rows: list[FormulaSeries] = []
        if self.view.summary is None:
            for labels, unit in zip(plan.labels, plan.units, strict=True):
                self.formula.entry(labels, unit)
        else:
            rows = self.formula.rows_of(self.view.summary.rows, self)
        return self.formula.state(
            rows,
            formula=text,
            loading=self.view.loading,
            reads=len(plan.used),
            warnings=list(plan.warnings),
            error=None if error is None else fault_of(text, error),
            hint=self._hint(text) or UNSET,
        )

    def _hint(self, text: str) -> FormulaFault | None:
        """Return what is said of a metric that nobody publishes; looked for when there are other metrics."""
        metrics = self._store.metrics
        if self._store.covered_from_ms == math.inf:
            return None  # nothing is known yet
        if self._hinted != (text, metrics):
            self._hinted = text, metrics
            self._hint_now = hint_of(text, self.formula.node, self._store, self.formula.may_see)
        return self._hint_now

    def lacking_from(self, store: Store) -> int:
        """Return the first bucket from which on memory holds all that its values need."""
        view = self.view
        need = need_ms(self.formula.node)
        series = (store.series[index] for index in self._readings.indices[view.plan.used].tolist())
        step_ms = view.step_ms if need + self.window_ms <= store.raw_ms else 1_000
        covered_ms = max((store.covered(one, step_ms) for one in series), default=-math.inf)
        if covered_ms == -math.inf:
            return view.first
        return max(view.first, math.ceil((covered_ms + need) / view.step_ms))


class SharedFormulas:
    """Used in one event loop.

    Args:
        store: where the series are.
        history_cache: what memory does not hold.
        want_past: asks for the readings of some series since a time; tells whether more will come.
        clock_ms: a monotonic clock.
    """

    def __init__(
        self,
        store: Store,
        history_cache: HistoryCache,
        want_past: Callable[[list[int], float], bool],
        clock_ms: Callable[[], float],
    ) -> None:
        self._store = store
        self._history_cache = history_cache
        self._want_past = want_past
        self._clock_ms = clock_ms
        self._open: dict[FormulaKey, OpenFormula] = {}
        self._readings: dict[tuple[float, tuple[str, ...]], FormulaReadings] = {}
        self._windows: set[FormulaWindow] = set()
        self._numbers = itertools.count(_FIRST_INDEX)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._refreshed = -1
        self._spent_ms = 0.0  # in the last tick

    def watch(self, key: FormulaKey, asker: FormulaAsker, window_ms: float, buckets: int) -> FormulaWindow:
        """Open a live window of a formula.

        Raises:
            InvalidFormula: it cannot be read, or not be evaluated over the series that there are; or too many are open.
        """
        formula = self._formula(key, asker)
        need = window_ms + need_ms(formula.node) + _SLACK_MS
        reach_ms = self._store.raw_ms if need <= self._store.raw_ms else self._store.seconds_ms
        readings = self._readings.get((reach_ms, key.seen))
        if readings is None:
            readings = FormulaReadings(self._store, reach_ms, may_see=asker.may_see)
            self._readings[reach_ms, key.seen] = readings
        window = FormulaWindow(formula, readings, window_ms, buckets)
        self._open[key] = formula
        self._windows.add(window)
        formula.windows += 1
        return window

    def unwatch(self, window: FormulaWindow) -> None:
        """Close a window; with its last one the formula is forgotten."""
        window.view.close()
        self._windows.discard(window)
        if window.reading is not None:
            window.reading.cancel()
        window.formula.forget(window)
        window.formula.windows -= 1
        if not window.formula.windows:
            self._open.pop(window.formula.key, None)
        if not self._open:
            self._readings.clear()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Return what is being read from the history."""
        return [task for task in (window.reading for window in self._windows) if task is not None]

    @property
    def past_reason(self) -> str:
        """Return why the past of an open formula cannot be shown at the moment, empty if it can."""
        return next((window.problem for window in self._windows if window.problem), "")

    def ready(self, window: FormulaWindow, seq: int) -> bool:
        """Tell whether a window may be computed with this tick: together they take a part of the loop, and no more."""
        if window.seq == seq:
            return True
        return window.due <= seq and (seq != self._refreshed or self._spent_ms < _TICK_BUDGET_MS)

    def tick(self, window: FormulaWindow, seq: int, now_ms: float) -> None:
        """Take what came since the last tick, and advance a window that is `ready` to the log's clock."""
        started_ms = self._clock_ms()
        if seq != self._refreshed:
            self._refreshed, self._spent_ms = seq, 0.0
            for readings in self._readings.values():
                readings.refresh(now_ms)
        if window.seq == seq:
            return
        window.tick(seq, now_ms)
        window.cost_ms = self._clock_ms() - started_ms
        self._spent_ms += window.cost_ms
        window.due = seq + math.ceil(sum(one.cost_ms for one in self._windows) / _TICK_BUDGET_MS)

    def lack(self, window: FormulaWindow, now_ms: float, start: Callable[..., asyncio.Task[None]]) -> None:
        """Ask for the past that a window lacks: of memory first, then what the history makes of the formula."""
        view, store = window.view, self._store
        used = window._readings.indices[view.plan.used].tolist()
        need = need_ms(window.formula.node)
        waiting = self._want_past(used, max(now_ms - window.window_ms - need, now_ms - store.raw_ms)) if used else False
        with store.lock:
            end = window.lacking_from(store)
        lacks = end > max(view.first, view.past_end)
        fits = window.window_ms + need + _SLACK_MS <= store.raw_ms
        view.partial = lacks
        now = self._clock_ms()
        outdated = view.past_end > view.first and now - window.read_ms > max(_ANEW_MS, _ANEW_TIMES * window.took_ms)
        if not (lacks or outdated) or (lacks and fits and waiting) or window.reading is not None:
            return
        if now - window.requested_ms > _AGAIN_MS:
            window.requested_ms = now
            window.reading = start(self._read_past(window, max(end, view.past_end)))

    async def _read_past(self, window: FormulaWindow, end: int) -> None:
        view, formula = window.view, window.formula
        first = view.first
        count = min(end - first, view.count)
        begun_ms = self._clock_ms()
        try:
            result, _ = await self._evaluate(formula, first, count, view.step_ms)
            view.set_past(past_of(result, first, first + count))
            window.read_ms = self._clock_ms()
            window.took_ms = window.read_ms - begun_ms
            window.problem = ""
        except (ServiceUnavailable, InvalidFormula) as error:
            window.problem = f"the past of a formula is missing: {error}"
            _log.info("the past of a formula is missing: %s", error)
        finally:
            window.reading = None

    async def answer_range(
        self, request: RangeRequest, text: str, asker: FormulaAsker, *, seq: int, now_ms: float
    ) -> tuple[bytes, FormulaState]:
        """Return the frame of a fixed window of a formula, and what there is of it then.

        Raises:
            InvalidFormula: it cannot be read, or not be evaluated over the series that there are.
            ServiceUnavailable: the service did not answer, or refused; says why.
        """
        formula = self._formula(FormulaKey(text, asker.narrowed_to, request.summary), asker)
        step_ms = column_step_for(max(1.0, request.end_ms - request.start_ms), request.buckets)
        first = math.ceil(request.end_ms / step_ms) - request.buckets - BEYOND
        count = request.buckets + 2 * BEYOND
        result, reads = await self._evaluate(formula, first, count, step_ms)
        for one in result.series:
            formula.has_value(one.labels)
        value = past_of(result, first, first + count).value
        rows = [value[tuple(sorting(one.labels))] for one in result.series]
        if request.summary is None:
            entries = [formula.entry(one.labels, one.unit) for one in result.series]
        else:
            labels, units = [one.labels for one in result.series], [one.unit for one in result.series]
            every = np.array(rows).reshape(len(rows), count)
            chosen, summary = await asyncio.to_thread(summarize, request.summary, labels, units, every)
            summary[:, (first + np.arange(count)) * step_ms > now_ms] = np.nan  # not yet: no series is silent then
            entries, rows = formula.rows_of(chosen), list(summary)
        frame = pack_values(
            [one.i for one in entries], rows, first, count, step_ms,
            request_id=request.id & 0xFFFF, seq=seq, now_ms=now_ms,
        )  # fmt: skip
        of_rows = entries if request.summary is not None else []
        hint = hint_of(text, formula.node, self._store, formula.may_see)
        state = formula.state(
            of_rows, formula=text, loading=False, reads=reads, warnings=list(result.warnings), hint=hint or UNSET
        )
        return frame, state

    async def results(self, text: str, asker: FormulaAsker, start_ms: float, end_ms: float) -> list[FormulaResult]:
        """Return what a formula was over a window, in the steps of a chart of `_COLUMNS` columns, for files and tables.

        Raises:
            InvalidFormula, ServiceUnavailable: as `answer_range`.
        """
        formula = self._formula(FormulaKey(text, asker.narrowed_to), asker)
        step_ms = column_step_for(max(1.0, end_ms - start_ms), _COLUMNS)
        first = math.ceil(start_ms / step_ms)
        count = max(1, math.ceil(end_ms / step_ms) - first)
        result, _ = await self._evaluate(formula, first, count, step_ms)
        time_ms = np.arange(first + 1, first + 1 + count, dtype=np.float64) * step_ms
        found = []
        for one in result.series:
            entry, there = formula.entry(one.labels, one.unit), one.here & ~np.isnan(one.value)
            found.append(FormulaResult(entry, entry.name or text, one.unit, time_ms[there], one.value[there]))
        return found

    async def values_at(
        self, text: str, asker: FormulaAsker, end_ms: float, step_ms: int
    ) -> list[tuple[Labels, float]]:
        """Return the series of a formula with a number in the column that ends nearest to a time, and the number.

        Raises:
            InvalidFormula, ServiceUnavailable: as `answer_range`.
        """
        formula = self._formula(FormulaKey(text, asker.narrowed_to), asker)
        result, _ = await self._evaluate(formula, round(end_ms / step_ms) - 1, 1, step_ms)
        return [
            (one.labels, float(one.value[-1])) for one in result.series if one.here[-1] and np.isfinite(one.value[-1])
        ]

    async def _evaluate(self, formula: OpenFormula, first: int, count: int, step_ms: int) -> tuple[Result, int]:
        async with self._turns:
            return await evaluate_history(
                formula.node, self._store, self._history_cache, formula.may_see,
                first=first, count=count, step_ms=step_ms,
            )  # fmt: skip

    def _formula(self, key: FormulaKey, asker: FormulaAsker) -> OpenFormula:
        formula = self._open.get(key)
        if formula is None:
            node = parse_formula(key.text)
            check_purpose(node, "chart")
            if len(self._open) >= _MAX_OPEN:
                raise InvalidFormula("cost", 0, node.end, f"{_MAX_OPEN} formulas are open", "close other charts")
            formula = OpenFormula(key, node, asker, self._store, self._numbers)
        return formula
