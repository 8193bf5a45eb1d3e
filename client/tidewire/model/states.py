"""What a subscriber receives: batches, and the states of its connection as values."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tidewire.model.batch import Batch

__all__ = [
    "ConflatedBatches",
    "Connected",
    "Ended",
    "Gap",
    "Live",
    "Lost",
    "Reset",
    "Skipped",
    "Stalled",
    "State",
    "StreamBatch",
]


class StreamBatch(Batch, frozen=True, kw_only=True, omit_defaults=True):
    """A batch as it came over a stream.

    Attributes:
        cursor: where to resume after it; ``""`` for a snapshot's reading, which has none.
        every_ms: length of the interval of a conflated batch; 0 for a raw one.
        min: of a conflated batch; None otherwise. Likewise `max`, `mean` and `count`.
    """

    cursor: str = ""
    every_ms: int = 0
    min: list[float | None] | None = None
    max: list[float | None] | None = None
    mean: list[float | None] | None = None
    count: list[int] | None = None


class ConflatedBatches(msgspec.Struct, frozen=True):
    """One interval of a conflated stream: one batch for each series, of one reading, the newest.

    Its `min`, `max` and `mean` are of the readings that are numbers, None if none is; `count` is of all.
    """

    every_ms: int
    batches: list[StreamBatch]


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The service said hello.

    Attributes:
        cursor: where the stream starts; ``""`` if it starts with a snapshot.
        resumed: it goes on where an earlier connection ended.
        matched: metrics that the patterns select now.
        replay: what is sent first, as the service understood it.
        time_ms: the log's clock, milliseconds since the Unix epoch.
        limits: of the service, by name; ``retention_ms`` among them.
        narrowed_to: patterns of what the token may see; empty if it sees all that was asked for.
    """

    cursor: str = ""
    resumed: bool = False
    matched: int = 0
    replay: str = ""
    time_ms: float = 0.0
    limits: dict[str, float] = {}
    narrowed_to: tuple[str, ...] = ()


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The replay is over: what follows is published now.

    Attributes:
        cursor: everything up to it was sent or announced.
        stalled: partitions that still do not answer; None if the service does not tell.
    """

    cursor: str = ""
    stalled: tuple[int, ...] | None = None


class Stalled(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of the log does not answer: its metrics are late until the next `Live`. Nothing is lost.

    Attributes:
        partition: its number.
        metrics: those of the subscription that lie in it, at most 100.
        more: how many more there are.
        since_ms: since when, milliseconds since the Unix epoch.
    """

    partition: int
    metrics: tuple[str, ...] = ()
    more: int = 0
    since_ms: float = 0.0


class Gap(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Batches that can no longer be replayed.

    Attributes:
        kind: ``trimmed`` (no longer in the log: past retention, forgotten, or deleted) or ``lost`` (written, then lost
            by a failover or a foreign hand).
        metric: whose, or None: any.
        from_: cursor after which they are missing.
        to: cursor up to which they are missing.
    """

    kind: str
    metric: str | None = None
    from_: str = ""
    to: str = ""


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """The log itself was lost, or one partition of it; the stream starts anew with its metrics.

    Attributes:
        epoch: of what is there now.
        reason: in words.
        partition: which one, or None: all.
        metrics: those of the subscription that start anew, at most 100; empty for all.
        more: how many more start anew.
        cursor: where the stream continues: what was seen of the other partitions. ``""`` if nothing was.
    """

    epoch: str = ""
    reason: str = ""
    partition: int | None = None
    metrics: tuple[str, ...] = ()
    more: int = 0
    cursor: str = ""


class Skipped(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Batches that were left out because this subscriber was slow and asked for conflation."""

    metric: str | None = None
    count: int = 0
    from_: str | None = None
    to: str | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The connection ended; the next attempt follows by itself.

    Attributes:
        reason: why.
        retry_s: seconds until the next attempt.
        attempt: attempts since the last connection, from 1.
    """

    reason: str
    retry_s: float
    attempt: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The service said no for good; the error that is raised next says the same."""

    reason: str


State: TypeAlias = Connected | Live | Stalled | Gap | Reset | Skipped | Lost | Ended
