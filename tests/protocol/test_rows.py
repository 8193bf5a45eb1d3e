"""Every rule with the counterexample that demands it: the real code passes, and without the rule it fails."""

from __future__ import annotations

import dataclasses
import itertools
import os

import hunt
import pytest
from mutants import MUTANTS
from traces import TRACES, Trace
from world import EVERYTHING, Action, Bad, Client, Sizes, World, play

from tidewire.model.cursor import id_from_ms
from tidewire.redislog.calls import Entry
from tidewire.redislog.lineage import Clock, Fork, Watermark, resolve_cursor
from tidewire_service.hub.log_page import merge_page


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: f"row_{trace.row:02d}_{trace.says.replace(' ', '_')}")
def test_the_trace_passes_and_bites_without_the_rule(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, world = trace.play()
    assert bad is None, "\n".join(world.log)
    MUTANTS[trace.rule](monkeypatch)
    bad, _ = trace.play()
    assert bad is not None, "the schedule no longer needs the rule: find a new one with the hunt"


def test_row_14_a_snapshot_carries_no_ids_until_it_is_complete() -> None:
    """Cut a fresh `replay=last` stream after each of its events: whatever the client has, it ends with every series."""
    for cut_after in range(8):
        world = World(Sizes(cap=10), replay="last")
        for metric in ("X", "Y", "Z"):
            world.act(("append", metric))
        for hub in world.hubs:
            while hub.runnable:
                hub.run()
            hub.fanout.flush()
        client = Client(1)
        snapshots: list[set[str]] = []
        for length in (cut_after, 100):
            world.hubs[0].connect(client)
            snapshots.append(set())
            for _ in range(200):
                world.hubs[0].catch_up(1)
            for _ in range(length):
                if client.socket is not None and client.socket.events:
                    for event in client.decoder.feed(client.socket.pop()[1]):
                        client.last_id = client.decoder.last_event_id
                        if event.event == "message":
                            assert event.own_id is None, "a snapshot's reading must not move the cursor"
                            snapshots[-1].add(event.data[11:12])
            world.hubs[0].cut(client)
        complete = {"X", "Y", "Z"}
        # cut before the end of the snapshot: no id, so it is sent again as a whole; cut after: nothing is sent twice
        assert (snapshots[1] == complete and snapshots[0] != complete) or snapshots[0] == complete
        assert snapshots[0] | snapshots[1] == complete


def test_row_24_a_cursor_is_compared_with_one_reply_of_the_clock() -> None:
    """The log is flushed inside the very sync that a client ahead of the hub asked for, at each of its steps.

    A `sync` fills up to the clock before it answers, so that epoch and id of its answer are of one reply by
    construction; there is nothing to switch off.
    """
    for steps in range(12):
        actions: list[Action] = [
            ("append", "X"),
            *[("hub", 0), ("flush", 0)] * 3,
            *[("sub", 0), ("recv", 0)] * 12,
            ("cut", 0),
        ]
        actions += [("resume", 0, 1), *[("sub", 0)] * 4, *[("hub", 1)] * steps, ("flushall",), ("append", "Y")]
        bad, world = play(actions, Sizes(4, 3, 2, 2))
        assert bad is None, "\n".join(world.log)


def test_the_p_test_is_exact_for_any_cursor_over_any_number_of_metrics() -> None:
    """Brute force over 6 ids of 3 metrics, any trim, any cursor, any barrier: no false gap, no missed one."""
    cases = 0
    for owners in itertools.product("XYZ", repeat=5):
        ids = {m: [i + 1 for i, owner in enumerate(owners) if owner == m] for m in "XYZ"}
        for metric, own in ids.items():
            for trimmed in range(len(own) + 1):
                entries = [Entry(i, own[k - 1] if k else 0, b"") for k, i in enumerate(own)][trimmed:]
                for cursor, barrier in itertools.combinations_with_replacement(range(6), 2):
                    cases += 1
                    tails = {metric: own[-1]} if own else {}
                    read = [e for e in entries if e.id > cursor]
                    page = merge_page([metric], [read], cursor, barrier, tails, 100)
                    gone = [i for i in own[:trimmed] if i > cursor]
                    assert bool(page.holes) == bool(gone), (owners, metric, trimmed, cursor, barrier)
                    for hole in page.holes:
                        assert hole.after == cursor
                        assert hole.upto >= gone[-1]
    assert cases > 10_000


def test_rule_3_resolves_a_cursor_against_the_chain() -> None:
    chain = (Fork("a", 0, None), Fork("b", 100, None), Fork("c", 200, 150))
    assert resolve_cursor(chain, "c", 250) == (True, 250, None)
    assert resolve_cursor(chain, "b", 120) == (True, 120, 150)
    assert resolve_cursor(chain, "a", 100) == (True, 100, 150)
    assert resolve_cursor(chain, "a", 130) == (True, 100, 100)
    assert resolve_cursor(chain, "b", 230) == (True, 200, 150)
    assert resolve_cursor(chain, "z", 1).known is False


def test_row_21_a_forged_cursor_is_answered_and_alarms_nobody_else() -> None:
    world = World(Sizes(cap=5))
    world.act(("append", "X"))
    client = world.clients[0]
    assert client.hub is not None
    client.hub.cut(client)
    client.last_id = f"{world.redis.data.epoch}.zz-0"
    world.hubs[0].connect(client)
    with pytest.raises(Bad, match="Q2"):  # it is told of a loss that was none: the price of a forged cursor, its own
        world.quiesce()
    assert client.socket is not None
    assert client.socket.subscription.live
    # row 21: a client's cursor is evidence for nobody but itself
    assert len(world.redis.clock().chain) == 1
    assert not world.clients[1].announced


def test_hunt_finds_nothing_in_random_schedules() -> None:
    seed = int(os.environ.get("PROTOCOL_SEED", "4000000"))
    print(f"protocol seed {seed}")
    for number in range(400):
        case = hunt.made(seed + number)
        bad, world = case.play()
        assert bad is None, f"seed {seed + number} {case}\n" + "\n".join(world.log)


def _conflated_case(seed: int) -> hunt.Case:
    case = hunt.made(seed, ["cut", "drop", "conn", "deaf", "kill", "restart"], casts=((3, 4, 3),))
    plenty = dataclasses.replace(case.sizes, log_length=1_000)
    return case._replace(actions=[*case.actions, ("tick",)], sizes=plenty, clients=(3, 4), labelled=False)


def test_row_15_an_interval_is_one_event_and_every_reading_lies_in_exactly_one() -> None:
    """Cut and resumed between any two events, on either hub, whatever frames were lost: the sums are exact."""
    for number in range(400):
        case = _conflated_case(8_000_000 + number)
        bad, world = case.play()
        assert bad is None, f"seed {8_000_000 + number} {case}\n" + "\n".join(world.log)


@pytest.mark.parametrize(("later", "sums"), [(0, {"X": (1, 1)}), (1, {"X": (1, 1)}), (2, {}), (99, {})])
def test_the_first_of_a_conflated_selection_is_not_handed_an_interval_that_is_over(
    later: int, sums: dict[str, tuple[int, int]]
) -> None:
    world = World(Sizes(cap=5), replay="none", clients=())
    world.redis.now = 4
    world.act(("append", "X"))
    world.act(("rest", 0))
    world.redis.now += later
    for action in (("check", 0), ("rest", 0)):
        world.act(action)
    client = Client(3)  # intervals of 2 ms
    client.last_id = ""
    world.clients.append(client)
    world.by_number[3] = client
    world.hubs[0].connect(client)
    client.beginning = False  # nothing is owed to it
    world.act(("go", 3))
    world.redis.now += 4
    for action in (("check", 0), ("rest", 0), ("go", 3)):
        world.act(action)
    assert client.socket is not None
    assert client.socket.subscription.live
    assert client.sums == sums


def test_the_world_hears_evidence_as_the_log_does() -> None:
    world = World()
    world.act(("append", "X"))
    world.act(("snap",))
    world.act(("append", "Y"))
    world.act(("failover",))
    clock = world.redis.clock(world.published)
    assert isinstance(clock, Clock)
    assert [fork.lost for fork in clock.chain] == [None, None, id_from_ms(1)]
    assert world.redis.clock(Watermark(id_from_ms(1), clock.chain)).epoch == clock.epoch
    assert EVERYTHING.kind == "span"
