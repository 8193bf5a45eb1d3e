"""The ledgers of publishers and subscribers, and the one checker of what must hold between them: I1 to I5."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from tidewire.model.cursor import Cursor
from tidewire.model.pattern import compile_patterns
from tidewire.model.sse import ServerEvent
from tidewire.redislog.lineage import Clock, Fork, minting_epoch

__all__ = ["Book", "Broken", "Page", "Published", "SubscriberLedger", "check"]

_SHOWN: Final = 8
_decode: Final = msgspec.json.decode


class Broken(AssertionError):
    """An invariant does not hold; the message names it, who saw it, and the first few witnesses."""


class Published(NamedTuple):
    """One batch as its publisher knows it.

    Attributes:
        metric: its name.
        body: the canonical encoding; unique within a test.
        sent_s: when it was handed over first, `time.time`.
        epoch: in which it was acknowledged; "" while it is not.
        id: its id; 0 if the acknowledgement does not tell.
        again: the acknowledgement came on a retry: `epoch` may be later than the one of the id.
    """

    metric: str
    body: bytes
    sent_s: float
    epoch: str = ""
    id: int = 0
    again: bool = False


class Book:
    """What all publishers of a test tried and what was acknowledged."""

    def __init__(self) -> None:
        self.published: dict[bytes, Published] = {}

    def tried(self, metric: str, bodies: Iterable[bytes]) -> None:
        now_s = time.time()
        for body in bodies:
            self.published.setdefault(body, Published(metric, body, now_s))

    def acknowledged(
        self, bodies: Sequence[bytes], epoch: str, ids: Sequence[int | str], *, again: bool = False
    ) -> None:
        """Note an answer; no ids if it does not tell them."""
        for body, id_ in zip(bodies, ids or (0,) * len(bodies), strict=True):
            assert isinstance(id_, int), f"refused: {id_}"
            self.published[body] = self.published[body]._replace(epoch=epoch, id=id_, again=again)

    @property
    def acked(self) -> list[Published]:
        return [batch for batch in self.published.values() if batch.epoch]


class Page(NamedTuple):
    """One thing that a subscriber saw.

    Attributes:
        kind: ``message``, the name of a control event, ``connected`` or ``cut``.
        id: the SSE id that this event carried.
        emptied: it carried an empty id: whoever is cut now starts anew.
        data: the event's data; of ``connected`` the Last-Event-ID that was sent.
        at_s: when, `time.time`.
    """

    kind: str
    id: Cursor | None
    data: bytes
    at_s: float
    emptied: bool = False


class SubscriberLedger:
    """What one subscriber saw, in order.

    Attributes:
        name: for the report.
        patterns: what it asked for.
        pages: everything.
        heartbeats: times at which comments came, `time.time`.
    """

    def __init__(self, name: str, patterns: Sequence[str], *, replay: str = "none") -> None:
        self.name = name
        self.patterns = tuple(patterns)
        self.replay = replay
        self.pages: list[Page] = []
        self.heartbeats: list[float] = []
        self.got: dict[bytes, Cursor] = {}
        self._compiled = compile_patterns(self.patterns)
        self._wanted: dict[str, bool] = {}

    def record(self, event: ServerEvent) -> None:
        cursor = Cursor.parse(event.own_id) if event.own_id else None
        data = event.data.encode()
        self.pages.append(Page(event.event, cursor, data, time.time(), event.own_id == ""))
        if event.event == "message" and cursor is not None:
            self.got[data] = cursor

    def note(self, kind: str, data: str = "") -> None:
        self.pages.append(Page(kind, None, data.encode(), time.time()))

    def count(self, kind: str) -> int:
        return sum(page.kind == kind for page in self.pages)

    def of(self, kind: str) -> list[Page]:
        return [page for page in self.pages if page.kind == kind]

    def wants(self, metric: str) -> bool:
        if metric not in self._wanted:
            self._wanted[metric] = any(pattern.matches(metric) for pattern in self._compiled)
        return self._wanted[metric]

    @property
    def last_s(self) -> float:
        """When the last batch came, `time.time`; 0 if none did."""
        return next((page.at_s for page in reversed(self.pages) if page.kind == "message"), 0.0)

    def latencies_s(self, book: Book, since_s: float = 0.0) -> list[float]:
        """Return for each batch sent since then how long it took to here, sorted."""
        known = book.published
        return sorted(
            page.at_s - known[page.data].sent_s
            for page in self.pages
            if page.id is not None and page.data in known and known[page.data].sent_s >= since_s
        )


class _Announced(NamedTuple):
    """What a subscriber was told it misses: of a metric ("" for all), after < id ≤ upto, of the lineage before."""

    kind: str
    metric: str
    after: int
    upto: int


class _Reading:
    """One subscriber's ledger, gone through once."""

    def __init__(self, ledger: SubscriberLedger, book: Book) -> None:
        self.ledger = ledger
        self.start: Cursor | None = None
        self.announced: list[_Announced] = []
        self.resets: list[float] = []
        self.faults: list[str] = []
        self.ids: dict[Cursor, bytes] = {}
        self._asked_to_resume = False
        self._last = 0
        self._renewed = 0  # how often a loss was announced: from then on a batch may come again, under a new id
        self._seen: dict[bytes, tuple[Cursor, int]] = {}
        for page in ledger.pages:
            self._check(page, book)

    def _check(self, page: Page, book: Book) -> None:
        match page.kind:
            case "connected":
                self._asked_to_resume = bool(page.data)
            case "hello":
                hello = _decode(page.data)
                if hello["resumed"] != self._asked_to_resume:
                    self.faults.append(f"I1 resumed: {hello['resumed']}, asked to: {self._asked_to_resume}")
                if not hello["resumed"]:  # also after a cut before the first id: a snapshot is sent anew
                    self.start = Cursor.parse(hello["cursor"])
                    self._last = self.start.id
            case "message":
                self._message(page, book)
            case "gap":
                gap = _decode(page.data)
                after, upto = Cursor.parse(gap["from"]).id, Cursor.parse(gap["to"]).id
                self.announced.append(_Announced(gap["kind"], gap.get("metric", ""), after, upto))
                if gap["kind"] == "lost":
                    self._renew(page)
            case "reset":
                self.resets.append(page.at_s)
                self.start = page.id
                self._renew(page)
            case "live":
                if self.start is None:
                    self.start = page.id
                if page.id is None or page.id.id < self._last:
                    self.faults.append(f"I3 `live` at {page.id}, below {self._last}")

    def _renew(self, page: Page) -> None:
        self._renewed += 1
        if page.emptied:  # before a snapshot, which carries no ids: the first id after it says where it starts
            self._last = 0
        elif page.id is None:
            self.faults.append(f"I5 `{page.kind}` without an id: it comes again at each reconnect")
        else:
            self._last = page.id.id

    def _message(self, page: Page, book: Book) -> None:
        batch = book.published.get(page.data)
        if batch is None:
            self.faults.append(f"I2 never published: {page.data[:120]!r}")
            return
        if not self.ledger.wants(batch.metric):
            self.faults.append(f"I2 not asked for: {batch.metric}")
        if page.id is None:
            return  # a snapshot's
        if self.start is None:
            self.start = Cursor(page.id.epoch, page.id.id - 1)
        if page.id.id <= self._last:
            self.faults.append(f"I3 {page.id} after {self._last}: {page.data[:80]!r}")
        self._last = page.id.id
        before = self._seen.get(page.data)
        if before is not None and before[1] == self._renewed:
            self.faults.append(f"I5 came twice, {before[0]} and {page.id}: {page.data[:80]!r}")
        self._seen[page.data] = page.id, self._renewed
        if self.ids.setdefault(page.id, page.data) != page.data:
            self.faults.append(f"I4 {page.id} names two batches")

    def covers(self, batch: Published, lineage: dict[str, int]) -> bool:
        """Tell whether a batch was delivered, lies before the start, or was announced as missing.

        Args:
            batch: acknowledged.
            lineage: the epochs of the log as it is now with their forks, oldest first.
        """
        if batch.body in self._seen or self.start is None:
            return True
        reset = any(at_s >= batch.sent_s for at_s in self.resets)
        if batch.epoch not in lineage:  # of a log that is gone
            return reset or self.start.epoch in lineage
        if not batch.id:  # nobody saw it and the log does not hold it: trimmed or lost with a failover
            return bool(self.announced)
        epochs = list(lineage)
        later = epochs[epochs.index(batch.epoch) + 1 :]
        lost_with = next((index for index, epoch in enumerate(later) if batch.id > lineage[epoch]), None)
        if lost_with is not None:
            if self.start.epoch in later[lost_with:] or reset:  # lost before this stream began, or began anew
                return True
            return any(gap.kind == "lost" and gap.after < batch.id for gap in self.announced)
        if self.start.epoch in lineage and batch.id <= self.start.id:
            return True
        return any(
            gap.metric in ("", batch.metric) and gap.after < batch.id <= gap.upto and gap.kind in ("trimmed", "lost")
            for gap in self.announced
        )


def _minted(batch: Published, chain: Sequence[Fork]) -> Published:
    """Return a batch that was acknowledged on a retry with the epoch of its id, not of the answer."""
    place = next((index for index, fork in enumerate(chain) if fork.epoch == batch.epoch), None)
    if not batch.again or place is None:
        return batch
    return batch._replace(epoch=minting_epoch(chain[: place + 1], batch.id))


def _resolved(
    acked: Sequence[Published], ledgers: Sequence[SubscriberLedger], stored: dict[bytes, list[Cursor]]
) -> list[Published]:
    """Return the acknowledged batches; the id that an answer does not tell, as it was seen elsewhere."""
    seen = {body: cursors[0] for body, cursors in stored.items()}
    for ledger in ledgers:
        seen |= ledger.got
    found = []
    for batch in acked:
        cursor = None if batch.id else seen.get(batch.body)
        found.append(batch if cursor is None else batch._replace(epoch=cursor.epoch, id=cursor.id))
    return found


def check(
    book: Book, ledgers: Sequence[SubscriberLedger], clock: Clock, stored: dict[bytes, list[Cursor]] | None = None
) -> None:
    """Check I1 to I5 over everything that was seen.

    Args:
        book: of all publishers.
        ledgers: of all subscribers.
        clock: of the log as it is at the end: its chain says which epochs are of its lineage.
        stored: body → its cursors in the log at the end, to check that no append was doubled; not checked if None.

    Raises:
        Broken: with what is broken, by subscriber.
    """
    lineage = {fork.epoch: fork.fork for fork in clock.chain}
    acked = [_minted(batch, clock.chain) for batch in _resolved(book.acked, ledgers, stored or {})]
    names: dict[Cursor, bytes] = {}
    faults = [
        f"I4 two batches were acknowledged as {Cursor(batch.epoch, batch.id)}: {batch.body!r}"
        for batch in acked
        if batch.id and names.setdefault(Cursor(batch.epoch, batch.id), batch.body) != batch.body
    ]
    for ledger in ledgers:
        reading = _Reading(ledger, book)
        broken = list(reading.faults)
        missing = [batch for batch in acked if ledger.wants(batch.metric) and not reading.covers(batch, lineage)]
        if missing:
            shown = ", ".join(f"{Cursor(b.epoch, b.id)} {b.body[:60]!r}" for b in missing[:_SHOWN])
            broken.append(f"I1 {len(missing)} of {len(acked)} acknowledged neither came nor were announced: {shown}")
        for cursor, body in reading.ids.items():
            if names.setdefault(cursor, body) != body:
                broken.append(f"I4 {cursor} names another batch elsewhere: {body[:60]!r}")
        faults += [f"{ledger.name}: {fault}" for fault in broken[:_SHOWN]]
    for body, cursors in (stored or {}).items():
        if len(cursors) > 1:
            faults.append(f"I5 stored {len(cursors)} times: {cursors} {body[:60]!r}")
    if faults:
        raise Broken("\n".join([f"{len(faults)} broken promises; chain {clock.chain}", *faults[:40]]))
