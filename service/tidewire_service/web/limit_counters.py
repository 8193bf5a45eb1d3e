"""The bounds of one process by the names of their settings, and how often each was reached; pure."""

from __future__ import annotations

from typing import Final

__all__ = ["BOUNDS", "Bounds"]

# What a request or a row can run into. `documents` and `nesting` are fixed; all others are settings.
BOUNDS: Final = (
    "max_body_bytes",
    "max_decompressed_bytes",
    "nesting",
    "max_rows",
    "max_labels",
    "max_readings",
    "max_batch_bytes",
    "max_series",
    "max_metrics",
    "max_posts",
    "max_patterns",
    "max_header_bytes",
    "max_url_bytes",
    "max_requests_per_s",
    "max_requests_per_s_per_address",
    "history_rows",
    "history_scan_batches",
    "catalog_rows",
    "max_streams",
    "max_streams_per_token",
    "max_streams_per_address",
    "max_metrics_per_stream",
    "write_timeout_s",
    "head_timeout_s",
    "body_timeout_s",
    "max_waiting",
    "soft_memory_bytes",
    "documents",
)


class Bounds:
    """Counts whatever was refused, or ended, because it reached a bound.

    Attributes:
        reached: how often, by bound; all are there from the start, so that an alert can be written before the first.
    """

    def __init__(self) -> None:
        self.reached = dict.fromkeys(BOUNDS, 0)

    def note(self, bound: str, times: int = 1) -> None:
        """Count; an empty text is no bound."""
        if bound:
            self.reached[bound] += times
