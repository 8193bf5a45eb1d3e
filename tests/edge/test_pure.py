"""The parts of an edge that do no I/O: cutting, the ring, and random schedules of one viewer between two streams."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.errors import LimitExceeded
from tidewire.model.cursor import Cursor
from tidewire.model.sse import HEARTBEAT, Decoder, encode_event, encode_retry
from tidewire.model.vector_cursor import VectorCursor, parse_cursor
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
    """Appends numbered events in each partition, of which every third is none of the selection's.

    Attributes:
        sizes: how many were appended, by partition.
        plain: one partition, whose ids are a service's.
    """

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self.sizes = [0] if plain else [0, 0]

    def append(self, dice: random.Random) -> None:
        self.sizes[dice.randrange(len(self.sizes))] += 1

    def id_of(self, places: list[int], first: int = 0) -> str:
        cursors = [Cursor("epoch", place + 1) for place in places]
        if self.plain:
            return str(cursors[0])
        named = sorted(enumerate(cursors), key=lambda one: one[0] != first)  # the partition of the event comes first
        return str(VectorCursor.of(1, named))

    def places_of(self, id_: str) -> list[int]:
        cursor = parse_cursor(id_)
        if isinstance(cursor, Cursor):
            return [cursor.id - 1]
        return [part.cursor.id - 1 for part in sorted(cursor.parts)]

    def wanted(self, after: list[int]) -> list[list[int]]:
        return [[n for n in range(at + 1, size + 1) if n % 3] for at, size in zip(after, self.sizes, strict=True)]


class Stream:
    """An upstream stream: its place in each partition, and what it has said."""

    def __init__(self, log: Log, dice: random.Random, cursor: str) -> None:
        self._log, self._dice = log, dice
        self.at = log.places_of(cursor) if cursor else list(log.sizes)
        self._ready = [_hello(self.id, resumed=bool(cursor))]
        self._live = False
        self.woken = self.closed = False

    @property
    def id(self) -> str:
        return self._log.id_of(self.at)

    def step(self) -> Block | None:
        """Return the next event, if there is one; `live` comes when it has caught up."""
        if self._ready:
            return self._ready.pop()
        while behind := [n for n, at in enumerate(self.at) if at < self._log.sizes[n]]:
            number = self._dice.choice(behind)
            self.at[number] += 1
            if self.at[number] % 3:
                return _block(None, self._log.id_of(self.at, number), b"%d:%d" % (number, self.at[number]))
        if self._live:
            return None
        self._live = True
        return _block("live", self.id, b"{}")

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


def _played(seed: int, *, plain: bool) -> tuple[list[list[int]], Socket, Counter[str]]:
    """Play one schedule of a viewer, its own streams and the shared one; return what it should have been sent."""
    dice = random.Random(seed)
    log, socket = Log(plain), Socket(dice)
    log.sizes = [dice.randrange(4) for _ in log.sizes]
    selection = SharedSelection(SelectionKey(("**",), (), 0, ()), dice.choice([600, 3_000, 1 << 20]))
    shared = Stream(log, dice, "")
    fell_back: list[Viewer] = []
    ends: list[EndReason] = []
    counters: Counter[str] = Counter()
    places = [dice.randint(0, size) for size in log.sizes]
    start = log.id_of(places)
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
        log.append(dice)

    for _ in range(200):
        dice.choice([append, step_viewer, step_viewer, step_viewer, step_shared, step_shared, drain])()
    for _ in range(2_000):
        dice.choice([step_viewer, step_shared, drain])()
    assert not ends
    return log.wanted(places), socket, counters


@pytest.mark.parametrize("plain", [False, True], ids=["two partitions", "one partition"])
def test_in_any_schedule_a_viewer_gets_each_event_once_and_in_order(plain: bool) -> None:
    all_counters: Counter[str] = Counter()
    for seed in range(500):
        wanted, socket, counters = _played(seed, plain=plain)
        all_counters += counters
        got: list[list[int]] = [[] for _ in wanted]
        told = []
        for event in Decoder().feed(socket.data):
            if event.event == "message":
                place, at = event.data.split(":")
                got[int(place)].append(int(at))
            else:
                told.append(event.event)
        assert got == wanted, seed
        assert told == ["hello", "live"], seed
    assert all_counters["moved_to_ring"] > 400
    assert all_counters["passed_upstream"] > 100


def test_a_viewer_of_a_selection_that_is_silent_needs_no_upstream_stream_once_it_is_live() -> None:
    """Other metrics move the position on, so that the ring does not know its id; of one partition ids have an order."""
    for seed in range(50):
        dice = random.Random(seed)
        log = Log(plain=True)
        log.sizes = [6]
        selection = SharedSelection(SelectionKey(("**",), (), 0, ()), 1 << 20)
        shared, socket = Stream(log, dice, ""), Socket(dice)
        selection.take([block for _ in range(2) if (block := shared.step()) is not None])
        log.sizes = [9]
        own = Stream(log, dice, log.id_of([6]))
        request = ViewerRequest(patterns=("**",), query="", last_id=log.id_of([6]), own=own)
        viewer = Viewer(selection, socket, request, fell_back=lambda _: None, end=lambda *_: None, counters=Counter())
        effects: Any = viewer.run()
        answer: list[Block] | None = None
        with contextlib.suppress(StopIteration):
            while True:
                effect = effects.send(answer)
                socket.parked = False
                some = isinstance(effect, ReadOwn)
                answer = [block for _ in range(4) if (block := own.step()) is not None] if some else None
        assert own.closed
        assert list(selection.waiting) == [viewer]
        before = socket.data
        selection.take([block for _ in range(3) if (block := shared.step()) is not None])
        assert socket.data == before, "it had these"
        assert list(selection.waiting) == [viewer]


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


def test_a_live_that_names_a_partition_still_away_lets_nobody_in_by_the_ring() -> None:
    selection = SharedSelection(SelectionKey(("**",), (), 0, ()), 10_000)
    assert selection.take([_block("hello", "1,0", b"{}"), _block("live", "1,0", b'{"stalled":[]}')])
    assert selection.serves("1,0")
    for still_away, served in ((b'{"stalled":[3]}', False), (b'{"stalled":[]}', True)):
        assert selection.take([_block("stalled", None, b"{}"), _block("live", "2,0", still_away)])
        assert selection.serves("2,0") is served
