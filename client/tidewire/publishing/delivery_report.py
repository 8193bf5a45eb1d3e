"""Counts what became of a publisher's readings; logs what goes wrong, at most once a minute."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import Final

__all__ = ["DeliveryReport"]

_WARN_EVERY_S: Final = 60.0  # a connection that comes and goes is not said more often

logger = logging.getLogger("tidewire")


class DeliveryReport:
    """The counts of one publisher, written under its `lock`, and its warnings.

    Attributes:
        sent: readings that were acknowledged.
        retried: calls that were sent again.
        rejected: readings that were refused for good.
        last_error: the newest error, ``""`` if there was none.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.sent = self.retried = self.rejected = 0
        self.last_error = ""
        self._failing: set[int] = set()  # partitions
        self._warned = False  # that sending fails
        self._warned_s = self._disk_warned_s = -_WARN_EVERY_S

    def settled(self, sent: int, refused: int, reason: str) -> None:
        """Count the readings of a call with a final answer, under the lock."""
        self.sent += sent
        self.rejected += refused
        self.last_error = reason or self.last_error

    def refused(self, readings: int, reason: str) -> None:
        """Count readings that were refused for good."""
        with self._lock:
            self.rejected += readings
        self._warn(reason)

    def failed(self, reason: str, partition: int = 0) -> None:
        """Note that sending to a partition failed."""
        self._failing.add(partition)
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        self.last_error = reason
        if not self._warned and monotonic() - self._warned_s >= _WARN_EVERY_S:
            self._warned, self._warned_s = True, monotonic()
            logger.warning(
                "cannot publish: %s; the publisher's stats count what follows, and 'tidewire doctor' finds the cause",
                reason,
            )

    def worked(self, partition: int = 0) -> None:
        """Note that a call to a partition was taken whole."""
        self._failing.discard(partition)
        if self._warned and not self._failing:
            self._warned = False
            logger.warning("publishing works again")

    def divided(self) -> None:
        """Note that the log has other partitions than before."""
        self._failing.clear()

    def disk_failed(self, error: Exception) -> None:
        """Note that the disk took or gave nothing."""
        self.last_error = str(error)
        if monotonic() - self._disk_warned_s >= _WARN_EVERY_S:
            self._disk_warned_s = monotonic()
            logger.warning("%s; what cannot be sent stays in memory meanwhile", error)
