"""The parts of an edge that do no I/O: cutting, the ring, and random schedules of one viewer between two streams."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.errors import LimitExceeded
from tidewire.model.sse import HEARTBEAT, Decoder, encode_event, encode_retry
from tidewire_service.edge.blocks import Block, BlockCutter
from tidewire_service.edge.ring import Ring
from tidewire_service.edge.shared_selection import SelectionKey, SharedSelection
from tidewire_service.edge.viewer import OpenOwn, ReadOwn, Viewer, ViewerRequest
from tidewire_service.hub.end_reason import EndReason

TEXTS = st.text(st.characters(exclude_categories=["C"]), max_size=20)
EVENTS = st.lists(st.tuples(TEXTS, st.none() | st.sampled_from(["", "a.1-0", "_1.2.3"]), st.none() | st.just("gap")))


@given(events=EVENTS, cuts=st.lists(st.integers(0, 400)), beats=st.booleans())
def test_cut_anywhere_the_bytes_of_each_event_stay_as_they_are(
    events: list[tuple[str, str | None, str | None]], cuts: list[int], beats: bool
) -> None:
    encoded = [encode_event(data.encode(), id_=id_, event=event) for data, id_, event in events]
    if encoded:
        encoded[0] = encode_retry(2_000) + encoded[0]
    whole = b"".join(beat + one for one in encoded for beat in [HEARTBEAT * 2 * beats]) + HEARTBEAT * beats
    cutter, found, last = BlockCutter(), [], 0
    for cut in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
        found += cutter.feed(whole[last:cut])
        last = cut
    assert [block.data for block in found] == encoded
    assert [(block.event, block.id) for block in found] == [(event or "message", id_) for _, id_, event in events]
    decoded = list(Decoder().feed(whole))
    assert [block.payload.decode() for block in found] == [data for data, _, _ in events]
    assert len(decoded) <= len(found)


def test_an_event_without_an_end_is_bounded() -> None:
    cutter = BlockCutter()
    assert cutter.feed(b"x" * (4 << 20)) == []
    with pytest.raises(LimitExceeded):
        cutter.feed(b"x")


@given(sizes=st.lists(st.integers(0, 3_000), min_size=1, max_size=80), max_bytes=st.integers(1, 20_000))
def test_the_ring_holds_the_newest_within_its_bytes(sizes: list[int], max_bytes: int) -> None:
    ring = Ring(max_bytes)
    events = [(f"id{number}", bytes([number]) * size) for number, size in enumerate(sizes)]
    for id_, data in events:
        ring.append(id_, data)
        assert ring.bytes <= max_bytes or ring.end - ring.first == 1
    for number, (id_, _) in enumerate(events):
        at = ring.after(id_)
        if number + 1 <= ring.first:
            assert at is None
            continue
        assert at == number + 1
        rest = b""
        while at < ring.end:
            data, _, at = ring.page(at)
            rest += data
        assert rest == b"".join(data for _, data in events[number + 1 :])
    assert ring.last_id == events[-1][0]
    before = ring.end
    ring.clear()
    assert ring.first == ring.end > before
    assert ring.after(events[-1][0]) is None


def test_many_events_leave_nothing_behind() -> None:
    ring = Ring(10_000)
    for number in range(20_000):
        ring.append(f"id{number}", b"x" * 100)
    assert len(ring._entries) < 4_000
    assert len(ring._after) == ring.end - ring.first


# -- one viewer, two streams


class Log:
    """Appends numbered events in two partitions; a stream shows them in an order of its own, under vectors."""

    def __init__(self) -> None:
        self.sizes = [0, 0]


class Stream:
    """An upstream stream: its place in each partition, and what it has said."""

    def __init__(self, log: Log, dice: random.Random, cursor: str) -> None:
        self._log, self._dice = log, dice
        places = cursor or f"{log.sizes[0]},{log.sizes[1]}"
        self.at = [int(part) for part in places.split(",")]
        self._ready = [_hello(self.id, resumed=bool(cursor))]
        self._live = False
        self.woken = self.closed = False

    @property
    def id(self) -> str:
        return f"{self.at[0]},{self.at[1]}"

    def step(self) -> Block | None:
        """Return the next event, if there is one; `live` comes when it has caught up."""
        if self._ready:
            return self._ready.pop()
        behind = [number for number in (0, 1) if self.at[number] < self._log.sizes[number]]
        if not behind:
            if self._live:
                return None
            self._live = True
            return _block("live", self.id, b"{}")
        number = self._dice.choice(behind)
        self.at[number] += 1
        return _block(None, self.id, b"%d:%d" % (number, self.at[number]))

    def wake(self) -> None:
        self.woken = True

    def close(self) -> None:
        self.closed = True


def _block(event: str | None, id_: str | None, data: bytes) -> Block:
    return Block(event or "message", id_, encode_event(data, id_=id_, event=event))


def _hello(id_: str, *, resumed: bool) -> Block:
    return _block("hello", id_, msgspec.json.encode({"version": 1, "cursor": id_, "resumed": resumed}))


class Socket:
    """Takes bytes, or parks them."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.data = b""
        self.parked = False

    def write(self, data: bytes) -> bool:
        assert not self.parked, "nothing is written before what is parked"
        self.data += data
        self.parked = self._dice.random() < 0.15
        return not self.parked


def _played(seed: int) -> tuple[Log, Socket, Counter[str], int]:
    """Play one schedule of a viewer, its own streams and the shared one; end with everything delivered."""
    dice = random.Random(seed)
    log, socket = Log(), Socket(dice)
    log.sizes = [dice.randrange(4), dice.randrange(4)]
    selection = SharedSelection(SelectionKey(("**",), (), 0, ()), dice.choice([600, 3_000, 1 << 20]))
    shared = Stream(log, dice, "")
    fell_back: list[Viewer] = []
    ends: list[EndReason] = []
    counters: Counter[str] = Counter()
    start = f"{dice.randint(0, log.sizes[0])},{dice.randint(0, log.sizes[1])}"
    own: Stream | None = Stream(log, dice, start)
    request = ViewerRequest(patterns=("**",), query="", last_id=start, own=own)
    viewer = Viewer(
        selection,
        socket,
        request,
        fell_back=fell_back.append,
        end=lambda _, reason: ends.append(reason),
        counters=counters,
    )
    effects: Any = viewer.run()
    effect: Any = next(effects)

    def advance(result: Any) -> None:
        nonlocal effects, effect
        try:
            effect = effects.send(result)
        except StopIteration:
            effects = effect = None

    def step_viewer() -> None:
        nonlocal effects, effect, own
        if fell_back:
            fell_back.clear()
            effects = viewer.catch_up()
            effect = next(effects)
            return
        if effects is None or (socket.parked and not isinstance(effect, (ReadOwn, OpenOwn))):
            return
        if isinstance(effect, OpenOwn):
            own = Stream(log, dice, effect.last_id)
            advance(own)
        elif isinstance(effect, ReadOwn):
            assert own is not None
            if dice.random() < 0.05:
                own = None
                advance(None)
                return
            blocks = [block for _ in range(dice.randint(1, 4)) if (block := own.step()) is not None]
            if blocks or own.woken:
                own.woken = False
                advance(blocks)
        else:
            advance(None)

    def step_shared() -> None:
        nonlocal shared
        if dice.random() < 0.05:
            shared = Stream(log, dice, selection.resume_id)
        blocks = [block for _ in range(dice.randint(1, 4)) if (block := shared.step()) is not None]
        assert selection.take(blocks)

    def drain() -> None:
        socket.parked = False

    def append() -> None:
        log.sizes[dice.randrange(2)] += 1

    for _ in range(200):
        dice.choice([append, step_viewer, step_viewer, step_viewer, step_shared, step_shared, drain])()
    for _ in range(2_000):
        dice.choice([step_viewer, step_shared, drain])()
    assert not ends
    return log, socket, counters, sum(map(int, start.split(",")))


def test_in_any_schedule_a_viewer_gets_each_event_once_and_in_order() -> None:
    moved: Counter[str] = Counter()
    for seed in range(400):
        log, socket, counters, before = _played(seed)
        moved += counters
        got: list[list[int]] = [[], []]
        told = []
        for event in Decoder().feed(socket.data):
            if event.event == "message":
                place, at = event.data.split(":")
                got[int(place)].append(int(at))
            else:
                told.append(event.event)
        for number in (0, 1):
            assert got[number] == list(range(log.sizes[number] - len(got[number]) + 1, log.sizes[number] + 1)), seed
        assert sum(map(len, got)) + before == sum(log.sizes), seed
        assert told == ["hello", "live"], seed
    assert moved["moved_to_ring"] > 400
    assert moved["passed_upstream"] > 100


@pytest.mark.parametrize("stalled_first", [False, True])
def test_a_ring_is_not_used_before_its_stream_was_live_everywhere(stalled_first: bool) -> None:
    """A partition that was away since the beginning has no name in the ids: there two streams may begin differently."""
    selection = SharedSelection(SelectionKey(("**",), (), 0, ()), 1 << 20)
    assert selection.take([_hello("1,0", resumed=False)])
    if stalled_first:
        assert selection.take([_block("stalled", None, b"{}"), _block(None, "2,0", b"x")])
        assert not selection.serves("2,0")
        assert not selection.take([_block("live", "2,0", b"{}")]), "it is opened anew"
        assert selection.resume_id == ""
    else:
        assert selection.take([_block("live", "1,0", b"{}")])
        assert selection.serves("1,0")
        assert selection.take([_block("stalled", None, b"{}"), _block(None, "2,0", b"x")])
        assert selection.place_of("2,0") is not None
        assert not selection.serves("2,0"), "who comes now is to be told that a partition is away"
        assert selection.take([_block("live", "3,0", b"{}")])
        assert selection.serves("3,0")
