"""Durations and times as people write them: ``15m``, ``-15m``, ``now``, RFC 3339, milliseconds."""

from __future__ import annotations

import math
import re
from typing import Final

from tidewire.errors import InvalidInput
from tidewire.model.batch import checked_time_ms

__all__ = ["parse_duration_ms", "parse_time_ms"]

_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)", re.ASCII)
_UNIT_MS: Final = {"ms": 1.0, "s": 1e3, "m": 60e3, "h": 3_600e3, "d": 86_400e3}
_MAX_DURATION_MS: Final = 366 * 86_400e3


def parse_duration_ms(name: str, text: str, *, shown: str = "") -> float:
    """Return a duration such as ``5m`` in milliseconds.

    Args:
        name: what to name in the error.
        text: a number and one of ms, s, m, h, d; more than 0, at most 366 d.
        shown: what was given, if it was more than `text`.

    Raises:
        InvalidInput: not of that form.
    """
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    duration_ms = float(found[1]) * _UNIT_MS[found[2]] if found else 0.0
    if not 0 < duration_ms <= _MAX_DURATION_MS:
        raise InvalidInput(
            name, shown or text, "expected a number and a unit of ms, s, m, h or d, such as 15m; at most 366d"
        )
    return duration_ms


def parse_time_ms(name: str, text: str, now_ms: float) -> float:
    """Return a time as Unix milliseconds.

    Args:
        name: what to name in the error.
        text: ``-15m`` (before now), ``now``, RFC 3339 with an offset, or milliseconds.
        now_ms: the present.

    Raises:
        InvalidInput: none of these.
    """
    if text == "now":
        return now_ms
    if text.startswith("-"):
        return now_ms - parse_duration_ms(name, text[1:], shown=text)
    if _DURATION.fullmatch(text):
        raise InvalidInput(name, text, f"a duration back from now has a minus: expected -{text}")
    number = _plain_number(text)
    # a "+" in a query string is a space; an offset such as +02:00 often arrives so
    given = text.replace(" ", "+") if number is None else number
    # a span may end after all readings
    return checked_time_ms(given, field=name, now_ms=now_ms, lead_ms=_MAX_DURATION_MS)


def _plain_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and len(text) <= 40 else None
