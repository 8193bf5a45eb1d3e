"""The cursor: a position in the log that resumes a subscription; pure.

An **id** is one integer, ``ms << 32 | n``: the millisecond of the log's clock and a counter within it. Ids rise
strictly over all metrics of a partition. A **cursor** is an id with the epoch that minted it; its text is
``epoch.ms36-n36``, about 18 characters of ``[A-Za-z0-9._-]``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from tidewire.errors import InvalidCursor

__all__ = ["MS_STEP", "Cursor", "base36", "id_counter", "id_from_ms", "id_ms", "id_text", "parse_id"]

_N_BITS: Final = 32
_N_MASK: Final = (1 << _N_BITS) - 1
MS_STEP: Final = 1 << _N_BITS
"""From an id to the one with the same counter a millisecond later."""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAX_CHARS: Final = 64
_MAX_MS: Final = 1 << 48  # the year 10889; keeps a forged cursor from making giant integers


def id_from_ms(ms: int, n: int = 0) -> int:
    """Return the id of a millisecond of the log's clock and a counter within it."""
    return ms << _N_BITS | n


def id_ms(id_: int) -> int:
    """Return the millisecond (Unix epoch, log's clock) at which an id was minted."""
    return id_ >> _N_BITS


def id_counter(id_: int) -> int:
    """Return the counter of an id within its millisecond."""
    return id_ & _N_MASK


def id_text(id_: int) -> str:
    """Return an id as Redis writes it: ``ms-n``, decimal."""
    return f"{id_ >> _N_BITS}-{id_ & _N_MASK}"


def parse_id(text: bytes | str) -> int:
    """Return the id that Redis wrote as ``ms-n``.

    Raises:
        ValueError: the text is not of that form.
    """
    # int takes bytes as it takes text
    ms, _, n = text.partition(b"-") if isinstance(text, bytes) else text.partition("-")
    return int(ms) << _N_BITS | int(n or 0)


@lru_cache(maxsize=4_096)  # the milliseconds of now, and small counters: each is asked for many times
def base36(number: int) -> str:
    """Return a number ≥ 0 in base 36, as cursors write it."""
    if number < 36:
        return _DIGITS[number]
    digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def cursor_head(epoch: str, ms: int) -> str:
    """Return the text of the cursors of a millisecond, up to their counter, which is in base 36."""
    return f"{epoch}.{base36(ms)}-"


class Cursor(NamedTuple):
    """Everything up to ``id`` of the lineage that ``epoch`` names was seen.

    Attributes:
        epoch: 7 characters of base 36; one server process of one lineage of data.
        id: see the module's docstring; 0 is before everything.
    """

    epoch: str
    id: int

    def __str__(self) -> str:
        return cursor_head(self.epoch, self.id >> _N_BITS) + base36(self.id & _N_MASK)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor that a text names.

        Raises:
            InvalidCursor: the text is no cursor of ours.
        """
        epoch, dot, position = text.partition(".")
        ms36, dash, n36 = position.partition("-")
        plain = len(text) <= _MAX_CHARS and text.isascii() and epoch.isalnum() and ms36.isalnum() and n36.isalnum()
        if not (plain and dot and dash):
            raise InvalidCursor(
                "cursor", text, "expected epoch.ms-n as an earlier event's id gave it; leave it out to start anew"
            )
        ms, n = int(ms36, 36), int(n36, 36)
        if ms >= _MAX_MS or n > _N_MASK:
            raise InvalidCursor("cursor", text, "names a time far beyond any clock; leave it out to start anew")
        return cls(epoch, ms << _N_BITS | n)
