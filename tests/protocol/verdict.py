"""What must hold when everything has come to rest: the ledgers of all clients against what was acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abstract_log import Acked, Bad
from consumers import Client

from tidewire.redislog.lineage import minting_epoch

if TYPE_CHECKING:
    from world import World


def check_ledgers(world: World) -> None:
    """Compare the ledgers.

    Raises:
        Bad: an invariant does not hold.
    """
    for client in world.clients:
        assert client.socket is not None
        if client.socket.events or not client.socket.subscription.live:
            raise Bad(f"L {client} never goes live (cursor {client.socket.subscription.cursor})")
    kept = world.redis.kept()
    for client in world.clients:
        _check_announcements(world, client)
        if client.kind.every_ms and not world.labelled:
            _check_sums(world, client)
            continue
        for acked in world.acked:
            _check_batch(world, client, acked, kept)


def _check_sums(world: World, client: Client) -> None:
    """Every reading lies in exactly one interval; only for schedules in which nothing is lost on purpose."""
    expected: dict[str, tuple[int, int]] = {}
    for acked in world.acked:
        if acked.metric in client.kind.want:
            known = expected.get(acked.metric, (0, 0))
            expected[acked.metric] = known[0] + 1, known[1] + acked.batch
    if client.sums != expected:
        raise Bad(f"I1/I5 {client} summed up {client.sums}, published was {expected}")


def _check_announcements(world: World, client: Client) -> None:
    said = client.announced
    flushes = sum(line.startswith(("FLUSHALL", "clock key")) for line in world.log)
    failovers = sum(line.startswith(("FAILOVER", "WENT BACK", "DIRECTORY LOST")) for line in world.log)
    # who begins anew within the snapshot after a reset may do so at a hub that has not heard of the loss yet
    if sum(a[0] == "reset" for a in said) > (flushes + failovers) * max(1, client.anew):
        raise Bad(f"Q1 {client} got more resets than the log was lost: {said}")
    if any(a[0] in {"reset", "lost"} for a in said) and not flushes + failovers:
        raise Bad(f"Q2 {client} was told of a loss without any lost write: {said}")
    for a in said:
        false = a[0] == "gap" and not any(a[1] in {x.metric, None} and a[2] < x.id <= a[3] for x in world.acked)
        unknown = world.forgot or any(line.startswith("DIRECTORY LOST") for line in world.log)
        if false and not unknown:  # a reborn metric may announce a gap that was none: never silence
            raise Bad(f"Q3 {client} got an empty gap {a}")


def _check_batch(world: World, client: Client, acked: Acked, kept: set[int]) -> None:
    older = world.redis.older
    if acked.metric not in client.kind.want or acked.batch in client.seen:
        return
    for start, chain in client.starts:
        of_lineage = minting_epoch(chain, acked.id) == acked.epoch
        if not older(chain[-1].epoch, acked.epoch) and (acked.id <= start or not of_lineage):
            return  # of before a fresh stream began: its snapshot was judged then
    gap = any(a[0] == "gap" and a[1] in {acked.metric, None} and a[2] < acked.id <= a[3] for a in client.announced)
    skipped = any(a[0] == "skipped" and a[1] == acked.metric and a[2] < acked.id <= a[3] for a in client.announced)
    if skipped:
        return
    forgotten = acked.id <= world.forgot.get(acked.metric, -1)
    restored = world.redis.run or any(line.startswith("WENT BACK") for line in world.log)
    if acked.batch in kept and not (restored and (gap or forgotten)):  # a failover, or a copy, may bring it back
        raise Bad(f"I1 {client} never got {acked}, still in the log")
    if forgotten and acked.id <= client.owed.get(acked.metric, (0, acked.id))[1]:
        return  # forgotten after a silence longer than any retention, and nobody asked for it before it was born again
    if gap or any(a[0] == "reset" and older(acked.epoch, a[1]) for a in client.announced):
        return
    if any(a[0] == "lost" and acked.id > a[2] and older(acked.epoch, a[1]) for a in client.announced):
        return
    raise Bad(f"I1 {client} silently lost {acked}")
