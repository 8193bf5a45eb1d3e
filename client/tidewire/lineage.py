"""The lineage of the log: the chain of epochs and their forks, and what it says of a cursor; pure.

An epoch names one server process of one lineage of data. Each new one forks from its predecessor at the id up to which
both agree; `lost` marks an epoch that was opened because somebody had seen writes that this lineage no longer holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidewire.cursor import id_text, parse_id

__all__ = ["Clock", "Fork", "Judgement", "Seen", "chain_text", "fork_after", "judge", "minting_epoch", "parse_chain"]


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
    """

    epoch: str
    id: int
    chain: tuple[Fork, ...]
    now_ms: float


class Seen(NamedTuple):
    """The highest id that a hub or a publisher knows, with the chain under which it knows it: its evidence."""

    id: int
    chain: tuple[Fork, ...]


class Judgement(NamedTuple):
    """What a chain says of a cursor.

    Attributes:
        known: False if the cursor's epoch left the chain: a reset.
        id: the id at which to go on, in the current epoch.
        lost_from: the id after which writes are known to be lost, or None: nothing to announce.
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


def judge(chain: Sequence[Fork], epoch: str, id_: int) -> Judgement:
    """Return what a chain says of the cursor (epoch, id) (PROTOCOL rule 3)."""
    found = fork_after(chain, epoch)
    if found is None:
        return Judgement(known=False, id=0, lost_from=None)
    fork, later = found
    lost = [entry.lost for entry in later if entry.lost is not None]
    if fork is not None and id_ > fork:
        return Judgement(known=True, id=fork, lost_from=min([fork, *lost]))
    return Judgement(known=True, id=id_, lost_from=min(lost) if lost else None)


def minting_epoch(chain: Sequence[Fork], id_: int) -> str:
    """Return the epoch in which an id was minted: the same batch has the same label before and after a restart."""
    if id_ > chain[-1].fork:  # nearly always
        return chain[-1].epoch
    for entry in reversed(chain):
        if id_ > entry.fork:
            return entry.epoch
    return chain[0].epoch
