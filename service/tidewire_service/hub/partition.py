"""One partition of the log as this process knows it: lineage, position, directory and newest batches; no I/O.

A process that serves several partitions has one `Partition`, one continuity tracker and one partition feed for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tidewire.model.cursor import Cursor, id_ms
from tidewire.model.vector_cursor import AnyCursor, VectorCursor
from tidewire.redislog.lineage import Clock, Fork, Watermark, minting_epoch, whole_epoch
from tidewire_service.hub.counters import COUNTERS
from tidewire_service.hub.event_ring import EventRing, RingEntry

__all__ = ["Partition"]


class Partition:
    """The state of one partition.

    The continuity tracker is the only writer of `epoch`, `position`, `chain`, `tails`, `clock` and the ring, one
    operation at a time; the fan-out is the only writer of `flushed` (docs/protocol.md row 23).

    Args:
        ring: the batches after its floor; bounded in bytes and batches.
        number: of the partition in its layout.
        layout: the id of the layout; 0 for a log of one partition.

    Attributes:
        number: as given.
        epoch: the epoch in which the position is stated; empty until the clock was read for the first time.
        position: everything up to this id was applied or skipped.
        flushed: every live subscription was handed everything of its selection up to this id; at most the position.
        chain: the lineage.
        tails: the directory, metric → last id; never behind the position, may be ahead of it. Bounded by the log's
            limit of metrics.
        ring: the batches after its floor, up to the position.
        clock: the last reply of the clock.
        counters: what happened how often; the names are `counters.COUNTERS`.
    """

    __slots__ = ("_layout", "chain", "clock", "counters", "epoch", "flushed", "number", "position", "ring", "tails")

    def __init__(self, ring: EventRing, number: int = 0, layout: int = 0) -> None:
        self.number = number
        self._layout = layout
        self.epoch = ""
        self.position = 0
        self.flushed = 0
        self.chain: tuple[Fork, ...] = ()
        self.tails: dict[str, int] = {}
        self.ring = ring
        self.clock: Clock | None = None
        self.counters = Counter(dict.fromkeys(COUNTERS, 0))  # a scrape shows what has not happened, too

    # -- ids and cursors

    def minting_epoch(self, id_: int) -> str:
        """Return the epoch in which an id was minted."""
        return minting_epoch(self.chain, id_)

    def cursor(self, id_: int) -> Cursor:
        """Return the cursor of an id: the same before and after a restart of Redis (docs/protocol.md rule 14)."""
        return Cursor(minting_epoch(self.chain, id_), id_)

    def named(self, cursor: Cursor) -> AnyCursor:
        """Return a cursor of this partition as it is told, in an event about this partition alone."""
        return VectorCursor.of(self._layout, [(self.number, cursor)]) if self._layout else cursor

    def completed(self, cursor: Cursor) -> Cursor:
        """Return a cursor with the whole of its epoch, of which a vector names the beginning."""
        return Cursor(whole_epoch(self.chain, cursor.epoch), cursor.id) if self._layout else cursor

    @property
    def flushed_cursor(self) -> Cursor:
        """The position that live subscribers have; empty until the clock was read for the first time."""
        return self.cursor(self.flushed) if self.epoch else Cursor("", 0)

    @property
    def watermark(self) -> Watermark | None:
        """The highest id known, with its lineage: the evidence handed in with each read of the clock."""
        return Watermark(self.position, self.chain) if self.epoch else None

    @property
    def low_watermark_ms(self) -> float:
        """A time in the log's clock, milliseconds: every id beyond the position is minted at or after it."""
        clock, reached = self.clock, float(id_ms(self.position))
        if clock is None or clock.epoch != self.epoch or clock.id > self.position:
            return reached
        return max(reached, clock.now_ms)

    # -- the newest batches

    @property
    def ring_floor(self) -> int:
        """A cursor at or above this id is served from memory."""
        return self.ring.floor

    def batches(self, after: int, upto: int) -> Iterator[RingEntry]:
        """Yield the batches with after < id ≤ upto, oldest first; complete only for `after` ≥ `ring_floor`."""
        return self.ring.after(after, upto)

    # -- what operators see

    def gauges(self) -> dict[str, float]:
        """Return what is held right now."""
        return {
            "ring_bytes": self.ring.bytes,
            "ring_batches": len(self.ring),
            "metrics": len(self.tails),
            "position_ms": id_ms(self.flushed),
        }

    def totals(self) -> Counter[str]:
        """Return the counters, with the ring's own count of evicted batches."""
        self.counters["ring_evicted"] = self.ring.evicted
        return self.counters
