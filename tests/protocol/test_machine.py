"""A Hypothesis state machine over the same actions: it chooses what to try next, and shrinks what it finds."""

from __future__ import annotations

import hunt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from world import Action, Sizes, World

PLAIN = sorted(set(hunt.BASE), key=str)
FAULTS = sorted({action for actions in hunt.FAULTS.values() for action in actions}, key=str)


class ProtocolMachine(RuleBasedStateMachine):
    """The real hubs and subscriptions in the world of `world.py`."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        log_length=st.integers(1, 4),
        cap=st.integers(1, 3),
        page=st.integers(1, 2),
        ring=st.integers(0, 3),
        fill_page=st.sampled_from([1, 2, 500]),
    )
    def begin(self, log_length: int, cap: int, page: int, ring: int, fill_page: int) -> None:
        self.world = World(Sizes(log_length, cap, page, ring, fill_page))

    @rule(actions=st.lists(st.sampled_from(PLAIN), min_size=1, max_size=6))
    def go_on(self, actions: list[Action]) -> None:
        assert self.world is not None
        for action in actions:
            self.world.act(action)

    @rule(action=st.sampled_from(FAULTS))
    def fault(self, action: Action) -> None:
        assert self.world is not None
        self.world.act(action)

    def teardown(self) -> None:
        if self.world is not None:
            self.world.quiesce()


TestProtocolMachine = ProtocolMachine.TestCase
TestProtocolMachine.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
