"""Why a stream ended: every reason there is."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EndReason"]


class EndReason(StrEnum):
    """Why a stream ended; docs/architecture.md, "How a stream ends", says who ends it and what the client does."""

    CLIENT_GONE = "client_gone"
    DRAIN = "drain"
    MAX_AGE = "max_age"
    SLOW = "slow"
    WRITE_TIMEOUT = "write_timeout"
    OVERLOAD = "overload"
    TOO_MANY = "too_many"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ERROR = "error"
