"""The pump: the hub's proof of continuity, one id; a state machine over an abstract log, without I/O.

Its position is a verified prefix of the partition: everything up to it was seen, or is announced as a gap. Only the
pump changes epoch, position, chain, tails and ring, one operation at a time (PROTOCOL rules 6 to 9, rows 23 to 25).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from tidewire.model.cursor import Cursor, id_ms, parse_id
from tidewire.redislog.lineage import Clock, Fork, Watermark, fork_after, minting_epoch
from tidewire_service.errors import FrameMalformed
from tidewire_service.hub.counters import new_counters
from tidewire_service.hub.effects import ReadClock, ReadEntries, ReadTails, Steps
from tidewire_service.hub.event_ring import Ring, RingEntry, encode_data
from tidewire_service.hub.log_page import PageEntry, merge_page

__all__ = ["Listener", "LiveFrame", "Pump", "parse_frame"]

_FILL_PAGE: Final = (
    500  # entries of one metric; a larger hole is skipped: subscriptions catch up from their own cursors
)
_FILL_METRICS: Final = 2_000
_UNHEARD: Final = 2  # moves of the position without a frame; one may be a single frame that was lost


class LiveFrame(NamedTuple):
    """One Pub/Sub message: the batches of one append call.

    Attributes:
        epoch: of the ids.
        before: `pp`, the last id of the partition before the call.
        entries: in id order, at least one.
    """

    epoch: str
    before: int
    entries: Sequence[PageEntry]


class Listener(Protocol):
    """What the pump tells its hub; called without an await between a decision and its announcement."""

    def applied(self, entry: RingEntry) -> None:
        """Take a batch that extends the position."""

    def born(self, metric: str) -> None:
        """Take a metric that was not in the directory before."""

    def interrupted(self) -> None:
        """Let every live subscription fall back to its own cursor: continuity cannot be shown to it from memory.

        Called before epoch, position and ring change.
        """

    def settled(self) -> None:
        """Take the position as it now is, after a start, a fork, a reset or a fill."""


def parse_frame(message: bytes) -> LiveFrame:
    """Return the live frame of a message: ``1 <epoch> <pp> <k>`` and k times ``<id> <bytes> <bytes>`` metric body.

    Raises:
        FrameMalformed: it is none.
    """
    try:
        end = message.index(b"\n")
        version, epoch, before, count = message[:end].split(b" ")
        if version != b"1":
            raise FrameMalformed(f"version {version!r}")
        entries: list[PageEntry] = []
        first = last = parse_id(before)
        newest_ms, first_of_ms = b"", 0  # the ids of a call share their millisecond
        for _ in range(int(count)):
            start = end + 1
            end = message.index(b"\n", start)
            id_, metric_bytes, body_bytes = message[start:end].split(b" ")
            ms, n = id_.split(b"-")
            if ms != newest_ms:
                newest_ms, first_of_ms = ms, parse_id(ms)
            start, middle = end + 1, end + 1 + int(metric_bytes)
            end = middle + int(body_bytes)
            if (newest := first_of_ms + int(n)) <= last:
                raise FrameMalformed("ids that do not rise")
            last = newest
            # past the constructor of a named tuple, which is a function of its own
            entries.append(tuple.__new__(PageEntry, (last, _name(message[start:middle]), message[middle:end])))
            end -= 1
        if end != len(message) - 1 or not entries:
            raise FrameMalformed("truncated")
        return LiveFrame(epoch.decode("ascii"), first, entries)
    except (ValueError, UnicodeDecodeError) as error:
        raise FrameMalformed(str(error)) from error


@lru_cache(maxsize=10_000)
def _name(metric: bytes) -> str:
    return metric.decode()


class Pump:
    """The position, the lineage, the directory and the ring of one partition.

    Attributes:
        epoch: the epoch in which the position is stated.
        position: everything up to this id was applied or skipped.
        chain: the lineage.
        tails: metric → last id; never behind the position, may be ahead of it.
        ring: the batches after its floor.
        clock: the last reply of the clock.
        frames: live frames seen, stale and double ones too.
        behind: an id that a check found beyond the position; the next check fills if it was not reached. 0: none.
        deaf: the live connection is up but carries no frames; rebuild it.
        counters: what happened how often.
    """

    def __init__(self, listener: Listener, ring: Ring, *, fill_page: int = _FILL_PAGE) -> None:
        self.listener = listener
        self.ring = ring
        self.epoch = ""
        self.position = 0
        self.chain: tuple[Fork, ...] = ()
        self.tails: dict[str, int] = {}
        self.clock: Clock | None = None
        self.counters = new_counters()
        self.frames = 0
        self.behind = 0
        self.deaf = False
        self._heard = (0, 0)  # frames and position at the last check
        self._moved_unheard = 0
        self._fill_page = fill_page

    # -- what the rest may ask

    def label(self, id_: int) -> str:
        """Return the epoch in which an id was minted."""
        return minting_epoch(self.chain, id_)

    def cursor(self, id_: int) -> Cursor:
        """Return the cursor of an id: the same before and after a restart of Redis (rule 14)."""
        return Cursor(minting_epoch(self.chain, id_), id_)

    def seen(self) -> Watermark | None:
        """Return the evidence that this hub can give."""
        return Watermark(self.position, self.chain) if self.epoch else None

    @property
    def watermark_ms(self) -> float:
        """A time in the log's clock, milliseconds: every id beyond the position is minted at or after it."""
        clock, reached = self.clock, float(id_ms(self.position))
        if clock is None or clock.epoch != self.epoch or clock.id > self.position:
            return reached
        return max(reached, clock.now_ms)

    # -- operations, run one at a time

    def start(self) -> Steps[None]:
        """Take the first position: the clock, then the directory (rule 6)."""
        clock, tails = yield from self._clock_and_tails()
        self._begin(clock, tails)

    def on_frame(self, frame: LiveFrame) -> Steps[None]:
        """Judge one live frame (rule 7)."""
        self.frames += 1
        if frame.epoch != self.epoch:
            yield from self._sync()
            if frame.epoch != self.epoch:
                self.counters["frames_stale"] += 1
                return
        if frame.entries[-1].id <= self.position:
            self.counters["frames_duplicate"] += 1
            return
        if frame.before > self.position:
            self.counters["holes"] += 1
            yield from self._fill()
            if frame.epoch != self.epoch or frame.before > self.position:
                self.counters["frames_stale"] += 1
                return
        self.apply(frame)

    def apply(self, frame: LiveFrame) -> None:
        """Apply a frame that continues the position; batches at or before it are dropped."""
        entries = frame.entries
        if entries[0].id <= self.position:
            entries = [entry for entry in entries if entry.id > self.position]
        self._push(entries)

    def continues(self, frame: LiveFrame) -> bool:
        """Tell whether a frame can be applied at once, without asking anybody: the usual case."""
        return frame.before == self.position and frame.epoch == self.epoch

    def look(self) -> Steps[None]:
        """Compare the clock with the position, and fill what is missing at once: somebody waits for it."""
        yield from self._sync()
        yield from self._fill()

    def check(self) -> Steps[None]:
        """Compare the clock with the position; fill if it is still behind what an earlier check saw (rule 9).

        A frame may just be on its way: `behind` then holds the id to be reached before the next check.
        """
        self.counters["checks"] += 1
        clock = yield from self._sync()
        if clock.id <= self.position:
            self.behind = 0
        elif self.behind and self.position < self.behind:
            self.counters["checks_behind"] += 1
            self.behind = 0
            yield from self._fill()
        else:
            self.behind = clock.id
        self._judge_hearing()

    def _judge_hearing(self) -> None:
        """Tell from two checks that found the position moved, with no frame seen between, that no frame arrives.

        Whoever moved it: a check, or a look for a subscription, which would hide the hole from the check. Checks of an
        idle log between them say nothing, or a slow feed would be late over a deaf connection for ever.
        """
        frames, position = self._heard
        if self.frames != frames:
            self._moved_unheard = 0
        elif self.position > position:
            self._moved_unheard += 1
        self._heard = self.frames, self.position
        if self._moved_unheard >= _UNHEARD:
            self._moved_unheard = 0
            self.deaf = True

    # -- parts

    def _clock_and_tails(self) -> Steps[tuple[Clock, dict[str, int]]]:
        """Read the clock and the directory as of one lineage."""
        while True:
            clock: Clock = yield ReadClock(self.seen())
            tails: dict[str, int] = yield ReadTails()
            again: Clock = yield ReadClock(self.seen())
            if again.epoch == clock.epoch:
                return clock, tails

    def _begin(self, clock: Clock, tails: dict[str, int]) -> None:
        self.clock = clock
        self.epoch, self.position, self.chain = clock.epoch, clock.id, clock.chain
        self._heard = self.frames, clock.id
        self.ring.clear(clock.id)
        self.tails = {}
        self._raise_tails(tails)
        self.listener.settled()

    def _sync(self) -> Steps[Clock]:
        """Adopt the clock's lineage; return one reply of the clock whose epoch is now ours."""
        clock: Clock = yield ReadClock(self.seen())
        if clock.epoch == self.epoch and clock.id >= self.position:
            self.clock = clock
            return clock
        # the lineage changed (or went back, which only a lost clock key inside one epoch could do): take it as a whole
        clock, tails = yield from self._clock_and_tails()
        if clock.epoch == self.epoch and clock.id >= self.position:
            self.clock = clock
            return clock
        self.listener.interrupted()
        found = fork_after(clock.chain, self.epoch) if clock.epoch != self.epoch else None
        if found is None:
            self.counters["resets"] += 1
            self._begin(clock, tails)
            return clock
        fork = found[0]
        self.counters["forks"] += 1
        if fork is not None and self.position > fork:
            self.counters["forks_cut"] += 1
            self.position = fork
            self.ring.cut(fork)
        self.clock = clock
        self.epoch, self.chain = clock.epoch, clock.chain
        self.tails = {}
        self._raise_tails(tails)
        self.listener.settled()
        return clock

    def _fill(self) -> Steps[None]:
        """Read what lies between the position and the clock; what is too much or gone is left to the subscriptions."""
        while True:
            clock = yield from self._sync()
            epoch, barrier = clock.epoch, clock.id
            if barrier <= self.position:
                return
            tails: dict[str, int] = yield ReadTails()
            metrics = [metric for metric, tail in tails.items() if tail > self.position]
            after, page = self.position, None
            if len(metrics) <= _FILL_METRICS:
                lists = yield ReadEntries(tuple((metric, after) for metric in metrics), self._fill_page)
                page = merge_page(metrics, lists, after, barrier, tails, self._fill_page)
            again: Clock = yield ReadClock(self.seen())
            if again.epoch != epoch:
                continue
            # from here on without a step: a subscription must never see half of a fill (row 25)
            self._raise_tails(tails)
            if page is None or page.holes or not page.complete:
                self.counters["fills_skipped"] += 1
                self.listener.interrupted()
                self.position = barrier
                self.ring.clear(barrier)
                self.listener.settled()
                return
            self.counters["fills"] += 1
            self.counters["entries_filled"] += len(page.entries)
            self._push(page.entries)
            self.position = barrier
            self.listener.settled()
            return

    def _push(self, entries: Sequence[PageEntry]) -> None:
        """Apply batches that continue the position, in id order; one loop, since it runs for every batch there is."""
        tails, append, applied = self.tails, self.ring.append, self.listener.applied
        newest = self.chain[-1]
        for id_, metric, body in entries:
            epoch = newest.epoch if id_ > newest.fork else minting_epoch(self.chain, id_)
            entry = RingEntry(id_, metric, body, encode_data(epoch, id_, body))
            tail = tails.get(metric)
            if tail is None:
                self.listener.born(metric)
            if tail is None or id_ > tail:
                tails[metric] = id_
            append(entry)
            self.position = id_
            applied(entry)

    def _raise_tails(self, tails: dict[str, int]) -> None:
        """Tails only rise, even past the position (row 9)."""
        for metric, tail in tails.items():
            if metric not in self.tails:
                self.listener.born(metric)
                self.tails[metric] = tail
            elif tail > self.tails[metric]:
                self.tails[metric] = tail
