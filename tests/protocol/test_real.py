"""Every trace once more, with a real Valkey under the same hubs, subscriptions and clients."""

from __future__ import annotations

from typing import Any

import pytest
from real import RealRedis, RealWorld
from traces import TRACES, Trace

# The server's time cannot be set back; tests/faults has steps of the clock.
PLAYED = [trace for trace in TRACES if not any(action[0] == "back" for action in trace.actions)]


@pytest.mark.parametrize("trace", PLAYED, ids=lambda trace: f"row_{trace.row:02d}_{trace.rule}")
def test_the_trace_passes_on_a_real_server(trace: Trace, valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealRedis, "valkey", valkey, raising=False)
    bad, world = trace.play(RealWorld)
    assert bad is None, "\n".join(world.log)
    assert world.acked


def test_most_rows_can_be_played_on_a_real_server() -> None:
    assert {trace.row for trace in PLAYED} >= {1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 17, 19, 20, 22, 25, 26}
