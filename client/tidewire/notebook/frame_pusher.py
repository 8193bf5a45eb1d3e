"""Pushes frames to a notebook chart at a fixed pace, in the thread of the chart's feed.

Nothing is acknowledged, since a busy kernel receives nothing. So frames are paced (four a second, and no more bytes
than the notebook takes), and a snapshot comes every 10 s for a browser that missed something.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from tidewire.errors import LimitExceeded, ServiceUnavailable
from tidewire.livestore import messages
from tidewire.livestore.alarms import Alarms, EventsVersion
from tidewire.livestore.feed import Feed
from tidewire.livestore.history_cache import HistoryCache, answer_range
from tidewire.livestore.live_view import LiveView

__all__ = ["LONGEST_MS", "SHORTEST_MS", "ViewRequest", "push_frames", "read_message"]

_log = logging.getLogger("tidewire")
_TICK_S: Final = 0.25  # four frames and one text message a second
_TEXTS_EVERY: Final = 4  # ticks
_SNAPSHOT_S: Final = 10.0
_BYTES_PER_S: Final = 100_000.0
_BUCKETS: Final = 700  # of the view until the browser says how wide it is
_HISTORY_AGAIN_S: Final = 15.0  # before the history of a view is requested again
SHORTEST_MS: Final = 1_000.0  # of a window
LONGEST_MS: Final = 24 * 3_600e3


def read_message(content: object) -> messages.DeckMessage | None:
    """Return a message of the deck; log a warning and return None for anything else."""
    try:
        message: messages.DeckMessage = msgspec.convert(content, messages.DeckMessage)
    except msgspec.ValidationError as error:
        _log.warning("a message of the chart is invalid: %s", error)
        return None
    return message


class ViewRequest:
    """The view that a notebook requests; written by the kernel's main thread, read by the pusher.

    Attributes:
        window_ms: length of the window.
        buckets: number of buckets requested.
        paused: send no frames.
        send_all: send everything again, as to a new page.
        ranges: the requests for ranges of one window that are not answered yet.
    """

    def __init__(self, window_ms: float) -> None:
        self.window_ms = window_ms
        self.buckets = _BUCKETS
        self.paused = False
        self.send_all = True
        self.ranges: deque[messages.RangeRequest] = deque(maxlen=messages.MAX_VIEWS)

    def add_range(self, request: messages.RangeRequest) -> None:
        """Ask for a range; it replaces those of another window."""
        if any((each.start_ms, each.end_ms) != (request.start_ms, request.end_ms) for each in list(self.ranges)):
            self.ranges.clear()
        self.ranges.append(request)


class Target(Protocol):
    """Receives the frames."""

    def push(self, message: messages.PythonMessage, frame: bytes | None = None) -> None:
        """Send a text message, or a frame."""


class _Pusher:
    """What one chart's thread remembers from tick to tick."""

    def __init__(self, feed: Feed, history_cache: HistoryCache, view_request: ViewRequest, alarms: Alarms) -> None:
        self.store = feed.store
        self.alarms = alarms
        self.view_request = view_request
        self.feed = feed
        self.history_cache = history_cache
        self.view: LiveView | None = None
        self.shape: tuple[float, int] = (0.0, 0)
        self.seq = 0
        self.since: int | None = None
        self.snapshot_at = 0.0
        self.not_before = 0.0
        self.directory_version = self.thresholds_version = self.alarms_version = -1
        self.events_version: EventsVersion | None = None
        self.status: object = None
        self.history_at = -math.inf
        self.past_reason = ""  # why the last window could not be read

    async def tick(self, target: Target) -> None:
        """Send the messages and frames that are due."""
        now = time.monotonic()
        self.seq += 1
        if self.view_request.send_all:
            self.view_request.send_all = False
            self.since = self.status = None
            self.directory_version = self.thresholds_version = self.alarms_version = -1
            self.events_version = None
        self._texts(target)
        while self.view_request.ranges:
            await self._range(target, self.view_request.ranges.popleft())
        if self.view_request.paused or now < self.not_before:
            return
        if self.view is None or self.shape != (self.view_request.window_ms, self.view_request.buckets):
            self.shape = (self.view_request.window_ms, self.view_request.buckets)
            self.view, self.since = LiveView(self.store, None, *self.shape), None
        if now - self.snapshot_at > _SNAPSHOT_S:
            self.since = None  # a browser that missed something, or came late, cannot say so
        self.view.tick(self.seq, self.feed.now_ms())
        if self.since is None:
            self.snapshot_at = now
        frame = self.view.frame(0, self.since)
        target.push(messages.FrameAttached(), frame)
        self.since = self.seq
        self.not_before = now + len(frame) / _BYTES_PER_S
        replayed = self.store.covered_from_ms < math.inf  # before that, the replay brings it
        if replayed and self.view.partial and now - self.history_at > _HISTORY_AGAIN_S:
            self.history_at = now
            await self._read_history(self.view)

    def _texts(self, target: Target) -> None:
        store = self.store
        if self.directory_version != store.directory_version:
            with store.lock:
                changed, full = store.changed_since(self.directory_version), self.directory_version < 0
                self.directory_version = store.directory_version
            target.push(messages.directory_message(changed, full=full))
        alarms = self.alarms
        alarms.evaluate(self.feed.now_ms())
        if self.events_version != alarms.events_version:
            with store.lock:
                events, self.events_version = alarms.events_message(self.events_version), alarms.events_version
            target.push(events)
        if self.thresholds_version != alarms.thresholds_version:
            self.thresholds_version = alarms.thresholds_version
            target.push(alarms.thresholds_message())
        if self.alarms_version != alarms.version:
            self.alarms_version = alarms.version
            target.push(alarms.alarms_message())
        if self.status is not self.feed.status or self.seq % _TEXTS_EVERY == 0:
            self.status = self.feed.status
            message = self.feed.message()
            target.push(msgspec.structs.replace(message, past_reason=message.past_reason or self.past_reason))

    async def _read_history(self, view: LiveView) -> None:
        try:
            await self.history_cache.fill(view, self.feed.now_ms())
            self.past_reason = ""
        except ServiceUnavailable as error:
            self.past_reason = str(error)
            _log.info("the history of a %d s window is missing: %s", view.window_ms / 1e3, error)

    async def _range(self, target: Target, request: messages.RangeRequest) -> None:
        try:
            frame, problem = await answer_range(
                request, self.store, self.history_cache, seq=self.seq, now_ms=self.feed.now_ms()
            )
        except LimitExceeded as error:
            target.push(messages.Problem(reason=str(error)))
            return
        target.push(messages.FrameAttached(), frame)
        if problem:
            target.push(messages.Problem(reason=problem))


async def push_frames(
    target_now: Callable[[], Target | None], feed: Feed, view_request: ViewRequest, alarms: Alarms
) -> None:
    """Push frames until the target is gone, then stop the feed; runs in the feed's thread.

    Args:
        target_now: returns the target, None once it is gone; a reference to it is held only during a tick.
        feed: its store is drawn.
        view_request: the view to draw.
        alarms: of the feed's store.
    """
    history_cache = HistoryCache(feed.url, feed.token)
    pusher = _Pusher(feed, history_cache, view_request, alarms)
    try:
        while (target := target_now()) is not None:
            try:
                await pusher.tick(target)
            except Exception:
                _log.exception("cannot push a frame of %s", feed.patterns)
                target.push(messages.Problem(reason="this chart failed; see the log of the kernel"))
                return
            del target
            await asyncio.sleep(_TICK_S)
        feed.stop()
    finally:
        await history_cache.close()
