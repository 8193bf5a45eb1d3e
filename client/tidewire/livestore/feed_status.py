"""The state of the connection to the service, as a value."""

from __future__ import annotations

import msgspec

from tidewire.livestore.messages import State
from tidewire.model.states import Stalled

__all__ = ["FeedStatus"]


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the connection to the service; times are Unix ms of the log's clock.

    Attributes:
        state: ``live`` only once everything up to the service's position was stored.
        since_ms: since when the state holds; for ``reconnecting``, since when the connection is lost.
        retry_at_ms: when it tries again, or None.
        attempts: tries since the connection was lost.
        reason: why it was lost, or ended.
        recovered: readings that a resume brought; `recovered_ms` is when.
        gap: (from, to) of what cannot be replayed, or None; `gap_ms` is when it was announced.
        listening_since_ms: when the first connection stood, or None.
        stalled: the partitions of the log that do not answer.
        behind_since_ms: log time up to which the store was when the replay began that still goes on, or None.
    """

    state: State = "connecting"
    since_ms: float
    retry_at_ms: float | None = None
    attempts: int = 0
    reason: str = ""
    recovered: int = 0
    recovered_ms: float = 0.0
    gap: tuple[float, float] | None = None
    gap_ms: float = 0.0
    listening_since_ms: float | None = None
    retention_ms: float | None = None
    behind_since_ms: float | None = None
    stalled: tuple[Stalled, ...] = ()
