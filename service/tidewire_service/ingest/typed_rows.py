"""Makes batches of the rows of a JSON body in one pass, if nothing is wrong with any of them; pure.

`rows.collect` reads every body, and says of each row what is wrong; it takes an object for each field of each row, and
checks each name anew. Here msgspec checks types and fields while it parses, and series seen before are not checked
again. Any doubt leaves the whole body to `rows.collect`, so that there is one place that words refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import (
    Batch,
    IngestLimits,
    checked_labels,
    checked_name,
    checked_time_ms,
    checked_unit,
    encode_batch,
    is_plausible_time,
    series_key,
)
from tidewire_service.ingest.rows import Group, Intake, encode_group

__all__ = ["TypedRead", "TypedRows", "typed_json", "typed_ndjson"]

_MAX_SERIES: Final = 65_536  # remembered as checked; then all are forgotten
_MAX_KEY: Final = 512  # characters of their labels; 32 labels of the longest are 16 KiB, and would be 1 GB together


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    metric: str
    value: float | list[float | None] | UnsetType | None = UNSET
    time: float | str | list[float] | None = None
    unit: str | None = None
    labels: dict[str, str] | None = None
    text: str | None = None
    step: float | list[float | None] | None = None


class _Series(NamedTuple):
    metric: str
    labels: dict[str, str]
    unit: str
    key: str


_Known = dict[tuple[str, str, tuple[tuple[str, str], ...]], _Series]


class _Single:
    """One flat row, the only one of its series so far."""

    __slots__ = ("number", "row", "series", "time_ms", "value")

    def __init__(self, number: int, series: _Series, row: _Row, time_ms: float, value: float | None) -> None:
        self.number, self.series, self.row, self.time_ms, self.value = number, series, row, time_ms, value

    def batch(self) -> Batch:
        series, text, step = self.series, self.row.text, self.row.step
        return Batch(
            metric=series.metric,
            labels=series.labels,
            unit=series.unit,
            time=[self.time_ms],
            value=[self.value],
            text=None if text is None else [text],
            step=None if step is None else [step],  # type: ignore[list-item]  # of a flat row it is no list
        )

    def group(self) -> Group:
        series = self.series
        group = Group(series.metric, series.labels, series.unit)
        _add(group, self.number, self.row, self.time_ms, self.value)
        return group


def _add(group: Group, number: int, row: _Row, time_ms: float, value: float | None) -> None:
    group.rows.append(number)
    group.times.append(time_ms)
    group.values.append(value)
    group.texts.append(row.text)
    group.steps.append(row.step)  # type: ignore[arg-type]  # of a flat row it is no list


class _Doubt(Exception):
    """A row is not as most are; it may be wrong."""


_one: Final = msgspec.json.Decoder(_Row)
_list: Final = msgspec.json.Decoder(list[_Row])

TypedRead = Callable[[bytes], Sequence[_Row]]


def typed_json(body: bytes) -> Sequence[_Row]:
    """Return the rows of a JSON body, a row or a list of rows.

    Raises:
        MsgspecError: one has other types or fields.
    """
    return _list.decode(body) if body.startswith(b"[") else (_one.decode(body),)


def typed_ndjson(body: bytes) -> Sequence[_Row]:
    """Return the rows of an NDJSON body.

    Raises:
        MsgspecError: one has other types or fields.
    """
    return [_one.decode(line) for line in body.split(b"\n") if line and not line.isspace()]  # a row on each line


class TypedRows:
    """Reads bodies of JSON; may be used in several threads.

    Args:
        limits: of a batch.
        max_rows: largest number of rows in one body.
    """

    def __init__(self, limits: IngestLimits, max_rows: int) -> None:
        self._limits = limits
        self._max_rows = max_rows
        self._known = _Known()

    def intake(self, body: bytes, read: TypedRead, now_ms: float) -> Intake | None:
        """Return what `rows.collect` would make of the rows of a body; None if it is not certain to be the same.

        Args:
            body: as it was sent.
            read: `typed_json` or `typed_ndjson`.
            now_ms: used for a reading without a time, Unix ms.
        """
        if len(self._known) > _MAX_SERIES:
            self._known = _Known()
        try:
            rows = read(body)
            return self._collected(rows, now_ms) if 0 < len(rows) <= self._max_rows else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _Doubt, InvalidInput, LimitExceeded):
            return None

    def _collected(self, rows: Sequence[_Row], now_ms: float) -> Intake:
        limits, most = self._limits, self._limits.readings
        known, own = self._known, _Known()  # of this body: another thread may begin a new table meanwhile
        found: list[_Single | Group | tuple[int, _Series, Batch]] = []
        places: dict[tuple[str, str, str], int] = {}  # of a series its open entry in `found`
        for number, row in enumerate(rows):
            series, value = self._series(row, known, own), row.value
            if type(value) is list:
                found.append((number, series, self._columns(row, series, value, now_ms)))
                continue
            if value is UNSET:
                if row.text is None:
                    raise _Doubt
                value = None
            if type(row.step) is list:
                raise _Doubt
            time = row.time
            if time is None:
                time_ms = now_ms
            elif type(time) is float and is_plausible_time(time, now_ms):
                time_ms = time
            else:
                time_ms = checked_time_ms(time, now_ms=now_ms)
            which = series.metric, series.unit, series.key
            place = places.get(which)
            entry = None if place is None else found[place]
            if entry is None:
                places[which] = len(found)
                found.append(_Single(number, series, row, time_ms, value))  # type: ignore[arg-type]
                continue
            if type(entry) is _Single:
                entry = found[place] = entry.group()  # type: ignore[index]
            if len(entry.rows) >= most:  # type: ignore[union-attr]
                places[which] = len(found)
                found.append(_Single(number, series, row, time_ms, value))  # type: ignore[arg-type]
                continue
            _add(entry, number, row, time_ms, value)  # type: ignore[arg-type]
        intake = Intake([], [], [])
        for entry in found:
            if type(entry) is Group:
                encode_group(entry, 0, len(entry.rows), limits, intake)
            elif type(entry) is _Single:
                intake.batches.append(encode_batch(entry.batch(), limits, series=entry.series.key))
                intake.rows.append((entry.number,))
            else:
                number, series, batch = entry  # type: ignore[misc]
                intake.batches.append(encode_batch(batch, limits, series=series.key))
                intake.rows.append((number,))
        intake.rejected.sort(key=lambda rejected: rejected.row)
        return intake

    def _series(self, row: _Row, remembered: _Known, own: _Known) -> _Series:
        """Return the series of a row, checked."""
        unit, labels = row.unit or "", row.labels
        key = row.metric, unit, tuple(labels.items()) if labels else ()
        known = remembered.get(key) or own.get(key)
        if known is None:
            checked = checked_labels(labels, self._limits)
            known = _Series(checked_name(row.metric), checked, checked_unit(unit), series_key(checked))
            # set once: another thread may have met it just now
            known = (remembered if len(known.key) <= _MAX_KEY else own).setdefault(key, known)
        return known

    def _columns(self, row: _Row, series: _Series, values: list[float | None], now_ms: float) -> Batch:
        """Return the batch of a row of columns."""
        times, steps, count = row.time, row.step, len(values)
        if not 0 < count <= self._limits.readings or row.text is not None:
            raise _Doubt
        if times is None:
            times = [now_ms] * count
        elif (
            type(times) is not list
            or len(times) != count
            or not is_plausible_time(min(times), now_ms)
            or not is_plausible_time(max(times), now_ms)
        ):
            raise _Doubt
        if steps is not None and (type(steps) is not list or len(steps) != count):
            raise _Doubt
        return Batch(metric=series.metric, labels=series.labels, unit=series.unit, time=times, value=values, step=steps)
