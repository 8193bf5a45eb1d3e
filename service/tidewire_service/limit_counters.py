"""Counts how often each limit of this process was reached, by the name of its setting; pure."""

from __future__ import annotations

from typing import Final

__all__ = ["LIMIT_NAMES", "LimitCounters"]

# What a request or a row can exceed. `documents` and `nesting` are fixed; all others are settings.
LIMIT_NAMES: Final = (
    "max_body_bytes",
    "max_decompressed_bytes",
    "nesting",
    "max_rows",
    "max_foreign_body_bytes",
    "max_foreign_decompressed_bytes",
    "max_foreign_rows",
    "max_labels",
    "max_readings",
    "max_batch_bytes",
    "max_series",
    "max_metrics",
    "max_posts",
    "max_patterns",
    "max_matching_s",
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


class LimitCounters:
    """Counts what was refused or ended because it reached a limit.

    Attributes:
        reached: how often, by limit; all are present from the start, so that an alert can be written before the first.
    """

    def __init__(self) -> None:
        self.reached = dict.fromkeys(LIMIT_NAMES, 0)

    def count(self, limit: str) -> None:
        """Add to a limit's counter; an empty name is ignored."""
        if limit:
            self.reached[limit] += 1
