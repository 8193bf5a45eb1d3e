"""Selects metrics by patterns, taking turns with everything else that the event loop does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from tidewire.model.pattern import Pattern, compile_patterns
from tidewire_service.turns import Turns

__all__ = ["part_of", "selected"]

V = TypeVar("V")

_NAMES: Final = 64  # matched with one pattern between two looks at the time: 10 ms at 150 us, the costliest match
_RUN: Final = 8_192  # of names that are sorted or copied at once


async def part_of(
    directory: Mapping[str, V], patterns: Collection[Pattern], narrowed_to: Iterable[str], turns: Turns
) -> dict[str, V]:
    """Return the part of a directory that some patterns select, sorted by name, as it was at the call.

    Args:
        directory: by metric.
        patterns: one of them has to match.
        narrowed_to: one of these has to match as well, unless there are none.
        turns: bounds the work.

    Raises:
        LimitExceeded: it takes too long.
    """
    every = dict(directory)
    names = list(every)
    allowed = compile_patterns(narrowed_to)
    found: list[str] = []
    for first in range(0, len(names), _RUN):
        found += sorted(await selected(names[first : first + _RUN], patterns, allowed, turns))
        await turns.take()
    found.sort()
    part: dict[str, V] = {}
    for first in range(0, len(found), _RUN):
        part.update((name, every[name]) for name in found[first : first + _RUN])
        await turns.take()
    return part


async def selected(
    names: Sequence[str], patterns: Collection[Pattern], allowed: Collection[Pattern], turns: Turns
) -> Sequence[str]:
    """Return the names that one of some patterns matches, and one of those that are allowed, unless there are none.

    Raises:
        LimitExceeded: it takes too long.
    """
    found = await _selected(names, patterns, turns)
    return await _selected(found, allowed, turns) if allowed else found


async def _selected(names: Sequence[str], patterns: Collection[Pattern], turns: Turns) -> Sequence[str]:
    selected = {pattern.text for pattern in patterns if pattern.literal}.intersection(names)
    for pattern in patterns:
        if pattern.text == "**":
            return names
        if pattern.literal:
            continue
        pattern.matches("")  # compiles it, also where there is no metric yet
        for first in range(0, len(names), _NAMES):
            selected.update(filter(pattern.matches, names[first : first + _NAMES]))
            await turns.take()
    return list(selected)
