"""The rule of who may see which metrics, by the patterns of a token; pure, for the service and the dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from tidewire.model.pattern import Pattern, compile_pattern

__all__ = ["allows", "narrowing", "patterns_meet"]


def narrowing(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns that narrow what may be seen, sorted; empty if all may be seen."""
    given = set(patterns)
    return () if "**" in given else tuple(sorted(given))


def allows(patterns: tuple[str, ...], metric: str) -> bool:
    """Tell whether one of some patterns selects a metric; none selects nothing."""
    return any(pattern.text == "**" or pattern.matches(metric) for pattern in _compiled(patterns))


def patterns_meet(left: str, right: str) -> bool:
    """Tell whether two patterns select one same metric, whether it exists or not.

    Where both have a ``**``, or of two levels both a ``*``, only what lies before the first and behind the last one can
    differ: any name fits between. No table over both is needed.
    """
    one, other = left.split("/"), right.split("/")
    if "**" not in one:
        one, other = other, one
    if "**" not in one:
        return len(one) == len(other) and _pairs_meet(one, other)
    head, *between, tail = _runs(one)
    if "**" in other:
        other_head, *_, other_tail = _runs(other)
        return _pairs_meet(head, other_head) and _pairs_meet(tail[::-1], other_tail[::-1])
    at, end = len(head), len(other) - len(tail)
    if at > end or not (_pairs_meet(head, other) and _pairs_meet(tail, other[end:])):
        return False
    for run in between:
        while at + len(run) <= end and not _pairs_meet(run, other[at : at + len(run)]):
            at += 1
        at += len(run)
    return at <= end


def _runs(levels: list[str]) -> list[list[str]]:
    runs: list[list[str]] = [[]]
    for level in levels:
        if level == "**":
            runs.append([])
        else:
            runs[-1].append(level)
    return runs


def _pairs_meet(left: list[str], right: list[str]) -> bool:
    return all(map(_levels_meet, left, right))


def _levels_meet(one: str, other: str) -> bool:
    if one == other:
        return True
    if "*" not in one:
        one, other = other, one
    if "*" not in one:
        return False
    head, *between, tail = one.split("*")
    if "*" in other:
        other_head, *_, other_tail = other.split("*")
        heads = head.startswith(other_head) or other_head.startswith(head)
        return heads and (tail.endswith(other_tail) or other_tail.endswith(tail))
    at, end = len(head), len(other) - len(tail)
    if at > end or not (other.startswith(head) and other.endswith(tail)):
        return False
    for text in between:
        at = other.find(text, at, end)
        if at < 0:
            return False
        at += len(text)
    return True


@lru_cache(maxsize=4_096)
def _compiled(patterns: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(compile_pattern(pattern) for pattern in patterns)
