"""Packs the sliding window of some series once per tick, for every viewer that shares it; no I/O.

The view keeps its window as a matrix of buckets. A tick writes what changed, and says from which bucket on; a viewer's
next frame is the part of the matrix that changed since the frame it drew last, or all of it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import DELTA, FLAG_PARTIAL, MAX_SERIES, SNAPSHOT, ViewFrame, pack_frame
from tidewire.livestore.window import BEYOND, NO_OLDER, Older, Window
from tidewire.model.bucket_steps import column_step_for

__all__ = ["LiveView"]

_TICKS_KEPT: Final = 128  # a viewer that is further behind gets a snapshot
_MAX_CELLS: Final = 1_000_000  # buckets of all series of a view: 16 MB a snapshot
_REVIEW_TICKS: Final = 25  # in so many ticks each series is asked once whether its base still suits it


class LiveView:
    """A window of live series for all viewers that asked for the same.

    Args:
        store: where the series are.
        indices: of the series, in the order of the records; None for all there are, in index order. At most a million
            buckets in all; series beyond that are left out.
        window_ms: length of the window; it ends at the log's clock.
        buckets: how many columns of pixels hold the window; `BEYOND` more let its lines enter.

    Attributes:
        step_ms: width of its buckets.
        count: how many there are.
    """

    def __init__(self, store: Store, indices: tuple[int, ...] | None, window_ms: float, buckets: int) -> None:
        self.store = store
        self.window_ms = window_ms
        self.step_ms = column_step_for(window_ms, buckets)
        self._all = indices is None
        self._wanted = indices or ()
        self.count = buckets + BEYOND
        self._limit = min(MAX_SERIES, _MAX_CELLS // self.count)
        self._window = Window(store, (), self.step_ms, self.count)
        self._fresh = False
        self._older = NO_OLDER
        self._seq = -1
        self._now_ms = np.nan
        self._turn = 0
        self._lines: set[int] = set()
        self._ticks: deque[tuple[int, int]] = deque(maxlen=_TICKS_KEPT)  # (seq, first bucket that changed with it)
        self._packed: dict[tuple[int, int], bytes] = {}

    @property
    def partial(self) -> list[int]:
        """Return the series of which neither memory nor the history given reaches to the window's start, as indices."""
        records = self._window.records
        return [int(index) for index in records["index"][records["flags"] & FLAG_PARTIAL != 0]]

    def set_older(self, older: Older) -> None:
        """Add the buckets that memory does not hold; the next frame is a snapshot."""
        self._older = older
        self._fresh = False

    def tick(self, seq: int, now_ms: float) -> None:
        """Advance the window to the log's clock; call once per tick, before `frame`.

        Args:
            seq: number of the tick, rising.
            now_ms: the log's clock.
        """
        if seq == self._seq:
            return
        last = math.floor(now_ms / self.step_ms)
        with self.store.lock:
            shift = last - self._window.last
            births = self._all and self._most != len(self._window.series)
            if births or not self._fresh or not 0 <= shift < self.count:
                self._build(last, now_ms)
                changed = self._window.first
            else:
                changed = self._advance(shift, now_ms)
            self._window.describe(now_ms, self._window.first * self.step_ms)
            self._previous = self.store.state[self._window.indices]
            self.store.mark_viewed(self._window.indices)
        self._seq, self._now_ms = seq, now_ms
        self._ticks.append((seq, changed))
        self._packed.clear()

    def frame(self, view: int, since: int | None) -> bytes:
        """Return the frame for a viewer whose last frame of this view was `since`; None for a snapshot."""
        window = self._window
        first = window.first
        if since is not None and self._ticks and since >= self._ticks[0][0]:
            first = max(first, min((changed for seq, changed in self._ticks if seq > since), default=window.last))
        packed = self._packed.get((view, first))
        if packed is None:
            kind = SNAPSHOT if first == window.first else DELTA
            if kind == SNAPSHOT:  # from then on the deck sees for itself what slides out of the window
                with self.store.lock:
                    window.set_last_before()
            with self.store.lock:
                states = window.states(first)
            body, records = window.data[:, first - window.first :], window.records
            if self.store.catching_up:
                records = records.copy()
                records["expected_ms"] = np.nan  # so that nothing counts as silent
            frame = ViewFrame(kind, self._seq, self._now_ms, first, view, self.step_ms, records, body, states)
            packed = self._packed[view, first] = pack_frame(frame)
        return packed

    @property
    def _most(self) -> int:
        """How many series a view of all shows; those of a catalogue at once, since a window of very many takes long."""
        known = len(self._window.series) if self.store.restarting else len(self.store.series)
        return min(known, self._limit)

    def _build(self, last: int, now_ms: float) -> None:
        indices = tuple(range(self._most)) if self._all else self._wanted[: self._limit]
        window = self._window = Window(self.store, indices, self.step_ms, self.count, self._lines)
        window.older = self._older
        window.first = last - self.count + 1
        for at, series in enumerate(window.series):
            window.fill(at, window.first, choose_base=True)
            window.records[at]["expected_ms"] = series.expected_ms()
            window.set_change(at, now_ms, self.window_ms)
        self._ticks.clear()
        self._fresh = True

    def _advance(self, shift: int, now_ms: float) -> int:
        """Slide by `shift` buckets and write what changed; return the first bucket that did."""
        window = self._window
        was_last = window.last
        if shift:
            window.slide(shift)
        changed = was_last  # it was open: readings may have come since
        state = self.store.state[window.indices]
        ahead = self._previous["last_time_ms"] >= (was_last + 1) * self.step_ms  # readings of the future become due
        for at in np.flatnonzero((state["version"] != self._previous["version"]) | ahead).tolist():
            start = max(window.first, min(was_last, self._changed_from(at)))
            if not window.fill(at, start, choose_base=False):
                start = window.first
                window.fill(at, start, choose_base=True)
            window.records[at]["expected_ms"] = window.series[at].expected_ms()
            changed = min(changed, start)
        for at in self._reviewed_now():
            window.set_change(at, now_ms, self.window_ms)
            if window.review_base(at):
                window.fill(at, window.first, choose_base=True)
                changed = window.first
        return max(changed, window.first)

    def _changed_from(self, at: int) -> int:
        """Return the first bucket of one series that may differ from what the last tick wrote."""
        window, series, before = self._window, self._window.series[at], self._previous[at]
        late = [time_ms for version, time_ms in series.late if version > before["version"]]
        if len(late) == series.late.maxlen:
            return window.first
        start = min([series.first_after(float(before["last_time_ms"])), *late]) / window.step_ms
        return int(max(window.first, min(start, window.last)))  # buckets since 1970 are positive: int rounds down

    def _reviewed_now(self) -> range:
        """Return the series whose base and change are computed in this tick; each has its turn every few ticks."""
        count = len(self._window.series)
        start = self._turn if self._turn < count else 0
        self._turn = start + -(-count // _REVIEW_TICKS)
        return range(start, min(self._turn, count))
