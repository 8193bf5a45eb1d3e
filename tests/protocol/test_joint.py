"""Streams that join partitions: random schedules find nothing, and each rule that is switched off is missed by one.

Some hundred schedules by default; `PROTOCOL_JOINT_ACTIONS=1000000` plays that many actions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import joint_world
import msgspec
import pytest
from lanes import bounded
from world import Sizes

from tidewire.model.cursor import Cursor
from tidewire.model.vector_cursor import VectorCursor
from tidewire_service.hub import hub as hubs
from tidewire_service.hub.joint_subscription import Cork, JointSubscription, PartSubscription
from tidewire_service.hub.subscription import Replay, Subscription, SubscriptionRequest

ACTIONS = bounded(12_000, 1_000_000, "PROTOCOL_JOINT_ACTIONS")
SEED = int(os.environ.get("PROTOCOL_SEED", "1"))
_MOST = 3_000  # schedules in which a rule that is off must be missed
Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]


@pytest.mark.timeout(300 + ACTIONS // 500)
def test_streams_that_join_partitions_lose_and_double_nothing() -> None:
    steps, seed = 0, SEED
    while steps < ACTIONS:
        case = joint_world.made(seed)
        bad, world = case.play()
        assert bad is None, f"seed {seed}: {bad}\n" + "\n".join(world.log)
        steps, seed = steps + world.steps, seed + 1
    print(f"seeds {SEED} to {seed}: {steps} actions, nothing found")


def _positions_of_the_feed(patch: Patch) -> None:
    """An id names what the process has read of other partitions, and not what this subscriber was handed."""
    handed = PartSubscription.handed.fget  # type: ignore[attr-defined]

    def mutant(self: PartSubscription) -> Cursor:
        partition = self.partition
        return partition.cursor(partition.position) if self.live else handed(self)

    patch.setattr(PartSubscription, "handed", property(mutant))


def _positions_of_the_end_of_a_flush(patch: Patch) -> None:
    """All events of a flush name what is handed with its last one."""
    patch.setattr(Cork, "flushed", lambda self: None)
    others = Cork.others_of_live

    def mutant(self: Cork, number: int, parts: Any) -> Any:
        if self.held:
            return tuple(
                (other, part.partition.cursor(part.partition.position))
                for other, part in parts.items()
                if other != number
            )
        return others(self, number, parts)

    patch.setattr(Cork, "others_of_live", mutant)


def _positions_within_a_snapshot(patch: Patch) -> None:
    """An id names a partition of which the last readings have not all been sent."""

    def others(self: JointSubscription, number: int) -> Any:
        return tuple((other, part.handed) for other, part in self._places.items() if other != number and part.placed)

    patch.setattr(JointSubscription, "_others", others)


def _a_missing_component_starts_from_now(patch: Patch) -> None:
    """A partition that a cursor does not name starts with the batches of from now on."""
    resumed = hubs._resumed

    def mutant(request: SubscriptionRequest, number: int, layout: int) -> SubscriptionRequest:
        own = resumed(request, number, layout)
        if request.cursor is not None and own.cursor is None:
            return msgspec.structs.replace(own, replay=Replay("none"))
        return own

    patch.setattr(hubs, "_resumed", mutant)


def _a_read_that_was_long_ago_writes_at_once(patch: Patch) -> None:
    """What was read is written without a look whether another part has filled the socket."""
    patch.setattr(PartSubscription, "_may_write", Subscription._may_write)


def _the_other_parts_stay_live(patch: Patch) -> None:
    """A part that fills the socket lets the others write on."""

    def mutant(self: JointSubscription, but: int | None = None, *, slow: bool = True) -> None:
        self._parked = True

    patch.setattr(JointSubscription, "_wait_for_socket", mutant)


def _an_open_interval_counts_as_handed(patch: Patch) -> None:
    """An id names what is summed up of a partition, though its interval was not sent."""

    def mutant(self: PartSubscription) -> Cursor:
        partition = self.partition
        if self.live:
            return partition.cursor(self.selection.flushed)
        epoch, id_ = self.cursor
        return partition.cursor(id_) if epoch == partition.epoch else Cursor(epoch, id_)

    patch.setattr(PartSubscription, "handed", property(mutant))


MUTANTS: dict[Mutant, int] = {  # the first schedule that needs the rule, when this was written
    _positions_of_the_feed: 23,
    _positions_of_the_end_of_a_flush: 1_063,
    _positions_within_a_snapshot: 74,
    _a_missing_component_starts_from_now: 275,
    _a_read_that_was_long_ago_writes_at_once: 31,
    _the_other_parts_stay_live: 21,
    _an_open_interval_counts_as_handed: 202,
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__.strip("_"))
def test_a_rule_that_is_off_is_missed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    for seed in range(MUTANTS[mutant], MUTANTS[mutant] + _MOST):
        bad, _ = joint_world.made(seed).play()
        if bad:
            print(f"found by schedule {seed}: {bad}")
            return
    pytest.fail("no schedule needs the rule")


@pytest.mark.parametrize("foreign", [False, True], ids=["resumed", "of another layout"])
def test_a_partition_that_was_never_read_keeps_its_component(foreign: bool) -> None:
    world = joint_world.JointWorld(Sizes(cap=50))
    client, hub = world.clients[0], world.hubs[1]
    world.act(("cut", 0))
    if foreign:
        client.remember("_2" + client.last_id[2:])
    before = VectorCursor.parse(client.last_id).part(0)
    epoch, hub.parts[0].partition.epoch = hub.parts[0].partition.epoch, ""  # its clock was not read yet
    world.act(("resume", 0, 1))
    world.act(("in", 1, ("append", "X")))
    for _ in range(3):
        world.act(("rest", 1, 1))
        world.act(("go", 0, 20))
    assert world.parts[1].by_number[0].seen == {1}
    after = VectorCursor.parse(client.last_id)
    assert after.part(0) == (None if foreign else before)
    assert after.part(1) is not None
    hub.parts[0].partition.epoch = epoch
    world.act(("in", 0, ("append", "Y")))
    for _ in range(3):
        world.act(("rest", 1))
        world.act(("go", 0, 20))
    assert [ledger.seen for ledger in client.ledgers] == [{1}, {1}]
    assert client.socket is not None
    assert client.socket.joint.live
    assert [a[0] for a in client.ledgers[0].announced] == (["reset"] if foreign else [])
