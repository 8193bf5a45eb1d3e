"""The hub's counters, all present from the start, and its latency histogram; no I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

__all__ = ["COUNTERS", "LATENCY_BOUNDS_S", "Latencies", "summed"]

COUNTERS: Final = (
    "batches_left_out",  # of a conflated interval: more series than it may hold, or undecodable
    "batches_skipped",  # left out for slow subscribers that asked for conflation
    "checks",
    "checks_behind",  # found behind twice: a frame was lost
    "connections_deaf",  # up, but without frames: rebuilt
    "deliveries",  # events handed to sockets
    "entries_filled",
    "fallbacks_interrupted",
    "fallbacks_slow",
    "fills",
    "fills_skipped",  # too large, or with a gap: left to the subscriptions
    "flushes",
    "forks",
    "forks_cut",
    "frames_dropped",
    "frames_duplicate",
    "frames_garbled",
    "frames_stale",
    "gaps_lost",
    "gaps_trimmed",
    "holes",
    "intervals",
    "pages_discarded",
    "pages_log",
    "pages_ring",
    "reads",
    "reads_late",  # not answered within their deadline
    "reads_repeated",  # by a subscription, after one that failed
    "reads_shared",
    "redis_back",
    "redis_lost",
    "resets",
    "resets_sent",
    "ring_evicted",  # batches that left the ring at its bound: older cursors read the log
    "snapshots",
    "stream_errors",
    "tracker_errors",
)

LATENCY_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def summed(parts: Iterable[Counter[str]]) -> Counter[str]:
    """Return the sum of some counters; a count of 0 stays."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


class Latencies:
    """A histogram in seconds.

    Attributes:
        counts: for each bound of `LATENCY_BOUNDS_S` what lay at or below it and above the one before; last, the rest.
        total_s: sum of all.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one; a clock that ran back counts as zero."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many at or below it) as Prometheus wants them."""
        bounds = [*(f"{bound:g}" for bound in LATENCY_BOUNDS_S), "+Inf"]
        found, total = [], 0
        for bound, count in zip(bounds, self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found
