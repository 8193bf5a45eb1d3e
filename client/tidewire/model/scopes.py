"""The rule of who may see which metrics, by the patterns of a token; pure, for the service and the dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from tidewire.model.pattern import Pattern, compile_pattern

__all__ = ["allowed_metrics", "allows", "narrowing", "patterns_meet"]


def narrowing(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns that narrow what may be seen, sorted; empty if all may be seen."""
    given = set(patterns)
    return () if "**" in given else tuple(sorted(given))


def allows(patterns: tuple[str, ...], metric: str) -> bool:
    """Tell whether one of some patterns selects a metric; none selects nothing."""
    return any(pattern.text == "**" or pattern.matches(metric) for pattern in _compiled(patterns))


def allowed_metrics(metrics: Iterable[str], narrowed_to: tuple[str, ...]) -> list[str]:
    """Return those of some metrics that may be seen; an empty `narrowed_to` allows all."""
    if not narrowed_to:
        return list(metrics)
    return [metric for metric in metrics if allows(narrowed_to, metric)]


def patterns_meet(left: str, right: str) -> bool:
    """Tell whether two patterns select one same metric, whether it exists or not."""
    return _meet(left.split("/"), right.split("/"))


@lru_cache(maxsize=4_096)
def _compiled(patterns: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(compile_pattern(pattern) for pattern in patterns)


def _meet(left: Sequence[str], right: Sequence[str], star: str = "**") -> bool:
    """Tell whether two patterns select one same thing: of levels, or, with the star ``*``, of one level's characters.

    By a table of which beginnings meet: in time that grows with the product of their lengths, whatever they hold.
    """
    above = [True] + [False] * len(right)
    for column, other in enumerate(right):
        above[column + 1] = above[column] and other == star
    for one in left:
        row = [above[0] and one == star]
        for column, other in enumerate(right):
            if star in (one, other):
                row.append(above[column + 1] or row[column])
            elif star == "**" and ("*" in one or "*" in other):
                row.append(above[column] and _meet(one, other, "*"))
            else:
                row.append(above[column] and one == other)
        above = row
    return above[-1]
