"""The calls of the log's Lua functions as arguments and replies; pure, shared by the asyncio and the blocking log."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec

from tidewire.errors import LogUnavailable, PublishConflict
from tidewire.model.batch import EncodedBatch, IngestLimits, decode_batch
from tidewire.model.cursor import Cursor, id_ms, id_text, parse_id
from tidewire.model.layout import Layout
from tidewire.model.vector_cursor import AnyCursor, VectorCursor
from tidewire.redislog.keys import Keys
from tidewire.redislog.lineage import Clock, Watermark, chain_text, parse_chain

__all__ = [
    "DEFAULT_RETENTION",
    "AppendCall",
    "Appended",
    "Entry",
    "LastReading",
    "LogFunctions",
    "Once",
    "Retention",
    "ServerInfo",
    "split_calls",
]

MAX_BATCHES: Final = 500  # of one call: about 3 ms of Redis
MAX_CALL_BYTES: Final = 1 << 20
_EXACT_TRIM_BELOW: Final = 1_000  # '~' trims whole nodes of about 100 entries: pointless for a short log
KEPT_KEY: Final = "\x01"
"""Ends the key under which one partition of several remembers a body for all; no client's key has it."""
# Calls that one idempotent request may need; the sequence in Redis is sequence * _CHUNKS + chunk.
_CHUNKS: Final = 4_096


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long the log keeps batches.

    Attributes:
        age_s: seconds; older batches are trimmed. A series without a reading for so long is forgotten if its metric
            goes on in others, or has as many series as are allowed.
        batches: batches of one metric; older ones are trimmed.
        silent_s: seconds without a reading after which a metric is forgotten.
    """

    age_s: float = 86_400.0
    batches: int = 100_000
    silent_s: float = 30 * 86_400.0


DEFAULT_RETENTION: Final = Retention()


class Once(NamedTuple):
    """An idempotency key with a hash of its body and how long to remember it, in milliseconds."""

    key: str
    body_hash: str
    ttl_ms: int = 86_400_000


class Entry(NamedTuple):
    """One retained batch of a metric: its id, the id of the metric's previous batch, and the encoded batch."""

    id: int
    prev: int
    body: bytes


class LastReading(NamedTuple):
    """The newest state of a series.

    Attributes:
        id: of its last batch.
        readings: so far, trimmed ones too.
        body: a one-reading batch, encoded: the newest reading by its own time, of equal times the one logged later.
        reading_id: of the batch that brought this reading; 0 if that is unknown.
    """

    id: int
    readings: int
    body: bytes
    reading_id: int = 0


class ServerInfo(NamedTuple):
    """A Redis server's description of itself.

    Memory is in bytes, 0 for no limit; `replica_of` is empty on a primary. `replicas` are those that are in step, as
    ``host:port``; `replicas_needed` says that appends are refused when too few are.
    """

    name: str
    version: str
    append_only: bool
    eviction_policy: str
    used_memory: int
    max_memory: int
    append_only_written: bool = True
    replica_of: str = ""
    cluster: bool = False
    replicas: tuple[str, ...] = ()
    replicas_needed: bool = False


class Appended(NamedTuple):
    """The answer to an append.

    Attributes:
        epoch: of the ids.
        id: the last id of the partition after the append.
        results: for each batch its id, or why it was refused: ``"series"`` (too many series of the metric),
            ``"metrics"`` (too many metrics), ``"poison"`` (a foreign entry or type in the metric's keys),
            ``"lease"`` (the inbox lease is another's; nothing was appended). A duplicate repeats its
            refusals, and its other ids are the last one of that call.
        duplicate: this call was stored before; nothing was appended now.
        vector: the position after the append, of each partition that it touched, in a log of several.
    """

    epoch: str
    id: int
    results: tuple[int | str, ...]
    duplicate: bool
    vector: VectorCursor | None = None

    @property
    def own_cursor(self) -> Cursor:
        """The position after the append, in the partition of `id`."""
        return Cursor(self.epoch, self.id)

    @property
    def cursor(self) -> AnyCursor:
        """The position after the append."""
        return self.own_cursor if self.vector is None else self.vector


class AppendCall(NamedTuple):
    """One call of the append function: at most 500 batches and 1 MiB."""

    batches: Sequence[EncodedBatch]
    publisher: str = ""
    sequence: int = 0
    chunk: int = 0
    once: Once | None = None
    lease: str = ""
    inbox_ids: Sequence[str] = ()


def split_calls(batches: Sequence[EncodedBatch]) -> Iterator[Sequence[EncodedBatch]]:
    """Yield consecutive parts, each of at most 500 batches and 1 MiB (or one batch)."""
    first, size = 0, 0
    for index, batch in enumerate(batches):
        if index > first and (index - first >= MAX_BATCHES or size + len(batch.body) > MAX_CALL_BYTES):
            yield batches[first:index]
            first, size = index, 0
        size += len(batch.body)
    if first < len(batches):
        yield batches[first:]


class LogFunctions:
    """The function library and the arguments and replies of its calls, for one set of keys.

    Attributes:
        source: the Lua source, with its name in place.
        library: ``tw_<first 8 of the source's sha1>``: versions coexist in a rolling upgrade.
    """

    def __init__(self, keys: Keys, retention: Retention, limits: IngestLimits, stated: str = "") -> None:
        """Prepare the calls; `stated` is what they say of the layout, see `Layout.statement`."""
        self.keys = keys
        self._stated = stated
        template = files("tidewire.redislog").joinpath("tw.lua").read_text(encoding="utf-8")
        self.library = "tw_" + hashlib.sha1(template.encode(), usedforsecurity=False).hexdigest()[:8]
        self.source = template.replace("@LIB@", self.library)
        self._retention = retention
        self._limits = limits

    @cached_property
    def _settings(self) -> str:
        keep, age_ms, limits = self._retention.batches, int(self._retention.age_s * 1e3), self._limits
        trim = "=" if keep < _EXACT_TRIM_BELOW else "~"
        kept = (self.keys.base, keep, trim, age_ms, limits.series, limits.metrics)
        return "\n".join(map(str, (*kept, self.keys.inbox, self.keys.inbox_group, self.keys.live, self._stated)))

    def _call(self, name: str, *arguments: object) -> tuple[Any, ...]:
        return ("FCALL", f"{self.library}_{name}", 1, self.keys.clock, *arguments)

    def clock(self, watermark: Watermark | None, *, begins: bool = False) -> tuple[Any, ...]:
        """Return the command that reads the clock and hands in evidence.

        Args:
            watermark: the evidence.
            begins: a partition of several that does not exist begins: its layout was just read.
        """
        evidence = ("", "") if watermark is None else (id_text(watermark.id), chain_text(watermark.chain))
        return self._call("clock", self.keys.base, secrets.token_hex(8), *evidence, self._stated, "1" if begins else "")

    def layout(self, wanted: Layout) -> tuple[Any, ...]:
        """Return the command that reads the layout of the log, and writes the one wanted if there is no log yet."""
        return self._call("layout", self.keys.base, wanted.encode())

    def append(self, call: AppendCall, epoch: str) -> tuple[Any, ...]:
        """Return the command of one append."""
        columns: list[object] = []
        for metric, body, series, last, readings, time, _ in call.batches:
            columns += (metric, body, series, time if readings == 1 else b"%d %r\n%b" % (readings, time, last))
        return self._call(
            "append",
            self._settings,
            secrets.token_hex(8),
            epoch,
            call.publisher,
            call.sequence * _CHUNKS + call.chunk,
            "" if call.once is None else f"{call.once.body_hash} {call.once.ttl_ms} {call.once.key}:{call.chunk}",
            call.lease,
            len(call.inbox_ids),
            *call.inbox_ids,
            *columns,
        )

    def lease(self, token: str, ttl_ms: int) -> tuple[Any, ...]:
        """Return the command that acquires or renews the inbox lease."""
        return self._call("lease", self.keys.base, token, ttl_ms, self.keys.inbox_marker)

    def sweep(self, metrics: Sequence[str]) -> tuple[Any, ...]:
        """Return the command that trims idle metrics and forgets silent ones and silent series."""
        age_ms, silent_ms = int(self._retention.age_s * 1e3), int(self._retention.silent_s * 1e3)
        return self._call(
            "sweep",
            self.keys.base,
            secrets.token_hex(8),
            age_ms,
            silent_ms,
            self._limits.series,
            self._stated,
            *metrics,
        )


def parse_clock(reply: Sequence[bytes]) -> Clock:
    """Return the clock of a reply."""
    epoch, last, chain, now, forgot = reply
    now_ms = float(id_ms(parse_id(now)))
    return Clock(epoch.decode(), parse_id(last), parse_chain(chain.decode()), now_ms, parse_id(forgot))


def parse_append(reply: Sequence[bytes], call: AppendCall) -> Appended | Clock:
    """Return the answer to an append, or the clock if the caller's epoch was not the current one.

    Raises:
        PublishConflict: the idempotency key was used with another body.
    """
    kind = reply[0]
    if kind == b"epoch":
        return parse_clock(reply[1:])
    epoch, last = reply[1].decode(), parse_id(reply[2])
    if kind == b"ok":
        return Appended(epoch, last, _results(reply[3].decode(), last, len(call.batches)), duplicate=False)
    if kind == b"duplicate":
        return Appended(epoch, last, _results_again(reply[3].decode(), last, len(call.batches)), duplicate=True)
    if kind == b"lease":
        return Appended(epoch, last, ("lease",) * len(call.batches), duplicate=False)
    if kind == b"conflict":
        key = call.once.key.removesuffix(KEPT_KEY) if call.once else ""
        raise PublishConflict(f"the idempotency key {key!r} was used with another body; use a new key for a new body")
    raise LogUnavailable(f"the log answered {kind!r}; is another version of Tidewire's functions loaded?")


def _results(refusals: str, last: int, count: int) -> tuple[int | str, ...]:
    """Return the results of a call from its last id, at which those of its batches end, and ``place!reason,…``."""
    if not refusals:
        return tuple(range(last - count + 1, last + 1))
    results: list[int | str] = []
    reasons = _reasons(refusals)
    id_ = last - count + len(reasons)
    for place in range(count):
        if place in reasons:
            results.append(reasons[place])
        else:
            id_ += 1
            results.append(id_)
    return tuple(results)


def _results_again(refusals: str, last: int, count: int) -> tuple[int | str, ...]:
    """Return the results of a call that was stored before, from what the log remembers: ``place!reason,…``."""
    reasons = _reasons(refusals)
    return tuple(reasons.get(place, last) for place in range(count))


def _reasons(refusals: str) -> dict[int, str]:
    parts = (refusal.partition("!") for refusal in filter(None, refusals.split(",")))
    return {int(place): reason for place, _, reason in parts}


def pairs(reply: Any) -> dict[bytes, bytes]:
    """Return the fields of a hash or of a stream entry; RESP2 replies with a flat list, RESP3 with a map."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def parse_entries(reply: Sequence[Any], *, check: bool = False) -> tuple[list[Entry], int]:
    """Return the entries of an XRANGE reply, and how many were skipped because they are foreign.

    Args:
        reply: (id, fields) pairs.
        check: also decode each body; False where the reader decodes it anyway.
    """
    entries, skipped = [], 0
    for raw_id, fields in reply:
        try:
            values = pairs(fields)
            entry = Entry(parse_id(raw_id), parse_id(values[b"p"]), values[b"d"])
            if check:
                decode_batch(entry.body)
            entries.append(entry)
        except (KeyError, TypeError, ValueError):  # InvalidInput is a ValueError
            skipped += 1
    return entries, skipped


def parse_last_readings(reply: Any) -> tuple[dict[bytes, LastReading], int]:
    """Return the last readings of one metric by series key, and how many fields were skipped as garbage."""
    found, skipped = {}, 0
    for series, value in pairs(reply).items():
        head, _, body = value.partition(b"\n")
        try:
            id_, count, *newest = head.split(b" ")  # and its reading's time and id; an older version wrote neither
            found[series] = LastReading(parse_id(id_), int(count), body, parse_id(newest[1]) if newest else 0)
        except (IndexError, ValueError):
            skipped += 1
    return found, skipped


def parse_info(info: dict[str, Any]) -> ServerInfo:
    """Parse a reply of INFO."""
    name = "Valkey" if info.get("server_name") == "valkey" or "valkey_version" in info else "Redis"
    return ServerInfo(
        name=name,
        version=str(info.get("valkey_version") or info.get("redis_version", "?")),
        append_only=bool(int(info.get("aof_enabled", 0))),
        eviction_policy=str(info.get("maxmemory_policy", "?")),
        used_memory=int(info.get("used_memory", 0)),
        max_memory=int(info.get("maxmemory", 0)),
        append_only_written=info.get("aof_last_write_status", "ok") == "ok",
        replica_of=""
        if info.get("role", "master") == "master"
        else f"{info.get('master_host')}:{info.get('master_port')}",
        cluster=bool(int(info.get("cluster_enabled", 0))),
        replicas=tuple(
            f"{facts['ip']}:{facts['port']}"
            for name, facts in info.items()
            if re.fullmatch(r"slave\d+", name) and isinstance(facts, dict) and facts.get("state") == "online"
        ),
        replicas_needed="min_slaves_good_slaves" in info,  # told only if both of its settings are above zero
    )
