"""Checks whether a Redis suits the log: one list, for `tidewire up`, `tidewire doctor` and the service; pure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from tidewire.redislog.calls import ServerInfo

__all__ = ["ServerFinding", "check_server"]

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
    if info.cluster:
        remedy = "use a Redis that is not part of a cluster"
        found.append(ServerFinding("wrong", "cluster", "part of a cluster", remedy))
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


def _release(version: str) -> tuple[int, ...]:
    """Return a version as numbers; one that is not of that form counts as new."""
    parts = version.split(".")
    return tuple(map(int, parts[:2])) if len(parts) >= 2 and all(part.isdigit() for part in parts[:2]) else _OLDEST
