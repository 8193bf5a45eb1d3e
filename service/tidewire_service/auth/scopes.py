"""What somebody may do: patterns to publish and to subscribe to; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.pattern import Pattern, compile_pattern

__all__ = ["ANYONE", "Identity", "Scopes", "allowed_metrics"]

_MAX_PATTERNS: Final = 64  # of one direction; every new metric is matched against each


class Scopes(msgspec.Struct, frozen=True, kw_only=True):
    """What an identity may do; nothing unless it is said.

    Attributes:
        publish: patterns of the metrics it may publish.
        subscribe: patterns of the metrics it may see: live, replayed, in the past and in the catalogue.
        edit: may change decks and thresholds.
        operate: may read ``/metrics``.

    Raises:
        InvalidInput: too many patterns, or one that cannot be read.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    edit: bool = False
    operate: bool = False

    def __post_init__(self) -> None:
        for name, patterns in (("publish", self.publish), ("subscribe", self.subscribe)):
            if len(patterns) > _MAX_PATTERNS:
                raise InvalidInput(name, len(patterns), f"holds more than {_MAX_PATTERNS} patterns")
            for pattern in patterns:
                compile_pattern(pattern)

    def may_publish(self, metric: str) -> bool:
        """Tell whether a metric may be published."""
        return _matches(self.publish, metric)

    def may_see(self, metric: str) -> bool:
        """Tell whether a metric may be seen."""
        return _matches(self.subscribe, metric)

    def may_see_some(self, pattern: str) -> bool:
        """Tell whether a metric that a pattern selects could be seen, whether there is one or not."""
        return any(_meet(scope.split("/"), pattern.split("/")) for scope in self.subscribe)

    @property
    def narrowed_to(self) -> tuple[str, ...]:
        """The patterns that narrow what is asked for, sorted; empty if all may be seen."""
        return () if "**" in self.subscribe else tuple(sorted(set(self.subscribe)))


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks.

    Attributes:
        id: of the token; for a JSON Web Token a hash of its subject; empty for anyone.
        name: as a person gave it.
        kind: how it was proved; ``open`` where nothing is asked for.
        scopes: what it may do.
        expires_ms: Unix ms, after which it is nobody; None for never.
    """

    id: str
    name: str
    kind: Literal["open", "token", "jwt"]
    scopes: Scopes
    expires_ms: float | None = None

    def expired(self, now_ms: float) -> bool:
        """Tell whether its time is over."""
        return self.expires_ms is not None and now_ms >= self.expires_ms


ANYONE: Final = Identity(
    id="",
    name="anyone",
    kind="open",
    scopes=Scopes(publish=("**",), subscribe=("**",), edit=True, operate=True),
)
"""Who asks where no token is wanted: a service on loopback."""


@lru_cache(maxsize=4_096)
def _compiled(patterns: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(compile_pattern(pattern) for pattern in patterns)


def _matches(patterns: tuple[str, ...], metric: str) -> bool:
    return any(pattern.text == "**" or pattern.matches(metric) for pattern in _compiled(patterns))


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


def allowed_metrics(metrics: Iterable[str], narrowed_to: tuple[str, ...]) -> list[str]:
    """Return those of some metrics that may be seen; an empty `narrowed_to` allows all."""
    if not narrowed_to:
        return list(metrics)
    return [metric for metric in metrics if _matches(narrowed_to, metric)]
