"""What somebody may do: patterns to publish and to subscribe to; pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.pattern import compile_pattern
from tidewire.model.scopes import allows, narrowing, patterns_meet

__all__ = ["ANYONE", "Identity", "Scopes"]

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
        return allows(self.publish, metric)

    def may_see(self, metric: str) -> bool:
        """Tell whether a metric may be seen."""
        return allows(self.subscribe, metric)

    def may_see_some(self, pattern: str) -> bool:
        """Tell whether a metric that a pattern selects could be seen, whether there is one or not."""
        return any(patterns_meet(scope, pattern) for scope in self.subscribe)

    @property
    def narrowed_to(self) -> tuple[str, ...]:
        """The patterns that narrow what is asked for, sorted; empty if all may be seen."""
        return narrowing(self.subscribe)


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
