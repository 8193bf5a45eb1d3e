"""The cursor of a log of several partitions: a position in each of those that a stream can touch; pure.

Its text is ``_L.B.C.C…``: the layout, the newest millisecond, then a component for each partition, that of the event
first: the partition, the first five characters of the epoch, how many milliseconds before B, and after a dash the
counter if it is not 0. Numbers are in base 62. No cursor of one partition begins with ``_``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from tidewire.errors import InvalidCursor
from tidewire.model.cursor import Cursor, id_counter, id_from_ms, id_ms

__all__ = [
    "EPOCH_CHARS",
    "AnyCursor",
    "Component",
    "VectorCursor",
    "base62",
    "component_text",
    "parse_cursor",
    "position_in",
]

EPOCH_CHARS: Final = 5
"""Characters of an epoch that a component names: a foreign epoch is taken for one of 64 once in a million."""
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_MAX_CHARS: Final = 199  # what eight components of 22 can be, with their dots and what stands before them
_MAX_MS: Final = 1 << 48
_MAX_COUNTER: Final = 1 << 32
_MAX_PARTS: Final = 8


@lru_cache(maxsize=4_096)
def base62(number: int) -> str:
    """Return a number ≥ 0 in base 62."""
    digits = [_DIGITS[number % 62]]
    while number >= 62:
        number //= 62
        digits.append(_DIGITS[number % 62])
    return "".join(reversed(digits))


def _number(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 62 + _VALUES[digit]
    return number


class Component(NamedTuple):
    """The position in one partition."""

    partition: int
    cursor: Cursor


def component_text(partition: int, cursor: Cursor, newest_ms: int) -> str:
    """Return the text of a component whose millisecond is not after `newest_ms`."""
    epoch, id_ = cursor
    ago, counter = newest_ms - id_ms(id_), id_counter(id_)
    return (
        f"{_DIGITS[partition]}{epoch[:EPOCH_CHARS]}"
        f"{base62(ago) if ago else ''}{'-' + base62(counter) if counter else ''}"
    )


class VectorCursor(NamedTuple):
    """In each partition that it names, everything up to an id was seen; of the others, nothing.

    Attributes:
        layout: the id of the log's layout.
        parts: the position in each partition, that of the event first. An epoch that was parsed has five characters.
    """

    layout: int
    parts: tuple[Component, ...]

    @property
    def own(self) -> Component:
        """The partition of the event, and the position in it."""
        return self.parts[0]

    @property
    def id(self) -> int:
        """The id of the event in its own partition."""
        return self.parts[0].cursor.id

    @property
    def epoch(self) -> str:
        """The epoch of the event's own partition."""
        return self.parts[0].cursor.epoch

    def part(self, partition: int) -> Cursor | None:
        """Return the position in a partition, None if nothing of it was seen."""
        return next((cursor for number, cursor in self.parts if number == partition), None)

    def __str__(self) -> str:
        newest_ms = max(id_ms(cursor.id) for _, cursor in self.parts)
        texts = (component_text(partition, cursor, newest_ms) for partition, cursor in self.parts)
        return f"_{base62(self.layout)}.{base62(newest_ms)}.{'.'.join(texts)}"

    @classmethod
    def of(cls, layout: int, parts: Iterable[tuple[int, Cursor]]) -> VectorCursor:
        """Return the cursor of some positions, at least one."""
        return cls(layout, tuple(Component(partition, cursor) for partition, cursor in parts))

    @classmethod
    def parse(cls, text: str) -> VectorCursor:
        """Return the cursor that a text names.

        Raises:
            InvalidCursor: the text is no such cursor.
        """
        try:
            if len(text) > _MAX_CHARS or not text.startswith("_"):
                raise ValueError(text)
            head, newest, *texts = text.split(".")
            if not 1 <= len(texts) <= _MAX_PARTS or not head[1:] or len(head) > 5:
                raise ValueError(text)
            newest_ms = _number(newest)
            if newest_ms >= _MAX_MS or not newest:
                raise ValueError(text)
            parts = tuple(_parse_component(one, newest_ms) for one in texts)
            if len({part.partition for part in parts}) < len(parts):
                raise ValueError(text)
            return cls(_number(head[1:]), parts)
        except (ValueError, KeyError, IndexError):
            raise InvalidCursor(
                "cursor", text, "expected a cursor as an earlier event's id gave it; leave it out to start anew"
            ) from None


def _parse_component(text: str, newest_ms: int) -> Component:
    epoch = text[1 : 1 + EPOCH_CHARS]
    ago, dash, counter = text[1 + EPOCH_CHARS :].partition("-")
    ms, n = newest_ms - _number(ago), _number(counter)
    plain = len(epoch) == EPOCH_CHARS and epoch.isascii() and epoch.isalnum() and bool(counter) == bool(dash)
    if not plain or ms < 0 or n >= _MAX_COUNTER:
        raise ValueError(text)
    return Component(_VALUES[text[0]], Cursor(epoch, id_from_ms(ms, n)))


AnyCursor: TypeAlias = Cursor | VectorCursor


def position_in(cursor: AnyCursor, partition: int) -> Cursor | None:
    """Return the position in a partition that a cursor names, None if it names none."""
    return cursor if isinstance(cursor, Cursor) else cursor.part(partition)


def parse_cursor(text: str) -> AnyCursor:
    """Return the cursor that a text names, of one partition or of several.

    Raises:
        InvalidCursor: the text is no cursor of ours.
    """
    return VectorCursor.parse(text) if text.startswith("_") else Cursor.parse(text)
