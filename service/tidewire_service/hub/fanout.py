"""The fan-out: selections, subscriptions and the flush; pure, the listener of the pump.

What live subscriptions have is stated by one id, `flushed`: the pump's position as it was at the last flush. A flush
hands each selection's pending events, joined once, to all its live subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tidewire.model.cursor import Cursor
from tidewire.model.pattern import compile_patterns
from tidewire_service.hub.conflated_selection import ConflatedSelection
from tidewire_service.hub.continuity import Pump
from tidewire_service.hub.event_ring import Ring, RingEntry
from tidewire_service.hub.selection import Selection, SelectionKey
from tidewire_service.hub.subscription import OnSlow, Replay, Sink, Subscription

__all__ = ["Fanout"]


class Fanout:
    """The subscriptions of one partition.

    Args:
        ring: the hub's ring.
        log_time_ms: the log's clock now, milliseconds since the Unix epoch.
        hello: fixed parts of every hello, such as the tick and the limits.
        fell_back: called with each subscription that was live and now has to catch up.
        fill_page: see `Pump`.
        log_page: entries of one metric that one read of a catch-up may take at most.

    Attributes:
        pump: the proof of continuity.
        flushed: every live subscription was handed everything of its selection up to this id.
        dirty: something waits for a flush.
    """

    def __init__(
        self,
        ring: Ring,
        *,
        log_time_ms: Callable[[], float],
        hello: Mapping[str, Any] | None = None,
        fell_back: Callable[[Subscription], None],
        fill_page: int = 500,
        log_page: int = 256,
    ) -> None:
        self.pump = Pump(self, ring, fill_page=fill_page)
        self.log_time_ms = log_time_ms
        self.hello = dict(hello or {})
        self.log_page = log_page
        self.flushed = 0
        self.dirty = False
        self.conflated: list[ConflatedSelection] = []
        self._interrupted = False
        self.subscriptions: set[Subscription] = set()
        self._fell_back = fell_back
        self._selections: dict[SelectionKey, Selection] = {}
        self._by_metric: dict[str, tuple[Selection, ...]] = {}
        self._pending: list[Selection] = []
        self._observers: list[Callable[[RingEntry], None]] = []

    @property
    def selection_count(self) -> int:
        """How many distinct sets of metrics, labels and intervals are subscribed to."""
        return len(self._selections)

    # -- the listener of the pump

    def applied(self, entry: RingEntry) -> None:
        """Keep a batch for the next flush of the selections that want it."""
        self.dirty = True
        for selection in self._by_metric[entry.metric]:
            if selection.wants(entry) and selection.take(entry):
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
        """Hand out what was verified so far, then let every live subscription go on from its own cursor."""
        self.flush()
        for selection in self._selections.values():
            for subscription in tuple(selection.live):
                self._fall_back(subscription, Cursor(self.pump.epoch, selection.flushed), slow=False)
        self._interrupted = True

    def settled(self) -> None:
        """State the position anew."""
        self.flush()
        if self._interrupted:
            self._interrupted = False
            for selection in self.conflated:
                selection.rebase(self.pump.ring, self.pump.position, self.pump.watermark_ms)

    # -- flush

    def flush(self) -> int:
        """Hand the pending events to the live subscriptions; return how many events were handed to sockets."""
        before, position = Cursor(self.pump.epoch, self.flushed), self.pump.position
        after = Cursor(self.pump.epoch, position)
        delivered = 0
        for selection in self._pending:
            events = len(selection.pending)
            data = selection.joined()
            blocked = []
            for subscription in selection.live:
                delivered += events
                if not subscription.sink.write(data):
                    blocked.append(subscription)
            for subscription in blocked:
                self._fall_back(subscription, before, slow=True)
                subscription.parked = after
        self._pending.clear()
        self.flushed = position
        self.dirty = False
        for selection in self._selections.values():
            selection.forget_pages()
        self.pump.counters["flushes"] += 1
        self.pump.counters["deliveries"] += delivered
        return delivered

    def fall_back(self, subscription: Subscription) -> None:
        """Let a live subscription whose socket is full catch up from what it was handed."""
        self._fall_back(subscription, Cursor(self.pump.epoch, subscription.selection.flushed), slow=True)

    def _fall_back(self, subscription: Subscription, cursor: Cursor, *, slow: bool) -> None:
        subscription.selection.live.discard(subscription)
        subscription.live = False
        subscription.cursor = cursor
        subscription.slow = slow
        self.pump.counters["fallbacks_slow" if slow else "fallbacks_interrupted"] += 1
        self._fell_back(subscription)

    def go_live(self, subscription: Subscription) -> None:
        """Let a subscription whose cursor equals the flushed position share the bytes of its selection."""
        subscription.live, subscription.slow = True, False
        subscription.selection.live.add(subscription)  # what is pending lies after the flushed position: it comes next

    def close_intervals(self, watermark_ms: float) -> None:
        """Hand out the intervals that no id can join any more.

        Args:
            watermark_ms: every id beyond the position is minted at or after it, in the log's clock.
        """
        for selection in self.conflated:
            before = Cursor(self.pump.epoch, selection.flushed)
            data = selection.close(self.pump.ring, self.pump.position, watermark_ms)
            if not data:
                continue
            self.pump.counters["intervals"] += 1
            for subscription in tuple(selection.live):
                self.pump.counters["deliveries"] += 1
                if not subscription.sink.write(data):
                    self._fall_back(subscription, before, slow=True)
                    subscription.parked = Cursor(self.pump.epoch, selection.flushed)

    # -- subscriptions

    def attach(
        self,
        patterns: tuple[str, ...],
        labels: Mapping[str, str],
        sink: Sink,
        replay: Replay,
        resume: Cursor | None,
        *,
        every_ms: int = 0,
        on_slow: OnSlow = OnSlow.CATCHUP,
        narrowed_to: tuple[str, ...] = (),
    ) -> Subscription:
        """Return a new subscription, catching up; memory only (rule 11)."""
        key = SelectionKey(tuple(sorted(set(patterns))), tuple(sorted(labels.items())), every_ms, narrowed_to)
        selection = self._selections.get(key) or self._selected(key)
        selection.users += 1
        subscription = Subscription(self, selection, sink, replay, resume, on_slow)
        self.subscriptions.add(subscription)
        return subscription

    def _selected(self, key: SelectionKey) -> Selection:
        self.flush()  # a new selection has nothing pending: start it where nobody has
        patterns = compile_patterns(key.patterns)
        if key.every_ms:
            selection: Selection = ConflatedSelection(key, patterns, lambda: self.flushed, self.pump)
        else:
            selection = Selection(key, patterns, lambda: self.flushed)
        self._selections[key] = selection
        for metric in self._by_metric:
            if selection.matches(metric):
                selection.metrics.add(metric)
                self._by_metric[metric] += (selection,)
        if isinstance(selection, ConflatedSelection):
            selection.rebase(self.pump.ring, self.pump.position, self.pump.watermark_ms)
            self.conflated.append(selection)
        return selection

    def detach(self, subscription: Subscription) -> None:
        """Forget a subscription; its selection goes with its last user."""
        if subscription not in self.subscriptions:
            return
        self.subscriptions.discard(subscription)
        subscription.ended, subscription.live = True, False
        selection = subscription.selection
        selection.live.discard(subscription)
        selection.users -= 1
        if not selection.users:
            del self._selections[selection.key]
            for metric in selection.metrics:
                self._by_metric[metric] = tuple(s for s in self._by_metric[metric] if s is not selection)
            if selection in self._pending:
                self._pending.remove(selection)
            if isinstance(selection, ConflatedSelection):
                self.conflated.remove(selection)

    def observe(self, callback: Callable[[RingEntry], None]) -> None:
        """Call back for every applied batch; must be quick."""
        self._observers.append(callback)
