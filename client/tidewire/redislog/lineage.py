"""The lineage of the log: the chain of epochs and their forks, and how a cursor resolves against it; pure.

An epoch names one server process of one lineage of data. Each new one forks from its predecessor at the id up to which
both agree; `lost` marks an epoch that was opened because a caller had seen writes that this lineage no longer holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tidewire.model.cursor import id_text, parse_id

__all__ = [
    "Clock",
    "CursorResolution",
    "Evidence",
    "Fork",
    "Watermark",
    "chain_text",
    "fork_after",
    "lost_from",
    "minting_epoch",
    "parse_chain",
    "resolve_cursor",
    "whole_epoch",
]


_WITNESSES: Final = 8  # of losses, kept by one caller; the oldest is forgotten first


class Fork(NamedTuple):
    """One epoch of a chain: where it forked from the one before, and from where on writes are known to be lost."""

    epoch: str
    fork: int
    lost: int | None


class Clock(NamedTuple):
    """One atomic reply of the clock.

    Attributes:
        epoch: the current epoch.
        id: the last id of the partition, 0 if none.
        chain: the lineage, oldest first; its last entry is the current epoch.
        now_ms: Redis time, milliseconds since the Unix epoch.
        forgot: the highest last id of a metric that has left the directory, 0 if none has.
    """

    epoch: str
    id: int
    chain: tuple[Fork, ...]
    now_ms: float
    forgot: int = 0


class Watermark(NamedTuple):
    """The highest id that a hub or a publisher knows, and the chain under which it knows it."""

    id: int
    chain: tuple[Fork, ...]

    @property
    def epoch(self) -> str:
        """The epoch under which it is known."""
        return self.chain[-1].epoch


class CursorResolution(NamedTuple):
    """Where a cursor of any epoch continues in the current one.

    Attributes:
        known: False if the cursor's epoch has left the chain: the stream must be reset.
        id: the id at which to continue, in the current epoch.
        lost_from: the id after which writes are known to be lost; None if there is nothing to announce.
    """

    known: bool
    id: int
    lost_from: int | None


def parse_chain(text: str) -> tuple[Fork, ...]:
    """Return the chain that the clock holds as text."""
    entries = (entry.split(":") for entry in text.split(";") if entry)
    return tuple(Fork(epoch, parse_id(fork), parse_id(lost) if lost else None) for epoch, fork, lost in entries)


def chain_text(chain: Sequence[Fork]) -> str:
    """Return a chain as the Lua functions read it."""
    return ";".join(f"{e.epoch}:{id_text(e.fork)}:{'' if e.lost is None else id_text(e.lost)}" for e in chain)


def fork_after(chain: Sequence[Fork], epoch: str) -> tuple[int | None, tuple[Fork, ...]] | None:
    """Return the lowest fork id after an epoch (None: it is the current one) and the later entries; None if unknown."""
    for index, entry in enumerate(chain):
        if entry.epoch == epoch:
            later = tuple(chain[index + 1 :])
            return (min(e.fork for e in later) if later else None), later
    return None


def resolve_cursor(chain: Sequence[Fork], epoch: str, id_: int) -> CursorResolution:
    """Resolve the cursor (epoch, id) against a chain (docs/protocol.md rule 3)."""
    found = fork_after(chain, epoch)
    if found is None:
        return CursorResolution(known=False, id=0, lost_from=None)
    fork, later = found
    lost = [entry.lost for entry in later if entry.lost is not None]
    if fork is not None and id_ > fork:
        return CursorResolution(known=True, id=fork, lost_from=min([fork, *lost]))
    return CursorResolution(known=True, id=id_, lost_from=min(lost) if lost else None)


def lost_from(chain: Sequence[Fork], watermark: Watermark, *, unsaid: bool = True) -> int | None:
    """Return the id after which a lineage lacks acknowledged writes, or None (docs/protocol.md rule 2).

    Args:
        chain: of the lineage.
        watermark: what a caller has seen acknowledged.
        unsaid: also return None if the chain marks the loss already.
    """
    fork: int | None = None
    for entry in reversed(watermark.chain):
        found = fork_after(chain, entry.epoch)
        if found is None:
            fork = entry.fork if fork is None else min(fork, entry.fork)
            continue
        forks = [id_ for id_ in (found[0], fork) if id_ is not None]
        if not forks or watermark.id <= min(forks):
            return None
        said = any(later.lost is not None and later.lost <= min(forks) for later in found[1])
        return None if said and unsaid else min(forks)
    return None


class Evidence:
    """Collects what one caller has seen acknowledged; replies may arrive in another order than they were sent.

    Attributes:
        latest: the highest id under the newest lineage seen, or None.
        unreported: a watermark whose loss the newest lineage does not mark yet, or None. It is handed in first.
    """

    def __init__(self) -> None:
        self.latest: Watermark | None = None
        self.unreported: Watermark | None = None
        self._witnesses: list[Watermark] = []  # kept once reported: a failover may lose the mark that they led to

    @property
    def to_hand_in(self) -> Watermark | None:
        """The watermark to hand in with the next read of the clock."""
        return self.unreported or self.latest

    def record(self, watermark: Watermark, *, current: bool) -> Watermark:
        """Record the id of a reply with the lineage under which it was given; return the latest watermark.

        Args:
            watermark: from a clock, or from an append with the chain under which it was called.
            current: True if a clock said so; an append may have been answered before the last clock.
        """
        latest = self.latest
        if latest is None:
            self.latest = watermark
            return watermark
        if latest.epoch == watermark.epoch:
            self.latest = Watermark(max(latest.id, watermark.id), latest.chain)
            return self.latest
        known = fork_after(latest.chain, watermark.epoch) is not None
        follows = fork_after(watermark.chain, latest.epoch) is not None
        if not known and (current or follows):
            latest, watermark = watermark, latest
        latest = Watermark(
            max([latest.id] + [old.id for old in self._witnesses if old.epoch == latest.epoch]), latest.chain
        )
        self.latest = latest
        gone = [old for old in (*self._witnesses, watermark) if lost_from(latest.chain, old, unsaid=False) is not None]
        self._witnesses = gone[-_WITNESSES:]
        unsaid = [(fork, old) for old in gone if (fork := lost_from(latest.chain, old)) is not None]
        self.unreported = min(unsaid)[1] if unsaid else None  # the lowest fork announces all that was lost after it
        return latest


def whole_epoch(chain: Sequence[Fork], beginning: str) -> str:
    """Return the newest epoch of a chain that begins so, as a vector cursor names it; the beginning if none does."""
    return next((fork.epoch for fork in reversed(chain) if fork.epoch.startswith(beginning)), beginning)


def minting_epoch(chain: Sequence[Fork], id_: int) -> str:
    """Return the epoch in which an id was minted: the same batch has the same label before and after a restart."""
    if id_ > chain[-1].fork:  # nearly always
        return chain[-1].epoch
    for entry in reversed(chain):
        if id_ > entry.fork:
            return entry.epoch
    return chain[0].epoch
