"""Checks whether a Redis suits the log: one list, for `tidewire up`, `tidewire doctor` and the service; pure.

Also which type each key of the log has, for `tidewire doctor`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from tidewire.redislog.calls import ServerInfo
from tidewire.redislog.keys import Keys

__all__ = ["ServerFinding", "check_replicas", "check_server", "key_types"]

_OLDEST: Final = (7, 0)  # FUNCTION
_FULL: Final = 0.95  # of maxmemory


class ServerFinding(NamedTuple):
    """One thing about a server that loses readings, or can.

    Attributes:
        level: ``wrong``: do not use it as it is; ``note``: it works, but.
        what: the thing.
        found: what was seen.
        remedy: what to do about it.
    """

    level: Literal["wrong", "note"]
    what: str
    found: str
    remedy: str


def check_server(info: ServerInfo) -> list[ServerFinding]:
    """Return what makes a server unfit or risky, the worst first; empty if nothing does."""
    found = []
    if _release(info.version) < _OLDEST:
        remedy = "it has no functions, so nothing can be appended: run Redis 7.0 or newer, or Valkey"
        found.append(ServerFinding("wrong", "redis version", f"{info.name} {info.version}", remedy))
    if info.replica_of:
        remedy = "it takes no readings: point TIDEWIRE_REDIS at its primary"
        found.append(ServerFinding("wrong", "role", f"a replica of {info.replica_of}", remedy))
    if info.eviction_policy not in ("noeviction", "?"):
        remedy = "when memory is short, Redis deletes readings without a word: set maxmemory-policy to noeviction"
        level: Literal["wrong", "note"] = "wrong" if info.max_memory else "note"
        found.append(ServerFinding(level, "eviction", f"evicts keys ({info.eviction_policy})", remedy))
    if info.max_memory and info.used_memory > _FULL * info.max_memory:
        used = f"{info.used_memory / 2**20:.0f} of {info.max_memory / 2**20:.0f} MiB are used"
        remedy = "readings are or will be refused: raise maxmemory, or keep less"
        found.append(ServerFinding("wrong", "memory", used, remedy))
    if not info.append_only:
        remedy = "a restart of Redis loses what it has not saved: set appendonly to yes"
        found.append(ServerFinding("note", "persistence", "no append-only file", remedy))
    elif not info.append_only_written:
        remedy = "a restart of Redis loses readings: check its disk"
        found.append(ServerFinding("wrong", "persistence", "the append-only file could not be written", remedy))
    return found


def check_replicas(info: ServerInfo) -> list[ServerFinding]:
    """Return what a failover of a primary can lose, the worst first; empty if that is little."""
    if info.replica_of:
        return []
    if not info.replicas:
        remedy = "nothing can take over from it: run two replicas"
        return [ServerFinding("note", "replicas", "the primary has none in step", remedy)]
    found = []
    if not info.replicas_needed:
        remedy = (
            "a primary that is cut off goes on taking readings, which are lost afterwards: run two replicas, and "
            "set min-replicas-to-write to 1"
        )
        found.append(ServerFinding("note", "replicas", "min-replicas-to-write is 0", remedy))
    elif len(info.replicas) == 1:
        remedy = "while it is away, nothing can be written: run two replicas"
        found.append(ServerFinding("note", "replicas", "one, and the primary writes only with replicas", remedy))
    return found


def key_types(keys: Keys, metrics: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return for each key of the log its type, as TYPE says it, and what does not work when another one is there.

    Args:
        keys: the names.
        metrics: those of the directory whose keys are wanted too.
    """
    found = {
        keys.clock: ("hash", "nothing is appended or read"),
        keys.tail: ("hash", "nothing is appended or read"),
        keys.inbox: ("stream", "XADD is not taken"),
        keys.inbox_dead: ("stream", "what could not be read is not kept"),
        keys.lease: ("string", "PUBLISH is not taken"),
        keys.decks: ("hash", "decks are neither read nor saved"),
        keys.thresholds: ("hash", "thresholds are neither read nor saved"),
        keys.tokens: ("hash", "no token is known"),
        keys.tokens_used: ("hash", "the last use of tokens is not kept"),
        keys.tokens_version: ("string", "changes of tokens are not noticed"),
    }
    for metric in metrics:
        found[keys.log(metric)] = ("stream", f"readings of {metric} are refused")
        found[keys.last(metric)] = ("hash", f"readings of {metric} are refused")
    return found


def _release(version: str) -> tuple[int, ...]:
    """Return a version as numbers; one that is not of that form counts as new."""
    parts = version.split(".")
    return tuple(map(int, parts[:2])) if len(parts) >= 2 and all(part.isdigit() for part in parts[:2]) else _OLDEST
