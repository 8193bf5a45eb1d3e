"""The fan-out: selections, live subscriptions and the flush; pure, the listener of the continuity tracker.

What live subscriptions have is stated by one id, the partition's `flushed`: its position as it was at the last flush. A
flush hands each selection's pending events, joined once, to all its live subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from tidewire.model.cursor import Cursor
from tidewire.model.pattern import compile_patterns
from tidewire_service.hub.conflated_selection import ConflatedSelection
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.hub.matching import part_of
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.selection import Selection, SelectionKey
from tidewire_service.hub.subscription import Sink, Subscription, SubscriptionRequest
from tidewire_service.turns import Turns

__all__ = ["Fanout", "Matched"]

_MATCHES_AT_ONCE: Final = 256  # of a pattern and a metric; 40 ms where each takes the longest, 0.1 ms as a rule
_COMPILED: Final = 10  # matches that take as long as compiling a pattern


class Matched(NamedTuple):
    """What a request selects.

    Attributes:
        metrics: of those known at that moment.
        known: how many those were; metrics are only ever added.
    """

    metrics: set[str]
    known: int


class Fanout:
    """The subscriptions of one partition.

    Args:
        partition: whose batches are handed out.
        log_time_ms: returns the log's clock now, milliseconds since the Unix epoch.
        hello: fields of every hello, such as the tick and the limits.
        fell_back: called with each subscription that was live and now has to catch up.
        log_page: entries of one metric that one read of a catch-up may return at most.

    Attributes:
        dirty: something waits for a flush.
        conflated: the conflated selections.
        subscriptions: all of them, live or catching up; bounded by the stream quota.
    """

    def __init__(
        self,
        partition: Partition,
        *,
        log_time_ms: Callable[[], float],
        hello: Mapping[str, Any] | None = None,
        fell_back: Callable[[Subscription], None],
        log_page: int = 256,
    ) -> None:
        self.log_time_ms = log_time_ms
        self.hello: Mapping[str, Any] = dict(hello or {})
        self.log_page = log_page
        self.dirty = False
        self.conflated: list[ConflatedSelection] = []
        self.subscriptions: set[Subscription] = set()
        self._partition = partition
        self._interrupted = False
        self._fell_back = fell_back
        self._selections: dict[SelectionKey, Selection] = {}
        self._live: dict[Selection, set[Subscription]] = {}
        self._by_metric: dict[str, tuple[Selection, ...]] = {}
        self._pending: list[Selection] = []
        self._observers: list[Callable[[RingEntry], None]] = []

    @property
    def selection_count(self) -> int:
        """How many distinct sets of metrics, labels and intervals are subscribed to."""
        return len(self._selections)

    # -- the listener of the continuity tracker

    def applied(self, entry: RingEntry) -> None:
        """Keep a batch for the next flush of the selections that want it."""
        self.dirty = True
        for selection in self._by_metric[entry.metric]:
            if selection.wants(entry) and selection.enqueue(entry):
                self._pending.append(selection)
        for observe in self._observers:
            observe(entry)
        if entry.kept is not None:
            entry.release()

    def born(self, metric: str) -> None:
        """Let a new metric join the selections that match it."""
        if metric in self._by_metric:
            return
        wanting = tuple(selection for selection in self._selections.values() if selection.matches(metric))
        for selection in wanting:
            selection.metrics.add(metric)
        self._by_metric[metric] = wanting

    def interrupted(self) -> None:
        """Hand out what was verified so far, then let every live subscription continue from its own cursor."""
        self.flush()
        for selection, live in self._live.items():
            for subscription in tuple(live):
                self._fall_back(subscription, Cursor(self._partition.epoch, selection.flushed), slow=False)
        self._interrupted = True

    def settled(self) -> None:
        """Adopt the partition's position as it now is."""
        self.flush()
        if self._interrupted:
            self._interrupted = False
            for selection in self.conflated:
                selection.rebase()

    # -- flush

    def flush(self) -> int:
        """Hand the pending events to the live subscriptions; return how many events were handed to sockets."""
        partition = self._partition
        epoch, position = partition.epoch, partition.position
        before, after = Cursor(epoch, partition.flushed), Cursor(epoch, position)
        delivered = 0
        for selection in self._pending:
            events = len(selection.pending)
            data = selection.joined()
            blocked = []
            for subscription in self._live[selection]:
                delivered += events
                if not subscription.sink.write(data):
                    blocked.append(subscription)
            for subscription in blocked:
                self._fall_back(subscription, before, slow=True)
                subscription.parked = after
        self._pending.clear()
        partition.flushed = position
        self.dirty = False
        for selection in self._live:
            selection.forget_pages()
        counters = partition.counters
        counters["flushes"] += 1
        counters["deliveries"] += delivered
        return delivered

    def close_intervals(self) -> None:
        """Hand out the intervals that no later id can join."""
        epoch, counters = self._partition.epoch, self._partition.counters
        for selection in self.conflated:
            before = Cursor(epoch, selection.flushed)
            data = selection.close_intervals()
            if not data:
                continue
            counters["intervals"] += 1
            for subscription in tuple(self._live[selection]):
                counters["deliveries"] += 1
                if not subscription.sink.write(data):
                    self._fall_back(subscription, before, slow=True)
                    subscription.parked = Cursor(epoch, selection.flushed)

    # -- live or catching up

    def go_live(self, subscription: Subscription) -> None:
        """Let a subscription whose cursor equals the flushed position share the bytes of its selection."""
        subscription.live, subscription.slow = True, False
        self._live[subscription.selection].add(subscription)  # what is pending lies after the flushed position

    def fall_back(self, subscription: Subscription) -> None:
        """Let a live subscription whose socket is full catch up from what it was handed."""
        self._fall_back(subscription, Cursor(self._partition.epoch, subscription.selection.flushed), slow=True)

    def _fall_back(self, subscription: Subscription, cursor: Cursor, *, slow: bool) -> None:
        self._live[subscription.selection].discard(subscription)
        subscription.live = False
        subscription.cursor = cursor
        subscription.slow = slow
        self._partition.counters["fallbacks_slow" if slow else "fallbacks_interrupted"] += 1
        self._fell_back(subscription)

    # -- subscriptions

    def attaches_at_once(self, request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> bool:
        """Tell whether the selection of a request is known, or takes few matches."""
        key = _key(request, narrowed_to)
        patterns = len(key.patterns) + len(narrowed_to)
        return key in self._selections or patterns * (_COMPILED + len(self._by_metric)) <= _MATCHES_AT_ONCE

    async def match(self, request: SubscriptionRequest, narrowed_to: tuple[str, ...], turns: Turns) -> Matched:
        """Return the metrics known now that a request selects.

        Raises:
            LimitExceeded: matching takes too long.
        """
        known = len(self._by_metric)
        part = await part_of(self._by_metric, compile_patterns(request.patterns), narrowed_to, turns)
        return Matched(set(part), known)

    def attach(
        self,
        request: SubscriptionRequest,
        sink: Sink,
        *,
        narrowed_to: tuple[str, ...] = (),
        matched: Matched | None = None,
    ) -> Subscription:
        """Return a new subscription, catching up; memory only (rule 11).

        Args:
            request: checked.
            sink: where its bytes go.
            narrowed_to: patterns of what may be seen; empty for everything.
            matched: of `match`, so that only metrics born since are matched now.
        """
        key = _key(request, narrowed_to)
        selection = self._selections.get(key) or self._new_selection(key, matched or Matched(set(), 0))
        selection.users += 1
        subscription = Subscription(self._partition, self, selection, sink, request)
        self.subscriptions.add(subscription)
        return subscription

    def _new_selection(self, key: SelectionKey, matched: Matched) -> Selection:
        self.flush()  # a new selection must start with nothing pending for anybody
        kind = ConflatedSelection if key.every_ms else Selection
        patterns = compile_patterns(key.patterns)
        for pattern in patterns:
            pattern.matches("")  # compiles it: the first metric that is born shall not wait for that
        selection = kind(key, patterns, self._partition)
        self._selections[key] = selection
        self._live[selection] = set()
        selection.metrics = matched.metrics
        selection.metrics.update(filter(selection.matches, islice(self._by_metric, matched.known, None)))
        for metric in selection.metrics:
            self._by_metric[metric] += (selection,)
        if isinstance(selection, ConflatedSelection):
            selection.rebase()
            self.conflated.append(selection)
        return selection

    def detach(self, subscription: Subscription) -> None:
        """Forget a subscription; its selection goes with its last user."""
        if subscription not in self.subscriptions:
            return
        self.subscriptions.discard(subscription)
        subscription.ended, subscription.live = True, False
        selection = subscription.selection
        self._live[selection].discard(subscription)
        selection.users -= 1
        if not selection.users:
            del self._selections[selection.key], self._live[selection]
            for metric in selection.metrics:
                self._by_metric[metric] = tuple(s for s in self._by_metric[metric] if s is not selection)
            if selection in self._pending:
                self._pending.remove(selection)
            if isinstance(selection, ConflatedSelection):
                self.conflated.remove(selection)

    def observe(self, callback: Callable[[RingEntry], None]) -> None:
        """Call back for every applied batch; must be quick."""
        self._observers.append(callback)


def _key(request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> SelectionKey:
    patterns, labels = tuple(sorted(set(request.patterns))), tuple(sorted(request.labels.items()))
    return SelectionKey(patterns, labels, request.every_ms, narrowed_to)
