"""Parses InfluxDB line protocol in slices: bytes into batches and refused lines; pure.

`line-protocol-parser` reads one line; the cutting into lines, the bounds and the names are of the modules beside this
one. Numbers and booleans are values, and strings texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from typing import Final, NamedTuple

from line_protocol_parser import LineFormatError, parse_line

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits, checked_unit
from tidewire_service.errors import limit_of
from tidewire_service.ingest.line_cutting import LINE_BYTES, LineCutter
from tidewire_service.ingest.line_heads import LineHead, fault_of, head_and_rest, head_of, metric_of
from tidewire_service.ingest.line_times import Precision, line_time_ms
from tidewire_service.ingest.rows import Group, Intake, Rejected, encode_group

__all__ = ["LineSlice", "LineSlices"]

_SLICE_BYTES: Final = 128 * 1024  # about 1,000 lines: 20 ms of a thread
_NAMED: Final = 100  # refused lines of a slice that are named, all are counted
_SHOWN: Final = 20  # bytes of a refused line that InfluxDB 3 shows
_EXACT: Final = 1 << 53


class LineSlice(NamedTuple):
    """What consecutive lines of a body hold.

    Attributes:
        intake: their batches and the refused lines, the first 100 of them; a row's number is its line's, from 1.
        lines: how many lines were read, without blank ones and comments.
        refused: the numbers of all lines that were refused, in whole or in part.
        starts: the beginning of each line, by number.
        key: the same for the same lines at the same place of a body; empty if a line has no time.
        lossy: integers beyond 2^53 that float64 does not hold exactly.
        left_out: fields that say the same again with each reading, such as an entity's friendly name.
    """

    intake: Intake
    lines: int
    refused: Set[int]
    starts: dict[int, str]
    key: str
    lossy: int
    left_out: int


class LineSlices:
    """Reads a body, a slice of lines at a time: 128 KiB, about 20 ms of work, so that memory stays small.

    Args:
        body: unpacked.
        limits: of a batch.
        precision: of its times.
        max_lines: largest number of lines.
        now_ms: the time of readings without one, Unix ms.
    """

    def __init__(self, body: bytes, limits: IngestLimits, precision: Precision, max_lines: int, now_ms: float) -> None:
        self._body = body
        self._cutter = LineCutter(body)
        self._limits = limits
        self._precision = precision
        self._now_ms = now_ms
        self._max_lines = max_lines
        self._slice = 0

    def read(self) -> LineSlice | None:
        """Return the next slice; None at the end.

        Raises:
            LimitExceeded: the body has too many lines; only before the first slice.
        """
        if not self._slice and (lines := self._body.count(b"\n") + 1) > self._max_lines:
            raise LimitExceeded("max_foreign_rows", self._max_lines, lines, "send fewer lines at a time")
        cut = self._cutter.cut(_SLICE_BYTES)
        if cut is None:
            return None
        reader = _SliceReader(self._limits, self._precision, self._now_ms)
        for number, line in cut.lines:
            reader.add(number, line)
        key = ""
        if reader.timed and cut.lines:
            place = f"{self._slice} {self._precision}\n".encode()
            key = hashlib.sha256(place + cut.raw).hexdigest()
        self._slice += 1
        starts = {number: line[:_SHOWN].decode(errors="replace") for number, line in cut.lines}
        intake = reader.finished()
        return LineSlice(intake, len(cut.lines), reader.refused, starts, key, reader.lossy, reader.left_out)


class _Series:
    """The series of one measurement with its tags, in a slice.

    Attributes:
        groups: by field, or by metric for an entity of Home Assistant.
        fields: by metric: two fields must not become one.
    """

    __slots__ = ("entity", "fields", "groups", "labels", "measurement")

    def __init__(self, head: LineHead) -> None:
        self.measurement, self.labels, self.entity = head
        self.groups: dict[tuple[str, str], Group] = {}
        self.fields: dict[str, str] = {}


class _SliceReader:
    """Collects the readings of lines in columns, one group for each series."""

    def __init__(self, limits: IngestLimits, precision: Precision, now_ms: float) -> None:
        self.timed = True
        self.lossy = self.left_out = 0
        self.refused: set[int] = set()
        self._limits = limits
        self._precision = precision
        self._now_ms = now_ms
        self._series: dict[str, _Series] = {}
        self._groups: list[Group] = []
        self._rejected: list[Rejected] = []

    def add(self, number: int, line: bytes) -> None:
        """Read a line, or refuse it."""
        try:
            whole = _text(line)
            series, rest = self._series_of(whole)
            try:
                parsed = parse_line("m" + rest)
            except (LineFormatError, UnicodeError, ValueError) as error:
                raise InvalidInput("line", whole[:60], fault_of(error)) from None
            time = parsed["time"]
            if time is None:
                self.timed, time_ms = False, self._now_ms
            else:
                time_ms = line_time_ms(time, self._precision, self._now_ms)
        except InvalidInput as error:
            self._refuse(number, error.field, error.value, error.reason, limit_of(error))
            return
        except LimitExceeded as error:
            self._refuse(number, error.limit, f"{error.got:.15g}", str(error), limit_of(error))
            return
        if series.entity is not None:
            readings, left_out = series.entity.readings(parsed["fields"])
            self.left_out += left_out
            for name, unit, value, text in readings:
                self._add(number, series, name, unit, time_ms, value, text)
            return
        for field, value in reversed(parsed["fields"].items()):  # the parser begins with the last
            if type(value) is str:
                self._add(number, series, field, "", time_ms, None, value)
            else:
                self._add(number, series, field, "", time_ms, value, None)

    def finished(self) -> Intake:
        """Return the batches and the refused lines."""
        intake = Intake([], [], [])
        for group in self._groups:
            encode_group(group, 0, len(group.rows), self._limits, intake)
        for rejected in intake.rejected:
            self.refused.add(rejected.row)
        named = sorted(self._rejected + intake.rejected, key=lambda rejected: rejected.row)
        return Intake(intake.batches, intake.rows, named[:_NAMED])

    def _refuse(self, number: int, field: str, value: str, reason: str, limit: str = "") -> None:
        self.refused.add(number)
        if len(self._rejected) < _NAMED:
            self._rejected.append(Rejected(number, field, value, reason, limit))

    def _series_of(self, line: str) -> tuple[_Series, str]:
        """Return the series of a line, and the rest of it, which begins with the blank before the fields."""
        head, rest = head_and_rest(line)
        series = self._series.get(head)
        if series is None:
            series = self._series[head] = _Series(head_of(head, self._limits.labels))
        return series, rest

    def _add(
        self, number: int, series: _Series, field: str, unit: str, time_ms: float, value: float | None, text: str | None
    ) -> None:
        group = series.groups.get((field, unit))
        if group is None or len(group.rows) >= self._limits.readings:
            try:
                group = self._new_group(series, field, unit)
            except InvalidInput as error:
                self._refuse(number, error.field, error.value, error.reason)
                return
        if type(value) is int and not -_EXACT <= value <= _EXACT:
            self.lossy += int(value) != int(float(value))
        group.rows.append(number)
        group.times.append(time_ms)
        group.values.append(None if value is None else float(value))
        group.texts.append(text)
        group.steps.append(None)

    def _new_group(self, series: _Series, field: str, unit: str) -> Group:
        metric = metric_of(series.measurement, field)
        if series.fields.setdefault(metric, field) != field:
            raise InvalidInput(
                "metric", field, f"would be {metric}, as the field {series.fields[metric]!r}; rename one of them"
            )
        group = Group(metric, series.labels, checked_unit(unit))
        series.groups[field, unit] = group
        self._groups.append(group)
        return group


def _text(line: bytes) -> str:
    if len(line) > LINE_BYTES:
        start = line[:60].decode(errors="replace")
        raise InvalidInput("line", start, f"is {len(line)} bytes, at most {LINE_BYTES} are allowed")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidInput("line", line[:60].decode(errors="replace"), "is not UTF-8") from None
