"""Parses lines of StatsD, with the tags and packed values of DogStatsD; pure.

``<name>:<value>[:<value>…]|<c, g, ms, h, d or s>[|@<sample rate>][|#<tag>:<value>,…]``. Dots in a name separate levels.
What a set counts is one text, with its colons; of other kinds, packed values that are empty are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, cast

from tidewire.errors import InvalidInput
from tidewire.model.batch import checked_labels, checked_name
from tidewire.model.foreign_names import readable_name, readable_value

__all__ = ["Kind", "StatsdLine", "is_left_out", "parse_line"]

Kind = Literal["counter", "gauge", "timer", "set"]

_LEAST_RATE: Final = 1e-6
_LINE_BYTES: Final = 8 * 1024
_KINDS: Final[dict[str, tuple[Kind, str]]] = {
    "c": ("counter", ""), "g": ("gauge", ""), "ms": ("timer", "ms"), "h": ("timer", ""), "d": ("timer", ""),
    "s": ("set", ""),
}  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:[eE][+-]?\d{1,4})?", re.ASCII)


class StatsdLine(NamedTuple):
    """One line.

    Attributes:
        kind: what its values are.
        metric: its name, with levels.
        labels: its tags, and those of all lines.
        unit: ``ms`` of a timer in milliseconds; else empty.
        values: as they were sent: numbers, or what a set counts.
        rate: share of the readings that was sent, in (0, 1].
    """

    kind: Kind
    metric: str
    labels: dict[str, str]
    unit: str
    values: list[str]
    rate: float


def is_left_out(line: bytes) -> bool:
    """Tell whether a line is an event or a service check of DogStatsD."""
    return line.startswith((b"_e{", b"_sc|"))


def parse_line(line: bytes, labels: Mapping[str, str]) -> StatsdLine:
    """Parse a line.

    Args:
        line: without its line feed.
        labels: of all lines; they win over tags.

    Raises:
        InvalidInput: what is wrong with it.
        LimitExceeded: it has too many tags.
    """
    if len(line) > _LINE_BYTES:
        raise InvalidInput("line", line[:60], f"is {len(line)} bytes, at most {_LINE_BYTES} are allowed")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise InvalidInput("line", line[:60], "is not UTF-8") from None
    name, colon, rest = text.partition(":")
    values, *fields = rest.split("|")
    kind, unit = _KINDS.get(fields[0] if fields else "", ("", ""))
    if not colon or not kind:
        raise InvalidInput("line", text[:60], "expected name:value|c, |g, |ms, |h, |d or |s")
    rate, tags = 1.0, ""
    for field in fields[1:]:
        if field.startswith("@"):
            rate = _number(field[1:])
        elif field.startswith("#"):
            tags = field[1:]  # other fields are of DogStatsD: a time, a container
    if not _LEAST_RATE <= rate <= 1:
        raise InvalidInput("rate", f"{rate:g}", f"expected {_LEAST_RATE:g} to 1")
    # a set counts whatever text it is given, such as an address with its port
    each = [value for value in ([values] if kind == "set" else values.split(":")) if value]
    if kind != "set":
        for value in each:
            _number(value)
    if not each:
        raise InvalidInput("value", values, "is empty")
    levels = "/".join(filter(None, (level.strip() for level in readable_name(name).replace(".", "/").split("/"))))
    return StatsdLine(
        cast("Kind", kind), checked_name(levels), checked_labels({**_tags(tags), **labels}), unit, each, rate
    )


def _number(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise InvalidInput("value", text, "is no number")
    return number


def _tags(text: str) -> dict[str, str]:
    """Return tags as labels; of two of a name the first, of one without a value ``true``."""
    found: dict[str, str] = {}
    for tag in filter(None, text.split(",")):
        name, colon, value = tag.partition(":")
        label = readable_name(name).replace("/", ".") or "_"
        if value or not colon:
            found.setdefault(label, readable_value(value) if colon else "true")
    return found
