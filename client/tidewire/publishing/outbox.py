"""Holds readings until they are sent, in columns and encoded calls; bounded, the oldest dropped and counted.

Readings are added to the open part. A part is sealed when it is large, or when the sender has nothing older to do; the
sender takes the oldest part and puts back the calls it encoded of it: a queue for each partition of the log. No I/O, no
lock: `Publisher` calls it under its own, which is reentrant: a signal handler may publish in the middle of a publish,
or raise KeyboardInterrupt there. So a reading joins its series in one step of the interpreter, and how many there are
is counted when it is asked.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final

from tidewire.model.batch import Batch, EncodedBatch, series_key
from tidewire.model.layout import SINGLE, Layout
from tidewire.publishing.spool import Spooled
from tidewire.redislog.calls import split_calls

__all__ = ["Call", "Columns", "Outbox", "Part"]

READING_BYTES: Final = 84  # two floats of 24 and four places of 8 in a list that is an eighth too long
SERIES_BYTES: Final = 1_000  # of one series in one part: key, labels, two lists, their objects (measured: 950)
BATCH_BYTES: Final = 300  # of one encoded batch, besides its bytes
CALL_BYTES: Final = 200  # of a call, besides its batches: one to a partition that is away may be small
# Parts that fit the memory: the fewer, the more readings share a batch while the sender is behind (5,000 series in
# turn: 25,000 readings/s with parts of 1 MiB, 61,000 of 8 MiB); the more, the less is given up at once.
_PARTS: Final = 8

_WIDTH: Final = 4  # time, value, text, step


class Columns:
    """Readings of one series that wait: `rows` is flat, four places a reading, so that adding one is a single step."""

    __slots__ = ("default_time", "labels", "metric", "rows", "unit")

    def __init__(self, metric: str, labels: Mapping[str, str], unit: str, default_time: bool = False) -> None:
        self.metric, self.labels, self.unit, self.default_time = metric, labels, unit, default_time
        self.rows: list[Any] = []

    def __len__(self) -> int:
        return len(self.rows) // _WIDTH

    def batch(self, first: int, last: int) -> Batch:
        """Return the readings first … last - 1 as a batch."""
        time, value, text, step = (self.rows[first * _WIDTH + n : last * _WIDTH : _WIDTH] for n in range(_WIDTH))
        return Batch(
            metric=self.metric,
            labels=dict(self.labels),
            unit=self.unit,
            time=time,
            value=value,
            text=None if text.count(None) == len(text) else text,
            step=None if step.count(None) == len(step) else step,
        )


class Part:
    """Readings that are encoded together, or given up together.

    Attributes:
        number: rises by one from part to part.
        columns: by (metric, series key, unit, whether their times are the default), in order of first sight.
        bytes: of memory, about.
    """

    __slots__ = ("bytes", "columns", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.columns: dict[tuple[str, str, str, bool], Columns] = {}
        self.bytes = 0

    @property
    def readings(self) -> int:
        """Number of readings."""
        return sum(map(len, tuple(self.columns.values())))


class Call:
    """Batches that are sent together, to one partition, under one sequence from the first attempt on.

    Attributes:
        part: the number of the part it was made of.
        partition: in which its metrics lie.
        spooled: where it is on disk, None if it is in memory.
        publisher: under which it is sent, "" until the first attempt.
        sequence: the same, 0 until then.
        attempts: how often it was sent.
        in_flight: it is being sent, and must not be given up.
    """

    __slots__ = (
        "attempts", "batches", "bytes", "in_flight", "part", "partition",
        "publisher", "readings", "sequence", "spooled",
    )  # fmt: skip

    def __init__(
        self, batches: Sequence[EncodedBatch], part: int, spooled: Spooled | None = None, *, partition: int = 0
    ) -> None:
        self.batches = batches
        self.part = part
        self.partition = partition
        self.bytes = CALL_BYTES + sum(len(batch.body) + len(batch.last) + BATCH_BYTES for batch in batches)
        self.readings = sum(batch.readings for batch in batches)
        self.spooled = spooled
        self.publisher, self.sequence = ("", 0) if spooled is None else (spooled.publisher, spooled.sequence)
        self.attempts = 0
        self.in_flight = False


class Outbox:
    """Readings and calls that one publisher has still to send.

    Args:
        max_bytes: of memory, about; beyond it the oldest is given up.

    Attributes:
        dropped: readings given up.
        overflows_to_disk: what does not fit is not given up, since a disk is about to take it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._part_bytes = max_bytes // _PARTS
        self._max_held = max_bytes - self._part_bytes  # besides the open part
        self._open = Part(1)
        self._sealed: deque[Part] = deque()
        self._encoding: Part | None = None
        self._layout = SINGLE
        self._queues: list[deque[Call]] = [deque()]  # of each partition
        self.dropped = 0
        self.overflows_to_disk = False

    def add(
        self, metric: str, labels: Mapping[str, str], unit: str, row: tuple[Any, ...], default_time: bool = False
    ) -> bool:
        """Add one reading: time in milliseconds, value, text, step; True if the sender should be woken.

        Its time is the default if it was not given, but is of this machine's clock.
        """
        part = self._open
        first = not part.columns
        self._columns(part, metric, labels, unit, default_time).rows.extend(row)
        part.bytes += READING_BYTES if row[2] is None else READING_BYTES + sys.getsizeof(row[2])
        return self._bounded(part) or first

    def extend(self, batch: Batch, default_time: bool = False) -> bool:
        """Add the readings of a batch; True if the sender should be woken."""
        part = self._open
        first = not part.columns
        texts: Iterable[Any] = batch.text or repeat(None)
        rows = zip(batch.time, batch.value, texts, batch.step or repeat(None))  # noqa: B905 - two may be endless
        columns = self._columns(part, batch.metric, batch.labels, batch.unit, default_time)
        columns.rows.extend(chain.from_iterable(rows))
        part.bytes += READING_BYTES * len(batch) + sum(map(sys.getsizeof, batch.text or ()))
        return self._bounded(part) or first

    def _columns(self, part: Part, metric: str, labels: Mapping[str, str], unit: str, default_time: bool) -> Columns:
        key = (metric, series_key(labels), unit, default_time)
        found = part.columns.get(key)
        if found is None:
            found = part.columns.setdefault(key, Columns(metric, labels, unit, default_time))
            part.bytes += SERIES_BYTES
        return found

    def _bounded(self, part: Part) -> bool:
        if part.bytes < self._part_bytes:
            return False
        if part is self._open:
            self.seal()
        return True

    def seal(self) -> int:
        """Let later readings start a new part; return the number of the newest part that will get no more."""
        part = self._open
        if part.columns:
            fresh, append = Part(part.number + 1), self._sealed.append
            self._open = fresh
            append(part)  # no Ctrl-C gets between these two lines: it is looked at after calls
            self._bound()
        return self._open.number - 1

    def _bound(self) -> None:
        if not self.overflows_to_disk:
            self.give_up()

    def give_up(self) -> None:
        """Make room for another full part: what was encoded first, then the oldest part; never what is being sent."""
        excess = self._excess
        while excess > 0:
            oldest = (next((call for call in queue if not call.in_flight), None) for queue in self._queues)
            call = min((call for call in oldest if call is not None), key=lambda call: call.part, default=None)
            if call is not None:
                self._queues[call.partition].remove(call)
                self.dropped += call.readings
                excess -= call.bytes
            elif self._sealed:
                part = self._sealed.popleft()
                self.dropped += part.readings
                excess -= part.bytes
            else:
                return

    # -- for the sender

    @property
    def oldest(self) -> int:
        """The number of the oldest part of which something waits; all before it are settled."""
        if any(self._queues):
            return min(queue[0].part for queue in self._queues if queue)
        if self._encoding is not None:
            return self._encoding.number
        return self._sealed[0].number if self._sealed else self._open.number

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return self._encoding is None and not any(self._queues) and not self.unencoded

    @property
    def unencoded(self) -> bool:
        """Something waits to be encoded."""
        return bool(self._sealed or self._open.columns)

    @property
    def sealed(self) -> bool:
        """Something waits to be encoded that waits for nothing else to join it."""
        return bool(self._sealed)

    @property
    def ready(self) -> bool:
        """Something waits that waits for nothing else to join it."""
        return bool(self._sealed or any(self._queues))

    @property
    def starved(self) -> bool:
        """Nothing is encoded for one of the partitions."""
        return not all(self._queues)

    def waits(self, partition: int) -> bool:
        """Tell whether a call to a partition waits."""
        return bool(self._queues[partition])

    @property
    def queued(self) -> int:
        """Number of readings that wait."""
        parts = sum(part.readings for part in (*self._sealed, self._open, self._encoding) if part is not None)
        return parts + sum(call.readings for call in self._calls())

    @property
    def bytes(self) -> int:
        """Memory of what waits, about."""
        parts = sum(part.bytes for part in (*self._sealed, self._open, self._encoding) if part is not None)
        return parts + sum(call.bytes for call in self._calls())

    @property
    def crowded(self) -> bool:
        """Half of the memory is taken."""
        return self.bytes > self._max_bytes // 2

    @property
    def full(self) -> bool:
        """There is no room for another full part."""
        return self._excess > 0

    @property
    def _excess(self) -> int:
        return self.bytes - self._open.bytes - self._max_held

    def _calls(self) -> Iterable[Call]:
        return chain.from_iterable(self._queues)

    def head(self, partition: int = 0) -> Call | None:
        """Return the call to send first to a partition, None if nothing is encoded."""
        queue = self._queues[partition]
        return queue[0] if queue else None

    def pop_part(self, up_to: int | None = None) -> Part | None:
        """Return the oldest part, to be encoded and put back as calls. Never two at a time.

        Args:
            up_to: the number of the newest part that may be returned; any if None, the open one included.

        Returns:
            None if nothing such waits.
        """
        if up_to is None and not self._sealed:
            self.seal()
        waits = self._sealed and (up_to is None or self._sealed[0].number <= up_to)
        self._encoding = self._sealed.popleft() if waits else None
        return self._encoding

    def put(self, part: Part, batches: Sequence[EncodedBatch]) -> None:
        """Put back what was made of a part."""
        if self._encoding is not part:
            return  # cleared meanwhile, and counted there
        self._encoding = None
        for partition, some in self._divided(batches):
            queue = self._queues[partition]
            for few in split_calls(some):
                queue.append(Call(few, part.number, partition=partition))
        self._bound()

    def _divided(self, batches: Sequence[EncodedBatch]) -> Iterable[tuple[int, Sequence[EncodedBatch]]]:
        """Return for each partition those of some batches that lie in it, in order."""
        if not self._layout.id:
            return [(0, batches)]
        places = self._layout.split(batch.metric for batch in batches)
        return [(partition, [batches[place] for place in own]) for partition, own in places.items()]

    def divide(self, layout: Layout) -> None:
        """Queue all calls anew, for the partitions of a layout; none is in flight.

        What was tried keeps its publisher and sequence, in each partition that it goes to, and goes first: so the
        sequences of a publisher rise in every partition. A metric comes from one queue, so its order stays.
        """
        calls = sorted(self._calls(), key=lambda call: (not call.sequence, call.sequence or call.part))
        oldest = min((call.part for call in calls), default=0)  # a queue's head must not look newer than what follows
        self._layout = layout
        self._queues = [deque() for _ in range(layout.partitions)]
        for call in calls:
            for partition, some in self._divided(call.batches):
                part = Call(some, oldest if call.sequence else call.part, partition=partition)
                part.publisher, part.sequence, part.attempts = call.publisher, call.sequence, call.attempts
                self._queues[partition].append(part)

    def split(self, call: Call) -> None:
        """Make two calls of one that is too large for its receiver."""
        queue = self._queues[call.partition]
        if queue and queue[0] is call:
            middle = len(call.batches) // 2
            queue.popleft()
            for half in (call.batches[middle:], call.batches[:middle]):
                queue.appendleft(Call(half, call.part, partition=call.partition))

    def hold(self, partition: int | None = None) -> list[Call]:
        """Return all calls, or those to a partition, oldest first of each.

        None of them is given up until it is settled or no longer in flight.
        """
        calls = list(self._calls() if partition is None else self._queues[partition])
        for call in calls:
            call.in_flight = True
        return calls

    def settle(self, call: Call) -> bool:
        """Remove a call with a final answer; False if it was dropped meanwhile, and counted there."""
        queue = self._queues[call.partition]
        if not (queue and queue[0] is call):
            return False
        queue.popleft()
        return True

    def clear(self) -> int:
        """Drop everything; return the number of readings."""
        lost = self.queued
        self.dropped += lost
        for queue in self._queues:
            queue.clear()
        self._sealed.clear()
        self._encoding = None
        self._open = Part(self._open.number + 1)
        return lost
