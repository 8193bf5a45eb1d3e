"""Runs one subscription in a thread, stores its readings, and tracks the state of its connection.

The dashboard process has one feed for all viewers, a notebook widget one for itself. The thread is the store's only
writer; everything else reads the store, `Feed.status` and `Feed.now_ms`.

A notebook's feed replays its window. The dashboard's begins with the catalogue, which has the last reading of every
series, and streams on from its cursor; the past comes when somebody looks at it (`PastReader`). It begins so again when
the log was lost, after an absence that would take long to replay, and when a partition answers that did not then.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from tidewire.errors import InvalidCursor, ServiceRefused, ServiceUnavailable, ServiceUnreachable, TidewireError
from tidewire.livestore.backfill import backfill
from tidewire.livestore.catalogue import read_catalogue
from tidewire.livestore.feed_status import FeedStatus
from tidewire.livestore.late import LateSeries
from tidewire.livestore.messages import GapSpan, Late, Status
from tidewire.livestore.past_reader import PastReader
from tidewire.livestore.store import Store
from tidewire.model.positions import Ids, ids_of, newest_ms, own_component
from tidewire.model.states import Connected, Ended, Gap, Live, Lost, Reset, Stalled, StreamBatch
from tidewire.subscribing.subscriber import astream

__all__ = ["Feed"]

_log = logging.getLogger("tidewire")
_RECOVERED_MS: Final = 6_000.0  # how long "recovered n readings" is shown
_GAP_MS: Final = 60_000.0  # how long a gap is shown
_AGAIN_S: Final = 30.0  # a stream that ended for good is tried again after this, or at once on "retry now"
_JOIN_S: Final = 5.0
_AWAY_MS: Final = 60_000.0  # of an absence after which the catalogue is read instead of all that was missed
_MISSING_S: Final = 3.0  # after which a stream has said which partitions do not answer
_LONGEST_PAUSE_S: Final = 15.0  # between two tries to read the catalogue
_TOO_LARGE: Final = 413


class Feed:
    """A subscription that fills a store; a context manager that starts and stops its thread.

    Args:
        store: what to fill; nobody else may write to it.
        patterns: metrics to subscribe to.
        url: the service.
        token: bearer token, empty for none.
        labels: labels that must hold.
        replay_s: seconds of history to ask for at first; None to begin with the catalogue.
        beside: coroutines to run in the same thread and loop for as long as the feed runs.
        name: of the thread.

    Attributes:
        past: reads the past of series; None if all of it is replayed.
        positions: the id of each partition up to which the store has the stream; replaced as a whole at each step.
    """

    def __init__(
        self,
        store: Store,
        patterns: Sequence[str],
        *,
        url: str,
        token: str = "",
        labels: Mapping[str, str] | None = None,
        replay_s: int | None = 900,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
        name: str = "tidewire-feed",
    ) -> None:
        self.store = store
        self.patterns = tuple(patterns)
        self.url = url.rstrip("/")
        self.token = token
        self.status = FeedStatus(since_ms=time.time() * 1e3)
        self.positions: Ids = {}
        self._late = LateSeries(store)
        self._labels = labels
        self._replay_s = replay_s
        self.past: PastReader | None = None
        if replay_s is None:
            self.past = PastReader(store, self.url, token, lambda: self.positions, self.now_ms)
            beside = (*beside, self.past.run)
        self._beside = beside
        self._clock_ms = time.time() * 1e3 - time.monotonic() * 1e3  # log's clock minus the monotonic one
        self._cursor = ""
        self._filling: int | None = None  # readings since a resume, until live
        self._heard: set[int] = set()  # partitions of which a batch came since the last one stalled
        self._anew = replay_s is None  # the catalogue is to be read before the stream
        self._begun = False  # and was, since the last connection
        self._missing: frozenset[int] = frozenset()  # partitions that were not in it
        self._look_again: asyncio.TimerHandle | None = None
        self._away_since_ms: float | None = None  # since when nothing comes
        self._covers_from_ms: float | None = None  # of a replay, once it is over
        self._catalogued = True
        self._warned_of_scopes = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    # -- for other threads ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, at most 5 s."""
        self._stopping = True
        self._poke()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    @property
    def running(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def __enter__(self) -> Feed:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def retry_now(self) -> None:
        """Try to connect at once, if there is no connection."""
        if self.status.state in ("reconnecting", "ended"):
            self._poke()

    def now_ms(self) -> float:
        """Return the log's clock (Redis time) as far as it is known, Unix ms; this machine's clock before that."""
        return self._clock_ms + time.monotonic() * 1e3

    def told_ms(self) -> float:
        """Return up to when (log time) a silence is one: now, or since when the stream is away or catches up."""
        away_ms = self._away_since_ms
        return self.now_ms() if away_ms is None else away_ms

    def message(self) -> Status:
        """Return the connection's part of the `status` message (docs/view-frame.md)."""
        status, now_ms = self.status, self.now_ms()
        newest = newest_ms(self.positions)
        position_ms = max(status.behind_since_ms or 0.0, newest)
        gap = status.gap if status.gap and now_ms - status.gap_ms < _GAP_MS else None
        return Status(
            state=status.state,
            since_ms=status.since_ms,
            retry_at_ms=status.retry_at_ms,
            attempts=status.attempts,
            service=self.url,
            reason=status.reason,
            last_id_ms=newest or None,
            recovered=status.recovered if now_ms - status.recovered_ms < _RECOVERED_MS else 0,
            gap=GapSpan(from_ms=gap[0], to_ms=gap[1]) if gap else None,
            metrics=self.store.metrics,
            readings_per_s=round(self.store.readings_per_s(now_ms), 1),
            listening_since_ms=status.listening_since_ms,
            retention_ms=status.retention_ms,
            behind_ms=None if status.behind_since_ms is None else max(0.0, now_ms - position_ms),
            past_reason=self.past.reason if self.past else "",
            late=self.late(),
            now_ms=now_ms,
        )

    def late(self, may_see: Callable[[str], bool] = lambda metric: True) -> Late | None:
        """Return what is to be said of the series whose partition does not answer, None if there is none.

        Args:
            may_see: tells which metrics somebody may see; no other is counted.
        """
        return self._late.message(self.status.stalled, may_see)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _poke(self) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._wake.set)
            except RuntimeError:
                _log.debug("the feed's loop was closed already")

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception:
            _log.exception("the feed of %s failed", self.url)
            self._set(state="ended", reason="the subscription failed; see the log of this program", retry_at_ms=None)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(start()) for start in self._beside]
            while not self._stopping:
                self._wake.clear()
                stream = group.create_task(self._follow())
                poke = group.create_task(self._wake.wait())
                await asyncio.wait((stream, poke), return_when=asyncio.FIRST_COMPLETED)
                for task in (stream, poke):
                    task.cancel()
            for task in beside:
                task.cancel()

    async def _follow(self) -> None:
        """Subscribe until the stream ends for good, then wait before the next try; "retry now" cancels this."""
        reason = ""
        try:
            ended = None
            while ended is None:
                if self._anew:
                    await self._begin()
                ended = await self._stream()
            reason = ended
        except TidewireError as error:
            reason = str(error)
        now_ms = self.now_ms()
        if self._away_since_ms is None:
            self._away_since_ms = now_ms
        self._set(state="ended", since_ms=now_ms, reason=reason, retry_at_ms=now_ms + _AGAIN_S * 1e3)
        await asyncio.sleep(_AGAIN_S)

    async def _stream(self) -> str | None:
        """Store what the stream brings; return why it ended, None if it is to begin anew with the catalogue."""
        reason = ""
        async with aclosing(
            astream(
                *self.patterns,
                url=self.url,
                replay=f"{self._replay_s or round(self.store.raw_ms / 1e3)}s",
                labels=self._labels,
                cursor=self._cursor or None,
                states=True,
                token=self.token or None,
            )
        ) as items:
            async for item in items:
                if isinstance(item, StreamBatch):
                    self._append_batch(item)
                elif isinstance(item, Connected):
                    self._connected(item)
                elif isinstance(item, Ended):
                    reason = item.reason
                else:
                    self._note_state(item)
                    if isinstance(item, Live) and not self._catalogued:
                        await self._backfill()
                if self._anew:
                    return None
        return reason

    async def _begin(self) -> None:
        """Put the last reading of every series into the store, and the cursor from which the stream goes on.

        Raises:
            ServiceRefused: the service says no for good.
        """
        attempt = 0
        while True:
            try:
                found, ids = await read_catalogue(self.url, self.token, self.patterns, self._labels)
                break
            except ServiceUnavailable as error:
                attempt += 1
                pause_s = random.uniform(0, min(_LONGEST_PAUSE_S, 0.2 * 2.0 ** min(attempt, 10)))  # noqa: S311 - jitter
                pause_s = max(pause_s, error.retry_after_s)
                reason = error.why if isinstance(error, ServiceUnreachable) else str(error)
                self._lost(Lost(reason=reason, retry_s=pause_s, attempt=attempt))
                await asyncio.sleep(pause_s)
            except ServiceRefused as error:
                if error.status != _TOO_LARGE:
                    raise
                _log.warning("the catalogue of %s is too large: the last minutes are replayed instead", self.url)
                self._anew, self._cursor = False, ""
                return
        # By the log's clock: that of this machine may be ahead, and nothing would count until it is reached.
        self.store.restart(found.series, ids, newest_ms(ids))
        self._cursor, self.positions, self._missing = found.cursor, ids, frozenset(found.missing)
        self._anew, self._begun = False, True
        self._catalogued, self._covers_from_ms = True, None
        if self.past is not None:
            silent = [row for row in found.series if not row.rate and self.now_ms() - row.time > _AWAY_MS]
            self.past.restarted([one for row in silent if (one := self.store.find(row.metric, row.labels))])

    def _append_batch(self, batch: StreamBatch) -> None:
        if batch.cursor:
            partition, (_, id_) = own_component(batch.cursor)
            if id_ > self.positions.get(partition, 0):  # first: what is in the store is never beyond it
                self.positions = {**self.positions, partition: id_}
            if self.status.stalled:
                self._heard.add(partition)
        else:
            partition = id_ = 0
        added = self.store.append(batch, id_, partition=partition, snapshot=not id_)
        if self._filling is not None:
            self._filling += added
        if id_:
            self._cursor = batch.cursor
            self._clock_ms = max(self._clock_ms, (id_ >> 32) - time.monotonic() * 1e3)

    def _connected(self, state: Connected) -> None:
        if state.time_ms:
            self._clock_ms = state.time_ms - time.monotonic() * 1e3
        if state.narrowed_to and "**" in self.patterns and not self._warned_of_scopes:
            self._warned_of_scopes = True
            _log.warning("the token may only see %s: nothing else is shown", " ".join(state.narrowed_to))
        now_ms = self.now_ms()
        lost = self.status.state == "reconnecting"
        begun, self._begun = self._begun, False
        away_ms = 0.0 if self._away_since_ms is None else now_ms - self._away_since_ms
        if self.past is not None and self._cursor and away_ms > _AWAY_MS and not begun:
            self._anew = True
            return
        self._filling = 0 if lost and not begun else None
        behind_since_ms = newest_ms(self.positions)
        if not state.resumed:
            behind_since_ms = now_ms - (self._replay_s or self.store.raw_ms / 1e3) * 1e3
            self._covers_from_ms = behind_since_ms
            self._catalogued = False
        self.store.catching_up = not begun and (lost or not state.resumed)
        self._set_stalled(())
        self._set(
            listening_since_ms=self.status.listening_since_ms or now_ms,
            retention_ms=state.limits.get("retention_ms"),
            behind_since_ms=behind_since_ms,
        )

    def _note_state(self, state: object) -> None:
        now_ms = self.now_ms()
        if isinstance(state, Live):
            self._cursor = state.cursor or self._cursor
            recovered, self._filling = self._filling, None
            if self._covers_from_ms is not None:
                self.store.covered_from_ms = min(self.store.covered_from_ms, self._covers_from_ms)
                self._covers_from_ms = None
            self.store.catching_up = False
            self._away_since_ms = None
            self._note_answers(state)
            if self._missing and self._look_again is None and self._loop is not None:
                self._look_again = self._loop.call_later(_MISSING_S, self._begin_if_all_answer)
            self._set(state="live", since_ms=now_ms, retry_at_ms=None, attempts=0, reason="", behind_since_ms=None)
            if recovered:
                self._set(recovered=recovered, recovered_ms=now_ms)
        elif isinstance(state, Lost):
            self._lost(state)
        elif isinstance(state, Stalled):
            others = (one for one in self.status.stalled if one.partition != state.partition)
            self._heard.discard(state.partition)
            self._set_stalled((*others, state))
        elif isinstance(state, Gap):
            self._set(gap=(_log_ms(state.from_), _log_ms(state.to)), gap_ms=now_ms)
        elif isinstance(state, Reset):
            self._reset(state)

    def _reset(self, state: Reset) -> None:
        """Begin anew with everything, or with the metrics of the partition that was lost if all of them are named."""
        if state.partition is None:
            self._cursor, self.positions = "", {}
        else:
            self._cursor = state.cursor
            self.positions = {number: id_ for number, id_ in self.positions.items() if number != state.partition}
        if state.partition is None or state.more:
            self.store.new_lineage()
            self._anew = self.past is not None
        else:
            self.store.new_lineage(frozenset(state.metrics))

    def _begin_if_all_answer(self) -> None:
        """Begin anew if a partition that was not in the catalogue answers: what it has from before the stream is there.

        Not at once when the stream is live: that a partition does not answer may be said a moment later.
        """
        self._look_again = None
        if self._missing - {one.partition for one in self.status.stalled}:
            self._anew = True
            self._wake.set()

    def _note_answers(self, live: Live) -> None:
        """Note that the partitions answer which did not, but for those of which it is said, or known, that they do not.

        A service that does not say which still do not answer says `live` of one that does: with its part first.
        """
        if live.stalled is not None:
            away = set(live.stalled)
        else:
            own = own_component(live.cursor).partition if live.cursor else None
            away = {one.partition for one in self.status.stalled} - self._heard - {own}
        self._set_stalled(tuple(one for one in self.status.stalled if one.partition in away))

    def _set_stalled(self, stalled: tuple[Stalled, ...]) -> None:
        if stalled != self.status.stalled:
            self.store.late = {one.partition: frozenset(one.metrics) for one in stalled}
            self._set(stalled=stalled)

    def _lost(self, state: Lost) -> None:
        now_ms = self.now_ms()
        if self._away_since_ms is None:
            self._away_since_ms = now_ms
        listened = self.status.listening_since_ms is not None
        just_lost = listened and self.status.state != "reconnecting"
        self._set(
            state="reconnecting" if listened else "connecting",
            since_ms=now_ms if just_lost else self.status.since_ms,
            reason=state.reason,
            retry_at_ms=now_ms + state.retry_s * 1e3,
            attempts=state.attempt,
            behind_since_ms=None,
        )

    async def _backfill(self) -> None:
        """Backfill once per start of a stream, before live readings, so that readings come in order."""
        self._catalogued = await backfill(self.store, self.url, self.token, self.patterns, self._labels)

    def _set(self, **changes: Any) -> None:
        self.status = msgspec.structs.replace(self.status, **changes)


def _log_ms(cursor: str) -> float:
    """Return the log time of a cursor; 0 for none."""
    try:
        return newest_ms(ids_of(cursor))
    except InvalidCursor:
        return 0.0
