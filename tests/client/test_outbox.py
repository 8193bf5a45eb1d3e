"""The outbox by its meaning: nothing lost, doubled or out of order, what is given up is the oldest and is counted."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidewire.model.batch import DEFAULT_LIMITS, IngestLimits, decode_batch, make_batch
from tidewire.model.layout import PARTITIONS, SINGLE, layout_of
from tidewire.publishing.backlog import encode_columns
from tidewire.publishing.outbox import READING_BYTES, SERIES_BYTES, Columns, Outbox

NOW_MS = 1_763_871_234_567.0
MAX_BYTES = 16 * (SERIES_BYTES + 4 * READING_BYTES)  # a few dozen readings, so that the bound is met often


class OutboxMachine(RuleBasedStateMachine):
    """A publisher and its sender in any order; each reading has a number of its own as its value."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(MAX_BYTES)
        self.numbers = itertools.count()
        self.published: dict[str, list[int]] = {}
        self.sent: dict[str, list[int]] = {}
        self.given_up = 0
        self.part: Any = None
        self.layout = SINGLE
        self.calls: dict[int, Any] = {}  # in flight, of each partition
        self.sequence = 0
        self.targets: list[tuple[int, int]] = []  # a flush's target, and the newest reading of its time

    @rule(name=st.sampled_from("abcdef"), text=st.none() | st.text(max_size=200))
    def add(self, name: str, text: str | None) -> None:
        number = next(self.numbers)
        self.published.setdefault(name, []).append(number)
        self.outbox.add(name, {}, "", (NOW_MS, float(number), text, None))

    @rule(name=st.sampled_from("abcdef"), count=st.integers(1, 10))
    def extend(self, name: str, count: int) -> None:
        numbers = [next(self.numbers) for _ in range(count)]
        self.published.setdefault(name, []).extend(numbers)
        self.outbox.extend(make_batch(name, [float(n) for n in numbers], step=numbers, now_ms=NOW_MS))

    @rule()
    def flush(self) -> None:
        newest = max((numbers[-1] for numbers in self.published.values()), default=-1)
        self.targets.append((self.outbox.seal(), newest))

    @precondition(lambda self: self.part is None)
    @rule()
    def pop(self) -> None:
        self.part = self.outbox.pop_part()

    @precondition(lambda self: self.part is not None)
    @rule()
    def put(self) -> None:
        part, self.part = self.part, None
        batches = [b for columns in part.columns.values() for b in encode_columns(columns, DEFAULT_LIMITS).batches]
        self.outbox.put(part, batches)

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        idle = [number for number in range(self.layout.partitions) if number not in self.calls]
        able = [number for number in idle if self.outbox.head(number) is not None]
        if able:
            self.send_to(data.draw(st.sampled_from(able)))

    def send_to(self, number: int) -> None:
        call = self.calls[number] = self.outbox.head(number)
        assert call is not None
        assert call.partition == number
        assert {self.layout.partition_of(batch.metric) for batch in call.batches} == {number}
        if not call.sequence:
            self.sequence += 1
            call.publisher, call.sequence = "p", self.sequence
        call.in_flight = True

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), answer=st.sampled_from(["accepted", "later", "too large"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        self.answer_to(data.draw(st.sampled_from(sorted(self.calls))), answer)

    def answer_to(self, number: int, answer: str) -> None:
        call = self.calls.pop(number)
        if answer == "accepted":
            if self.outbox.settle(call):
                self.arrive(call)
        elif answer == "later":
            call.in_flight = False
        elif len(call.batches) > 1:
            self.outbox.split(call)

    @precondition(lambda self: not self.calls)
    @rule(partition=st.none() | st.integers(0, 7))
    def spill(self, partition: int | None) -> None:
        self.outbox.overflows_to_disk = True
        own = None if partition is None else partition % self.layout.partitions
        for call in self.outbox.hold(own):
            assert own in (None, call.partition)
            assert self.outbox.settle(call)
            self.arrive(call)

    @precondition(lambda self: not self.calls)
    @rule(partitions=st.sampled_from(PARTITIONS))
    def divide(self, partitions: int) -> None:
        tried = {(call.publisher, call.sequence) for call in self.outbox.hold() if call.sequence}
        self.layout = layout_of(partitions)
        self.outbox.divide(self.layout)
        for number in range(partitions):
            sequences = [call.sequence for call in self.outbox.hold(number)]
            own = [sequence for sequence in sequences if sequence]
            assert sequences == own + [0] * (len(sequences) - len(own)), "what was tried goes first"
            assert own == sorted(set(own)), "the log takes no sequence below one that it had"
            assert {("p", sequence) for sequence in own} <= tried
        for call in self.outbox.hold():
            call.in_flight = False

    @rule()
    def lose_disk(self) -> None:
        self.outbox.overflows_to_disk = False
        self.outbox.give_up()

    def arrive(self, call: Any) -> None:
        for batch in call.batches:
            self.sent.setdefault(batch.metric, []).extend(int(v or 0) for v in decode_batch(batch.body).value)

    @precondition(lambda self: not self.calls)
    @rule()
    def clear(self) -> None:
        self.outbox.clear()
        self.part = None

    @invariant()
    def each_reading_is_somewhere_once(self) -> None:
        published = sum(map(len, self.published.values()))
        sent = sum(map(len, self.sent.values()))
        assert published == sent + self.outbox.dropped + self.outbox.queued

    @invariant()
    def nothing_is_doubled_or_out_of_order(self) -> None:
        for numbers in self.sent.values():
            assert numbers == sorted(set(numbers))

    @invariant()
    def memory_is_bounded(self) -> None:
        if self.outbox.overflows_to_disk:
            return  # who publishes waits then
        in_work = sum(thing.bytes for thing in (self.part, *self.calls.values()) if thing is not None)
        largest_addition = 10 * READING_BYTES + 1_000
        assert self.outbox.bytes <= MAX_BYTES + max(in_work, largest_addition)

    @invariant()
    def a_flush_is_done_when_nothing_older_waits(self) -> None:
        for target, newest in self.targets:
            if self.outbox.oldest > target:
                settled = sum(number <= newest for numbers in self.sent.values() for number in numbers)
                assert settled + self.outbox.dropped >= newest + 1

    def teardown(self) -> None:
        """Let the sender finish: then what was not given up is sent."""
        while not self.outbox.empty:
            if self.part is not None:
                self.put()
            elif self.calls:
                self.answer_to(next(iter(self.calls)), "accepted")
            elif self.outbox.ready and not self.outbox.sealed:
                waiting = next(n for n in range(self.layout.partitions) if self.outbox.waits(n))
                self.send_to(waiting)
            else:
                self.pop()
        self.each_reading_is_somewhere_once()
        assert self.outbox.queued == 0
        assert all(self.outbox.oldest > target for target, _ in self.targets)


# too_slow times how examples are drawn: on a busy machine it tells of the others
OutboxMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestOutbox = OutboxMachine.TestCase


def test_the_oldest_is_given_up_and_the_newest_kept() -> None:
    outbox = Outbox(1 << 20)
    for n in range(100_000):
        outbox.add("a", {}, "", (NOW_MS, float(n), None, None))
    kept: list[float | None] = []
    while (part := outbox.pop_part()) is not None:
        kept += [v for columns in part.columns.values() for v in columns.batch(0, len(columns)).value]
        outbox.put(part, [])
    assert kept == [float(n) for n in range(100_000 - len(kept), 100_000)]
    assert outbox.dropped == 100_000 - len(kept)
    assert len(kept) * READING_BYTES > (1 << 20) * 3 / 4, "not more is given up than must be"


def test_a_reading_too_large_for_any_batch_is_refused_alone() -> None:
    columns = Columns("a", {}, "")
    for text in ("x", "y" * 2_000, "z"):
        columns.rows.extend((NOW_MS, 1.0, text, None))
    encoded = encode_columns(columns, IngestLimits(batch_bytes=1_000))
    assert [decode_batch(batch.body).text for batch in encoded.batches] == [["x"], ["z"]]
    assert (encoded.rejected, "batch_bytes" in encoded.reason) == (1, True)


def test_text_and_step_are_columns_only_where_there_are_any() -> None:
    columns = Columns("a", {"site": "A"}, "Cel")
    columns.rows.extend((NOW_MS, 1.0, None, None, NOW_MS, None, "deploy", None, NOW_MS, 2.0, None, 7.0))
    plain, event, both = columns.batch(0, 1), columns.batch(1, 2), columns.batch(0, 3)
    assert (plain.text, plain.step, plain.labels, plain.unit) == (None, None, {"site": "A"}, "Cel")
    assert (event.text, event.step) == (["deploy"], None)
    assert (both.value, both.text, both.step) == ([1.0, None, 2.0], [None, "deploy", None], [None, None, 7.0])
