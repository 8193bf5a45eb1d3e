"""Keeps one upstream stream for each selection that is watched, and drives the viewers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec
import structlog

from tidewire.errors import ServiceUnavailable
from tidewire_service.edge.identities import Identities
from tidewire_service.edge.settings import EdgeSettings
from tidewire_service.edge.shared_selection import SelectionKey, SharedSelection
from tidewire_service.edge.upstream import Upstream, UpstreamRefused, UpstreamStream
from tidewire_service.edge.viewer import OpenOwn, ReadOwn, Viewer, ViewerRequest
from tidewire_service.hub.effects import Drain, Turn, run_effects
from tidewire_service.hub.end_reason import EndReason
from tidewire_service.hub.subscription import Sink

__all__ = ["Relay", "SelectionsFull"]

_BACKOFF_S: Final = (0.2, 15.0)  # first and longest, as the SDK's
_DENIED: Final = frozenset({401, 403})
_log = structlog.get_logger("tidewire_service")


class SelectionsFull(Exception):
    """One more selection would be more than `max_selections`."""


class _Shared:
    """A selection with the task that reads its stream."""

    def __init__(self, selection: SharedSelection) -> None:
        self.selection = selection
        self.task: asyncio.Task[None] | None = None
        self.lingering: asyncio.TimerHandle | None = None


class Relay:
    """All selections and viewers of an edge.

    Args:
        upstream: where their events come from.
        identities: of the viewers.
        settings: bounds and times.

    Attributes:
        on_fall_back: called with each viewer that was live and now has to catch up.
        end: ends the stream of a viewer.
        counters: what happened how often.
    """

    def __init__(self, upstream: Upstream, identities: Identities, settings: EdgeSettings) -> None:
        self.on_fall_back: Callable[[Viewer], None] | None = None
        self.end: Callable[[Viewer, EndReason], None] = lambda viewer, reason: None
        self.counters = Counter(
            {
                "resumed_in_ring": 0,
                "moved_to_ring": 0,
                "passed_upstream": 0,
                "upstream_lost": 0,
                "opened_anew": 0,
                "selections_refused": 0,
            }
        )
        self._upstream = upstream
        self._identities = identities
        self._settings = settings
        self._shared: dict[SelectionKey, _Shared] = {}

    def gauges(self) -> Mapping[str, float]:
        """Return how much there is now of everything that has a bound."""
        selections = [shared.selection for shared in self._shared.values()]
        return {
            "selections": len(selections),
            "upstream_streams": self._upstream.streams,
            "viewers_live": sum(len(one.live) for one in selections),
            "viewers_waiting": sum(len(one.waiting) for one in selections),
            "viewers_joining": sum(len(one.joining) for one in selections),
            "ring_bytes": sum(one.ring.bytes for one in selections),
        }

    def count(self, name: str) -> None:
        """Count one more of what happened."""
        self.counters[name] += 1

    # -- who comes and goes

    async def admit(self, request: ViewerRequest) -> ViewerRequest:
        """Return a request with the upstream stream that it begins with, if it needs one.

        Raises:
            SelectionsFull: it is of one selection too many.
            UpstreamRefused: the upstream says no.
            ServiceUnreachable: it does not answer.
        """
        if request.shared:
            shared = self._open(SelectionKey.of(request, request.identity.scopes.narrowed_to), request.authorization)
            if request.last_id and shared.selection.serves(request.last_id):
                return request
        own = await self._upstream.open_stream(request.query, request.authorization, request.last_id)
        return msgspec.structs.replace(request, own=own)

    def _open(self, key: SelectionKey, authorization: str) -> _Shared:
        shared = self._shared.get(key)
        if shared is not None:
            return shared
        if len(self._shared) >= self._settings.max_selections and not self._close_unwatched():
            self.counters["selections_refused"] += 1
            raise SelectionsFull
        selection = SharedSelection(key, self._settings.selection_ring_bytes)
        shared = self._shared[key] = _Shared(selection)
        shared.task = asyncio.create_task(self._read_shared(shared, authorization), name="tidewire-selection")
        self._linger(key, shared)
        return shared

    def _close_unwatched(self) -> bool:
        """Close the oldest selection without viewers; return False if each has some."""
        found = next((key for key, shared in self._shared.items() if not shared.selection.viewers), None)
        if found is not None:
            self._close(found, self._shared[found])
        return found is not None

    def _linger(self, key: SelectionKey, shared: _Shared) -> None:
        if shared.lingering is not None:
            shared.lingering.cancel()
        loop = asyncio.get_running_loop()
        shared.lingering = loop.call_later(self._settings.linger_s, self._close_if_unwatched, key, shared)

    def _close_if_unwatched(self, key: SelectionKey, shared: _Shared) -> None:
        if not shared.selection.viewers and self._shared.get(key) is shared:
            self._close(key, shared)

    def _close(self, key: SelectionKey, shared: _Shared) -> None:
        del self._shared[key]
        if shared.lingering is not None:
            shared.lingering.cancel()
        if shared.task is not None:
            shared.task.cancel()

    def attach(
        self,
        request: ViewerRequest,
        sink: Sink,
        *,
        narrowed_to: tuple[str, ...],
        matched: Mapping[int, Any] | None = None,
    ) -> Viewer:
        """Return a new viewer of an admitted request, whose parts the caller begins with `run`."""
        selection = None
        if request.shared:
            try:
                selection = self._open(SelectionKey.of(request, narrowed_to), request.authorization).selection
            except SelectionsFull:  # its own was closed while its stream was opened
                selection = None
        if request.shared:
            self._identities.hold(request.authorization)
        return Viewer(selection, sink, request, fell_back=self._fell_back, end=self._end, counters=self.counters)

    def detach(self, subscription: Viewer) -> None:
        """Forget a viewer; its selection goes some seconds after the last one."""
        subscription.close()
        if not subscription.request.shared:
            return
        self._identities.release(subscription.request.authorization)
        key = SelectionKey.of(subscription.request, subscription.request.identity.scopes.narrowed_to)
        shared = self._shared.get(key)
        if shared is not None and not shared.selection.viewers:
            self._linger(key, shared)

    def _fell_back(self, viewer: Viewer) -> None:
        if self.on_fall_back is not None:
            self.on_fall_back(viewer)

    def _end(self, viewer: Viewer, reason: EndReason) -> None:
        self.end(viewer, reason)

    async def close(self) -> None:
        """End all upstream streams of selections."""
        tasks = [shared.task for shared in self._shared.values() if shared.task is not None]
        for key, shared in tuple(self._shared.items()):
            self._close(key, shared)
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- shared streams

    async def _read_shared(self, shared: _Shared, authorization: str) -> None:
        """Read the stream of a selection, and open it again where it was, until cancelled."""
        selection = shared.selection
        refused: set[str] = set()
        attempt = 0
        while True:
            stream: UpstreamStream | None = None
            try:
                stream = await self._upstream.open_stream(selection.key.query, authorization, selection.resume_id)
                refused.clear()
                if await self._read(stream, selection):
                    attempt = 0
            except UpstreamRefused as error:
                if error.answer.status in _DENIED:
                    refused.add(authorization)
                elif not error.passing:
                    selection.begin_anew()  # what it said before is of no use to the upstream that is there now
                _log.warning("upstream_refused", status=error.answer.status, reason=error.answer.detail)
            except ServiceUnavailable as error:
                _log.info("upstream_lost", reason=str(error))
            except Exception as error:  # the top of a task
                self.counters["selection_errors"] += 1
                selection.begin_anew()
                _log.error("selection_failed", exc_info=error)
            finally:
                if stream is not None:
                    stream.close()
            self.counters["upstream_lost"] += 1
            usable = [one for one in selection.viewers.values() if one not in refused]
            if usable:
                authorization = authorization if authorization in usable else usable[0]
            elif authorization in refused:
                self._deny(selection)
            attempt += 1
            await asyncio.sleep(_pause_s(attempt))

    def _deny(self, selection: SharedSelection) -> None:
        """End the streams of those whose tokens the upstream refuses, all of them."""
        for viewer in tuple(selection.viewers):
            if isinstance(viewer, Viewer):
                self.end(viewer, EndReason.REVOKED)

    async def _read(self, stream: UpstreamStream, selection: SharedSelection) -> bool:
        """Hand out what comes until the stream ends; return whether it was live."""
        live = False
        while (blocks := await stream.read()) is not None:
            if not selection.take(blocks):
                self.counters["opened_anew"] += 1
                return False
            live = live or selection.whole
        return live

    # -- viewers

    async def catch_up(
        self,
        part: Viewer,
        effects: Any,
        drained: Callable[[], Coroutine[Any, Any, None]],
        pending: Any = None,
    ) -> None:
        """Drive a viewer until it is live, or its stream ends.

        Args:
            part: the viewer.
            effects: of its `run` or `catch_up`.
            drained: waits until the socket accepts bytes again.
            pending: the effect that it has already yielded, if it has begun.
        """

        async def perform(effect: Any) -> Any:
            match effect:
                case OpenOwn():
                    return await self._open_own(part.request, effect)
                case ReadOwn(stream):
                    assert isinstance(stream, UpstreamStream)  # noqa: S101 - this relay opened it
                    return await stream.read()
                case Turn():
                    return await asyncio.sleep(0)
                case Drain():
                    return await drained()

        await run_effects(effects, perform, pending)

    async def _open_own(self, request: ViewerRequest, asked: OpenOwn) -> UpstreamStream | EndReason:
        """Open an upstream stream of a viewer from an id, however long that takes; else say why it cannot be."""
        attempt = asked.attempt
        while True:
            if attempt:
                await asyncio.sleep(_pause_s(attempt))
            attempt += 1
            try:
                return await self._upstream.open_stream(request.query, request.authorization, asked.last_id)
            except UpstreamRefused as error:
                status = error.answer.status
                if status in _DENIED:
                    return EndReason.REVOKED
                if not error.passing:
                    _log.warning("upstream_refused", status=status, reason=error.answer.detail)
                    return EndReason.ERROR
            except ServiceUnavailable as error:
                _log.debug("upstream_lost", reason=str(error))


def _pause_s(attempt: int) -> float:
    """Return a random pause before an attempt, as the SDK pauses."""
    first_s, longest_s = _BACKOFF_S
    return random.uniform(0, min(longest_s, first_s * 2.0 ** min(attempt, 10)))  # noqa: S311 - spreads them
