"""Counts what an OTLP request in protobuf is made of before it is parsed: two bytes of it may become 70; pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["Parts", "count_parts"]

_LEVELS: Final = 100  # as the parser has it
_VARINT, _BYTES = 0, 2  # types of the wire
_FIXED: Final = {1: 8, 5: 4}  # likewise, with their widths; the others are groups, of which OTLP has none
_FIELDS_OF_A_PART: Final = 8  # a number takes 8 bytes, a message about 70
_MORE: Final = 0x80  # of a byte of a number, if another one follows


class Parts(NamedTuple):
    """How much a request is.

    Attributes:
        points: data points.
        parts: messages within it, data points too, and texts of lists; of other fields eight are one.
    """

    points: int
    parts: int


class _Kind:
    """A kind of message: the numbers of its fields that are messages, and of those that are lists of something else.

    Numbers of a fixed width are no list here: parsed they take what they take on the wire.
    """

    def __init__(self, name: str) -> None:
        self.is_point = name.endswith("DataPoint")
        self.messages: dict[int, _Kind] = {}
        self.texts: set[int] = set()
        self.numbers: set[int] = set()


def count_parts(body: bytes, message: Any, most_points: int, most_parts: int) -> Parts:
    """Count data points and parts; stop as soon as either is more than allowed, with what was counted until then.

    Takes 0.3 µs for each field, and the memory of a few numbers.

    Args:
        body: a message on the wire.
        message: its class.
        most_points: allowed.
        most_parts: allowed.

    Raises:
        ValueError: it is cut off, or no protobuf.
    """
    kind = _kind(message.DESCRIPTOR)
    at, end = 0, len(body)
    above: list[tuple[_Kind, int]] = []
    points, fields = 0, 0
    most_fields = _FIELDS_OF_A_PART * most_parts + _FIELDS_OF_A_PART - 1
    while points <= most_points and fields <= most_fields:
        while at >= end and above:
            kind, end = above.pop()
        if at >= end:
            break
        tag, at = _varint(body, at, end) if body[at] >= _MORE else (body[at], at + 1)
        field, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            size, at = _varint(body, at, end)
            if size > end - at:
                raise ValueError("a field is longer than what it is in")
            inner = kind.messages.get(field)
            if inner is None:
                fields += _FIELDS_OF_A_PART if field in kind.texts else size if field in kind.numbers else 1
                at += size
                continue
            fields += _FIELDS_OF_A_PART
            points += inner.is_point
            if size:
                if len(above) >= _LEVELS:
                    raise ValueError("it is nested too deeply")
                above.append((kind, end))
                kind, end = inner, at + size
            continue
        fields += 1
        if wire == _VARINT:
            _, at = _varint(body, at, end)
        elif wire in _FIXED:
            at += _FIXED[wire]
            if at > end:
                raise ValueError("a field is longer than what it is in")
        else:
            raise ValueError("it has a group")
    return Parts(points, fields // _FIELDS_OF_A_PART)


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    if at < end and body[at] < _MORE:
        return body[at], at + 1
    found = shift = 0
    for place in range(at, min(end, at + 10)):
        byte = body[place]
        found |= (byte & 0x7F) << shift
        if byte < _MORE:
            return found, place + 1
        shift += 7
    raise ValueError("a number is cut off or too long")


@lru_cache(maxsize=1)
def _kind(descriptor: Descriptor) -> _Kind:
    """Return what may be many in a message, of the descriptors of all messages in it."""
    kinds: dict[str, _Kind] = {}

    def kind_of(descriptor: Descriptor) -> _Kind:
        name = descriptor.full_name
        if name in kinds:
            return kinds[name]
        kind = kinds[name] = _Kind(name)
        for field in descriptor.fields:
            if field.message_type is not None:
                kind.messages[field.number] = kind_of(field.message_type)
            elif not field.is_repeated:
                continue
            elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
                kind.texts.add(field.number)
            elif field.type not in (field.TYPE_FIXED64, field.TYPE_DOUBLE, field.TYPE_FIXED32, field.TYPE_FLOAT):
                kind.numbers.add(field.number)
        return kind

    return kind_of(descriptor)
