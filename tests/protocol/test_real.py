"""Every trace and random schedules once more, with a real Valkey under the same hubs, subscriptions and clients.

A few hundred actions by default; `PROTOCOL_REAL_ACTIONS=10000` plays that many, `PROTOCOL_SEED=n` of another seed.
"""

from __future__ import annotations

import os

import hunt
import pytest
from lanes import bounded
from real import RealRedis, RealWorld
from servers import Valkey
from traces import TRACES, Trace

# The server's time cannot be set back; tests/faults has steps of the clock.
ACTIONS = bounded(600, 10_000, "PROTOCOL_REAL_ACTIONS")
SEED = int(os.environ.get("PROTOCOL_SEED", "70000000"))
PLAYED = [trace for trace in TRACES if not any(action[0] == "back" for action in trace.actions)]


@pytest.mark.parametrize("trace", PLAYED, ids=lambda trace: f"row_{trace.row:02d}_{trace.rule}")
def test_the_trace_passes_on_a_real_server(trace: Trace, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealRedis, "valkey", valkey, raising=False)
    bad, world = trace.play(RealWorld)
    assert bad is None, "\n".join(world.log)
    assert world.acked


def test_most_rows_can_be_played_on_a_real_server() -> None:
    assert {trace.row for trace in PLAYED} >= {1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 17, 19, 20, 22, 25, 26}


@pytest.mark.timeout(300 + ACTIONS // 5)
def test_random_schedules_find_nothing_on_a_real_server(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealRedis, "valkey", valkey, raising=False)
    schedules = actions = 0
    while actions < ACTIONS:
        case = hunt.made(SEED + schedules)
        case = case._replace(actions=[action for action in case.actions if action[0] != "back"])
        bad, world = case.play(world_class=RealWorld)
        assert bad is None, f"seed {SEED + schedules} {case}\n" + "\n".join(world.log)
        schedules, actions = schedules + 1, actions + world.steps
    print(f"seed {SEED}: {schedules} schedules, {actions} actions on a real server, nothing found")
