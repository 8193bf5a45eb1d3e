"""Says what a server that cannot hold the log answers, in one sentence with the remedy; pure."""

from __future__ import annotations

from typing import Any, Final

import redis

__all__ = ["NoLog", "refusal_of", "said", "says_cluster"]

_NO_DATABASE: Final = ("SELECT is not allowed in cluster mode", "DB index is out of range")  # Redis, and both
_MOVING: Final = "the Cluster is asked again where the log is"


class NoLog(redis.ConnectionError):
    """The server that answered can hold no log, whatever is asked of it; the message says which one can."""


def refusal_of(hello: Any, address: str) -> str:
    """Return why a server cannot hold the log, from its reply to HELLO; empty if it can, or does not say.

    Args:
        hello: names and values in turn, as protocol 2 has them; another thing from a server that knows no HELLO.
        address: where it was asked.
    """
    if not isinstance(hello, list):
        return ""
    facts = dict(zip(hello[::2], hello[1::2], strict=False))
    if facts.get(b"mode") == b"sentinel":
        return f"it is a Sentinel, which holds no data: write redis+sentinel://{address}/NAME, with its primary's name"
    return ""


def says_cluster(hello: Any) -> bool:
    """Return whether a reply to HELLO, see `refusal_of`, says that the server is a node of a Cluster."""
    return isinstance(hello, list) and (b"mode", b"cluster") in zip(hello[::2], hello[1::2], strict=False)


def said(
    error: BaseException, *, by_sentinel: bool = False, clustered: bool = False, never_reached: bool = False
) -> str:
    """Return what an error says, and what to do about it if the server is the wrong one.

    Args:
        error: of redis-py, which leaves only the slot and the address of a redirection.
        by_sentinel: the address of the server is what Sentinels said.
        clustered: it is what a node of a Cluster said.
        never_reached: and no connection to a server that it named has ever been good.
    """
    if isinstance(error, redis.exceptions.MovedError):
        return f"the log is at {error.host}:{error.port} now (MOVED {error.slot_id}): {_MOVING}"
    if isinstance(error, redis.exceptions.AskError):
        return f"the Cluster is moving the log to another node (ASK {error}): {_MOVING}"
    text = str(error) or type(error).__name__
    if isinstance(error, redis.ReadOnlyError):
        remedy = "the Sentinels are asked again" if by_sentinel else "use the address of its primary"
        remedy = _MOVING if clustered else remedy
        return f"it is a replica, which takes no readings ({text}): {remedy}"
    if any(refusal in text for refusal in _NO_DATABASE):
        return f"it has no database of that number ({text}): a Cluster has 0 alone, others as many as 'databases' says"
    if isinstance(error, redis.exceptions.ClusterDownError) and not isinstance(error, redis.exceptions.MasterDownError):
        return f"the Cluster cannot serve the log until enough of its nodes are back ({text})"
    if never_reached and isinstance(error, (redis.ConnectionError, redis.TimeoutError)) and "connecting to" in text:
        return (
            f"{text.rstrip('.')}; that is where the Cluster says it is: if it is reached elsewhere, give ?address_map="
        )
    return text
