"""Runs one subscription in a thread, stores its readings, and tracks the state of its connection.

The dashboard process has one feed for all viewers, a notebook widget one for itself. The thread is the store's only
writer; everything else reads the store, `Feed.status` and `Feed.now_ms`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from tidewire.errors import InvalidInput, TidewireError
from tidewire.livestore.backfill import backfill
from tidewire.livestore.messages import GapSpan, State, Status
from tidewire.livestore.store import Store
from tidewire.model.cursor import Cursor
from tidewire.model.states import Connected, Ended, Gap, Live, Lost, Reset, StreamBatch
from tidewire.subscribing.subscriber import astream

__all__ = ["Feed", "FeedStatus"]

_log = logging.getLogger("tidewire")
_RECOVERED_MS: Final = 6_000.0  # how long "recovered n readings" is shown
_GAP_MS: Final = 60_000.0  # how long a gap is shown
_AGAIN_S: Final = 30.0  # a stream that ended for good is tried again after this, or at once on "retry now"
_JOIN_S: Final = 5.0


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the connection to the service; times are Unix ms of the log's clock.

    Attributes:
        state: ``live`` only once everything up to the service's position was stored.
        since_ms: since when the state holds; for ``reconnecting``, since when the connection is lost.
        retry_at_ms: when it tries again, or None.
        attempts: tries since the connection was lost.
        reason: why it was lost, or ended.
        recovered: readings that a resume brought; `recovered_ms` is when.
        gap: (from, to) of what cannot be replayed, or None; `gap_ms` is when it was announced.
        listening_since_ms: when the first connection stood, or None.
    """

    state: State = "connecting"
    since_ms: float
    retry_at_ms: float | None = None
    attempts: int = 0
    reason: str = ""
    recovered: int = 0
    recovered_ms: float = 0.0
    gap: tuple[float, float] | None = None
    gap_ms: float = 0.0
    listening_since_ms: float | None = None
    retention_ms: float | None = None


class Feed:
    """A subscription that fills a store; a context manager that starts and stops its thread.

    Args:
        store: what to fill; nobody else may write to it.
        patterns: metrics to subscribe to.
        url: the service.
        token: bearer token, empty for none.
        labels: labels that must hold.
        replay_s: seconds of history to ask for at first.
        beside: coroutines to run in the same thread and loop for as long as the feed runs.
        name: of the thread.
    """

    def __init__(
        self,
        store: Store,
        patterns: Sequence[str],
        *,
        url: str,
        token: str = "",
        labels: Mapping[str, str] | None = None,
        replay_s: int = 900,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
        name: str = "tidewire-feed",
    ) -> None:
        self.store = store
        self.patterns = tuple(patterns)
        self.url = url.rstrip("/")
        self.token = token
        self.status = FeedStatus(since_ms=time.time() * 1e3)
        self.newest_id = 0
        self._labels = labels
        self._replay_s = replay_s
        self._beside = beside
        self._clock_ms = time.time() * 1e3 - time.monotonic() * 1e3  # log's clock minus the monotonic one
        self._cursor = ""
        self._filling: int | None = None  # readings since a resume, until live
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

    def message(self) -> Status:
        """Return the connection's part of the `status` message (docs/view-frame.md)."""
        status, now_ms = self.status, self.now_ms()
        gap = status.gap if status.gap and now_ms - status.gap_ms < _GAP_MS else None
        return Status(
            state=status.state,
            since_ms=status.since_ms,
            retry_at_ms=status.retry_at_ms,
            attempts=status.attempts,
            service=self.url,
            reason=status.reason,
            last_id_ms=self.newest_id >> 32 or None,
            recovered=status.recovered if now_ms - status.recovered_ms < _RECOVERED_MS else 0,
            gap=GapSpan(from_ms=gap[0], to_ms=gap[1]) if gap else None,
            metrics=self.store.metrics,
            readings_per_s=round(self.store.readings_per_s(now_ms), 1),
            listening_since_ms=status.listening_since_ms,
            retention_ms=status.retention_ms,
            now_ms=now_ms,
        )

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
            async with aclosing(
                astream(
                    *self.patterns,
                    url=self.url,
                    replay=f"{self._replay_s}s",
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
        except TidewireError as error:
            reason = str(error)
        now_ms = self.now_ms()
        self._set(state="ended", since_ms=now_ms, reason=reason, retry_at_ms=now_ms + _AGAIN_S * 1e3)
        await asyncio.sleep(_AGAIN_S)

    def _append_batch(self, batch: StreamBatch) -> None:
        id_ = Cursor.parse(batch.cursor).id if batch.cursor else 0
        added = self.store.append(batch, id_, snapshot=not id_)
        if self._filling is not None:
            self._filling += added
        if id_:
            self._cursor = batch.cursor
            self.newest_id = max(self.newest_id, id_)
            self._clock_ms = max(self._clock_ms, (id_ >> 32) - time.monotonic() * 1e3)

    def _connected(self, state: Connected) -> None:
        if state.time_ms:
            self._clock_ms = state.time_ms - time.monotonic() * 1e3
        if state.narrowed_to and "**" in self.patterns and not self._warned_of_scopes:
            self._warned_of_scopes = True
            _log.warning("the token may only see %s: nothing else is shown", " ".join(state.narrowed_to))
        now_ms = self.now_ms()
        lost = self.status.state == "reconnecting"
        self._filling = 0 if lost or state.resumed else None
        if not state.resumed:
            self.store.covered_from_ms = min(self.store.covered_from_ms, now_ms - self._replay_s * 1e3)
            self._catalogued = False
        self._set(
            listening_since_ms=self.status.listening_since_ms or now_ms, retention_ms=state.limits.get("retention_ms")
        )

    def _note_state(self, state: object) -> None:
        now_ms = self.now_ms()
        if isinstance(state, Live):
            self._cursor = state.cursor or self._cursor
            recovered, self._filling = self._filling, None
            self._set(state="live", since_ms=now_ms, retry_at_ms=None, attempts=0, reason="")
            if recovered:
                self._set(recovered=recovered, recovered_ms=now_ms)
        elif isinstance(state, Lost):
            listened = self.status.listening_since_ms is not None
            just_lost = listened and self.status.state != "reconnecting"
            self._set(
                state="reconnecting" if listened else "connecting",
                since_ms=now_ms if just_lost else self.status.since_ms,
                reason=state.reason,
                retry_at_ms=now_ms + state.retry_s * 1e3,
                attempts=state.attempt,
            )
        elif isinstance(state, Gap):
            self._set(gap=(_log_ms(state.from_), _log_ms(state.to)), gap_ms=now_ms)
        elif isinstance(state, Reset):
            self.store.new_lineage()
            self._cursor = ""

    async def _backfill(self) -> None:
        """Backfill once per start of a stream, before live readings, so that readings come in order."""
        self._catalogued = await backfill(self.store, self.url, self.token, self.patterns, self._labels)

    def _set(self, **changes: Any) -> None:
        self.status = msgspec.structs.replace(self.status, **changes)


def _log_ms(cursor: str) -> float:
    """Return the log time of a cursor; 0 for none."""
    try:
        return float(Cursor.parse(cursor).id >> 32)
    except InvalidInput:
        return 0.0
