"""Scopes and identities: who sends a request, and what they may publish and subscribe to; pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.pattern import compile_pattern
from tidewire.model.scopes import allows, narrowing, patterns_meet

__all__ = ["ANYONE", "Identity", "Scopes"]

_MAX_PATTERNS: Final = 64  # to publish, and to subscribe; every new metric is matched against each


class Scopes(msgspec.Struct, frozen=True, kw_only=True):
    """What an identity may do; by default nothing.

    Attributes:
        publish: patterns of the metrics it may publish.
        subscribe: patterns of the metrics it may see: live, replayed, in the history and in the catalogue.
        edit: may change decks and thresholds.
        operate: may read ``/metrics``.

    Raises:
        InvalidInput: too many patterns, or a malformed one.
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

    def may_see_some(self, pattern: str) -> bool:
        """Tell whether any metric that a pattern matches could be seen, whether or not one exists."""
        return any(patterns_meet(scope, pattern) for scope in self.subscribe)

    @property
    def narrowed_to(self) -> tuple[str, ...]:
        """The patterns that requests are narrowed to, sorted; empty if all metrics may be seen."""
        return narrowing(self.subscribe)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request.

    Attributes:
        id: of the token; for a JSON Web Token a hash of its subject; empty for anyone.
        name: of the token, or of the subject of a JSON Web Token.
        kind: how it was authenticated; ``open`` if the service requires no token.
        scopes: what it may do.
        expires_ms: Unix ms, after which it is not valid; None for never.
    """

    id: str
    name: str
    kind: Literal["open", "token", "jwt"]
    scopes: Scopes
    expires_ms: float | None = None

    def expired(self, now_ms: float) -> bool:
        """Tell whether it has expired."""
        return self.expires_ms is not None and now_ms >= self.expires_ms


ANYONE: Final = Identity(
    id="",
    name="anyone",
    kind="open",
    scopes=Scopes(publish=("**",), subscribe=("**",), edit=True, operate=True),
)
"""The identity of every request to a service that requires no token."""
