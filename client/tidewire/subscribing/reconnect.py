"""Decides for one stream what to request, what is new, and when to reconnect; no I/O."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from tidewire.errors import InvalidCursor, InvalidInput, ServiceRefused
from tidewire.model.positions import Seen
from tidewire.model.sse import Decoder, ServerEvent
from tidewire.model.states import (
    ConflatedBatches,
    Connected,
    Gap,
    Live,
    Lost,
    Reset,
    Skipped,
    Stalled,
    State,
    StreamBatch,
)
from tidewire.model.vector_cursor import parse_cursor
from tidewire.subscribing.service_address import service_url
from tidewire.subscribing.service_answer import Answer
from tidewire.subscribing.service_request import bearer, selection

__all__ = ["Reconnect"]

_BACKOFF_S: Final = (0.2, 15.0)  # first and longest; full jitter between 0 and it (Brooker 2015)
_FINAL: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 422})
_WARN_AT_ATTEMPT: Final = 2  # attempts: one alone is a restart, and heals before anyone could act

logger = logging.getLogger("tidewire")


_batch_decoder = msgspec.json.Decoder(StreamBatch)
_conflated_decoder = msgspec.json.Decoder(ConflatedBatches)
_state_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "hello": msgspec.json.Decoder(Connected),
    "live": msgspec.json.Decoder(Live),
    "gap": msgspec.json.Decoder(Gap),
    "reset": msgspec.json.Decoder(Reset),
    "skipped": msgspec.json.Decoder(Skipped),
    "stalled": msgspec.json.Decoder(Stalled),
}


class _Bye(msgspec.Struct):
    reason: str = ""


_bye_decoder = msgspec.json.Decoder(_Bye)


class Reconnect:
    """The state of one subscription over any number of connections."""

    def __init__(
        self,
        patterns: tuple[str, ...],
        url: str | None,
        replay: str,
        every: str | None,
        labels: Mapping[str, str] | None,
        cursor: str | None,
        on_slow: str | None,
    ) -> None:
        if not patterns:
            raise InvalidInput("patterns", patterns, "name at least one metric or pattern; '**' selects all")
        self.base = service_url(url)
        params = [*selection(patterns, labels), ("replay", replay)]
        params += [(name, value) for name, value in (("every", every), ("on_slow", on_slow)) if value]
        self.params = params
        self.last_id = str(parse_cursor(cursor)) if cursor else ""
        self._seen = Seen()
        if cursor:
            self._seen.resume(cursor)
        self._decoder = Decoder()
        self._attempt = 0
        self._bye = ""
        self._warned = False

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers of the next request."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self.last_id:
            headers["last-event-id"] = self.last_id
        headers |= bearer(token)
        self._decoder = Decoder(self.last_id)
        self._bye = ""
        return headers

    def consume(self, chunk: bytes) -> Iterator[StreamBatch | State]:
        """Parse a chunk of the response; yield the batches and states that it completes."""
        for event in self._decoder.feed(chunk):
            try:
                yield from self._event(event)
            except msgspec.MsgspecError as error:
                logger.warning("skipped an event that cannot be read: %s", error)

    def _event(self, event: ServerEvent) -> Iterator[StreamBatch | State]:
        if event.event == "message":
            if self._is_new(event.own_id):
                yield from self._batches(event)
            return
        if event.event == "bye":
            self._bye = _bye_decoder.decode(event.data).reason
            return
        decoder = _state_decoders.get(event.event)
        if decoder is None:
            return
        state = cast("State", decoder.decode(event.data))
        if event.own_id is not None:
            self._move(event.own_id, state)
        if isinstance(state, Reset):
            state = msgspec.structs.replace(state, cursor=self.last_id)
        if isinstance(state, Live):  # not at hello: a service that greets and ends gets growing pauses
            self._note_success()
        if isinstance(state, Connected) and not event.own_id:  # starts with a snapshot: to be repeated if it is cut
            state = msgspec.structs.replace(state, cursor="")
        yield state

    def _note_success(self) -> None:
        self._attempt = 0
        if self._warned:
            self._warned = False
            logger.warning("%s is back", self.base)

    def _batches(self, event: ServerEvent) -> Iterator[StreamBatch]:
        cursor = event.own_id or ""
        if event.data.startswith('{"every_ms"'):
            flush = _conflated_decoder.decode(event.data)
            for batch in flush.batches:
                msgspec.structs.force_setattr(batch, "cursor", cursor)
                msgspec.structs.force_setattr(batch, "every_ms", flush.every_ms)
                yield batch
        else:
            batch = _batch_decoder.decode(event.data)
            msgspec.structs.force_setattr(batch, "cursor", cursor)
            yield batch

    def _is_new(self, own_id: str | None) -> bool:
        """Tell whether an event is ahead of what was seen of its partition; a repeat has the same id and is dropped."""
        if not own_id:
            return True
        try:
            if not self._seen.take(own_id):
                return False
        except InvalidCursor:
            return True
        self.last_id = own_id
        self._note_success()
        return True

    def _move(self, own_id: str, state: State) -> None:
        """Go on at the id of a control event; an empty one, before a snapshot, means: if it is cut, anew."""
        self.last_id = own_id
        if isinstance(state, Reset):
            self._seen.forget(state.partition)
        elif not own_id:
            self._seen.forget(None)
        with contextlib.suppress(InvalidCursor):
            if isinstance(state, Gap):
                self._seen.go_back(own_id)
            else:
                self._seen.resume(own_id)

    def no_stream(self, content_type: str) -> Lost:
        """Return the state after a 200 that is no stream."""
        return self.lost(f"it answers with {content_type}, not with an event stream: is this a Tidewire service?")

    def refused(self, answer: Answer) -> Lost | ServiceRefused:
        """Return the state after an answer that is no success, or the error if it is final."""
        if answer.status in _FINAL:
            return ServiceRefused(answer.status, answer.detail, request_id=answer.request_id)
        return self.lost(f"HTTP {answer.status} {answer.detail}".strip(), answer.retry_after_s)

    def lost(self, reason: str, retry_s: float | None = None) -> Lost:
        """Return the state after the end of a connection."""
        self._attempt += 1
        if self._bye:
            reason = self._bye
        if self._attempt >= _WARN_AT_ATTEMPT and not self._warned:
            self._warned = True
            logger.warning("no stream from %s (%s); retrying; 'tidewire doctor' finds the cause", self.base, reason)
        if retry_s is None and self._bye and self._decoder.retry_ms is not None:
            retry_s = self._decoder.retry_ms / 1e3
        if retry_s is None:
            first, longest = _BACKOFF_S
            retry_s = random.uniform(0, min(longest, first * 2.0 ** min(self._attempt, 10)))  # noqa: S311 - jitter
        return Lost(reason=reason, retry_s=retry_s, attempt=self._attempt)
