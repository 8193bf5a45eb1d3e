"""Sends a publisher's calls to Redis or over HTTP; both end in the same append function.

A transport imports all that its calls need when it is made, in the publisher's own thread: a fork in the moment in
which the sending thread imports something leaves that module locked in the child for ever, and its publisher mute.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - what socket.getaddrinfo imports by itself
import gzip
import logging
import time as _clock
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from tidewire.errors import InvalidInput, LimitExceeded, ServiceRefused, ServiceUnavailable, ServiceUnreachable
from tidewire.model.batch import EncodedBatch
from tidewire.model.layout import Layout
from tidewire.publishing.time_check import Checked, are_plausible, check_times, without_impossible_times
from tidewire.settings import without_password

if TYPE_CHECKING:
    from tidewire.redislog.log import BlockingRedisLog

__all__ = ["HttpTransport", "PartitionedTransport", "RedisTransport", "Sent", "Transport", "open_transport"]

_GZIP_FROM_BYTES: Final = 1_024
_PAUSE_S: Final = 1.0  # where the service asks for a pause and does not say how long
_ANSWER_WAITS: Final = 6  # for a whole answer, times the wait for a piece of it
_LONGEST_PAUSE_S: Final = 300.0
_STEP_MS: Final = 1_000.0  # by which clocks may drift apart between two calls
_REASONS: Final[Mapping[str, str]] = {
    "series": "the metric has as many series as are allowed",
    "metrics": "there are as many metrics as are allowed",
    "poison": "a foreign entry or type is in the metric's keys in Redis",
}


logger = logging.getLogger("tidewire")


class Sent(NamedTuple):
    """The answer to one call: readings refused for good, and why."""

    refused: int
    reason: str


class Transport(Protocol):
    """One way to send a call."""

    def send(self, batches: Sequence[EncodedBatch], publisher: str, sequence: int) -> Sent:
        """Send one call; sending it again with the same sequence appends nothing twice.

        Raises:
            LayoutMismatch: nothing was stored: the log is split otherwise.
            LogUnavailable, ServiceUnavailable: try the same call again; `retry_after_s` is what the service asked for.
            LimitExceeded: too large: split it.
            ServiceRefused: never.
        """

    def close(self) -> None:
        """Close the connection."""


@runtime_checkable
class PartitionedTransport(Transport, Protocol):
    """A way to the partitions of a log, which is taken for one of a single partition until it refuses that."""

    def read_layout(self) -> Layout:
        """Ask how the log is split.

        Raises:
            LogUnavailable: no answer.
            InvalidInput: a newer version wrote what this one does not know.
        """

    def divide(self, layout: Layout) -> None:
        """Send by a layout from now on; nothing is being sent meanwhile."""

    def of(self, partition: int) -> Transport:
        """Return the way to one partition, for one thread; it is closed with this one."""


class _ClockWarning:
    """Says once that this machine's clock is wrong, against that of `other`."""

    def __init__(self, other: str) -> None:
        self._other = other
        self._told = False

    def tell(self, checked: Checked, ahead_ms: float) -> None:
        if not checked.moved or self._told:
            return
        self._told = True
        logger.warning(
            "this machine's clock is %.0f s off that of %s: readings without a time get the time of %s",
            ahead_ms / 1e3,
            self._other,
            self._other,
        )


class _PartitionTransport:
    """Calls the append function of one partition, with times that are plausible by the clock of its server."""

    def __init__(self, log: BlockingRedisLog, warning: _ClockWarning) -> None:
        self._log = log
        self._offset_ms: float | None = None  # the log's clock minus the monotonic one, which nobody sets
        self._warning = warning

    def send(self, batches: Sequence[EncodedBatch], publisher: str, sequence: int) -> Sent:
        """Append one call, with times that the history finds."""
        checked = self._checked(batches)
        appended = self._log.append(checked.batches, publisher=publisher, sequence=sequence)
        answers = zip(checked.batches, appended.results, strict=True)
        refused = [(batch.readings, result) for batch, result in answers if isinstance(result, str)]
        if not refused:
            return Sent(checked.refused, checked.reason)
        first = refused[0][1]
        return Sent(checked.refused + sum(readings for readings, _ in refused), _REASONS.get(first, first))

    def _checked(self, batches: Sequence[EncodedBatch]) -> Checked:
        if self._offset_ms is not None and are_plausible(batches, self._offset_ms + _clock.monotonic() * 1e3):
            return Checked(batches)
        # the first time, and after this machine slept
        log_ms, own_ms = self._log.clock().now_ms, _clock.time() * 1e3
        self._offset_ms = log_ms - _clock.monotonic() * 1e3
        checked = check_times(batches, log_ms, own_ms)
        self._warning.tell(checked, own_ms - log_ms)
        return checked

    def close(self) -> None:
        """Close the connection."""
        self._log.close()


class RedisTransport:
    """Calls the append function in Redis, of each partition of the log."""

    def __init__(self, url: str, *, prefix: str) -> None:
        # here and not in the thread, see above; nor could it be imported there at the end of the interpreter
        import email.parser  # noqa: F401, PLC0415 - redis-py reads its version with it when it connects

        from tidewire.redislog.partitioned_log import (  # noqa: PLC0415 - redis-py costs 100 ms at import
            BlockingPartitionedLog,
        )

        self._log = BlockingPartitionedLog(url, prefix=prefix)
        self._warning = _ClockWarning("Redis")
        self._parts = self._divided()

    def _divided(self) -> list[_PartitionTransport]:
        return [_PartitionTransport(log, self._warning) for log in self._log.parts]

    def read_layout(self) -> Layout:
        """Ask how the log is split; see `PartitionedTransport`."""
        self._log.forget_layout()
        return self._log.layout

    def divide(self, layout: Layout) -> None:
        """Send by a layout from now on; see `PartitionedTransport`."""
        self._log.adopt_layout(layout)
        self._parts = self._divided()

    def of(self, partition: int) -> Transport:
        """Return the way to one partition; see `PartitionedTransport`."""
        return self._parts[partition]

    def send(self, batches: Sequence[EncodedBatch], publisher: str, sequence: int) -> Sent:
        """Append one call to the log of one partition, with times that the history finds."""
        return self._parts[0].send(batches, publisher, sequence)

    def close(self) -> None:
        """Close all connections."""
        self._log.close()


class HttpTransport:
    """Posts to ``/v1/readings`` of a service, with its publisher and sequence in a header of their own."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 10.0) -> None:
        from tidewire.subscribing.service_client import ServiceClient  # noqa: PLC0415 - httpx costs 80 ms at import

        self._client = ServiceClient(url, token, timeout_s=timeout_s, answer_s=_ANSWER_WAITS * timeout_s)
        # at the last answer, ms: the log's clock, this machine's, and the monotonic one
        self._answered: tuple[float, float, float] | None = None
        self._warning = _ClockWarning("the service")

    def send(self, batches: Sequence[EncodedBatch], publisher: str, sequence: int) -> Sent:
        """Post one call; again, with times that can be, if it was refused for those of this machine's wrong clock."""
        checked = self._checked(batches)
        if not checked.batches:
            return Sent(checked.refused, checked.reason)
        try:
            sent = self._post(checked.batches, publisher, sequence)
        except ServiceRefused as error:
            if error.status != 422 or checked.moved or not (checked := self._checked(batches)).moved:
                raise
            sent = self._post(checked.batches, publisher, sequence)
        return Sent(checked.refused + sent.refused, checked.reason or sent.reason)

    def _checked(self, batches: Sequence[EncodedBatch]) -> Checked:
        if self._answered is None:
            return Checked(batches)
        (log_ms, own_ms, monotonic_ms), now_ms = self._answered, _clock.time() * 1e3
        passed_ms = _clock.monotonic() * 1e3 - monotonic_ms
        if abs(now_ms - own_ms - passed_ms) > _STEP_MS:  # this machine slept, or its clock was set
            return Checked(batches)
        log_ms += passed_ms
        if are_plausible(batches, log_ms):
            return Checked(batches)
        checked = check_times(batches, log_ms, now_ms)
        self._warning.tell(checked, now_ms - log_ms)
        return checked

    def _post(self, batches: Sequence[EncodedBatch], publisher: str, sequence: int) -> Sent:
        body = b"[" + b",".join(map(without_impossible_times, batches)) + b"]"
        headers = {"content-type": "application/json", "tidewire-sequence": f"{publisher}:{sequence}"}
        if len(body) >= _GZIP_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1)
            headers["content-encoding"] = "gzip"
        try:
            answer = self._client.fetch("POST", "/v1/readings", headers=headers, body=body)
        except ServiceUnreachable as error:
            raise ServiceUnavailable(f"{self._client.shown_base}/v1/readings: {error.why}", 0.0) from error
        if (log_ms := answer.headers.get("tidewire-time", "")).isdecimal():
            self._answered = float(log_ms), _clock.time() * 1e3, _clock.monotonic() * 1e3
        if answer.status == 200:
            return _sent(answer.facts(), batches)
        if answer.status == 413 and len(batches) > 1:
            raise LimitExceeded("body", 0, len(body), "split the call")
        meant = answer.error()
        if isinstance(meant, ServiceUnavailable):
            asked_s = answer.retry_after_s
            pause_s = _PAUSE_S if asked_s is None else min(asked_s, _LONGEST_PAUSE_S)
            raise ServiceUnavailable(f"HTTP {answer.status} {answer.detail}".strip(), pause_s, meant.request_id)
        raise meant

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _sent(answer: Mapping[str, Any], batches: Sequence[EncodedBatch]) -> Sent:
    """Return what the service stored of a call, from the JSON of its answer.

    Raises:
        ServiceRefused: another program answered.
    """
    accepted, rejected = answer.get("accepted"), answer.get("rejected")
    if not isinstance(accepted, int):
        raise ServiceRefused(200, "the answer is not that of a Tidewire service; check the URL")
    rows = [row for row in rejected if isinstance(row, dict)] if isinstance(rejected, list) else []
    readings = sum(batch.readings for batch in batches)
    return Sent(max(0, readings - accepted), str(rows[0].get("reason") or "HTTP 200") if rows else "")


def open_transport(url: str, *, token: str, prefix: str) -> Transport:
    """Return the transport that a URL names; nothing is connected yet.

    Raises:
        InvalidInput: a scheme that is none of a Redis, http or https; a host, port or token that can never work.
    """
    scheme = url.partition("://")[0] if isinstance(url, str) else ""
    if scheme in {"http", "https"}:
        return HttpTransport(url, token=token)
    if "redis" in scheme or scheme in {"unix", "sentinel", "valkey", "valkeys"}:  # some are refused, with a remedy
        return RedisTransport(url, prefix=prefix)
    raise InvalidInput(
        "url",
        without_password(str(url)).rpartition("@")[2],
        "expected redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, http:// or https://",
    )
