"""A Hypothesis state machine over the same actions: it chooses what to try next, and shrinks what it finds.

Some thousands of actions by default; `PROTOCOL_MACHINE_ACTIONS=1000000` plays that many, `PROTOCOL_SEED=n` those of
another seed.
"""

from __future__ import annotations

import os
from typing import ClassVar

import hunt
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from lanes import bounded
from world import Action, Sizes, World

PLAIN = sorted(set(hunt.BASE), key=str)
FAULTS = sorted({action for actions in hunt.FAULTS.values() for action in actions}, key=str)
ACTIONS = bounded(4_000, 1_000_000, "PROTOCOL_MACHINE_ACTIONS")
SEED = int(os.environ.get("PROTOCOL_SEED", "1"))
_STEPS = 50  # rules of one world; a rule is up to six actions
_ROUND = 200  # worlds of one run of Hypothesis: it remembers what it tried


class ProtocolMachine(RuleBasedStateMachine):
    """The real hubs and subscriptions in the world of `world.py`."""

    actions: ClassVar[int] = 0
    worlds: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.cast: tuple[int, ...] = ()

    @initialize(
        log_length=st.integers(1, 4),
        cap=st.integers(1, 3),
        page=st.integers(1, 2),
        ring=st.integers(0, 3),
        fill_page=st.sampled_from([1, 2, 500]),
        part=st.sampled_from([1, 2, 4_096]),
        cast=st.sampled_from(hunt.CASTS),
    )
    def begin(
        self, log_length: int, cap: int, page: int, ring: int, fill_page: int, part: int, cast: tuple[int, ...]
    ) -> None:
        self.cast = cast
        self.world = World(
            Sizes(log_length, cap, page, ring, fill_page, part), clients=cast, labelled=hunt.labelled(cast)
        )

    @rule(actions=st.lists(st.sampled_from(PLAIN), min_size=1, max_size=6))
    def go_on(self, actions: list[Action]) -> None:
        assert self.world is not None
        for action in actions:
            self.world.act(hunt.acted_by(self.cast, action))

    @rule(action=st.sampled_from(FAULTS))
    def fault(self, action: Action) -> None:
        assert self.world is not None
        self.world.act(hunt.acted_by(self.cast, action))

    def teardown(self) -> None:
        if self.world is not None:
            ProtocolMachine.actions += self.world.steps
            ProtocolMachine.worlds += 1
            self.world.quiesce()


@pytest.mark.timeout(300 + ACTIONS // 50)
def test_the_machine_finds_nothing() -> None:
    turn = 0
    while ProtocolMachine.actions < ACTIONS:
        run_state_machine_as_test(
            seed(SEED + turn)(ProtocolMachine),
            settings=settings(
                max_examples=min(_ROUND, max(10, ACTIONS // _STEPS)),
                stateful_step_count=_STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
        turn += 1
    print(f"seed {SEED}: {ProtocolMachine.worlds} worlds, {ProtocolMachine.actions} actions, nothing found")
