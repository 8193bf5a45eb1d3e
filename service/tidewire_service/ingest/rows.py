"""Turns rows into batches: checks each row, groups and encodes the good ones, reports the bad ones; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput, LimitExceeded, shown
from tidewire.model.batch import (
    Batch,
    EncodedBatch,
    IngestLimits,
    checked_labels,
    checked_name,
    checked_time_ms,
    checked_unit,
    checked_value,
    encode_batch,
    make_batch,
    series_key,
)
from tidewire_service.errors import limit_of

__all__ = ["METRIC_NOT_ALLOWED", "Group", "Intake", "Rejected", "Row", "collect", "encode_group"]

_FIELDS: Final = ("metric", "labels", "unit", "time", "value", "text", "step")
_REFUSALS: Final = {
    "series": ("labels", "would be one series too many of this metric (max_series); use fewer values of its labels"),
    "metrics": ("metric", "would be one metric too many (max_metrics); older metrics are not affected"),
    "poison": (
        "metric",
        "another program wrote this metric's keys in Redis; delete them there, or use another name",
    ),
}
_LIMITS: Final = ("series", "metrics")  # the refusals that are limits

METRIC_NOT_ALLOWED: Final = "may not be published with this token; its owner can widen what --publish allows"

Row = Mapping[str, Any] | InvalidInput
"""One row as its format parsed it: the fields, or the error if it could not be parsed."""


class Rejected(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row that was refused.

    Attributes:
        row: index among the rows of the body, from 0; a CSV header is not a row.
        field: the field that is wrong.
        value: the value of that field, shortened.
        reason: what was expected and what to do.
        limit: the setting that was exceeded; empty if none was.
    """

    row: int
    field: str
    value: str
    reason: str
    limit: str = ""


class Intake(NamedTuple):
    """The parsed rows of one body.

    Attributes:
        batches: the good rows, encoded, in the order in which their series first appear.
        rows: for each batch, the indices of the rows it was made from.
        rejected: the bad rows.
    """

    batches: list[EncodedBatch]
    rows: list[tuple[int, ...]]
    rejected: list[Rejected]

    def narrowed(self, allowed: Callable[[str], bool]) -> Intake:
        """Return a copy in which the rows of metrics that may not be published are rejected."""
        kept = Intake([], [], list(self.rejected))
        for batch, rows in zip(self.batches, self.rows, strict=True):
            if allowed(batch.metric):
                kept.batches.append(batch)
                kept.rows.append(rows)
            else:
                kept.rejected.extend(Rejected(row, "metric", shown(batch.metric), METRIC_NOT_ALLOWED) for row in rows)
        kept.rejected.sort(key=lambda rejected: rejected.row)
        return kept

    def refused(self, results: tuple[int | str, ...]) -> list[Rejected]:
        """Return the rows whose batches the append function refused.

        Args:
            results: of the append, one per batch.
        """
        found = []
        for batch, rows, result in zip(self.batches, self.rows, results, strict=True):
            if isinstance(result, str):
                field, reason = _REFUSALS.get(result, ("metric", result))
                value = shown(batch.series if field == "labels" else batch.metric)
                limit = f"max_{result}" if result in _LIMITS else ""
                found += [Rejected(row, field, value, reason, limit) for row in rows]
        return found


class Group:
    """Collects flat rows of one series into a batch: columns, to which each row adds one entry.

    Args:
        metric: checked.
        labels: checked; never changed.
        unit: checked.
    """

    __slots__ = ("labels", "metric", "rows", "steps", "texts", "times", "unit", "values")

    def __init__(self, metric: str, labels: dict[str, str], unit: str) -> None:
        self.metric, self.labels, self.unit = metric, labels, unit
        self.rows: list[int] = []
        self.times: list[float] = []
        self.values: list[float | None] = []
        self.texts: list[str | None] = []
        self.steps: list[float | None] = []

    def batch(self, first: int, end: int) -> Batch:
        """Return the rows from `first` to before `end` as a batch."""
        texts, steps = self.texts[first:end], self.steps[first:end]
        return Batch(
            metric=self.metric,
            labels=self.labels,
            unit=self.unit,
            time=self.times[first:end],
            value=self.values[first:end],
            text=texts if any(text is not None for text in texts) else None,
            step=steps if any(step is not None for step in steps) else None,
        )


def collect(rows: Iterable[Row], limits: IngestLimits, max_rows: int, now_ms: float) -> Intake:
    """Check rows, and make batches of the good ones.

    A row is a batch if its ``value`` is a list. Flat rows are grouped by metric, labels and unit, in the order in which
    the groups first appear, and split at the limits.

    Args:
        rows: as the format parsed them, in order.
        limits: of a batch.
        max_rows: largest number of rows in one body.
        now_ms: used for a reading without a time, Unix ms.

    Raises:
        LimitExceeded: there are more rows than `max_rows`.
    """
    intake = Intake([], [], [])
    groups: list[Group | tuple[int, Batch]] = []
    open_groups: dict[tuple[str, str, str], Group] = {}
    for number, row in enumerate(rows):
        if number >= max_rows:
            raise LimitExceeded("max_rows", max_rows, number + 1, "split the body")
        try:
            if isinstance(row, InvalidInput):
                raise row
            _add_row(number, row, limits, now_ms, groups, open_groups)
        except InvalidInput as error:
            intake.rejected.append(Rejected(number, error.field, error.value, error.reason, limit_of(error)))
        except LimitExceeded as error:
            refused = Rejected(number, error.limit, f"{error.got:.15g}", str(error), f"max_{error.limit}")
            intake.rejected.append(refused)
    for group in groups:
        if isinstance(group, Group):
            encode_group(group, 0, len(group.rows), limits, intake)
        else:
            _encode_rows((group[0],), group[1], limits, intake)
    intake.rejected.sort(key=lambda rejected: rejected.row)
    return intake


def _add_row(
    number: int,
    row: Mapping[str, Any],
    limits: IngestLimits,
    now_ms: float,
    groups: list[Group | tuple[int, Batch]],
    open_groups: dict[tuple[str, str, str], Group],
) -> None:
    """Check one row and add it to the groups: as a batch of its own, or to the open group of its series."""
    if not isinstance(row, Mapping):
        raise InvalidInput("row", row, "expected an object with metric, value and, if known, time, unit and labels")
    unknown = [name for name in row if name not in _FIELDS]
    if unknown:
        raise InvalidInput(
            str(unknown[0]), row[unknown[0]], f"is not a field of a row; the fields are {', '.join(_FIELDS)}"
        )
    metric, text = row.get("metric"), row.get("text")
    if metric is None:
        raise InvalidInput("metric", None, "is missing; expected a name such as 'furnace/temperature'")
    if "value" not in row and text is None:
        raise InvalidInput("value", None, "is missing; expected a number, null, or a list of them")
    value, unit, labels = row.get("value"), row.get("unit"), row.get("labels")
    unit = "" if unit is None else unit
    if isinstance(value, list):
        batch = make_batch(
            metric,
            value,
            time=row.get("time"),
            unit=unit,
            labels=labels,
            text=text,
            step=row.get("step"),
            limits=limits,
            now_ms=now_ms,
        )
        groups.append((number, batch))
        return
    if not isinstance(metric, str):
        raise InvalidInput("metric", metric, f"expected a string, got {type(metric).__name__}")
    if not isinstance(unit, str):
        raise InvalidInput("unit", unit, f"expected a string, got {type(unit).__name__}")
    checked_name(metric)
    checked_unit(unit)
    labels_ = checked_labels(labels, limits)
    time, step = row.get("time"), row.get("step")
    time_ms = now_ms if time is None else checked_time_ms(time, now_ms=now_ms)
    number_ = checked_value(value)
    step_ = checked_value(step, field="step")
    if text is not None:
        _check_text(text)
    key = (metric, series_key(labels_), unit)
    group = open_groups.get(key)
    if group is None or len(group.rows) >= limits.readings:
        group = open_groups[key] = Group(metric, labels_, unit)
        groups.append(group)
    group.rows.append(number)
    group.times.append(time_ms)
    group.values.append(number_)
    group.texts.append(text)
    group.steps.append(step_)


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidInput("text", text, f"expected a string, got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("text", text, "holds a lone surrogate; decode it properly and send UTF-8") from None


def encode_group(group: Group, first: int, end: int, limits: IngestLimits, intake: Intake) -> None:
    """Encode readings `first` to `end` of a group as one batch; if it is too large, encode two halves instead."""
    rows = tuple(group.rows[first:end])
    batch = group.batch(first, end)
    if end - first == 1:
        _encode_rows(rows, batch, limits, intake)
        return
    try:
        encoded = encode_batch(batch, limits)
    except LimitExceeded:
        middle = (first + end) // 2
        encode_group(group, first, middle, limits, intake)
        encode_group(group, middle, end, limits, intake)
        return
    intake.batches.append(encoded)
    intake.rows.append(rows)


def _encode_rows(rows: tuple[int, ...], batch: Batch, limits: IngestLimits, intake: Intake) -> None:
    """Encode a batch, or reject its rows if it is too large."""
    try:
        encoded = encode_batch(batch, limits)
    except LimitExceeded as error:
        field = "text" if batch.text else "value"
        got, limit = f"{error.got:.15g} bytes", f"max_{error.limit}"
        intake.rejected.extend(Rejected(row, field, got, str(error), limit) for row in rows)
        return
    intake.batches.append(encoded)
    intake.rows.append(rows)
