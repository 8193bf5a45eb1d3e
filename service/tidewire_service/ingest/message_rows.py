"""Parses what foreign producers send through Redis: a number or JSON on a channel, or a stream entry; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits
from tidewire.model.csv_rows import parse_number
from tidewire_service.ingest.json_rows import BOM, parse_json

__all__ = ["entry_row", "message_row"]

_FIELDS: Final = frozenset({"metric", "value", "time", "unit", "labels", "text", "step"})
_LISTS: Final = frozenset({"value", "time", "text", "step"})


def _text(field: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput(field, raw[:60], "is not UTF-8") from None


def message_row(metric: str, payload: bytes, limits: IngestLimits) -> dict[str, Any]:
    """Parse ``PUBLISH tw:in:<metric> <payload>``: a number, or a JSON batch or row.

    Args:
        metric: the metric that the channel names.
        payload: a number as text, or a JSON object whose metric is absent or the same.
        limits: of a batch.

    Raises:
        InvalidInput: the payload is neither, or names another metric than the channel.
        LimitExceeded: the payload is too long.
    """
    if len(payload) > limits.batch_bytes:
        raise LimitExceeded("batch_bytes", limits.batch_bytes, len(payload), "split the batch")
    stripped = payload.strip().removeprefix(BOM)
    if stripped.startswith(b"{"):
        row = parse_json(stripped)
        if row.get("metric", metric) != metric:
            raise InvalidInput("metric", row["metric"], f"differs from the channel's ({metric!r}); leave it out")
        return {**row, "metric": metric}
    if not stripped:
        raise InvalidInput("value", payload, "is empty; expected a number or a JSON batch")
    return {"metric": metric, "value": parse_number("value", _text("value", stripped[:1_000]))}


def entry_row(fields: Mapping[bytes, bytes], time_ms: float, limits: IngestLimits) -> dict[str, Any]:
    """Parse ``XADD tw:in * metric … value … [time unit labels text step]``.

    Args:
        fields: of the entry; ``value`` is a number or a JSON list, ``labels`` a JSON object, ``time`` ms or RFC 3339.
        time_ms: when the entry was added, Unix ms; used for a reading without a time.
        limits: of a batch.

    Raises:
        InvalidInput: a field is unknown or cannot be parsed.
        LimitExceeded: the entry is too long.
    """
    size = sum(len(name) + len(value) for name, value in fields.items())
    if size > limits.batch_bytes:
        raise LimitExceeded("batch_bytes", limits.batch_bytes, size, "split the batch")
    row: dict[str, Any] = {}
    for raw_name, raw in fields.items():
        name = _text("field", raw_name)
        if name not in _FIELDS:
            raise InvalidInput(
                name, raw[:60], f"is not a field of a reading; the fields are {', '.join(sorted(_FIELDS))}"
            )
        text = _text(name, raw)
        if name == "labels":
            row[name] = parse_json(raw) if text.strip() else {}
        elif name in _LISTS and text.removeprefix("\ufeff").lstrip().startswith("[") and name != "text":
            row[name] = parse_json(raw)
        elif name in ("value", "step"):
            row[name] = parse_number(name, text)
        elif name == "time":
            row[name] = _time(text.strip())
        elif text:
            row[name] = text
    if row.get("time") is None:
        values = row.get("value")
        row["time"] = [time_ms] * len(values) if isinstance(values, list) else time_ms
    return row


def _time(text: str) -> float | str | None:
    try:
        return parse_number("time", text)
    except InvalidInput:
        return text  # RFC 3339; checked when the row is parsed
