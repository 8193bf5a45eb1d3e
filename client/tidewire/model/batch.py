"""The batch: readings of one series as columns, with its name rules, limits, encoding and decoding; no I/O.

Each ingest path (SDK, HTTP, inbox) makes its batches here, once, and encodes them once, canonically, on one line; from
there to the browser nothing encodes them again.
"""

from __future__ import annotations

import math
import re
import time as _clock
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput, LimitExceeded

__all__ = [
    "ANNOTATIONS",
    "DEFAULT_LIMITS",
    "FINISHED",
    "LEAD_MS",
    "Batch",
    "EncodedBatch",
    "IngestLimits",
    "checked_labels",
    "checked_name",
    "checked_time_ms",
    "checked_unit",
    "checked_value",
    "decode_batch",
    "encode_batch",
    "index_times",
    "is_plausible_time",
    "labels_of_series_key",
    "make_batch",
    "newest_of",
    "series_key",
    "series_order",
]

ANNOTATIONS: Final = "annotations"  # the metric whose events are marks below all charts, or those of their labels
FINISHED: Final = "finished"
"""The text of a number after which no other is to come: its series has ended, and is not silent."""
# How far a reading's time may be ahead of the log's clock: a clock in a wrong time zone is ahead by an hour, and some
# minutes. A history searches the log from so long before its start: what is taken is found.
LEAD_MS: Final = 65 * 60_000.0

_NAME_BYTES: Final = 255
_FEW_LABELS: Final = 8  # series of more are not remembered
_UNIT_BYTES: Final = 63
_MIN_MS: Final = 631_152_000_000.0  # 1990-01-01T00:00:00Z
_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LEAP: Final = re.compile(r"(.{10}.\d\d:\d\d):60(.*)", re.ASCII)


class IngestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one ingest path; past a limit nothing of the batch is stored and the refusal names the limit.

    Attributes:
        labels: labels of one series.
        readings: readings of one batch.
        batch_bytes: bytes of one encoded batch.
        series: series of one metric.
        metrics: metrics in all.
    """

    labels: int = 32
    readings: int = 1_000
    batch_bytes: int = 256 * 1024
    series: int = 2_000
    metrics: int = 100_000


DEFAULT_LIMITS: Final = IngestLimits()


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Readings of one series that travel and are stored together, as columns of equal length, at least 1.

    Attributes:
        metric: the name of the measured quantity and its address, such as ``furnace/temperature``.
        labels: dimensions of the series, sorted by name.
        unit: a UCUM string, verbatim.
        time: float64[n], milliseconds since the Unix epoch, UTC, in any order.
        value: float64[n]; None is a reading whose value is not a number.
        text: n strings or None; a reading with a text is an event, and one without a number a state.
        step: n numbers or None; the x of people who count steps.
    """

    metric: str
    labels: dict[str, str] = {}
    unit: str = ""
    time: list[float]
    value: list[float | None]
    text: list[str | None] | None = None
    step: list[float | None] | None = None

    def __len__(self) -> int:
        return len(self.time)


class EncodedBatch(NamedTuple):
    """A batch as the log takes it: everything the append function needs, so that Lua never parses JSON.

    Attributes:
        metric: its name, UTF-8.
        body: the canonical encoding, one line.
        series: the series key.
        last: a one-reading batch, encoded: the newest reading by time, of equal times the later one.
        readings: how many it holds.
        last_time: of that newest reading, Unix ms; 0 if unknown, and the log's time counts.
        default_from: the oldest of its times if they are of the publisher's clock; None if they were given.
    """

    metric: str
    body: bytes
    series: str
    last: bytes
    readings: int
    last_time: float = 0.0
    default_from: float | None = None


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Batch)


def _utf8(field: str, text: object, max_bytes: int) -> str:
    if not isinstance(text, str):
        raise InvalidInput(field, text, f"expected a string, got {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(field, text, "holds a lone surrogate; decode it properly and send UTF-8") from None
    if size > max_bytes:
        raise InvalidInput(field, text, f"is {size} bytes of UTF-8, at most {max_bytes} are allowed")
    return text if type(text) is str else str.__str__(text)  # numpy.str_, an enum's member: encoders know none of them


def _check_characters(field: str, text: str) -> None:
    for position, character in enumerate(text):
        if unicodedata.category(character) in _FORBIDDEN:
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            raise InvalidInput(
                field, text, f"character {position} ({name}) is a control, format or separator character"
            )
        if character in "*?[]":
            raise InvalidInput(field, text, f"'{character}' is reserved for patterns")
    if text != text.strip():
        raise InvalidInput(field, text, "begins or ends with a blank, which nobody sees; strip it")
    if not unicodedata.is_normalized("NFC", text):
        raise InvalidInput(field, text, "is not in Unicode normal form C; apply unicodedata.normalize('NFC', …)")


@lru_cache(maxsize=65_536)
def checked_name(metric: str) -> str:
    """Return the name of a metric.

    Raises:
        InvalidInput: empty, longer than 255 bytes, not NFC, an empty level, a blank at an end, or a character of Cc,
            Cf, Cs, Zl, Zp or ``* ? [ ]``.
    """
    metric = _utf8("metric", metric, _NAME_BYTES)
    if not metric:
        raise InvalidInput("metric", metric, "is empty; expected a name such as 'furnace/temperature'")
    _check_characters("metric", metric)
    if metric.startswith("/") or metric.endswith("/"):
        raise InvalidInput("metric", metric, "starts or ends with '/'; '/' only separates levels")
    if "//" in metric:
        raise InvalidInput("metric", metric, "has an empty level ('//')")
    return metric


@lru_cache(maxsize=65_536)
def _checked_label(name: str, value: str) -> tuple[str, str]:
    field = f"labels[{name!r}]"
    name = _utf8("labels", name, _NAME_BYTES)
    if not name or "/" in name:
        raise InvalidInput("labels", name, "a label's name must not be empty and must not contain '/'")
    _check_characters("labels", name)
    value = _utf8(field, value, _NAME_BYTES)
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise InvalidInput(field, value, "holds a control character")
    return name, value


def checked_labels(labels: Mapping[str, str] | None, limits: IngestLimits = DEFAULT_LIMITS) -> dict[str, str]:
    """Return the labels sorted by name.

    Raises:
        InvalidInput: not strings to strings, a bad name, a control character, a value over 255 bytes.
        LimitExceeded: more labels than allowed.
    """
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidInput("labels", labels, "expected an object of strings, such as {'site': 'A'}")
    if not labels:
        return {}
    if len(labels) > limits.labels:
        raise LimitExceeded(
            "labels", limits.labels, len(labels), "use fewer dimensions, or a level of the metric's name"
        )
    checked = []
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInput(f"labels[{name!r}]", value, "labels map strings to strings; quote the value")
        checked.append(_checked_label(name, value))
    return dict(sorted(checked))


@lru_cache(maxsize=4_096)
def checked_unit(unit: str) -> str:
    """Return the unit.

    Raises:
        InvalidInput: not a string of at most 63 bytes without control, format or separator characters.
    """
    unit = _utf8("unit", unit, _UNIT_BYTES)
    if any(unicodedata.category(character) in _FORBIDDEN for character in unit):
        raise InvalidInput("unit", unit, "holds a control, format or separator character")
    return unit


def _implausible(field: str, value: object, time_ms: float, now_ms: float, lead_ms: float) -> InvalidInput:
    for unit, factor in (("seconds", 1e3), ("microseconds", 1e-3), ("nanoseconds", 1e-6)):
        if _MIN_MS <= time_ms * factor <= now_ms + lead_ms:
            if math.isfinite(time_ms) and -6e13 < time_ms < 2.5e14:
                year = 1970 + int(time_ms / 31_556_952_000)
                return InvalidInput(field, value, f"is in {year} as milliseconds; did you mean {unit}?")
            return InvalidInput(field, value, f"is no plausible time in milliseconds; did you mean {unit}?")
    latest = f"{lead_ms / 60e3:g} min from now" if lead_ms < 86_400e3 else f"{lead_ms / 86_400e3:g} d from now"
    return InvalidInput(field, value, f"expected milliseconds since 1970 (UTC) between 1990-01-01 and {latest}")


_NO_ZONE: Final = "has no time zone; add an offset ('Z'), .astimezone(), or in pandas .tz_localize('UTC')"


def checked_time_ms(
    value: object, *, field: str = "time", now_ms: float | None = None, lead_ms: float = LEAD_MS
) -> float:
    """Return a time as milliseconds since the Unix epoch, UTC.

    Args:
        value: a number of milliseconds, an aware `datetime`, or RFC 3339 text with an offset.
        field: what to name in the error.
        now_ms: the present, for the upper bound; the system's clock if None.
        lead_ms: how far ahead of it a time may be.

    Raises:
        InvalidInput: another type, no offset, or a time before 1990-01-01 or too far ahead.
    """
    if isinstance(value, str):
        try:
            value = _parse_rfc_3339(value)
        except (ValueError, OverflowError):
            raise InvalidInput(
                field, value, "expected RFC 3339 with an offset, such as 2026-01-31T12:00:00.5Z"
            ) from None
    if isinstance(value, datetime):
        if type(value).__name__ == "NaTType":  # of pandas
            raise InvalidInput(field, str(value), "is not a time")
        if value.tzinfo is None:
            raise InvalidInput(field, str(value), _NO_ZONE)
        value = value.timestamp() * 1e3
    if type(value).__name__ == "datetime64":  # NumPy's: it has a float form, and no zone
        raise InvalidInput(field, value, _NO_ZONE)
    if type(value).__name__ == "Period":  # of pandas: a span
        raise InvalidInput(field, str(value), "is a span; .to_timestamp().tz_localize('UTC') has a time and its zone")
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise InvalidInput(field, value, "expected milliseconds since 1970, RFC 3339 with an offset, or a datetime")
    try:
        time_ms = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(field, value, "is not a finite number") from None
    now_ms = _clock.time() * 1e3 if now_ms is None else now_ms
    if not _MIN_MS <= time_ms <= now_ms + lead_ms:
        raise _implausible(field, value, time_ms, now_ms, lead_ms)
    return time_ms


def _parse_rfc_3339(text: str) -> datetime:
    """Return the time that a text names; a leap second is the first second of the day that follows, as Unix counts.

    Raises:
        ValueError: the text is not of that form.
        OverflowError: it is beyond the year 9999.

    Source: RFC 3339, section 5.6, in which ``t`` and ``z`` may be small.
    """
    if text.endswith("z"):
        text = text[:-1] + "Z"
    leap = _LEAP.fullmatch(text)
    if leap is None:
        return datetime.fromisoformat(text)
    before = datetime.fromisoformat(f"{leap[1]}:59{leap[2]}")
    if before.tzinfo is not None and before.astimezone(UTC).strftime("%H:%M") != "23:59":
        raise ValueError("second must be in 0..59")
    return before + timedelta(seconds=1)


def is_plausible_time(time_ms: float, now_ms: float) -> bool:
    """Tell whether a time lies in the window of readings: from 1990 until `LEAD_MS` after now; both Unix ms."""
    return _MIN_MS <= time_ms <= now_ms + LEAD_MS


def checked_value(value: object, *, field: str = "value") -> float | None:
    """Return a value as float64, or None for "not a number" (None, NaN, the infinities, pandas.NA, numpy.ma.masked).

    Raises:
        InvalidInput: a string or another thing that is no number, or an integer beyond float64.
    """
    kind = type(value).__name__
    if value is None or kind == "MaskedConstant":  # of numpy.ma, whose float() warns
        return None
    if isinstance(value, (str, bytes, complex)) or not hasattr(value, "__float__"):
        if kind == "NAType":
            return None
        raise InvalidInput(field, value, f"expected a number, true, false or null, got {kind}{_BETTER.get(kind, '')}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        shape = getattr(value, "shape", None) or ()
        why = f"has the shape {tuple(shape)}; expected a number, or one column" if shape else "cannot be float64"
        raise InvalidInput(field, value, why) from None
    return number if math.isfinite(number) else None


# Functions for shapes that publish() refuses.
_BETTER: Final = {
    "DataFrame": "; publish_frame() takes it",
    "dict": "; log() takes dicts in dicts",
    "str": "; text= takes words",
}


def _column(field: str, given: Any) -> list[Any]:
    if hasattr(given, "tolist"):  # NumPy arrays and scalars, pandas Series
        given = given.tolist()
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise InvalidInput(field, given, "expected a list as long as value")
    return list(given)


def index_times(pandas_object: object) -> Any:
    """Return the index of a pandas Series or DataFrame, which holds its times; None if it only counts the rows."""
    index = getattr(pandas_object, "index", None)
    if not hasattr(pandas_object, "iloc") or type(index).__name__ == "RangeIndex":
        return None
    return index


def _is_column(given: object) -> bool:
    if isinstance(given, (str, bytes, Mapping)):
        return False
    shape = getattr(given, "shape", None)
    return isinstance(given, Sequence) if shape is None else len(shape) == 1


def _checked_times(times: list[Any], now_ms: float) -> list[float]:
    latest = now_ms + LEAD_MS
    if set(map(type, times)) == {float} and all(_MIN_MS <= time_ms <= latest for time_ms in times):
        return times  # the usual column, in a tenth of the time
    return [checked_time_ms(time, field=f"time[{i}]", now_ms=now_ms) for i, time in enumerate(times)]


def _checked_values(values: list[Any]) -> list[float | None]:
    if set(map(type, values)) == {float}:
        return values if all(map(math.isfinite, values)) else [v if math.isfinite(v) else None for v in values]
    return [checked_value(value, field=f"value[{i}]") for i, value in enumerate(values)]


def make_batch(
    metric: str,
    value: Any,
    *,
    time: Any = None,
    unit: str = "",
    labels: Mapping[str, str] | None = None,
    text: Any = None,
    step: Any = None,
    limits: IngestLimits = DEFAULT_LIMITS,
    now_ms: float | None = None,
) -> Batch:
    """Return the checked batch of one reading or of columns of readings.

    Args:
        metric: the name.
        value: one number (or None), or n of them (list, NumPy array, pandas Series).
        time: as `checked_time_ms`, one or n. If None, the index of a pandas Series that does more than count the rows;
            else all `now_ms`.
        unit: a UCUM string.
        labels: dimensions of the series.
        text: a string or n strings or None: makes readings events, those without a number states.
        step: a number or n numbers or None.
        limits: what to allow.
        now_ms: the present, milliseconds; the system's clock if None.

    Raises:
        InvalidInput: with the field, the value and what to do.
        LimitExceeded: more readings or labels than allowed.
    """
    now_ms = _clock.time() * 1e3 if now_ms is None else now_ms
    metric = checked_name(metric if isinstance(metric, str) else _utf8("metric", metric, 0))
    unit = checked_unit(unit if isinstance(unit, str) else _utf8("unit", unit, 0))
    labels_ = checked_labels(labels, limits)
    if time is None:
        time = index_times(value)
    if not _is_column(value):
        time_ = [now_ms if time is None else checked_time_ms(time, now_ms=now_ms)]
        return Batch(
            metric=metric,
            labels=labels_,
            unit=unit,
            time=time_,
            value=[checked_value(value)],
            text=None if text is None else [_utf8("text", text, limits.batch_bytes)],
            step=None if step is None else [checked_value(step, field="step")],
        )
    values = _column("value", value)
    if not values:
        raise InvalidInput("value", values, "is empty; a batch holds at least one reading")
    if len(values) > limits.readings:
        raise LimitExceeded("readings", limits.readings, len(values), "split the batch")
    times = [now_ms] * len(values) if time is None else _column("time", time)
    columns: dict[str, list[Any] | None] = {"time": times}
    columns["text"] = None if text is None else _column("text", text)
    columns["step"] = None if step is None else _column("step", step)
    for name, column in columns.items():
        if column is not None and len(column) != len(values):
            raise InvalidInput(
                name, len(column), f"has {len(column)} entries, value has {len(values)}: columns must be equally long"
            )
    texts, steps = columns["text"], columns["step"]
    return Batch(
        metric=metric,
        labels=labels_,
        unit=unit,
        time=times if time is None else _checked_times(times, now_ms),
        value=_checked_values(values),
        text=None
        if texts is None
        else [t if t is None else _utf8(f"text[{i}]", t, limits.batch_bytes) for i, t in enumerate(texts)],
        step=None if steps is None else [checked_value(s, field=f"step[{i}]") for i, s in enumerate(steps)],
    )


@lru_cache(maxsize=16_384)
def _series_key(items: tuple[tuple[str, str], ...]) -> str:
    return _encode(dict(items)).decode()


def series_key(labels: Mapping[str, str]) -> str:
    """Return the key of a series within its metric: compact JSON of the labels sorted by name, ``{}`` if none."""
    if not labels:
        return "{}"
    # 16,384 of 32 long labels would be 0.5 GB
    key = _series_key if len(labels) <= _FEW_LABELS else _series_key.__wrapped__
    return key(tuple(sorted(labels.items())))


def series_order(metric: str, labels: Mapping[str, str]) -> tuple[str, bool, str]:
    """Return the sort key of a series in an answer: by metric, and of those the one without labels first."""
    return metric, bool(labels), series_key(labels)


def labels_of_series_key(key: str | bytes) -> dict[str, str]:
    """Return the labels that a series key names.

    Raises:
        InvalidInput: the key is not JSON of strings to strings.
    """
    try:
        return msgspec.json.decode(key, type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise InvalidInput("series", key, str(error)) from None


def newest_of(times: Sequence[float]) -> int:
    """Return the place of the newest of n ≥ 1 times, in any order; of equal ones the last."""
    newest = max(times)
    place = len(times) - 1  # in most batches
    while times[place] != newest:
        place -= 1
    return place


def encode_batch(
    batch: Batch, limits: IngestLimits = DEFAULT_LIMITS, *, default_time: bool = False, series: str = ""
) -> EncodedBatch:
    """Return a batch as the log takes it.

    Args:
        batch: checked.
        limits: of its size.
        default_time: its times were not given, but are of the publisher's clock.
        series: the series key, if the caller knows it.

    Raises:
        LimitExceeded: the encoding is larger than `limits.batch_bytes`.
    """
    body = _encode(batch)
    if len(body) > limits.batch_bytes:
        raise LimitExceeded("batch_bytes", limits.batch_bytes, len(body), "split the batch")
    count = len(batch.time)
    last, newest = body, 0
    if count > 1:
        newest = newest_of(batch.time)
        last = _encode(
            Batch(
                metric=batch.metric,
                labels=batch.labels,
                unit=batch.unit,
                time=[batch.time[newest]],
                value=[batch.value[newest]],
                text=None if batch.text is None else [batch.text[newest]],
                step=None if batch.step is None else [batch.step[newest]],
            )
        )
    default_from = min(batch.time) if default_time else None
    series = series or series_key(batch.labels)
    return EncodedBatch(batch.metric, body, series, last, count, batch.time[newest], default_from)


def decode_batch(body: bytes | str) -> Batch:
    """Decode a body that Tidewire wrote; its names and times were checked when it was ingested.

    Raises:
        InvalidInput: not JSON of a batch, or its columns are empty or of unequal length.
    """
    try:
        batch = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("batch", body, str(error)) from None
    count = len(batch.time)
    text, step = batch.text, batch.step
    if (
        not count
        or len(batch.value) != count
        or (text is not None and len(text) != count)
        or (step is not None and len(step) != count)
    ):
        raise InvalidInput("batch", body, "columns must have equal length, at least 1")
    return batch
