"""The continuity tracker: proves from one id that no batch was missed; a state machine over an abstract log, no I/O.

The position of a partition is a verified prefix: everything up to it was applied, or is announced as a gap. Only the
tracker changes epoch, position, chain, tails and ring, one operation at a time (docs/protocol.md rules 6 to 9, rows 23
to 25).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from tidewire.redislog.lineage import Clock, fork_after, minting_epoch
from tidewire_service.hub.effects import Effects, ReadClock, ReadEntries, ReadTails
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.hub.live_frame import LiveFrame
from tidewire_service.hub.log_page import PageEntry, merge_page
from tidewire_service.hub.partition import Partition

__all__ = ["ContinuityTracker", "Listener"]

# Entries of one metric; a larger hole is skipped: subscriptions catch up from their own cursors.
_FILL_PAGE: Final = 500
_FILL_METRICS: Final = 2_000
_SILENT_MOVES: Final = 2  # moves of the position without a frame; one may be a single frame that was lost


class Listener(Protocol):
    """What the tracker tells its hub; called without an await between a decision and its announcement."""

    def applied(self, entry: RingEntry) -> None:
        """Handle a batch that extends the position."""

    def born(self, metric: str) -> None:
        """Handle a metric that was not in the directory before."""

    def knows(self, entries: Iterable[PageEntry]) -> bool:
        """Tell whether `born` will take a moment only for the metrics of these batches."""

    async def expect(self, metrics: Iterable[str]) -> None:
        """Prepare for metrics that are about to be born, so that `born` takes a moment only."""

    def interrupted(self) -> None:
        """Let every live subscription fall back to its own cursor: continuity cannot be shown to it from memory.

        Called before epoch, position and ring change.
        """

    def settled(self) -> None:
        """Adopt the position as it now is, after a start, a fork, a reset or a fill."""


class ContinuityTracker:
    """Advances the position of one partition, and announces what it could not verify.

    Args:
        partition: the state that it alone changes.
        listener: told of each change.
        fill_page: entries of one metric that a fill reads; a larger hole is skipped.

    Attributes:
        frames: live frames received, stale and duplicate ones too.
        behind: an id that a check found beyond the position; the next check fills if it was not reached. 0: none.
        deaf: the live connection is up but carries no frames: rebuild it, and reset this.
    """

    def __init__(self, partition: Partition, listener: Listener, *, fill_page: int = _FILL_PAGE) -> None:
        self.frames = 0
        self.behind = 0
        self.deaf = False
        self._partition = partition
        self._ring = partition.ring
        self._counters = partition.counters
        self._listener = listener
        self._fill_page = fill_page
        self._last_check = (0, 0)  # frames and position
        self._silent_moves = 0

    # -- operations, run one at a time

    def start(self) -> Effects[None]:
        """Establish the first position: the clock, then the directory (rule 6)."""
        clock, tails = yield from self._clock_and_tails()
        self._begin(clock, tails)

    def continues(self, frame: LiveFrame) -> bool:
        """Return whether a frame can be applied at once, without any effect: the usual case."""
        partition = self._partition
        return frame.before == partition.position and frame.epoch == partition.epoch

    def on_frame(self, frame: LiveFrame) -> Effects[None]:
        """Apply one live frame, drop it, or fill the hole before it (rule 7)."""
        self.frames += 1
        partition = self._partition
        if frame.epoch != partition.epoch:
            yield from self._adopt_clock()
            if frame.epoch != partition.epoch:
                self._counters["frames_stale"] += 1
                return
        if frame.entries[-1].id <= partition.position:
            self._counters["frames_duplicate"] += 1
            return
        if frame.before > partition.position:
            self._counters["holes"] += 1
            yield from self._fill()
            if frame.epoch != partition.epoch or frame.before > partition.position:
                self._counters["frames_stale"] += 1
                return
        self._apply(frame)

    def apply_next(self, frame: LiveFrame) -> None:
        """Apply a frame for which `continues` is true: all its ids lie beyond the position."""
        self.frames += 1
        self._push(frame.entries)

    def sync(self) -> Effects[None]:
        """Compare the clock with the position, and fill what is missing at once: a subscription waits for it."""
        yield from self._adopt_clock()
        yield from self._fill()

    def check(self) -> Effects[None]:
        """Compare the clock with the position; fill if it is still behind what an earlier check saw (rule 9).

        A frame may just be on its way: `behind` then holds the id to be reached before the next check.
        """
        self._counters["checks"] += 1
        clock = yield from self._adopt_clock()
        position = self._partition.position
        if clock.id <= position:
            self.behind = 0
        elif self.behind and position < self.behind:
            self._counters["checks_behind"] += 1
            self.behind = 0
            yield from self._fill()
        else:
            self.behind = clock.id
        self._detect_deafness()

    def _detect_deafness(self) -> None:
        """Set `deaf` if two checks found the position moved with no frame received between.

        It does not matter who moved it: a check, or a sync for a subscription, which would hide the hole from the
        check. Checks of an idle log in between prove nothing, or a slow feed would be late over a deaf connection for
        ever.
        """
        frames, position = self._last_check
        now = self.frames, self._partition.position
        if now[0] != frames:
            self._silent_moves = 0
        elif now[1] > position:
            self._silent_moves += 1
        self._last_check = now
        if self._silent_moves >= _SILENT_MOVES:
            self._silent_moves = 0
            self.deaf = True

    # -- parts

    def _clock_and_tails(self) -> Effects[tuple[Clock, dict[str, int]]]:
        """Read the clock and the directory as of one lineage."""
        partition = self._partition
        while True:
            clock: Clock = yield ReadClock(partition.watermark)
            tails, confirming = yield ReadTails()
            if confirming.epoch == clock.epoch:
                return clock, tails

    def _begin(self, clock: Clock, tails: dict[str, int]) -> None:
        partition = self._partition
        partition.clock = clock
        partition.epoch, partition.position, partition.chain = clock.epoch, clock.id, clock.chain
        self._last_check = self.frames, clock.id
        self._ring.clear(clock.id)
        self._adopt_tails(tails)
        self._listener.settled()

    def _adopt_clock(self) -> Effects[Clock]:
        """Adopt the clock's lineage; return one reply of the clock whose epoch is now the partition's."""
        partition = self._partition
        clock: Clock = yield ReadClock(partition.watermark)
        if clock.epoch == partition.epoch and clock.id >= partition.position:
            partition.clock = clock
            return clock
        # the lineage changed (or went back, which only a lost clock key inside one epoch could do): adopt it as a whole
        clock, tails = yield from self._clock_and_tails()
        if clock.epoch == partition.epoch and clock.id >= partition.position:
            partition.clock = clock
            return clock
        self._listener.interrupted()
        found = fork_after(clock.chain, partition.epoch) if clock.epoch != partition.epoch else None
        if found is None:
            self._counters["resets"] += 1
            self._begin(clock, tails)
            return clock
        fork = found[0]
        self._counters["forks"] += 1
        if fork is not None and partition.position > fork:
            self._counters["forks_cut"] += 1
            partition.position = fork
            self._ring.cut(fork)
        partition.clock = clock
        partition.epoch, partition.chain = clock.epoch, clock.chain
        self._adopt_tails(tails)
        self._listener.settled()
        return clock

    def _fill(self) -> Effects[None]:
        """Read what lies between the position and the clock; leave to the subscriptions what is too much or gone."""
        partition = self._partition
        while True:
            clock = yield from self._adopt_clock()
            epoch, barrier = clock.epoch, clock.id
            if barrier <= partition.position:
                return
            tails, confirming = yield ReadTails()
            metrics = [metric for metric, tail in tails.items() if tail > partition.position]
            after, page = partition.position, None
            if confirming.epoch == epoch and len(metrics) <= _FILL_METRICS:
                lists, confirming = yield ReadEntries(tuple((metric, after) for metric in metrics), self._fill_page)
                page = merge_page(metrics, lists, after, barrier, tails, self._fill_page)
            if confirming.epoch != epoch:
                continue
            # from here on without an effect: a subscription must never see half of a fill (row 25)
            self._raise_tails(tails)
            if page is None or page.holes or not page.complete or confirming.forgot > after:
                self._counters["fills_skipped"] += 1
                self._listener.interrupted()
                partition.position = barrier
                self._ring.clear(barrier)
                self._listener.settled()
                return
            self._counters["fills"] += 1
            self._counters["entries_filled"] += len(page.entries)
            self._push(page.entries)
            partition.position = barrier
            self._listener.settled()
            return

    def _apply(self, frame: LiveFrame) -> None:
        """Apply a frame that continues the position; batches at or before it are dropped."""
        entries, position = frame.entries, self._partition.position
        if entries[0].id <= position:
            entries = [entry for entry in entries if entry.id > position]
        self._push(entries)

    def _push(self, entries: Sequence[PageEntry]) -> None:
        """Apply batches that continue the position, in id order; one loop, since it runs for every batch there is."""
        partition, append, applied = self._partition, self._ring.append, self._listener.applied
        tails, chain = partition.tails, partition.chain
        newest = chain[-1]
        for id_, metric, body in entries:
            epoch = newest.epoch if id_ > newest.fork else minting_epoch(chain, id_)
            entry = RingEntry(id_, metric, body, epoch)
            tail = tails.get(metric)
            if tail is None:
                self._listener.born(metric)
            if tail is None or id_ > tail:
                tails[metric] = id_
            append(entry)
            partition.position = id_
            applied(entry)

    def _adopt_tails(self, tails: dict[str, int]) -> None:
        """Replace the directory by that of another lineage, whose last ids may be lower."""
        born = self._listener.born
        for metric in tails:
            born(metric)
        self._partition.tails = tails

    def _raise_tails(self, tails: dict[str, int]) -> None:
        """Raise the directory's last ids; they never fall, even past the position (row 9)."""
        known = self._partition.tails
        for metric, tail in tails.items():
            if metric not in known:
                self._listener.born(metric)
                known[metric] = tail
            elif tail > known[metric]:
                known[metric] = tail
