"""Sends the calls of one partition, oldest first: one in flight at a time, under a sequence that its attempts share.

A log of one partition has one lane, in the sender's own thread. Of several each has a thread: a server that hangs holds
its caller for seconds, and must not hold the others'.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

from tidewire.errors import (
    InvalidInput,
    LayoutMismatch,
    LimitExceeded,
    LogUnavailable,
    ServiceRefused,
    ServiceUnavailable,
)
from tidewire.publishing.backlog import Backlog
from tidewire.publishing.delivery_report import DeliveryReport
from tidewire.publishing.outbox import Call
from tidewire.publishing.transport import Sent, Transport

__all__ = ["Lane", "backoff_s"]

_BACKOFF_S: Final = (0.1, 5.0)  # first and longest, of which a random half is waited

logger = logging.getLogger("tidewire")


def backoff_s(attempts: int) -> float:
    """Return how long to wait after some attempts, seconds."""
    first, longest = _BACKOFF_S
    chosen: float = random.uniform(0.5, 1) * min(longest, first * 2.0 ** min(attempts, 10))  # noqa: S311
    return chosen


class Lane:
    """The calls of one partition, on their way.

    Args:
        backlog: what is to be sent.
        report: gets the counts.
        partition: whose calls; None: all of them, in a log of one.

    Attributes:
        tokens: wake who sends. A SimpleQueue's put is safe in a signal handler, an Event's set is not.
        urgent: a flush waits.
        closing: no other attempt is made.
        misled: what a call was refused with because the log is split otherwise; None if none was.
    """

    def __init__(self, backlog: Backlog, report: DeliveryReport, partition: int | None = None) -> None:
        self._backlog = backlog
        self._report = report
        self.partition = partition
        self.tokens: SimpleQueue[None] = SimpleQueue()
        self.urgent = self.closing = False
        self.misled: LayoutMismatch | None = None
        self._asked = False  # the pause before the next attempt is one that the service asked for

    def hurry(self) -> None:
        """End a pause of our own choice: a flush waits."""
        self.urgent = True
        self.tokens.put(None)

    def close(self) -> None:
        """Let no other attempt be made."""
        self.closing = True
        self.tokens.put(None)

    def run(self, transport: Transport, idle: Callable[[], None]) -> None:
        """Send in a thread of its own, until the end or until a call is refused because the log is split otherwise.

        Args:
            transport: to the partition.
            idle: called when there is nothing to send.
        """
        assert self.partition is not None  # noqa: S101 - the lane of all partitions is the sender's
        with self._backlog.helping():
            while not (self.closing or self.misled):
                if (call := self._backlog.head(self.partition)) is None:
                    idle()
                    self.wait(None)
                elif pause_s := self.attempt(call, lambda: transport):
                    self.pause(pause_s)

    def wait(self, wait_s: float | None) -> None:
        """Wait for a token, which may be old: the caller checks again."""
        with self._backlog.waiting(), suppress(Empty):
            self.tokens.get(timeout=wait_s)

    def attempt(self, call: Call, opened: Callable[[], Transport]) -> float:
        """Send one call; return how long to wait before the next attempt, 0 if the call is done with, seconds."""
        call.attempts += 1
        try:
            transport = opened()
            with self._backlog.waiting(call):
                answer = transport.send(call.batches, call.publisher, call.sequence)
        except LayoutMismatch as error:
            self._backlog.keep(call)
            self.misled = error
        except (LogUnavailable, ServiceUnavailable) as error:
            return self._later(call, error)
        except LimitExceeded as error:
            return 0.0 if self._backlog.split(call, str(error)) else _BACKOFF_S[1]
        except (ServiceRefused, InvalidInput) as error:
            self._settle(call, Sent(call.readings, str(error)))
        except Exception as error:
            logger.exception("a call could not be sent, its %d readings are lost", call.readings)
            self._settle(call, Sent(call.readings, f"{type(error).__name__}: {error}"))
        else:
            self._settle(call, answer)
        return 0.0

    def _later(self, call: Call, error: LogUnavailable | ServiceUnavailable) -> float:
        self._report.failed(str(error), call.partition)
        self._backlog.retry(call)
        asked_s = error.retry_after_s if isinstance(error, ServiceUnavailable) else 0.0
        self._asked = asked_s > 0
        return max(backoff_s(call.attempts), asked_s)

    def pause(self, pause_s: float) -> None:
        """Wait before the next attempt; a flush ends a pause of our own choice, the publisher's end any."""
        until_s = monotonic() + pause_s
        while not self.closing and (left_s := until_s - monotonic()) > 0:
            if self.urgent and not self._asked:
                self.urgent = False
                return
            self._rest(min(left_s, self._backlog.write_every_s))
            if not self.closing:
                self._backlog.write(self.partition)

    def _rest(self, rest_s: float) -> None:
        """Wait all of a time, but for a flush that may end it, the end, and what a disk should take at once."""
        until_s = monotonic() + rest_s
        while (left_s := until_s - monotonic()) > 0 and not (self.closing or (self.urgent and not self._asked)):
            if self._backlog.urges(self.partition):
                return
            self.wait(left_s)

    def _settle(self, call: Call, answer: Sent) -> None:
        if not self._backlog.settle(call, answer):
            return  # given up by close() or written to disk meanwhile
        if answer.refused:
            self._report.failed(answer.reason, call.partition)
        else:
            self._report.worked(call.partition)
