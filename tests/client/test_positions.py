"""Streams of a log of several partitions: what is new, what is a repeat, and what a reader makes of an id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.errors import InvalidCursor
from tidewire.model.cursor import Cursor, id_from_ms
from tidewire.model.positions import Seen, components, ids_of, is_behind, later_ids, newest_ms, own_component
from tidewire.model.states import Connected, Gap, Live, Reset, Stalled, StreamBatch
from tidewire.model.vector_cursor import VectorCursor
from tidewire.subscribing.reconnect import Reconnect

T0 = 1_790_000_000_000
EPOCHS = ("aaaaa", "bbbbb")


def vector(*parts: tuple[int, int], epochs: Sequence[str] = EPOCHS, layout: int = 1) -> str:
    """Return the text of a cursor: (partition, milliseconds after T0), that of the event first."""
    return str(VectorCursor.of(layout, [(p, Cursor(epochs[p], id_from_ms(T0 + ms))) for p, ms in parts]))


def fresh(cursor: str | None = None) -> Reconnect:
    return Reconnect(("**",), "http://h", "none", None, None, cursor, None)


def event(id_: str | None, partition: int, number: int) -> bytes:
    head = "" if id_ is None else f"id: {id_}\n"
    return f'{head}data: {{"metric":"m{partition}","time":[{T0}],"value":[{number}]}}\n\n'.encode()


def control(name: str, data: str, id_: str | None = None) -> bytes:
    head = "" if id_ is None else f"id: {id_}\n"
    return f"event: {name}\n{head}data: {data}\n\n".encode()


def values(items: Sequence[object]) -> list[float | None]:
    return [item.value[0] for item in items if isinstance(item, StreamBatch)]


def test_an_id_is_read_for_the_partition_of_its_event_and_whole() -> None:
    text = vector((1, 5), (0, 9))
    assert own_component(text) == (1, Cursor("bbbbb", id_from_ms(T0 + 5)))
    assert ids_of(text) == {0: id_from_ms(T0 + 9), 1: id_from_ms(T0 + 5)}
    assert newest_ms(ids_of(text)) == T0 + 9
    assert newest_ms({}) == 0.0
    plain = Cursor("abcdefg", id_from_ms(T0))
    assert own_component(str(plain)) == (0, plain)
    assert components(plain) == ((0, plain),)
    for hostile in ("_", "_1.", "_1..", "_1.zz", "_1.zz.0", "x", "", "_1.zz.0aaaaa-"):
        with pytest.raises(InvalidCursor):
            own_component(hostile)


def test_positions_are_compared_partition_by_partition() -> None:
    assert is_behind({0: 5, 1: 9}, {0: 6})
    assert not is_behind({0: 5, 1: 9}, {0: 5, 1: 3, 2: 7})
    assert later_ids({0: 5, 1: 9}, {1: 3, 2: 7}) == {0: 5, 1: 9, 2: 7}


def test_an_event_is_judged_by_its_own_partition() -> None:
    reconnect = fresh()
    stream = b"".join([
        event(vector((0, 50)), 0, 1),
        event(vector((1, 5), (0, 50)), 1, 2),  # far earlier, in another partition
        event(vector((1, 5), (0, 50)), 1, 3),  # a repeat
        event(vector((0, 49), (1, 5)), 0, 4),  # a repeat
        event(vector((1, 6), (0, 50)), 1, 5),
    ])  # fmt: skip
    assert values([*reconnect.consume(stream)]) == [1, 2, 5]
    assert reconnect.headers("")["last-event-id"] == vector((1, 6), (0, 50))


def test_a_stream_goes_on_at_a_vector_that_somebody_kept() -> None:
    reconnect = fresh(vector((1, 5), (0, 50)))
    assert reconnect.headers("")["last-event-id"] == vector((1, 5), (0, 50))
    stream = event(vector((0, 50), (1, 5)), 0, 1) + event(vector((1, 6), (0, 50)), 1, 2)
    assert values([*reconnect.consume(stream)]) == [2]
    with pytest.raises(InvalidCursor):
        fresh("_1.zz")


def test_a_service_that_greets_with_an_earlier_position_repeats_nothing() -> None:
    reconnect = fresh()
    first = event(vector((0, 1)), 0, 1) + event(vector((1, 9), (0, 1)), 1, 2)
    earlier = vector((0, 1), (1, 4))
    again = control("hello", f'{{"cursor":"{earlier}"}}', earlier) + event(vector((1, 9), (0, 1)), 1, 3)
    assert values([*reconnect.consume(first)]) == [1, 2]
    assert values([*reconnect.consume(again)]) == []


def test_a_reset_forgets_one_partition_and_names_what_starts_anew() -> None:
    reconnect = fresh()
    before = event(vector((0, 50)), 0, 1) + event(vector((1, 60), (0, 50)), 1, 2)
    others = vector((0, 50))
    reset = control("reset", '{"epoch":"ccccc","reason":"lost","partition":1,"metrics":["m1"],"more":3}', others)
    after = event(vector((1, 7), (0, 50), epochs=("aaaaa", "ccccc")), 1, 3) + event(vector((0, 50)), 0, 4)
    [*items] = reconnect.consume(before + reset + after)
    assert values(items) == [1, 2, 3]
    [state] = [item for item in items if isinstance(item, Reset)]
    assert (state.partition, state.metrics, state.more, state.cursor) == (1, ("m1",), 3, others)


def test_a_reset_before_a_snapshot_starts_anew_what_it_must_if_it_is_cut() -> None:
    reconnect = fresh()
    reset = control("reset", '{"epoch":"c","reason":"lost","partition":0,"metrics":["m0"]}', "")
    [*items] = reconnect.consume(event(vector((0, 50)), 0, 1) + reset + event(None, 0, 2) + event(None, 0, 3))
    assert values(items) == [1, 2, 3]
    assert "last-event-id" not in reconnect.headers("")


def test_a_loss_takes_its_own_partition_back_and_no_other() -> None:
    reconnect = fresh()
    before = event(vector((0, 50)), 0, 1) + event(vector((1, 60), (0, 50)), 1, 2)
    resume = vector((1, 55), (0, 50))
    gap = control("gap", f'{{"kind":"lost","from":"{vector((1, 55))}","to":"{vector((1, 60))}"}}', resume)
    after = event(vector((1, 58), (0, 50)), 1, 3) + event(vector((0, 50), (1, 58)), 0, 4)
    [*items] = reconnect.consume(before + gap + after)
    assert values(items) == [1, 2, 3]
    assert [type(item) for item in items if not isinstance(item, StreamBatch)] == [Gap]


def test_a_partition_that_does_not_answer_is_a_state_and_moves_nothing() -> None:
    reconnect = fresh()
    live = vector((0, 50))
    stalled = control("stalled", '{"partition":1,"metrics":["m1"],"more":2,"since_ms":5}')
    said = control("live", f'{{"cursor":"{live}","stalled":[1]}}', live)
    [*items] = reconnect.consume(event(vector((0, 50)), 0, 1) + stalled + said)
    assert items[1:] == [
        Stalled(partition=1, metrics=("m1",), more=2, since_ms=5.0),
        Live(cursor=live, stalled=(1,)),
    ]
    assert reconnect.last_id == live


def test_a_hello_without_an_id_keeps_what_the_client_had() -> None:
    reconnect = fresh(vector((0, 50)))
    [state] = reconnect.consume(control("hello", f'{{"cursor":"{vector((0, 50))}","resumed":true}}'))
    assert isinstance(state, Connected)
    assert reconnect.headers("")["last-event-id"] == vector((0, 50))


def test_another_layout_has_other_partitions() -> None:
    seen = Seen()
    assert seen.take(vector((0, 50)))
    assert not seen.take(vector((0, 50)))
    assert seen.take(vector((0, 40), layout=2))


class _Step(NamedTuple):
    """One connection, and what came before it.

    Attributes:
        born: batches appended to each partition.
        lags: how many of them the service has not read yet.
        turns: of which partition the next event is.
        behind: the service names an earlier position of the other partition than it handed.
        again: it sends the last event of each partition again.
        cut: after so many bytes the connection is lost.
    """

    born: tuple[int, int]
    lags: tuple[int, int]
    turns: list[int]
    behind: bool
    again: bool
    cut: int


_few = st.integers(0, 4)
_steps = st.builds(
    _Step,
    born=st.tuples(_few, _few),
    lags=st.tuples(_few, _few),
    turns=st.lists(st.integers(0, 1), max_size=12),
    behind=st.booleans(),
    again=st.booleans(),
    cut=st.integers(0, 900),
)


def _sent(step: _Step, last_id: str, ends: Sequence[int]) -> bytes:
    """Return what a service sends: of partition p the batches 1 to ends[p] lie at so many milliseconds."""
    handed = {p: (id_ >> 32) - T0 for p, id_ in ids_of(last_id).items()}
    flushed = [max(0, end - lag) for end, lag in zip(ends, step.lags, strict=True)]

    def named(own: int) -> str:
        other = 1 - own
        shown = min(handed[other], flushed[other]) if step.behind else handed[other]
        return vector((own, handed[own]), (other, shown))

    hello = named(0)
    parts = [control("hello", f'{{"cursor":"{hello}","resumed":true}}', hello)]
    parts += [event(named(p), p, handed[p]) for p in (0, 1) if step.again and handed[p]]
    for own in (*step.turns, *[0] * max(ends), *[1] * max(ends)):
        if handed[own] < flushed[own]:
            handed[own] += 1
            parts.append(event(named(own), own, handed[own]))
    return b"".join(parts)


@given(st.lists(_steps, max_size=8), st.integers(1, 80))
def test_wherever_it_is_cut_and_whoever_lags_each_batch_comes_once_and_in_order(steps: list[_Step], chunk: int) -> None:
    """Two partitions, and at each connection another service: one may lag behind the client in any partition."""
    reconnect = fresh(vector((0, 0), (1, 0)))
    ends = [0, 0]
    came: dict[str, list[float | None]] = {"m0": [], "m1": []}
    whole = _Step((1, 1), (0, 0), [], behind=False, again=True, cut=1 << 20)
    for step in (*steps, whole):
        ends = [end + born for end, born in zip(ends, step.born, strict=True)]
        sent = _sent(step, reconnect.headers("")["last-event-id"], ends)[: step.cut]
        for at in range(0, len(sent), chunk):
            for item in reconnect.consume(sent[at : at + chunk]):
                if isinstance(item, StreamBatch):
                    came[item.metric] += item.value
        reconnect.lost("cut")
    assert came == {f"m{p}": [float(n) for n in range(1, ends[p] + 1)] for p in (0, 1)}
