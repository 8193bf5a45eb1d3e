"""The fan-out: selections, live subscriptions and the flush; pure, the listener of the continuity tracker.

What live subscriptions have is stated by one id, the partition's `flushed`: its position as it was at the last flush. A
flush hands each selection's pending events, joined once, to all its live subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from tidewire.model.cursor import Cursor
from tidewire.model.pattern import compile_patterns
from tidewire_service.hub.conflated_selection import ConflatedSelection
from tidewire_service.hub.event_ring import RingEntry
from tidewire_service.hub.log_page import PageEntry
from tidewire_service.hub.matching import part_of
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.selection import Selection, SelectionKey
from tidewire_service.hub.subscription import Sink, Subscription, SubscriptionRequest
from tidewire_service.turns import Turns

__all__ = ["Fanout", "Matched"]

_MATCHES_AT_ONCE: Final = 256  # of a pattern and a metric; 40 ms where each takes the longest, 0.1 ms as a rule
_COMPILED: Final = 10  # matches that take as long as compiling a pattern
_BORN_AT_ONCE: Final = 1_000  # metrics, even if nobody selects any
_ENTERS_AT_ONCE: Final = 4_096  # metrics of a selection: 1 to 2 ms
_LEAVES_AT_ONCE: Final = 1_000  # metrics of a selection; more leave in turns, 20 ms for 100,000


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
        leaving: selections without users that are still entered at their metrics; see `forget_leaving`.
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
        self.leaving: list[Selection] = []
        self._partition = partition
        self._interrupted = False
        self._fell_back = fell_back
        self._selections: dict[SelectionKey, Selection] = {}
        self._live: dict[Selection, set[Subscription]] = {}
        self._by_metric: dict[str, list[Selection]] = {}
        self._pattern_count = 0
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

    def knows(self, entries: Iterable[PageEntry]) -> bool:
        """Tell whether `born` takes a moment only for the metrics of these batches, also without `expect`."""
        known, born = self._by_metric, 0
        for entry in entries:
            if entry.metric not in known:
                born += 1
        return not born or self._born_at_once(born)

    def _born_at_once(self, count: int) -> bool:
        return count <= _BORN_AT_ONCE and count * self._pattern_count <= _MATCHES_AT_ONCE

    async def expect(self, metrics: Iterable[str]) -> None:
        """Let metrics that are about to be born join the selections that match them, in turns."""
        born = [metric for metric in dict.fromkeys(metrics) if metric not in self._by_metric]
        if self._born_at_once(len(born)):
            return
        turns = Turns()
        for first in range(0, len(born), _BORN_AT_ONCE):
            part = born[first : first + _BORN_AT_ONCE]
            self._by_metric.update((metric, []) for metric in part)  # a selection that comes now takes them itself
            for selection in tuple(self._selections.values()):
                found = await selection.matching(part, turns)
                if selection.users:
                    selection.metrics.update(found)
                    for metric in found:
                        self._by_metric[metric].append(selection)
            await turns.take()

    def born(self, metric: str) -> None:
        """Let a new metric join the selections that match it, unless it was expected."""
        if metric in self._by_metric:
            return
        wanting = [selection for selection in self._selections.values() if selection.matches(metric)]
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
        for selection in self.conflated:
            self._close_intervals_of(selection)

    async def close_intervals_in_turns(self) -> None:
        """Hand out the intervals that no later id can join, and sum up before what is not."""
        turns = Turns()
        for selection in tuple(self.conflated):
            while selection.behind:
                await turns.take()
                if selection.torn:  # the subscriptions read it from the log
                    for subscription in tuple(self._live.get(selection, ())):
                        self._fall_back(subscription, Cursor(self._partition.epoch, selection.flushed), slow=False)
                    selection.rebase()
                selection.sum_some()
            if selection.users:
                self._close_intervals_of(selection)
            await turns.take()

    def _close_intervals_of(self, selection: ConflatedSelection) -> None:
        epoch, counters = self._partition.epoch, self._partition.counters
        before = Cursor(epoch, selection.flushed)
        data = selection.close_intervals()
        if not data:
            return
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

    def fall_back(self, subscription: Subscription, *, slow: bool = True) -> None:
        """Let a live subscription catch up from what it was handed; `slow`: its own events filled the socket."""
        self._fall_back(subscription, Cursor(self._partition.epoch, subscription.selection.flushed), slow=slow)

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
        patterns, metrics, known = compile_patterns(request.patterns), set[str](), 0
        while True:
            later = dict(islice(self._by_metric.items(), known, None))
            known += len(later)
            metrics.update(await part_of(later, patterns, narrowed_to, turns))
            await turns.take()
            if (len(self._by_metric) - known) * (len(patterns) + len(narrowed_to)) <= _MATCHES_AT_ONCE:
                return Matched(metrics, known)

    def attach(
        self,
        request: SubscriptionRequest,
        sink: Sink,
        *,
        narrowed_to: tuple[str, ...] = (),
        matched: Matched | None = None,
        make: Callable[..., Subscription] = Subscription,
    ) -> Subscription:
        """Return a new subscription, catching up; memory only (rule 11).

        Args:
            request: checked.
            sink: where its bytes go.
            narrowed_to: patterns of what may be seen; empty for everything.
            matched: of `match`, so that only metrics born since are matched now.
            make: makes the subscription.
        """
        key = _key(request, narrowed_to)
        selection = self._selections.get(key) or self._new_selection(key, matched or Matched(set(), 0))
        selection.users += 1
        subscription = make(self._partition, self, selection, sink, request)
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
        self._pattern_count += selection.pattern_count
        self._live[selection] = set()
        selection.metrics = matched.metrics
        selection.metrics.update(filter(selection.matches, islice(self._by_metric, matched.known, None)))
        selection.to_enter = list(selection.metrics)
        self.enter_some(selection)
        if isinstance(selection, ConflatedSelection):
            while self.enter_some(selection):
                pass  # it sums up everything from now on; its series are few
            selection.rebase()
            self.conflated.append(selection)
        return selection

    def enter_some(self, selection: Selection) -> bool:
        """Enter a new selection at some of its metrics; return False if it was entered at all of them before."""
        some = selection.to_enter[-_ENTERS_AT_ONCE:]
        del selection.to_enter[-_ENTERS_AT_ONCE:]
        for metric in some:
            self._by_metric[metric].append(selection)
        if some and not selection.to_enter:
            self.flush()  # what came before it was entered everywhere lies before the position that it goes live at
        return bool(some)

    def _leave(self, selection: Selection, metrics: Iterable[str]) -> None:
        for metric in metrics:
            if selection in (entered := self._by_metric[metric]):  # else it was not entered yet
                entered.remove(selection)

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
            del self._selections[selection.key]
            self._pattern_count -= selection.pattern_count
            if isinstance(selection, ConflatedSelection):
                self.conflated.remove(selection)
            if len(selection.metrics) > _LEAVES_AT_ONCE:
                self.leaving.append(selection)  # until then it is as a selection whose subscriptions all catch up
                return
            self._leave(selection, selection.metrics)
            self._forget(selection)

    async def forget_leaving(self) -> None:
        """Take the selections that are leaving from their metrics, in turns."""
        turns = Turns()
        while self.leaving:
            selection = self.leaving.pop()
            metrics = iter(selection.metrics)
            while part := tuple(islice(metrics, _LEAVES_AT_ONCE)):
                self._leave(selection, part)
                await turns.take()
            self._forget(selection)

    def _forget(self, selection: Selection) -> None:
        del self._live[selection]
        if selection in self._pending:
            self._pending.remove(selection)

    def observe(self, callback: Callable[[RingEntry], None]) -> None:
        """Call back for every applied batch; must be quick."""
        self._observers.append(callback)


def _key(request: SubscriptionRequest, narrowed_to: tuple[str, ...]) -> SelectionKey:
    patterns, labels = tuple(sorted(set(request.patterns))), tuple(sorted(request.labels.items()))
    return SelectionKey(patterns, labels, request.every_ms, narrowed_to)
