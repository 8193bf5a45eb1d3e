"""Parses InfluxDB line protocol in slices: bytes into batches and refused lines; pure.

`line-protocol-parser` reads one line; the cutting into lines, the bounds and the names are here. A measurement and a
field are the metric ``measurement/field``, tags are labels, numbers and booleans values, and strings texts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Set
from functools import lru_cache
from typing import Final, NamedTuple

from line_protocol_parser import LineFormatError, parse_line

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits, checked_labels, checked_name, checked_unit, is_plausible_time
from tidewire.model.foreign_names import readable_name, readable_value
from tidewire_service.errors import limit_of
from tidewire_service.ingest.home_assistant import Entity, entity_of, is_entity
from tidewire_service.ingest.rows import Group, Intake, Rejected, encode_group

__all__ = ["PRECISIONS", "LineSlice", "LineSlices", "Precision"]

Precision = str
"""A key of `PRECISIONS`, or ``auto``: told from each time's size."""

PRECISIONS: Final = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3_600e3}
"""Milliseconds in one unit of a time."""
_PER_MS: Final = {"ns": 1_000_000, "us": 1_000}  # exact: a time in ns has more digits than float64
# Smaller times are of that precision: `auto` of InfluxDB 3.
_AUTO: Final = ((5_000_000_000, "s"), (5_000_000_000_000, "ms"), (5_000_000_000_000_000, "us"))
_LINE_BYTES: Final = 64 * 1024
_SLICE_BYTES: Final = 128 * 1024  # about 1,000 lines: 20 ms of a thread
_MOST_COMMAS: Final = 256  # before the fields: the parser's time grows with the square of the tags, 0.5 s for 20,000
_CACHED_CHARS: Final = 1_024  # longer names and tags are parsed anew: the caches hold 20 MB at most
_NAMED: Final = 100  # refused lines of a slice that are named, all are counted
_SHOWN: Final = 20  # bytes of a refused line that InfluxDB 3 shows
_EXACT: Final = 1 << 53
# A line with quotes: up to the first blank that is not escaped, then fields, where only ``="`` opens a string.
_QUOTED_LINE: Final = re.compile(
    rb'(?:[^\\ \n]++|\\[^\n])*+ (?:[^=\\\n]++|\\[^\n]|="(?:[^"\\]++|\\.)*+"|=)*+', re.DOTALL
)
_SERIES: Final = re.compile(r"(?:[^\\ ]++|\\.)*+", re.DOTALL)


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
        self._limits = limits
        self._precision = precision
        self._now_ms = now_ms
        self._max_lines = max_lines
        self._at = 0
        self._line = 0
        self._slice = 0
        self._searched = 0  # the lines that begin before end at their line feeds

    def read(self) -> LineSlice | None:
        """Return the next slice; None at the end.

        Raises:
            LimitExceeded: the body has too many lines; only before the first slice.
        """
        if not self._at:
            lines = self._body.count(b"\n") + 1
            if lines > self._max_lines:
                raise LimitExceeded("max_foreign_rows", self._max_lines, lines, "send fewer lines at a time")
        first, size = self._at, len(self._body)
        if first >= size:
            return None
        lines_read: list[tuple[int, bytes]] = []
        while self._at < size and self._at - first < _SLICE_BYTES:
            end = self._end_of_line()
            line = self._body[self._at : end].strip(b" \t\r")
            self._line += 1
            if line and not line.startswith(b"#"):
                lines_read.append((self._line, line))
            self._line += line.count(b"\n")
            self._at = end + 1
        reader = _SliceReader(self._limits, self._precision, self._now_ms)
        for number, line in lines_read:
            reader.add(number, line)
        key = ""
        if reader.timed and lines_read:
            place = f"{self._slice} {self._precision}\n".encode()
            key = hashlib.sha256(place + self._body[first : self._at]).hexdigest()
        self._slice += 1
        starts = {number: line[:_SHOWN].decode(errors="replace") for number, line in lines_read}
        intake = reader.finished()
        return LineSlice(intake, len(lines_read), reader.refused, starts, key, reader.lossy, reader.left_out)

    def _end_of_line(self) -> int:
        """Return where the line that begins here ends: at the next line feed that is not inside a string.

        A string without an end does not swallow what follows: its line ends at the line feed. What was searched for
        its end is not searched again, so the lines in it end at their line feeds: else each of them searches 64 KiB.
        """
        body, at = self._body, self._at
        end = body.find(b"\n", at)
        if end < 0:
            return len(body)
        if at < self._searched or body.find(b'"', at, end) < 0:
            return end
        while body[at] in b" \t":
            at += 1
        if body[at : at + 1] == b"#":
            return end
        found = _QUOTED_LINE.match(body, at, at + _LINE_BYTES)
        if found is None or found.end() <= end:
            return end
        if body[found.end() : found.end() + 1] in (b"\n", b""):
            return found.end()
        self._searched = found.end()
        return end


class _Series:
    """The series of one measurement with its tags, in a slice.

    Attributes:
        groups: by field, or by metric for an entity of Home Assistant.
        fields: by metric: two fields must not become one.
    """

    __slots__ = ("entity", "fields", "groups", "labels", "measurement")

    def __init__(self, measurement: str, labels: dict[str, str], entity: Entity | None) -> None:
        self.measurement, self.labels, self.entity = measurement, labels, entity
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
                raise InvalidInput("line", whole[:60], _said(error)) from None
            time_ms = self._time_ms(parsed["time"])
        except InvalidInput as error:
            self._refuse(number, error.field, error.value, error.reason, limit_of(error))
            return
        except LimitExceeded as error:
            self._refuse(number, error.limit, f"{error.got:.15g}", str(error), f"max_{error.limit}")
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
        found = _SERIES.match(line)
        head = found[0] if found else ""
        rest = line[len(head) :]
        if not rest:
            raise InvalidInput("line", line[:60], "has no fields; expected measurement,tag=value field=1 time")
        series = self._series.get(head)
        if series is None:
            parse = _parsed_head if len(head) <= _CACHED_CHARS else _parsed_head.__wrapped__
            series = self._series[head] = _Series(*parse(head, self._limits.labels))
        return series, rest

    def _time_ms(self, time: int | None) -> float:
        """Return a line's time as Unix ms.

        Raises:
            InvalidInput: before 1990 or too far ahead; says of which precision it would be plausible.
        """
        if time is None:
            self.timed = False
            return self._now_ms
        precision = self._precision
        if precision == "auto":
            precision = next((unit for below, unit in _AUTO if abs(time) < below), "ns")
        time_ms = _as_ms(time, precision)
        if is_plausible_time(time_ms, self._now_ms):
            return time_ms
        meant = [unit for unit in PRECISIONS if is_plausible_time(_as_ms(time, unit), self._now_ms)]
        hint = f"; did you mean precision={meant[0]}?" if meant else ""
        raise InvalidInput("time", time, f"is not between 1990 and 65 min from now, in {precision}{hint}")

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
        short = len(series.measurement) + len(field) <= _CACHED_CHARS
        metric = (_metric if short else _metric.__wrapped__)(series.measurement, field)
        if series.fields.setdefault(metric, field) != field:
            raise InvalidInput(
                "metric", field, f"would be {metric}, as the field {series.fields[metric]!r}; rename one of them"
            )
        group = Group(metric, series.labels, checked_unit(unit))
        series.groups[field, unit] = group
        self._groups.append(group)
        return group


def _as_ms(time: int, precision: Precision) -> float:
    per_ms = _PER_MS.get(precision)
    return time / per_ms if per_ms else time * PRECISIONS[precision]


def _text(line: bytes) -> str:
    if len(line) > _LINE_BYTES:
        start = line[:60].decode(errors="replace")
        raise InvalidInput("line", start, f"is {len(line)} bytes, at most {_LINE_BYTES} are allowed")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidInput("line", line[:60].decode(errors="replace"), "is not UTF-8") from None


def _said(error: Exception) -> str:
    """Return what the parser says, in the words of this service."""
    reason = str(error).rstrip(".").removeprefix("Failed to parse ")
    if "nanoseconds" in reason:
        return "the time is no whole number"
    if reason == str(error).rstrip("."):
        return f"cannot be read: {reason}"
    return f"cannot be read at the {reason}"


@lru_cache(maxsize=4_096)
def _parsed_head(head: str, max_labels: int) -> tuple[str, dict[str, str], Entity | None]:
    """Return the measurement, the labels and the entity of what is before the fields.

    Raises:
        InvalidInput: it cannot be parsed, or a tag cannot be a label.
        LimitExceeded: more labels than allowed.
    """
    tags = head.count(",")
    if tags > _MOST_COMMAS:
        raise LimitExceeded("labels", max_labels, tags, "use fewer tags")
    try:
        parsed = parse_line(head + " f=1")
    except (LineFormatError, UnicodeError, ValueError) as error:
        raise InvalidInput("line", head[:60], _said(error)) from None
    if parsed is None:
        raise InvalidInput("line", head[:60], "has no measurement")
    measurement, given = parsed["measurement"], parsed["tags"]
    entity = None
    if is_entity(given):
        entity = entity_of(measurement, given.pop("domain"), given.pop("entity_id"))
        measurement = entity.metric
    labels: dict[str, str] = {}
    for tag in sorted(given):
        name = readable_name(tag).replace("/", ".") or "_"
        if name in labels:
            raise InvalidInput("labels", tag, f"would be the label {name!r}, as another tag; rename one of them")
        labels[name] = readable_value(given[tag])
    return measurement, checked_labels(labels, IngestLimits(labels=max_labels)), entity


@lru_cache(maxsize=16_384)
def _metric(measurement: str, field: str) -> str:
    """Return the metric of a field: ``measurement/field``, or the measurement alone if the field is ``value``.

    Raises:
        InvalidInput: it is longer than 255 bytes.
    """
    parts = (measurement,) if field == "value" else (measurement, field)
    return checked_name("/".join(_levels(parts)))


def _levels(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        levels = [level for text in readable_name(part).split("/") if (level := text.strip())]
        yield from levels or ["_"]
