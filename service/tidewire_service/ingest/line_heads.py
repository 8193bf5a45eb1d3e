"""Names what a line of line protocol is of: the measurement and the tags before its fields, and their metrics; pure.

A measurement and a field are the metric ``measurement/field``, tags are labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from line_protocol_parser import LineFormatError, parse_line

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits, checked_labels, checked_name
from tidewire.model.foreign_names import readable_name, readable_value
from tidewire_service.ingest.home_assistant import Entity, entity_of, is_entity

__all__ = ["LineHead", "fault_of", "head_and_rest", "head_of", "metric_of"]

_MOST_COMMAS: Final = 256  # before the fields: the parser's time grows with the square of the tags, 0.5 s for 20,000
_CACHED_CHARS: Final = 1_024  # longer names and tags are parsed anew: the caches hold 20 MB at most
_HEAD: Final = re.compile(r"(?:[^\\ ]++|\\.)*+", re.DOTALL)


class LineHead(NamedTuple):
    """What is before the fields of a line: the measurement, the tags as labels, and the entity of Home Assistant."""

    measurement: str
    labels: dict[str, str]
    entity: Entity | None


def head_and_rest(line: str) -> tuple[str, str]:
    """Return what is before the fields of a line, and the rest, which begins with a blank.

    Raises:
        InvalidInput: there are no fields.
    """
    found = _HEAD.match(line)
    head = found[0] if found else ""
    rest = line[len(head) :]
    if not rest:
        raise InvalidInput("line", line[:60], "has no fields; expected measurement,tag=value field=1 time")
    return head, rest


def head_of(head: str, max_labels: int) -> LineHead:
    """Return what is before the fields, parsed; remembered if it is short.

    Raises:
        InvalidInput: it cannot be parsed, or a tag cannot be a label.
        LimitExceeded: more labels than allowed.
    """
    return (_parsed_head if len(head) <= _CACHED_CHARS else _parsed_head.__wrapped__)(head, max_labels)


def metric_of(measurement: str, field: str) -> str:
    """Return the metric of a field: ``measurement/field``, or the measurement alone if the field is ``value``.

    Raises:
        InvalidInput: it is longer than 255 bytes.
    """
    short = len(measurement) + len(field) <= _CACHED_CHARS
    return (_metric if short else _metric.__wrapped__)(measurement, field)


def fault_of(error: Exception) -> str:
    """Return what the parser says of a line, in the words of this service."""
    reason = str(error).rstrip(".").removeprefix("Failed to parse ")
    if "nanoseconds" in reason:
        return "the time is no whole number"
    if reason == str(error).rstrip("."):
        return f"cannot be read: {reason}"
    return f"cannot be read at the {reason}"


@lru_cache(maxsize=4_096)
def _parsed_head(head: str, max_labels: int) -> LineHead:
    tags = head.count(",")
    if tags > _MOST_COMMAS:
        raise LimitExceeded("labels", max_labels, tags, "use fewer tags")
    try:
        parsed = parse_line(head + " f=1")
    except (LineFormatError, UnicodeError, ValueError) as error:
        raise InvalidInput("line", head[:60], fault_of(error)) from None
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
    return LineHead(measurement, checked_labels(labels, IngestLimits(labels=max_labels)), entity)


@lru_cache(maxsize=16_384)
def _metric(measurement: str, field: str) -> str:
    parts = (measurement,) if field == "value" else (measurement, field)
    return checked_name("/".join(_levels(parts)))


def _levels(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        levels = [level for text in readable_name(part).split("/") if (level := text.strip())]
        yield from levels or ["_"]
