"""Holds the newest readings of every series in memory, raw and in buckets of one second; no I/O.

One thread writes, any number read: both hold `Store.lock`, the writer for some microseconds per batch. Nothing is
called back; a reader compares versions. A series has an index for the life of the store, and its scalars lie at that
index of `Store.state`, so that readers of many series take them with one NumPy expression.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from tidewire.livestore.buckets import BUCKET_ROWS
from tidewire.livestore.colours import ColourRegister
from tidewire.livestore.column_ring import ColumnRing, Floats
from tidewire.livestore.deliveries import LEAST_SILENCE_MS
from tidewire.livestore.journal import Journal
from tidewire.livestore.past import Past
from tidewire.livestore.series import Series
from tidewire.model.answers import SeriesInfo
from tidewire.model.batch import FINISHED, Batch, newest_of, series_key
from tidewire.model.bucket_steps import FINE_MS
from tidewire.model.cursor import parse_id
from tidewire.model.positions import Ids, later_ids
from tidewire.model.threshold import Level
from tidewire.model.units import shown_unit, unit_key

__all__ = ["RATE_S", "STATE", "EventMark", "Store"]

RATE_S: Final = 60  # span of the rate of a series
_TOTAL_S: Final = 10  # whole seconds averaged by `readings_per_s`
_ROWS_A_TURN: Final = 500  # of a catalogue under one lock: about 10 ms
_SILENT_ROWS: Final = 4  # of a series of the catalogue, half a kilobyte: many never get another
_PACED_BY: Final = 3  # readings in a minute from which the rate of the catalogue tells how often they come …
# … but not how regularly: of readings that come at random, one in 150,000 comes later than three times this many
# mean intervals after the one before.
_MEAN_TIMES: Final = 4.0

STATE: Final = np.dtype(
    [
        ("last_time_ms", np.float64),
        ("last_value", np.float64),
        ("last_id_ms", np.float64),  # log time at which that newest reading came
        ("total", np.float64),
        ("version", np.int64),  # rises with every accepted batch
        ("changed_at", np.int64),  # directory version at which the entry was born or got another unit
        ("viewed", np.int64),  # number of the last view that showed it: a count, not a time
    ]
)


def _ends(value: float | None, text: str | None) -> bool:
    """Tell whether a reading is the last of its series; of one without a number the text is an event, or a state."""
    return text == FINISHED and value is not None


class EventMark(msgspec.Struct, frozen=True, kw_only=True):
    """A reading with a text, a mark below the charts; with a level, a time beyond a threshold that began then."""

    time_ms: float
    text: str
    metric: str
    labels: dict[str, str]
    level: Level | UnsetType = UNSET


class Store:
    """The rings of every series, bounded by `store_bytes`: past it the least recently seen series lose their blocks.

    Args:
        store_bytes: bound on the blocks of all series together, at least 1 MiB; one series takes at most a quarter.
        raw_ms: how far back readings are kept: the longest fine window, and a minute since columns round it up.
        seconds_ms: how far back buckets of one second are kept: six hours, and what columns add to such a window.
        max_series: largest number of series; readings of others are counted in `refused` and dropped.
        max_events: events kept, the newest.

    Attributes:
        lock: held by the writer per batch, and by readers while they use views.
        series: by index.
        state: the scalars of each series, dtype `STATE`, at least as long as `series`.
        directory_version: rises when a series is born or gets another unit.
        colours: the style of each series.
        events: in order of arrival; `events_version` rises with each.
        covered_from_ms: since when the store was given everything (log time); set by whoever feeds it. -inf where each
            series knows for itself: see `Series.known_from_ms`.
        generation: rises with each `restart`: a past whose reading began before is not taken.
        restarting: a catalogue is on its way in: what shows all series waits for the rest of them.
        catching_up: the stream is still behind, so that no silence is proven; set by whoever feeds it.
        late: the metrics of each partition of the log that does not answer, as far as they were named: no reading of
            theirs comes at the moment, whatever there is. Set by whoever feeds it, and replaced as a whole.
        bytes_used: bytes of all blocks.
        duplicates, refused: readings dropped because they were there, or because of `max_series`.
    """

    def __init__(
        self,
        *,
        store_bytes: int = 512 << 20,
        raw_ms: float = FINE_MS + 60_000.0,
        seconds_ms: float = 7 * 3_600_000.0,
        max_series: int = 100_000,
        max_events: int = 20_000,
    ) -> None:
        self.lock = threading.RLock()
        self.store_bytes = max(store_bytes, 1 << 20)
        self.raw_ms = raw_ms
        self.seconds_ms = seconds_ms
        self.max_series = max_series
        self.series: list[Series] = []
        self.state = np.zeros(64, dtype=STATE)
        self.directory_version = 0
        self.events: deque[EventMark] = deque(maxlen=max_events)
        self.events_version = 0
        self._event_keys: set[tuple[float, str, str, str]] = set()
        self.covered_from_ms = np.inf
        self.generation = 0
        self.restarting = False
        self.catching_up = False
        self.late: Mapping[int, frozenset[str]] = {}
        self.bytes_used = 0
        self.duplicates = 0
        self.refused = 0
        self._journals: dict[str, Journal] = {}  # by metric
        self._metrics: set[str] = set()
        self._by_key: dict[tuple[str, str], Series] = {}
        self.colours = ColourRegister()
        self._columns()
        self._arrivals = np.zeros((64, RATE_S + 1), dtype=np.float32)  # readings per second of log time, modulo
        self._arrivals_s = 0
        self._kept: set[int] = set()  # series that hold readings of a log that was lost
        self._highest_id = 0
        self._doubtful_id = 0
        self._views = 0

    def _columns(self) -> None:
        state = self.state
        self._last_time, self._last_value = state["last_time_ms"], state["last_value"]
        self._last_id_ms, self._total, self._version = state["last_id_ms"], state["total"], state["version"]

    # -- writing -------------------------------------------------------------------------------------------------

    def append(self, batch: Batch, id_: int, *, partition: int = 0, snapshot: bool = False, upto: int = 0) -> int:
        """Store the readings of one batch; call it in the one writing thread.

        Args:
            batch: its times may be in any order and older than what is there.
            id_: the batch's id in the log, 0 if unknown. A batch whose id its series has passed is a duplicate, unless
                `new_lineage` or a snapshot made such ids doubtful: then each of its readings is compared.
            partition: of the log, which minted the id.
            snapshot: the batch holds readings of its series that the log may deliver yet, in batches of its own.
            upto: id up to which it may; the batch's if that is higher.

        Returns:
            How many readings were new.
        """
        with self.lock:
            if self._journals and id_ and not snapshot and (journal := self._journals.get(batch.metric)) is not None:
                journal.append(id_, batch, partition)
            key = (batch.metric, series_key(batch.labels))
            series = self._by_key.get(key)
            if series is None:
                series = self._enter(key, batch)
                if series is None:
                    self.refused += len(batch.time)
                    return 0
            else:
                if batch.unit and not snapshot:
                    series.logged_unit = batch.unit
                if series.past_ids and 0 < id_ <= series.past_ids.get(partition, 0) and not snapshot:
                    return self._note_known(series, batch, id_, partition)
                unit = batch.unit if snapshot else series.logged_unit
                if unit and not self._note_unit(unit, batch.time, series, id_):
                    return 0
            if snapshot and 0 < id_ <= series.last_id and batch.time[-1] <= self._last_time[series.index]:
                return 0
            compare = snapshot or id_ <= max(self._doubtful_id, series.doubtful_id)
            if id_ <= series.last_id and not compare:
                self.duplicates += len(batch.time)
                return 0
            log_ms = float(id_ >> 32) if id_ else max(batch.time)
            silence_ms = log_ms - self._last_id_ms[series.index]
            if LEAST_SILENCE_MS < silence_ms < math.inf and not snapshot:
                self._note_silence(series, batch, silence_ms, log_ms)
            if id_ and not snapshot:
                series.partition = partition
            added = self._store_batch(series, batch, id_, log_ms, compare=compare)
            if snapshot:
                series.doubtful_id = max(series.doubtful_id, id_, upto)
            self._note_arrival(series, batch, id_, log_ms)
            if added:
                self._count(series, 0 if snapshot else id_, log_ms, added)
            if batch.text is not None or series.words is not None:  # also of readings a snapshot brought without it
                self._flag(series, batch)
            return added

    def follow(self, metric: str) -> Journal:
        """Keep the batches of a metric that are appended from now on, for whoever takes them; until `unfollow`."""
        with self.lock:
            journal = self._journals[metric] = Journal()
            return journal

    def unfollow(self, metric: str) -> None:
        """Keep the batches of a metric no more."""
        with self.lock:
            self._journals.pop(metric, None)

    def new_lineage(self, metrics: Collection[str] | None = None) -> None:
        """Note that the log was lost: replays may repeat stored readings, under the same or other ids.

        Args:
            metrics: whose; None for all.
        """
        with self.lock:
            if metrics is None:
                self._doubtful_id = self._highest_id
                self._kept = {series.index for series in self.series}
                return
            for series in self.series:
                if series.metric in metrics:
                    series.doubtful_id = self._highest_id
                    series.past_ids, series.journal = {}, None
                    self._kept.add(series.index)
            for metric in self._journals.keys() & set(metrics):
                self._journals[metric].lost = True

    def restart(self, rows: Sequence[SeriesInfo], upto: Ids, now_ms: float) -> None:
        """Begin anew from the catalogue: the last readings and rates of its series, whose past is not known.

        Of a series that is not among them nothing is missing, if all partitions answered: the log holds no reading of
        it. What the stream brings of a partition that did not answer is compared with what is there.

        Args:
            rows: the catalogue.
            upto: the ids, by partition, from which batches are appended from now on.
            now_ms: the log's clock.
        """
        with self.lock:
            self.generation += 1
            self.restarting = True
            self.covered_from_ms = -np.inf
            self._advance(int(now_ms // 1_000))
            for series in self.series:
                series.journal = None
                series.past_ids = {number: id_ for number, id_ in series.past_ids.items() if number not in upto}
        try:
            for start in range(0, len(rows), _ROWS_A_TURN):  # a reader waits no longer than for so many
                with self.lock:
                    for row in rows[start : start + _ROWS_A_TURN]:
                        self._enter_last(row, upto)
        finally:
            self.restarting = False

    def _enter_last(self, row: SeriesInfo, upto: Ids) -> None:
        key = (row.metric, series_key(row.labels))
        series, id_, time_ms = self._by_key.get(key), parse_id(row.id), row.time
        text: list[str | None] | None = None if row.text is None else [row.text]
        batch = Batch(metric=row.metric, labels=row.labels, unit=row.unit, time=[time_ms], value=[row.value], text=text)
        if series is None:
            series = self._enter(key, batch)
            if series is None:
                self.refused += 1
                return
        elif row.unit:
            self._note_unit(row.unit, batch.time, series, id_)
        index, number = series.index, np.nan if row.value is None else row.value
        newest = float(self._last_time[index])
        last = max(upto.values()) if series.partition is None else upto.get(series.partition, id_)
        if id_ <= last and time_ms > newest:  # a later one is appended from the log
            # Which partition it is of may not be known, and from where that is streamed: it may come again.
            series.doubtful_id = max(series.doubtful_id, id_)
            if series.raw.capacity:
                self._make_room(series, 1, float(id_ >> 32))
            else:
                series.grow(_SILENT_ROWS, _SILENT_ROWS)
                self.bytes_used += series.nbytes
            series.append_one(time_ms, number)
        reading_id = parse_id(row.reading_id) if row.reading_id else id_
        if time_ms >= newest:
            self._last_time[index], self._last_value[index] = time_ms, number
            series.reading_id = reading_id
        self._note_arrival(series, batch, reading_id, float(reading_id >> 32))
        self._total[index] = max(self._total[index], float(row.count))
        self._version[index] += 1
        series.late.append((int(self._version[index]), -math.inf))
        series.known_from_ms = time_ms
        if row.rate is not None:
            self._arrivals[index] = row.rate
            series.pace_ms = _MEAN_TIMES * 1e3 / row.rate if row.rate * RATE_S >= _PACED_BY else math.nan
        if text is not None:
            self._flag(series, batch)

    def begin_past(self, series: Iterable[Series]) -> int:
        """Keep what is appended to these series until their past is taken; return the generation to take it in."""
        with self.lock:
            for one in series:
                one.journal = []
            return self.generation

    def end_past(self, series: Iterable[Series]) -> None:
        """Give up the past of these series."""
        with self.lock:
            for one in series:
                one.journal = None

    def take_past(self, series: Series, past: Past, generation: int) -> bool:
        """Replace what is held of a series by its past and what came since; False if a restart was in between."""
        with self.lock:
            journal = series.journal
            if generation != self.generation or journal is None:
                return False
            series.journal = None
            # Readings of a log that was lost are nowhere else.
            upto = series.id_among(past.upto)
            rows = past.joined(journal, upto, series.raw.rows() if series.index in self._kept else None)
            index = series.index
            before = series.nbytes
            needed = 2 * ColumnRing.bytes_of(2 + BUCKET_ROWS, rows.shape[1])
            if self.bytes_used - before + needed > self.store_bytes:
                self._evict(series, needed, past.log_ms)
            series.replace(rows, self.store_bytes // 4)
            self.bytes_used += series.nbytes - before
            series.known_from_ms = past.from_ms
            series.past_ids = later_ids(series.past_ids, past.upto)
            self._note_past_unit(series, past)
            if rows.shape[1] and rows[0, -1] >= self._last_time[index]:
                if rows[0, -1] > self._last_time[index]:  # when it came is known once the stream brings it
                    came_ms = min(float(rows[0, -1]), past.log_ms)
                    self._last_id_ms[index] = max(self._last_id_ms[index], came_ms)
                    series.ended = (float(rows[0, -1]), FINISHED) in past.texts and not math.isnan(rows[1, -1])
                self._last_time[index], self._last_value[index] = rows[:, -1]
                series.reading_id = max(series.reading_id, upto)
            self._version[index] += 1
            series.late.append((int(self._version[index]), past.from_ms))
            for time_ms, text in sorted(past.texts):
                if series.has_states:
                    if not series.add_word(time_ms, text):
                        continue
                elif text == FINISHED:
                    continue
                self._mark(EventMark(time_ms=time_ms, text=text, metric=series.metric, labels=series.labels))
            return True

    def _note_past_unit(self, series: Series, past: Past) -> None:
        if not past.unit:
            return
        if not series.unit:
            self._set_unit(series, past.unit)
        if unit_key(past.unit) == unit_key(series.unit):
            self._begin_piece(series, past.unit_since_ms)
        elif past.unit_ms >= series.unit_ms:  # the log is ahead of the stream
            since_ms = max(past.unit_since_ms, float(past.rows[0].min()))  # the change may lie before the past
            self._change_unit(series, past.unit, since_ms, since_ms)
        else:
            self._begin_piece(series, math.nextafter(past.unit_ms, math.inf))
        series.unit_ms = max(series.unit_ms, past.unit_ms)

    def set_pace(self, series: Series, pace_ms: float) -> None:
        """Set the usual interval of a series that has too few readings here."""
        with self.lock:
            series.pace_ms = pace_ms
            self._version[series.index] += 1

    def _note_arrival(self, series: Series, batch: Batch, id_: int, log_ms: float) -> None:
        """Note when the newest reading of a series came, and whether it is the last one, if it is of this batch."""
        index, place = series.index, newest_of(batch.time) if len(batch.time) > 1 else 0
        if batch.time[place] < self._last_time[index]:
            return
        self._last_id_ms[index] = max(self._last_id_ms[index], log_ms)
        if not id_ or id_ >= series.reading_id:
            series.ended = batch.text is not None and _ends(batch.value[place], batch.text[place])

    def _note_silence(self, series: Series, batch: Batch, silence_ms: float, log_ms: float) -> None:
        """Note a silence if the batch that ends it holds readings of that time."""
        oldest_ms = min(batch.time)
        since_ms = oldest_ms - self._last_time[series.index]
        if since_ms <= silence_ms / 2 <= log_ms - oldest_ms:
            series.note_silence(silence_ms, log_ms)

    def _note_known(self, series: Series, batch: Batch, id_: int, partition: int) -> int:
        """Count a batch whose readings came with the past of its series already."""
        if id_ <= series.last_id:
            self.duplicates += len(batch.time)
            return 0
        series.partition = partition
        self._note_arrival(series, batch, id_, float(id_ >> 32))
        self._count(series, id_, float(id_ >> 32), len(batch.time))
        return len(batch.time)

    def _enter(self, key: tuple[str, str], batch: Batch) -> Series | None:
        index = len(self.series)
        if index >= self.max_series:
            return None
        if index == len(self.state):
            self.state = np.concatenate((self.state, np.zeros(index, dtype=STATE)))
            self._arrivals = np.concatenate((self._arrivals, np.zeros_like(self._arrivals)))
            self._columns()
        colour = self.colours.choose(batch.metric, batch.labels, key[1])
        series = Series(index, batch.metric, batch.labels, colour)
        self.state[index] = (-np.inf, np.nan, -np.inf, 0.0, 0, 0, self._views)
        self._by_key[key] = series
        self.series.append(series)
        self._metrics.add(batch.metric)
        if batch.unit:
            series.logged_unit, series.unit_ms = batch.unit, max(batch.time)
        self._set_unit(series, batch.unit)
        return series

    def _set_unit(self, series: Series, unit: str) -> None:
        series.unit = unit
        self.directory_version += 1
        self.state["changed_at"][series.index] = self.directory_version

    def _note_unit(self, unit: str, times: Sequence[float], series: Series, id_: int) -> bool:
        """Give a series the unit of its newest reading that came with one; False if older ones came with another."""
        newest_ms, known_ms = times[0] if len(times) == 1 else max(times), series.unit_ms
        if unit == series.unit:
            if newest_ms > known_ms:
                series.unit_ms = newest_ms
            return True
        same = not series.unit or unit_key(unit) == unit_key(series.unit)
        if series.unit and (newest_ms < known_ms or id_ < series.last_id):
            if not same and newest_ms < known_ms:  # the piece begins after it
                self._begin_piece(series, max(series.unit_since_ms, math.nextafter(newest_ms, math.inf)))
            return same
        series.unit_ms = max(known_ms, newest_ms)
        if same:
            self._set_unit(series, unit)
        else:
            at_ms = min(time_ms for time_ms in times if time_ms >= known_ms)
            self._change_unit(series, unit, min(at_ms, math.nextafter(known_ms, math.inf)), at_ms)
        return True

    def _begin_piece(self, series: Series, since_ms: float) -> None:
        if since_ms > series.unit_since_ms:
            series.unit_since_ms = since_ms
            self._version[series.index] += 1
            series.late.append((int(self._version[series.index]), -math.inf))

    def _change_unit(self, series: Series, unit: str, since_ms: float, at_ms: float) -> None:
        """Two units have no common axis: what came before is not drawn any more, and an event marks the change."""
        before, after = shown_unit(series.unit, 0.0).text, shown_unit(unit, 0.0).text
        self._set_unit(series, unit)
        self._begin_piece(series, since_ms)
        text = f"unit: {before} → {after}"
        self._mark(EventMark(time_ms=at_ms, text=text, metric=series.metric, labels=series.labels))

    def _store_batch(self, series: Series, batch: Batch, id_: int, log_ms: float, *, compare: bool) -> int:
        index = series.index
        newest = self._last_time[index]
        if series.journal is not None:
            series.journal.append((id_, np.array((batch.time, batch.value), dtype=np.float64)))
        if len(batch.time) == 1 and batch.time[0] > newest:
            number = np.nan if batch.value[0] is None else batch.value[0]
            if series.raw.size == series.raw.capacity or series.seconds.size == series.seconds.capacity:
                self._make_room(series, 1, log_ms)
            series.append_one(batch.time[0], number)
            self._last_time[index], self._last_value[index] = batch.time[0], number
            series.reading_id = id_
            return 1
        rows: Floats = np.array((batch.time, batch.value), dtype=np.float64)
        if (rows[0, 1:] < rows[0, :-1]).any():
            rows = rows[:, np.argsort(rows[0], kind="stable")]
        last = rows[:, -1]  # also if it is known and others of its time are not
        if compare:
            known = rows.shape[1]
            rows = series.unknown(rows)
            self.duplicates += known - rows.shape[1]
            if not rows.shape[1]:
                return 0
        self._make_room(series, rows.shape[1], log_ms)
        if rows[0, 0] > newest:
            series.append(rows)
        else:
            version = int(self._version[index]) + 1
            series.merge(rows, version, log_ms - self.raw_ms, log_ms - self.seconds_ms)
        # Of equal times the later id counts; the catalog may have brought it before the log brings the earlier one.
        if last[0] > newest or (last[0] == newest and (not id_ or id_ >= series.reading_id)):
            self._last_time[index], self._last_value[index] = last
            series.reading_id = id_
        return int(rows.shape[1])

    def _make_room(self, series: Series, count: int, log_ms: float) -> None:
        raw_rows, second_rows, extra = series.growth(count, log_ms - self.raw_ms, log_ms - self.seconds_ms)
        if not extra:
            return
        if series.raw.capacity and series.nbytes + extra > self.store_bytes // 4:
            return  # its own oldest rows go, before one flood takes the blocks of all others
        if self.bytes_used + extra > self.store_bytes:
            self._evict(series, extra, log_ms)
        series.grow(raw_rows, second_rows)
        self.bytes_used += extra

    def _evict(self, keep: Series, wanted: int, log_ms: float) -> None:
        """Evict the least recently seen series until `wanted` bytes are free, and an eighth for the next."""
        target = self.store_bytes - wanted - self.store_bytes // 8
        for index in np.argsort(self.state["viewed"][: len(self.series)], kind="stable").tolist():
            series = self.series[index]
            if series is keep or not series.nbytes:
                continue
            self.bytes_used -= series.nbytes
            series.evict(log_ms)
            if self.bytes_used <= target:
                return

    def _count(self, series: Series, id_: int, log_ms: float, added: int) -> None:
        index = series.index
        self._total[index] += added
        self._version[index] += 1
        if id_ > series.last_id:
            series.last_id = id_
            self._highest_id = max(self._highest_id, id_)
        second = int(log_ms // 1_000)
        if id_ and second > self._arrivals_s - RATE_S:
            self._advance(second)
            self._arrivals[index, second % (RATE_S + 1)] += added

    def _advance(self, second: int) -> None:
        """Empty the columns of the seconds up to this one."""
        width = RATE_S + 1
        if second - self._arrivals_s >= width:
            self._arrivals[:] = 0
        else:
            for passed in range(self._arrivals_s + 1, second + 1):
                self._arrivals[:, passed % width] = 0
        self._arrivals_s = max(self._arrivals_s, second)

    def _flag(self, series: Series, batch: Batch) -> None:
        """Note the texts of a batch: of a state the changes are events, of all else each text is one."""
        for time_ms, value, text in zip(batch.time, batch.value, batch.text or repeat(None), strict=False):
            word = value is None and series.has_states and (text or series.words is not None)
            if word and not series.add_word(time_ms, text or ""):
                continue
            if text and not _ends(value, text):  # the end of a line says that, and each series of a run has one
                self._mark(EventMark(time_ms=time_ms, text=text, metric=batch.metric, labels=batch.labels))

    def _mark(self, event: EventMark) -> None:
        key = _event_key(event)
        if key in self._event_keys:
            return
        if len(self.events) == self.events.maxlen:
            self._event_keys.discard(_event_key(self.events[0]))
        self.events.append(event)
        self._event_keys.add(key)
        self.events_version += 1

    # -- reading -------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> int:
        """Return the number of different metrics."""
        return len(self._metrics)

    def knows(self, metric: str) -> bool:
        """Return whether it has a series of this metric."""
        return metric in self._metrics

    def find(self, metric: str, labels: dict[str, str]) -> Series | None:
        """Return the series of these labels, None if it was never seen."""
        return self._by_key.get((metric, series_key(labels)))

    def is_late(self, series: Series) -> bool:
        """Tell whether no reading of a series can come at the moment: its partition of the log does not answer."""
        if not self.late:
            return False
        if series.partition is not None:
            return series.partition in self.late
        return any(series.metric in metrics for metrics in self.late.values())

    def mark_viewed(self, indices: npt.NDArray[np.intp] | Sequence[int]) -> None:
        """Mark these series as shown: they are evicted last."""
        with self.lock:
            self._views += 1
            self.state["viewed"][indices] = self._views

    def changed_since(self, directory_version: int) -> list[Series]:
        """Return the series that were born or got another unit after this version of the directory, in index order."""
        with self.lock:
            changed = np.flatnonzero(self.state["changed_at"][: len(self.series)] > directory_version)
            return [self.series[index] for index in changed.tolist()]

    def rates(self, indices: npt.NDArray[np.intp], now_ms: float) -> npt.NDArray[np.float32]:
        """Return readings per second over the last 60 s of log time, of each series."""
        with self.lock:
            self._advance(int(now_ms // 1_000))
            current = self._arrivals_s % (RATE_S + 1)
            whole = self._arrivals[indices].sum(axis=1) - self._arrivals[indices, current]
        return np.asarray(whole / np.float32(RATE_S), dtype=np.float32)

    def readings_per_s(self, now_ms: float) -> float:
        """Return readings per second of all series over the last 10 whole seconds of log time."""
        second = int(now_ms // 1_000)
        with self.lock:
            newest = min(second - 1, self._arrivals_s)
            oldest = max(second - _TOTAL_S, self._arrivals_s - RATE_S + 1)
            columns = [s % (RATE_S + 1) for s in range(oldest, newest + 1)]
            return float(self._arrivals[: len(self.series), columns].sum()) / _TOTAL_S

    def covered(self, series: Series, step_ms: int) -> float:
        """Return since when (log time) the tier that serves buckets of this width holds all readings of a series."""
        return max(self.covered_from_ms, series.known_from_ms, series.covered_from_ms(step_ms))


def _event_key(event: EventMark) -> tuple[float, str, str, str]:
    return event.time_ms, event.metric, series_key(event.labels), event.text
