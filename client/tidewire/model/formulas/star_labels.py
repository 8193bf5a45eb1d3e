"""Finds what the stars of a pattern stood for in a name: the labels ``*1``, ``*2`` and so on; pure.

A run of levels between two ``**`` is taken at its first place after the one before, so that each ``**`` takes as few
levels as it can. Nothing is tried again; `tidewire.model.pattern` selects the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from tidewire.model.pattern import compile_pattern

__all__ = ["star_labels"]

_ANY: Final = "**"


def star_labels(pattern: str, metric: str) -> dict[str, str] | None:
    """Return the labels that a pattern gives a metric, None if it does not select it.

    Args:
        pattern: as `compile_pattern` takes it.
        metric: a name.

    Returns:
        By ``*n`` of the n-th level that holds a star: what it stood for, the levels of a ``**`` joined by ``/``; not
        those that stood for nothing.
    """
    if "*" not in pattern:
        return {} if pattern == metric else None
    if not compile_pattern(pattern).matches(metric):
        return None
    found = _taken(_runs(pattern), metric.split("/"))
    return {f"*{at}": text for at, text in enumerate(found, 1) if text}


@lru_cache(maxsize=1_024)
def _runs(pattern: str) -> tuple[tuple[str, ...], ...]:
    """Return the levels between the ``**`` of a pattern."""
    runs: list[list[str]] = [[]]
    for level in pattern.split("/"):
        if level == _ANY:
            runs.append([])
        else:
            runs[-1].append(level)
    return tuple(map(tuple, runs))


def _taken(runs: Sequence[Sequence[str]], levels: Sequence[str]) -> list[str]:
    """Return what each level with a star stood for in a name that the pattern selects."""
    first, *later = runs
    found = [level for part, level in zip(first, levels, strict=False) if "*" in part]
    at = len(first)
    for number, run in enumerate(later, 1):
        start = len(levels) - len(run) if number == len(later) else at
        while number < len(later) and not _fits(run, levels, start):
            start += 1
        found.append("/".join(levels[at:start]))
        found += [level for part, level in zip(run, levels[start:], strict=False) if "*" in part]
        at = start + len(run)
    return found


def _fits(run: Sequence[str], levels: Sequence[str], start: int) -> bool:
    return all(_level_fits(part, level) for part, level in zip(run, levels[start:], strict=False))


def _level_fits(part: str, level: str) -> bool:
    return compile_pattern(part).matches(level) if "*" in part else part == level
